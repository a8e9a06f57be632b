package gate

import (
	"fmt"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// Author looks at a broadcast before it is stored, as of when it would go
// out: an error for what can never be sent, warnings for what mostly will not
// be.
func (g *Gate) Author(b *broadcast.Spec, s *sender.Spec, now time.Time) (warnings []string, err error) {
	at := now
	if due, err := b.At(); err == nil && due.After(at) {
		at = due
	}
	ps := s.Policy(g.zones.Load)
	m := b.Message.Policy()
	m.Text = "text" // what it renders to differs by contact, and is judged then
	inside := policy.Evaluate(g.book, at, &m, &policy.Facts{LastInbound: at.Add(-time.Minute), SMSConsent: true}, &ps)
	if inside.Kind == policy.Block {
		return nil, fmt.Errorf("broadcast %s can never be sent: %s", b.ID, inside.Explain())
	}
	warnings = append(warnings, inside.Warnings...)
	if m.Tag != "" {
		outside := policy.Evaluate(g.book, at, &m, &policy.Facts{LastInbound: at.Add(-25 * time.Hour), SMSConsent: true}, &ps)
		if outside.Kind == policy.Block {
			warnings = append(warnings, fmt.Sprintf("outside the window nobody gets it: %s", outside.Explain()))
		}
	}
	return warnings, nil
}
