package gate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// Unsendable says that a message can never be sent, whoever gets it.
type Unsendable struct {
	What    string         // such as broadcast spring
	Verdict policy.Verdict // on a contact of whom everything is known that could allow it
	Instead string         // what may be done instead; empty: nothing is known
}

// Error names the message and the reason.
func (u *Unsendable) Error() string {
	said := fmt.Sprintf("%s can never be sent: %s", u.What, u.Verdict.Explain())
	if u.Instead != "" {
		said += "; instead " + u.Instead
	}
	return said
}

// Author looks at a broadcast before it is stored or launched, as of when it
// would go out: an *Unsendable for what can never be sent, else the codes of
// all advice that it may get, and a warning in words for what mostly will not
// be sent. What a template renders to differs by contact and is judged then;
// advice is about the author's own words, which stand in it.
func (g Rules) Author(p *definition.Planned, s *sender.Spec, now time.Time) (warnings []string, err error) {
	b := &p.Spec
	at, ps := dueOf(b, now), s.Policy(g.zones.Load)
	inside, warnings, ok := g.look(p.Says, &ps, at, policy.Facts{})
	if !ok {
		return nil, &Unsendable{What: "broadcast " + b.ID, Verdict: inside}
	}
	return append(warnings, late(b, inside, now)...), nil
}

// look judges a message on contacts of whom everything is known that could
// allow it, beside what is given. It reports false, with the verdict, for one
// that is never sent; else advice and warnings, as Author has them.
func (g Rules) look(says *message.Wording, ps *policy.Sender, at time.Time, known policy.Facts) (inside policy.Verdict, warnings []string, ok bool) {
	m := says.Policy()
	m.Text, m.Words = says.Written()
	warnings = slices.Clone(policy.Advise(g.book, at, &m, ps))
	if strings.Contains(m.Text, "{{") {
		m.Text = "text"
	}
	if strings.Contains(m.Words, "{{") {
		m.Words = ""
	}
	judge := func(inbound time.Time, may bool) policy.Verdict {
		f := known
		if f.LastInbound, f.SMSConsent = inbound, true; may {
			f.AdMessageAt, f.Comment.At, f.OneTimeToken.Created = inbound, inbound, inbound
		}
		return policy.Evaluate(g.book, at, &m, &f, ps)
	}
	recent := at.Add(-time.Minute)
	if inside = judge(recent, true); inside.Kind == policy.Block {
		return inside, nil, false
	}
	if err := says.Check(ps.Channel); err != nil { // the channel's own limits: to the rules it is a message without content
		m.Text, m.Words, m.HasTemplate = "", "", false
		refused := judge(recent, false)
		refused.Evidence.Note = "message." + err.Error()
		return refused, nil, false
	}
	outside := judge(at.Add(-g.book.Window()), false)
	if (m.Tag != "" || m.HasTemplate && m.Template.Kind != "") && m.Via == "" && outside.Kind == policy.Block {
		warnings = append(warnings, fmt.Sprintf("outside the window nobody gets it: %s", outside.Explain()))
	}
	return inside, warnings, true
}

// late warns of a broadcast whose end comes before its messages may go.
func late(b *broadcast.Spec, v policy.Verdict, now time.Time) []string {
	_, ends, err := b.Times(now)
	switch {
	case err != nil: // the document's own checks say so
	case !ends.After(now):
		return []string{fmt.Sprintf("it ended at %s and can't be launched any more", ends.Format(time.RFC3339))}
	case v.Kind == policy.Hold && !v.Until.Before(ends):
		return []string{fmt.Sprintf("by the sender's clock everybody is held past its end at %s: %s", ends.Format(time.RFC3339), v.Explain())}
	}
	return nil
}

// Advice puts those of Author's warnings into words that are advice of the
// rulebook.
func (g Rules) Advice(warnings []string, b *broadcast.Spec, s *sender.Spec, now time.Time) []policy.Warning {
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
	if due, _, err := b.Times(now); err == nil {
		return due
	}
	return now
}

// CheckSender refuses a sender that claims a capability which no rule asks
// for, or lacks a feature that no rule has: a misspelt one would silently
// grant nothing, or withhold nothing.
func (g Rules) CheckSender(s *sender.Spec) error {
	ps := s.Policy(g.zones.Load)
	if c := g.book.Unasked(&ps); c != "" {
		return fmt.Errorf("sender %s: capability %q: want one of %s", s.ID, c, strings.Join(g.book.Capabilities(), ", "))
	}
	if err := g.book.Vet(&ps); err != nil {
		return fmt.Errorf("sender %s: %w", s.ID, err)
	}
	return nil
}

// Rulebook is what is judged by.
func (g Rules) Rulebook() *policy.Rulebook { return g.book }

// Under judges by another rulebook.
func (g Rules) Under(book *policy.Rulebook) Rules { return Rules{book: book, zones: g.zones} }
