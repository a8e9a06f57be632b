package scheduler

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// Approve looks at a draft with its sender at the moment of the launch. Its
// error refuses the launch, and nothing changes; the warnings that it returns
// are stored with the broadcast as acknowledged. It is asked again where the
// draft or the sender changes meanwhile.
type Approve func(p *definition.Planned, from *sender.Spec, now time.Time) ([]broadcast.Acknowledged, error)

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

// Needless is an acknowledgement that nobody asked for: whoever sends it
// thinks of another broadcast, or of another rulebook.
type Needless struct {
	ID    string
	Code  string
	Asked []string // what is asked for; none: nothing
}

// Error names the code and those that are asked for.
func (n *Needless) Error() string {
	if len(n.Asked) == 0 {
		return fmt.Sprintf("broadcast %s: acknowledge %.64q: it has no warning to acknowledge; leave it out", n.ID, n.Code)
	}
	return fmt.Sprintf("broadcast %s: acknowledge %.64q: it has no such warning to acknowledge, only %s", n.ID, n.Code, strings.Join(n.Asked, ", "))
}

// Acknowledge approves a launch whose author acknowledges the warnings of
// these codes: all that the rulebook asks for, and no others. Its errors are
// *gate.Unsendable, *Needless, and *Unacknowledged with what is missing.
func Acknowledge(g gate.Rules, codes []string) Approve {
	return func(p *definition.Planned, from *sender.Spec, now time.Time) ([]broadcast.Acknowledged, error) {
		b := &p.Spec
		warnings, err := g.Author(p, from, now)
		if err != nil {
			return nil, err
		}
		asked := slices.DeleteFunc(g.Advice(warnings, b, from, now), func(w policy.Warning) bool { return !w.Acknowledge })
		if n := needless(codes, asked); n != nil {
			n.ID = b.ID
			return nil, n
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

// needless finds the first of the codes that is not asked for, nil for none.
func needless(codes []string, asked []policy.Warning) *Needless {
	var names []string
	for _, w := range asked {
		names = append(names, w.Code)
	}
	for _, code := range codes {
		if !slices.Contains(names, code) {
			return &Needless{Code: code, Asked: names}
		}
	}
	return nil
}

// approve asks until the sender that was looked at is the one that is stored.
// How a sender changes after the launch is the gate's to judge. The template
// stays with the broadcast as it was looked at.
func (s *Scheduler) approve(ctx context.Context, b *broadcast.Broadcast, now time.Time, approve Approve) error {
	var err error
	if b.Template, err = s.Defs.TemplateOf(ctx, b); err != nil {
		return err
	}
	p, err := definition.Plan(b, b.Template)
	if err != nil {
		return err
	}
	from, rev, err := s.Defs.Sender(ctx, b.Spec.Sender)
	for err == nil {
		said, refused := approve(p, from, now)
		if refused != nil {
			return refused
		}
		looked := rev
		if from, rev, err = s.Defs.Sender(ctx, b.Spec.Sender); err == nil && rev == looked {
			b.Acknowledged = said
			return nil
		}
	}
	return fmt.Errorf("broadcast %s: %w", b.Spec.ID, err)
}
