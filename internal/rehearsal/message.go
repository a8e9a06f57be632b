package rehearsal

import (
	"fmt"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// plan notes a message that a run asks for, once, and looks at it at once: in a
// rehearsal every rate has room.
func (p *play) plan(id flow.ID, e flow.Effect) error {
	place, err := flow.ParsePlace(e.ID)
	if err != nil {
		return err
	}
	name := id.Source(place)
	if p.jobs[name] != nil {
		return nil
	}
	prog := p.program(id.Flow)
	send, err := prog.Message(place)
	if err != nil {
		return err
	}
	m := &Message{Step: prog.Step(place.At), To: e.Identity, At: p.now, Template: send.Template, State: job.Pending, Verdicts: []Verdict{}, run: id, effect: e.ID, expires: e.Expires}
	p.jobs[name] = m
	shown := p.shown[id]
	shown.Messages = append(shown.Messages, m)
	p.agenda.note(p.now, answers, func() error { return p.look(m, send) })
	if !m.expires.IsZero() {
		p.agenda.note(m.expires, clocks, func() error { return p.close(m, job.Expired, reason.Expired) })
	}
	return nil
}

// open tells whether a message may still go.
func (m *Message) open() bool { return m.State == job.Pending || m.State == job.Held }

// look asks the rules about a message, and does what they say.
func (p *play) look(m *Message, send *flow.Send) error {
	if !m.open() {
		return nil
	}
	says, err := p.wording(m, send)
	if err != nil {
		return err
	}
	s := p.sender(m.To.Sender)
	d := p.decide(m, says, s)
	p.happened = p.now
	m.Verdicts = append(m.Verdicts, verdict(p.now, d.Verdict))
	m.State = job.Held
	switch d.Do {
	case gate.Send:
		m.State = job.Claimed
		p.send(m, d)
	case gate.Block:
		return p.end(m, job.Blocked, d.Verdict.Reason)
	default:
		if until := d.Verdict.Until; until.After(p.now) {
			p.agenda.note(until, answers, func() error { return p.look(m, send) })
			break
		}
		p.waits[m.To] = append(p.waits[m.To], func() error { return p.look(m, send) })
	}
	return nil
}

// decide judges a message for its contact as it would be judged live.
func (p *play) decide(m *Message, says *message.Wording, s *sender.Spec) gate.Decision {
	r := p.people.record(m.To)
	if rendered, err := says.Render(r); err == nil {
		m.Text, m.Words = rendered.Text, rendered.Words
	}
	return p.rules.Forecast(r, &definition.Planned{Says: says}, s, p.now)
}

// wording reads what a message says, over the event that its run was begun by.
func (p *play) wording(m *Message, send *flow.Send) (*message.Wording, error) {
	run, prog := p.runs[m.run], p.program(m.run.Flow)
	t, err := p.template(send.Template, m.To.Sender)
	if err != nil {
		return nil, err
	}
	a := message.Author{Origin: "flow", FlowType: prog.Spec.Type, SenderChoice: run.Choice}
	if send.Sender != "" { // the step names it
		a.SenderChoice = ""
	}
	says, err := message.NewWording(a, send.Message, t)
	if err != nil {
		return nil, err
	}
	data := run.Data()
	if data == nil {
		data = map[string]any{}
	}
	says = says.About(data)
	if place, err := flow.ParsePlace(m.effect); err == nil && prog.Notice(place) {
		says = says.Of(p.people.record(run.Identities[0]))
	}
	return says, nil
}

// template returns the template that a message of a sender names, nil where it
// names none.
func (p *play) template(id, sender string) (*content.Template, error) {
	t := p.templates[id]
	if id != "" && (t == nil || t.Sender != "" && t.Sender != sender) {
		return nil, fmt.Errorf("template %s is not defined for sender %s", id, sender)
	}
	return t, nil
}

// send lets a message go: what becomes of it the script says.
func (p *play) send(m *Message, d gate.Decision) {
	f := p.fate(func(f *Fate) bool {
		return (f.Flow == "" || f.Flow == m.run.Flow) && (f.Step == "" || f.Step == m.Step) &&
			(f.Sender == "" || f.Sender == m.To.Sender) && (f.Contact == "" || f.Contact == m.To.Person)
	})
	sent := p.now
	p.agenda.note(p.now.Add(time.Duration(f.After)), answers, func() error {
		switch {
		case f.Outcome == job.Sent && d.Uses.ID != "":
			p.learn(m.To, contact.Update{Address: m.To.Person, Used: d.Uses.ID})
		case f.Outcome == job.Failed && f.Reason == reason.RecipientUnavailable:
			p.learn(m.To, contact.Update{Address: m.To.Person, BlockedAt: sent})
		}
		return p.end(m, f.Outcome, f.Reason)
	})
}

// usedUp is what is left of a fate that was for so many, and was for them.
const usedUp = -1

// fate returns what becomes of something that goes out now: what the first
// line says that is for it, else that it is taken.
func (p *play) fate(is func(*Fate) bool) Fate {
	for i := range p.fates {
		f := &p.fates[i]
		if f.Times == usedUp || f.At.After(p.now) || !is(f) {
			continue
		}
		out := *f
		switch {
		case f.Times == 1:
			f.Times = usedUp
		case f.Times > 1:
			f.Times--
		}
		return out
	}
	return Fate{Outcome: job.Sent}
}

// end records the outcome of a message, once, and tells its run.
func (p *play) end(m *Message, s job.State, why reason.Code) error {
	if !m.OutcomeAt.IsZero() {
		return nil
	}
	m.State, m.Reason, m.OutcomeAt, p.happened = s, why, p.now, p.now
	return p.settle(m.run, m.effect, flow.Outcome{State: s, Reason: why, Sender: m.To.Sender, At: p.now})
}

// close ends a message that has not gone yet.
func (p *play) close(m *Message, s job.State, why reason.Code) error {
	if !m.open() {
		return nil
	}
	return p.end(m, s, why)
}

// verdict is a verdict as a report has it.
func verdict(at time.Time, v policy.Verdict) Verdict {
	return Verdict{At: at, Verdict: v.Kind.String(), Rule: v.Rule, Reason: v.Reason, Until: v.Until, Says: v.Explain()}
}
