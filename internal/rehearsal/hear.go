package rehearsal

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// hear takes in one thing that is told.
func (p *play) hear(ctx context.Context, t Told) error {
	who := flow.Identity{Sender: t.Sender, Person: t.Person}
	if t.word != nil { // recorded by somebody: it is no event
		c := *t.word
		c.At = t.Time
		p.learn(who, c.Update(who.Person))
		return nil
	}
	about, err := p.about(ctx, t)
	if err != nil {
		return err
	}
	for _, e := range about {
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
	answered := false
	for _, prog := range p.inTurn(t) {
		begins, moves := prog.Hears(t.Type, t.Channel)
		answers := begins && prog.Spec.Trigger.Keywords != nil
		if begins = begins && !(answers && answered); !begins && !moves {
			continue
		}
		began, err := p.flow(prog, t, begins, moves)
		if err != nil {
			return fmt.Errorf("flow %s: %w", prog.Spec.ID, err)
		}
		answered = answered || answers && began
	}
	return nil
}

// inTurn returns the flows with those that answer a text by a keyword in the
// order in which they may: one of them does.
func (p *play) inTurn(t *flow.Told) []*flow.Program {
	specs := make([]*flow.Spec, len(p.flows))
	for i, prog := range p.flows {
		specs[i] = prog.Spec
	}
	turns := flow.Answering(t.Text, specs)
	out := slices.Clone(p.flows)
	slices.SortStableFunc(out, func(a, b *flow.Program) int {
		return cmp.Compare(slices.Index(turns, a.Spec), slices.Index(turns, b.Spec))
	})
	return out
}

// reader reads the words of a sender's contacts.
func (p *play) reader(s *sender.Spec) func(string) policy.Keyword {
	own := s.Words()
	return func(text string) policy.Keyword {
		return p.rules.Rulebook().KeywordOf(policy.Channel(s.Channel), own, text)
	}
}

func (p *play) quiet(e *event.Event, id, why string) {
	p.report.Quiet = append(p.report.Quiet, Quiet{At: p.now, What: what(e), Flow: id, Why: why})
}

// what names an event.
func what(e *event.Event) string {
	if e.Channel != "" {
		return fmt.Sprintf("%s of %s/%s", e.Type, e.Sender, e.Person)
	}
	return fmt.Sprintf("%s %s of %s", e.Type, e.ID, e.Source)
}

// flow tells a flow of an event. It reports whether the flow's trigger takes it.
func (p *play) flow(prog *flow.Program, t *flow.Told, begins, moves bool) (took bool, err error) {
	var began flow.ID
	if begins {
		if began, err = p.begin(prog, t); err != nil {
			return false, err
		}
	}
	took = began != flow.ID{}
	who, is, err := prog.Main(t)
	if !moves || !is || err != nil { // naming, or begin, said what is wrong with it
		return took, nil //nolint:nilerr // what a flow can't find out is told there, and keeps no other from hearing of it
	}
	for _, id := range p.runsOf(prog.Spec.ID, who) {
		if id == began {
			continue
		}
		run := p.runs[id]
		r, err := prog.Hear(id, *run, t, p.world(run.Identities))
		if err != nil {
			return took, err
		}
		p.store(id, r, "")
	}
	return took, nil
}

// begin has an event begin a run, or be news for one that goes on. It returns
// which run that is, the zero ID where it is none.
func (p *play) begin(prog *flow.Program, t *flow.Told) (flow.ID, error) {
	who, is, err := prog.Main(t)
	if err != nil || !is {
		return flow.ID{}, nil //nolint:nilerr // it is about somebody else, or naming said why it is about nobody
	}
	slot, is, err := prog.Slot(t, who, p.world([]flow.Identity{who}))
	switch {
	case err != nil:
		p.quiet(&t.Event, prog.Spec.ID, err.Error())
		return flow.ID{}, nil
	case !is:
		p.quiet(&t.Event, prog.Spec.ID, "its trigger is not for it")
		return flow.ID{}, nil
	}
	ids := p.identities(prog, t, who)
	id := flow.ID{Flow: prog.Spec.ID, Contact: p.people.key(who), Slot: slot}
	r, err := prog.Begin(id, p.runs[id], p.memories[memoryOf{id.Flow, id.Contact}], ids, t, p.world(ids))
	if err != nil {
		return flow.ID{}, err
	}
	if news := r.Changed && r.Run != nil && r.Run.Seen == t.Seq; !r.Started && !news && r.Why != "" {
		p.quiet(&t.Event, prog.Spec.ID, r.Why)
	}
	p.store(id, r, what(&t.Event))
	return id, nil
}

// identities are whom an event is about as all senders know them, the main one
// first. One that can't be found out costs the others nothing.
func (p *play) identities(prog *flow.Program, t *flow.Told, who flow.Identity) []flow.Identity {
	var known *contact.Record
	if r, is := p.people.records[who]; is {
		known = &r
	}
	others, err := prog.Others(t, known)
	if err != nil {
		p.quiet(&t.Event, prog.Spec.ID, "also: "+err.Error())
	}
	ids := []flow.Identity{who}
	for _, o := range others {
		if o.Sender != who.Sender {
			ids = append(ids, o)
		}
	}
	return ids
}
