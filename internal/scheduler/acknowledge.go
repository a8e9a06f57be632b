package scheduler

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// Approve looks at a draft with its sender at the moment of the launch. Its
// error refuses the launch, and nothing changes; the warnings that it returns
// are stored with the broadcast as acknowledged.
type Approve func(b *broadcast.Spec, from *sender.Spec, now time.Time) ([]broadcast.Acknowledged, error)

// Unacknowledged is a launch that waits for its author: the rulebook wants
// these warnings acknowledged first.
type Unacknowledged struct {
	ID      string
	Missing []policy.Warning
}

// Error names the warnings in words, and what to do.
func (u *Unacknowledged) Error() string {
	codes, words := make([]string, len(u.Missing)), make([]string, len(u.Missing))
	for i, w := range u.Missing {
		codes[i], words[i] = w.Code, fmt.Sprintf("%s (%s)", w.Code, w.Says)
	}
	return fmt.Sprintf("broadcast %s: not launched, since its warnings must be acknowledged first: %s; launch it with acknowledge: %s",
		u.ID, strings.Join(words, ", "), strings.Join(codes, ","))
}

// Acknowledge approves a launch whose author acknowledges the warnings of
// these codes: all that the rulebook asks for, and no others. An *Illegal
// names a code that is needless, an *Unacknowledged those that are missing.
func Acknowledge(g *gate.Gate, codes []string) Approve {
	return func(b *broadcast.Spec, from *sender.Spec, now time.Time) ([]broadcast.Acknowledged, error) {
		warnings, err := g.Author(b, from, now)
		if err != nil {
			warnings = nil // every one of its jobs will say why it was blocked
		}
		asked := slices.DeleteFunc(g.Advice(warnings, b, from, now), func(w policy.Warning) bool { return !w.Acknowledge })
		if err := needless(codes, asked); err != nil {
			return nil, &Illegal{b.ID, err}
		}
		var out []broadcast.Acknowledged
		var missing []policy.Warning
		for _, w := range asked {
			if !slices.Contains(codes, w.Code) {
				missing = append(missing, w)
				continue
			}
			out = append(out, broadcast.Acknowledged{Code: w.Code, At: now})
		}
		if len(missing) > 0 {
			return nil, &Unacknowledged{b.ID, missing}
		}
		return out, nil
	}
}

// needless refuses codes that nobody asked to acknowledge: whoever sends one
// thinks of another broadcast, or of another rulebook.
func needless(codes []string, asked []policy.Warning) error {
	names := make([]string, len(asked))
	for i, w := range asked {
		names[i] = w.Code
	}
	for _, code := range codes {
		switch {
		case slices.Contains(names, code):
		case len(names) == 0:
			return fmt.Errorf("acknowledge %.64q: it has no warning to acknowledge; leave it out", code)
		default:
			return fmt.Errorf("acknowledge %.64q: it has no such warning to acknowledge, only %s", code, strings.Join(names, ", "))
		}
	}
	return nil
}

func (s *Scheduler) approve(ctx context.Context, b *broadcast.Broadcast, now time.Time, approvals []Approve) error {
	b.Acknowledged = nil
	if len(approvals) == 0 {
		return nil
	}
	from, _, err := s.Defs.Sender(ctx, b.Spec.Sender)
	if err != nil {
		return fmt.Errorf("broadcast %s: %w", b.Spec.ID, err)
	}
	for _, approve := range approvals {
		said, err := approve(&b.Spec, from, now)
		if err != nil {
			return err
		}
		b.Acknowledged = append(b.Acknowledged, said...)
	}
	return nil
}
