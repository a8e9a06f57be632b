package rehearsal

import (
	"fmt"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// hear takes in one thing that is told.
func (p *play) hear(t Told) error {
	who := flow.Identity{Sender: t.Sender, Person: t.Person}
	if t.word != nil { // recorded by somebody: it is no event
		c := *t.word
		c.At = t.Time
		p.learn(who, c.Update(who.Person))
		return nil
	}
	for _, e := range p.about(t) {
		p.told++
		one := flow.Told{Event: e, Seq: p.told}
		if s := p.sender(e.Sender); s != nil && e.Channel != "" {
			one.Word = p.reader(s)(e.Text)
		}
		if err := p.one(&one); err != nil {
			return err
		}
	}
	return nil
}

// one takes in one event: what it says of its contact is known before any flow
// hears of it.
func (p *play) one(t *flow.Told) error {
	if s := p.senders[t.Sender]; s != nil {
		u, says := ingest.Meaning(&t.Event, p.reader(s))
		if says {
			p.learn(flow.Identity{Sender: t.Sender, Person: t.Person}, u)
		}
	}
	heard, moved := false, false
	for _, prog := range p.flows {
		begins, moves := prog.Hears(t.Type, t.Channel)
		heard = heard || begins || moves
		if !begins && !moves {
			continue
		}
		did, err := p.flow(prog, t, begins, moves)
		if err != nil {
			return fmt.Errorf("flow %s: %w", prog.Spec.ID, err)
		}
		moved = moved || did
	}
	if !heard && t.Channel == "" && t.Change == nil {
		p.quiet(t, "", "no flow is for it, and it says nothing of a contact")
	}
	return nil
}

// reader reads the words of a sender's contacts.
func (p *play) reader(s *sender.Spec) func(string) policy.Keyword {
	own := s.Words()
	return func(text string) policy.Keyword {
		return p.rules.Rulebook().KeywordOf(policy.Channel(s.Channel), own, text)
	}
}

func (p *play) quiet(t *flow.Told, id, why string) {
	p.report.Quiet = append(p.report.Quiet, Quiet{At: p.now, What: what(&t.Event), Flow: id, Why: why})
}

// what names an event.
func what(e *event.Event) string {
	if e.Channel != "" {
		return fmt.Sprintf("%s of %s/%s", e.Type, e.Sender, e.Person)
	}
	return fmt.Sprintf("%s %s of %s", e.Type, e.ID, e.Source)
}

// flow tells a flow of an event, and returns whether that began or moved
// anything.
func (p *play) flow(prog *flow.Program, t *flow.Told, begins, moves bool) (did bool, err error) {
	var began flow.ID
	if begins {
		if began, err = p.begin(prog, t); err != nil {
			return false, err
		}
		did = began != flow.ID{}
	}
	who, is, err := prog.Main(t)
	if !moves || !is || err != nil {
		return did, nil // begin said what is wrong with it
	}
	for _, id := range p.runsOf(prog.Spec.ID, who) {
		if id == began {
			continue
		}
		run := p.runs[id]
		r, err := prog.Hear(id, *run, t, p.world(run.Identities))
		if err != nil {
			return did, err
		}
		p.store(id, r, "")
		did = did || r.Changed
	}
	return did, nil
}

// begin has an event begin a run, or be news for one that goes on. It returns
// which run that is, the zero ID where it is none.
func (p *play) begin(prog *flow.Program, t *flow.Told) (flow.ID, error) {
	who, is, err := prog.Main(t)
	if err != nil || !is {
		if err != nil {
			p.quiet(t, prog.Spec.ID, err.Error())
		}
		return flow.ID{}, nil
	}
	slot, is, err := prog.Slot(t, who, p.world([]flow.Identity{who}))
	switch {
	case err != nil:
		p.quiet(t, prog.Spec.ID, err.Error())
		return flow.ID{}, nil
	case !is:
		p.quiet(t, prog.Spec.ID, "its trigger is not for it")
		return flow.ID{}, nil
	}
	ids, err := p.identities(prog, t, who)
	if err != nil {
		p.quiet(t, prog.Spec.ID, err.Error())
		return flow.ID{}, nil
	}
	id := flow.ID{Flow: prog.Spec.ID, Contact: p.people.key(who), Slot: slot}
	r, err := prog.Begin(id, p.runs[id], p.memories[memoryOf{id.Flow, id.Contact}], ids, t, p.world(ids))
	if err != nil {
		return flow.ID{}, err
	}
	if news := r.Changed && r.Run != nil && r.Run.Seen == t.Seq; !r.Started && !news && r.Why != "" {
		p.quiet(t, prog.Spec.ID, r.Why)
	}
	p.store(id, r, what(&t.Event))
	return id, nil
}

// identities are whom an event is about as all senders know them, the main one
// first.
func (p *play) identities(prog *flow.Program, t *flow.Told, who flow.Identity) ([]flow.Identity, error) {
	r := p.people.record(who)
	others, err := prog.Others(t, &r)
	if err != nil {
		return nil, err
	}
	ids := []flow.Identity{who}
	for _, o := range others {
		if o.Sender != who.Sender {
			ids = append(ids, o)
		}
	}
	return ids, nil
}
