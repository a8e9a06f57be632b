package gate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// CheckFlow looks at a flow before it is stored, by the rules of now: an
// *Unsendable for a message that can never be sent from a sender that it may
// leave from, an error for a keyword that the rulebook or the sender has
// another use for; else warnings in words, each beginning with the message's
// place in the document.
func (g Rules) CheckFlow(f *definition.FlowCheck, now time.Time) (warnings []string, err error) {
	if err := g.checkKeywords(f); err != nil {
		return nil, fmt.Errorf("flow %s: %w", f.Spec.ID, err)
	}
	for _, m := range f.Messages {
		said, err := g.checkMessage(f.Spec.ID, &m, now)
		if err != nil {
			return nil, err
		}
		warnings = append(warnings, said...)
	}
	return warnings, nil
}

// checkMessage judges a message as each of its senders would send it. One that
// leaves from wherever the contact wrote is refused where no sender can send
// it, and warned of where some can't.
func (g Rules) checkMessage(id string, m *definition.FlowMessage, now time.Time) (warnings []string, err error) {
	refused := 0
	for i, s := range m.From {
		// A bot may have said that it is one in the step before.
		known, ps := policy.Facts{DisclosedAt: now.Add(-time.Minute)}, s.Policy(g.zones.Load)
		v, said, ok := g.look(m.Words[i], &ps, now, known)
		if !ok {
			u := &Unsendable{fmt.Sprintf("flow %s: %s from sender %s", id, m.Path, s.ID), v, g.instead(m.Words[i], ps, now)}
			if refused++; !m.Any || refused == len(m.From) {
				return nil, u
			}
			warnings = append(warnings, fmt.Sprintf("%s from sender %s can never be sent: %s", m.Path, s.ID, v.Explain()))
			continue
		}
		for _, w := range said {
			if advice, ok := g.book.Warning(w, now, ps.Channel); ok {
				w = advice.Says
			}
			warnings = append(warnings, fmt.Sprintf("%s from sender %s: %s", m.Path, s.ID, w))
		}
	}
	return warnings, nil
}

// instead is what the author may do where a message can never be sent: what
// the rulebook would allow in its place. It is empty where nothing of this is.
func (g Rules) instead(says *message.Wording, ps policy.Sender, at time.Time) string {
	would := func(change func(*policy.Message, *policy.Sender)) bool {
		m, s := says.Policy(), ps
		m.Text = "text"
		change(&m, &s)
		f := policy.Facts{LastInbound: at.Add(-time.Minute), SMSConsent: true, DisclosedAt: at.Add(-time.Minute)}
		return policy.Evaluate(g.book, at, &m, &f, &s).Kind != policy.Block
	}
	var out []string
	if would(func(*policy.Message, *policy.Sender) {}) { // it is the words that are refused
		return ""
	}
	for _, kind := range []string{content.MTM, content.UtilityType} {
		if would(func(m *policy.Message, _ *policy.Sender) {
			m.HasTemplate, m.Template, m.Tag = true, policy.Template{Name: kind, Kind: kind}, "any"
		}) {
			out = append(out, "send a Template of type "+kind)
		}
	}
	if would(func(_ *policy.Message, s *policy.Sender) { s.RelaxFlowTemplates = true }) {
		out = append(out, "set relax_flow_templates on the sender")
	}
	if ps.Channel != policy.SMS && would(func(_ *policy.Message, s *policy.Sender) {
		*s = policy.Sender{Channel: policy.SMS, Capabilities: g.book.Capabilities()}
	}) {
		out = append(out, "send from a sender of channel sms")
	}
	return strings.Join(out, ", or ")
}

// checkKeywords refuses keywords that mean stop, start or help to a sender that
// the flow is for, or that a person would have to read first: no flow answers
// those.
func (g Rules) checkKeywords(f *definition.FlowCheck) error {
	k := f.Spec.Trigger.Keywords
	if k == nil {
		return nil
	}
	words := slices.Clone(k.Words)
	for _, l := range k.Languages {
		words = append(words, l...)
	}
	slices.Sort(words)
	for _, s := range f.Senders {
		for _, w := range words {
			if means := g.meaning(s, w); means != "" {
				return fmt.Errorf("trigger.keywords: %q %s to sender %s, which goes before every flow; take it out", w, means, s.ID)
			}
		}
	}
	return nil
}

func (g Rules) meaning(s *sender.Spec, word string) string {
	switch g.book.KeywordOf(policy.Channel(s.Channel), s.Words(), strings.TrimSpace(word)) {
	case policy.OptOut:
		return "means stop"
	case policy.OptIn:
		return "means start"
	case policy.Help:
		return "asks for help"
	case policy.OptOutMaybe:
		return "may mean stop"
	case policy.NoKeyword:
	}
	return ""
}
