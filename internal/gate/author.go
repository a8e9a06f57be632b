package gate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// Author looks at a broadcast before it is stored, as of when it would go
// out: an error for what can never be sent, warnings for what mostly will not
// be, and the codes of the advice that the rulebook has on it.
func (g *Gate) Author(b *broadcast.Spec, s *sender.Spec, now time.Time) (warnings []string, err error) {
	at := dueOf(b, now)
	ps := s.Policy(g.zones.Load)
	m := b.Message.Policy()
	wrote := func(ago time.Duration) policy.Verdict {
		return policy.Evaluate(g.book, at, &m, &policy.Facts{LastInbound: at.Add(-ago), SMSConsent: true}, &ps)
	}
	m.Text = "text" // what it renders to differs by contact, and is judged then
	inside, outside := wrote(time.Minute), wrote(25*time.Hour)
	if inside.Kind == policy.Block {
		return nil, fmt.Errorf("broadcast %s can never be sent: %s", b.ID, inside.Explain())
	}
	warnings = slices.Clone(inside.Warnings)
	// Advice on wording and links is about the author's own words, which
	// stand in the template.
	m.Text = b.Message.Text
	for _, v := range []policy.Verdict{wrote(time.Minute), wrote(25 * time.Hour)} {
		for _, code := range v.Warnings {
			if !slices.Contains(warnings, code) {
				warnings = append(warnings, code)
			}
		}
	}
	if m.Tag != "" && outside.Kind == policy.Block {
		warnings = append(warnings, fmt.Sprintf("outside the window nobody gets it: %s", outside.Explain()))
	}
	return warnings, nil
}

// Advice puts those of Author's warnings into words that are advice of the
// rulebook.
func (g *Gate) Advice(warnings []string, b *broadcast.Spec, s *sender.Spec, now time.Time) []policy.Warning {
	at := dueOf(b, now)
	var out []policy.Warning
	for _, code := range warnings {
		if w, ok := g.book.Warning(code, at, policy.Channel(s.Channel)); ok {
			out = append(out, w)
		}
	}
	return out
}

// dueOf is when a broadcast would go out if it were launched now.
func dueOf(b *broadcast.Spec, now time.Time) time.Time {
	if due, err := b.At(); err == nil && due.After(now) {
		return due
	}
	return now
}

// KnowsCapabilities refuses a sender that claims a capability which no rule
// asks for: a misspelt one would silently grant nothing.
func (g *Gate) KnowsCapabilities(s *sender.Spec) error {
	known := g.book.Capabilities()
	for _, c := range s.Capabilities {
		if !slices.Contains(known, c) {
			return fmt.Errorf("sender %s: capability %q: want one of %s", s.ID, c, strings.Join(known, ", "))
		}
	}
	return nil
}

// Rulebook is what the gate judges by.
func (g *Gate) Rulebook() *policy.Rulebook { return g.book }

// Under returns a gate that judges by another rulebook. It has no engines:
// it forecasts, and nothing else.
func (g *Gate) Under(book *policy.Rulebook) *Gate { return &Gate{book: book, zones: g.zones} }
