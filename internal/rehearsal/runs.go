package rehearsal

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// world is what is known at this moment of somebody as all senders know them.
func (p *play) world(ids []flow.Identity) flow.World {
	w := flow.World{Now: p.now, Since: p.report.From, Contacts: map[string]contact.Record{}, Senders: p.sender, Zone: p.zones.Load}
	for _, id := range ids {
		if r, known := p.people.records[id]; known {
			w.Contacts[id.Sender] = r
		}
	}
	return w
}

// store keeps what a run is now, has it looked at when it asks for that, and
// does what it asks for.
func (p *play) store(id flow.ID, r flow.Result, by string) {
	if r.Memory != nil {
		p.memories[memoryOf{id.Flow, id.Contact}] = r.Memory
	}
	if r.Run == nil || !r.Changed && !r.Started {
		return
	}
	p.happened = p.now
	run := *r.Run
	owes := run.Owes
	run.Owes = nil
	if p.runs[id] == nil {
		p.order = append(p.order, id)
		for _, who := range run.Identities {
			p.of[who] = append(p.of[who], id)
		}
	}
	p.runs[id] = &run
	if r.Started {
		p.show(id, by)
	}
	if !run.State.Over() && !run.Due.IsZero() {
		p.agenda.note(later(run.Due, p.now), clocks, func() error { return p.wake(id, run.Due) })
	}
	for _, e := range owes {
		p.deed(func() error { return p.do(id, e) })
	}
	p.update(id)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// wake goes on with a run whose time has come, unless it waits for another by
// now.
func (p *play) wake(id flow.ID, due time.Time) error {
	run := p.runs[id]
	if run.State.Over() || !run.Due.Equal(due) {
		return nil
	}
	r, err := p.program(id.Flow).Wake(id, *run, p.world(run.Identities))
	if err != nil {
		return fmt.Errorf("run of flow %s: %w", id.Flow, err)
	}
	p.store(id, r, "")
	return nil
}

// settle tells a run what came of something that it asked for.
func (p *play) settle(id flow.ID, effect string, o flow.Outcome) error {
	run := p.runs[id]
	r, err := p.program(id.Flow).Settle(id, *run, effect, o, p.world(run.Identities))
	if err != nil {
		return fmt.Errorf("run of flow %s: %w", id.Flow, err)
	}
	p.store(id, r, "")
	return nil
}

// do does one thing that a run asks for.
func (p *play) do(id flow.ID, e flow.Effect) error {
	switch e.Kind {
	case flow.Plan:
		return p.plan(id, e)
	case flow.Cancel:
		return p.cancel(id, e)
	case flow.Change:
		p.change(id, e)
	case flow.Call:
		p.call(id, e)
	case flow.Start:
		return p.start(id, e)
	case flow.Stop:
		p.stop(id, e)
	}
	return nil
}

func (p *play) cancel(id flow.ID, e flow.Effect) error {
	place, err := flow.ParsePlace(strings.TrimPrefix(e.ID, "cancel-"))
	if err != nil {
		return err
	}
	if m := p.jobs[id.Source(place)]; m != nil {
		return p.close(m, job.Cancelled, reason.Cancelled)
	}
	return nil
}

func (p *play) change(id flow.ID, e flow.Effect) {
	shown := p.shown[id]
	shown.Changes = append(shown.Changes, &Change{Step: p.step(id, e), At: e.At, Contact: e.Identity, Labels: e.Labels, Attributes: e.Attributes})
	c := contact.Change{At: e.At, Labels: e.Labels, Attributes: e.Attributes, Source: "flow " + id.Flow}
	p.learn(e.Identity, c.Update(e.Identity.Person))
}

// step returns the id of the step that asks for an effect.
func (p *play) step(id flow.ID, e flow.Effect) string {
	place, err := flow.ParsePlace(e.ID)
	if err != nil {
		return ""
	}
	return p.program(id.Flow).Step(place.At)
}

// call tells an endpoint: what it answers the script says.
func (p *play) call(id flow.ID, e flow.Effect) {
	c := &Call{Step: p.step(id, e), effect: e.ID, Endpoint: e.Endpoint, At: p.now, Data: e.Data, State: job.Pending}
	shown := p.shown[id]
	shown.Calls = append(shown.Calls, c)
	f := p.fate(func(f *Fate) bool {
		return (f.Flow == "" || f.Flow == id.Flow) && f.Step == c.Step && f.Step != "" && f.Sender == ""
	})
	p.agenda.note(p.now.Add(time.Duration(f.After)), answers, func() error {
		if c.State = job.Sent; f.Outcome != job.Sent {
			c.State = job.Failed
		}
		return p.settle(id, e.ID, flow.Outcome{State: c.State, Reason: f.Reason, At: p.now})
	})
}

// runsOf returns the runs of a flow that somebody is part of by one of their
// identities, those that go on, in the order in which they began.
func (p *play) runsOf(flowID string, who flow.Identity) []flow.ID {
	return slices.DeleteFunc(slices.Clone(p.of[who]), func(id flow.ID) bool { return id.Flow != flowID || p.runs[id].State.Over() })
}

// start begins another flow for the contact and the event of a run.
func (p *play) start(id flow.ID, e flow.Effect) error {
	t := p.runs[id].Told()
	prog := p.program(e.Flow)
	if prog == nil {
		p.quiet(&t.Event, e.Flow, "flow "+id.Flow+" starts it, and it is not defined here")
		return nil
	}
	_, err := p.begin(prog, &t)
	return err
}

// stop ends the contact's runs of another flow.
func (p *play) stop(id flow.ID, e flow.Effect) {
	prog := p.program(e.Flow)
	if prog == nil {
		return
	}
	for _, who := range p.runs[id].Identities {
		for _, other := range p.runsOf(e.Flow, who) {
			p.store(other, prog.Ended(other, *p.runs[other], flow.Stopped, "by flow "+id.Flow, p.now), "")
		}
	}
}

// show begins a run in the report. One that begins anew in the slot of one that
// ended stands for itself.
func (p *play) show(id flow.ID, by string) {
	p.shown[id] = &Run{Flow: id.Flow, By: by, id: id}
	p.report.Runs = append(p.report.Runs, p.shown[id])
}

// update has the report say how a run stands.
func (p *play) update(id flow.ID) {
	run, shown := p.runs[id], p.shown[id]
	shown.Version, shown.Contact, shown.State, shown.Why = run.Version, run.Identities[0], run.State, run.Why
	shown.StartedAt, shown.EndedAt, shown.Due = run.StartedAt, run.EndedAt, run.Due
	shown.Path, shown.Cut = run.Path, run.Cut
}

// finish returns the report.
func (p *play) finish(o Options) *Report {
	if p.report.Until = o.Until.UTC(); o.Until.IsZero() {
		p.report.Until = p.happened
	}
	return p.report
}

// learn takes in what is said of somebody. Flows that follow contacts hear of
// it, and messages that waited for nothing but news of them are looked at.
func (p *play) learn(who flow.Identity, u contact.Update) {
	if !p.people.learn(who, u) {
		return
	}
	waiting := p.waits[who]
	delete(p.waits, who)
	for _, look := range waiting {
		p.deed(look)
	}
	p.tellFollowers(who)
}

// tellFollowers tells the flows that follow contacts that somebody is another
// now.
func (p *play) tellFollowers(who flow.Identity) {
	p.changes++
	seq := p.changes
	for _, prog := range p.flows {
		if prog.Follows() && concerns(prog.Spec, who.Sender) {
			p.deed(func() error { return p.changed(prog, who, seq) })
		}
	}
}

// changed tells a flow that somebody is another now.
func (p *play) changed(prog *flow.Program, who flow.Identity, seq uint64) error {
	w := p.world([]flow.Identity{who})
	slot, follows, err := prog.Slot(nil, who, w)
	if err == nil && follows {
		id := flow.ID{Flow: prog.Spec.ID, Contact: p.people.key(who), Slot: slot}
		r, err := prog.Changed(id, p.runs[id], p.memories[memoryOf{id.Flow, id.Contact}], []flow.Identity{who}, seq, w)
		if err != nil {
			return err
		}
		p.store(id, r, "a change of the contact")
	}
	for _, id := range p.runsOf(prog.Spec.ID, who) {
		run := p.runs[id]
		r, err := prog.Wake(id, *run, p.world(run.Identities))
		if err != nil {
			return err
		}
		p.store(id, r, "")
	}
	return nil
}

// concerns tells whether contacts of a sender may be a flow's.
func concerns(s *flow.Spec, sender string) bool {
	if s.Sender == sender || s.Sender == flow.Auto {
		return true
	}
	for _, id := range s.Owners {
		if id == sender {
			return true
		}
	}
	_, also := s.Also[sender]
	return also
}
