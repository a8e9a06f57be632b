package automation

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/run"
)

// Why a run ends from outside, in words.
const (
	whyDeleted = "its flow was deleted"
	whyErased  = "the contact is to be forgotten"
	whyBroken  = "it can't go on: "
)

// apply has the runs of a touch take it in.
func (w *wave) apply(ctx context.Context, t *touch) error {
	if t.id.Slot != "" {
		h := w.get(t)
		if t.does == begins || t.does == begun {
			return w.begin(ctx, t, h)
		}
		return w.applyTo(ctx, t, h)
	}
	for _, id := range slices.Clone(w.of[run.WhomOf(t.id)]) {
		if h := w.runs[id]; h != nil && h.run != nil {
			if err := w.applyTo(ctx, t, h); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin takes in what may begin a run, or is news for one that goes on.
func (w *wave) begin(ctx context.Context, t *touch, h *held) error {
	p := t.l.newest
	if h.run != nil && !h.run.State.Over() {
		p = t.l.programs[h.run.Version]
	}
	if p == nil || len(w.of[run.WhomOf(t.id)]) >= maxOfContact {
		return nil
	}
	whom := run.WhomOf(t.id)
	m := w.memories[whom]
	if m == nil {
		m = &memory{}
	}
	world := w.people.world(ctx, w.now, t.ids)
	pace := w.d.pacer(t.l)
	world.Wait = pace.next(w.now)
	was := h.before()
	var res flow.Result
	var err error
	if t.does == begun {
		world.Since, world.Known, world.Survey = t.l.At, w.d.follower.knows(t.l), t.n.survey != nil
		res, err = p.Changed(h.id, was, m.v, t.ids, t.n.seq, world)
	} else {
		res, err = p.Begin(h.id, was, m.v, t.ids, t.told, world)
	}
	if err != nil {
		w.d.refused(ctx, t.l, "a run that would begin", err)
		return nil
	}
	if res.Memory != nil && res.Changed {
		m.v, m.dirty = res.Memory, true
		w.memories[whom] = m
	}
	if res.Run == nil || !res.Changed || res.Run == was {
		h.restore()
		return nil
	}
	h.take(res)
	if res.Started {
		pace.took(world.Wait, w.now)
		h.begun = true
		w.index(h)
	}
	return nil
}

// maxOfContact is how many runs of one contact in one flow may be at work in
// one wave; what is more is refused as no CRM's honest doing.
const maxOfContact = 10_000

// index has a run that began found by each of its identities.
func (w *wave) index(h *held) {
	for _, i := range h.run.Identities {
		whom := run.Whom{Flow: h.id.Flow, Contact: w.people.key(i)}
		if !slices.Contains(w.of[whom], h.id) {
			w.of[whom] = append(w.of[whom], h.id)
		}
	}
}

// applyTo has one run take something in.
func (w *wave) applyTo(ctx context.Context, t *touch, h *held) error {
	n := t.n
	if n.kind == woken {
		n.entry.later = w.later(n.entry, h)
	}
	n.aside = false
	switch {
	case t.does == erases:
		w.erased(t, h)
		return nil
	case h.run == nil:
		return nil
	case t.does == halts || t.l.State == flow.Deleted:
		why := t.n.why
		if t.l.State == flow.Deleted {
			why = whyDeleted
		}
		w.end(h, flow.Stopped, why)
		return nil
	case !t.l.going() && n.only != t.l:
		n.aside = !h.run.State.Over()
		return nil
	}
	p := t.l.programs[h.run.Version]
	if p == nil {
		n.aside = !h.run.State.Over() // it was said when the flow was looked at
		return nil
	}
	world := w.people.world(ctx, w.now, h.run.Identities)
	res, err := w.ask(t, h, p, world)
	if err != nil {
		w.d.refused(ctx, t.l, "a run that goes on", err)
		h.restore()
		w.end(h, flow.Failed, whyBroken+err.Error())
		return nil
	}
	if !res.Changed || res.Run == nil {
		h.restore()
		return nil
	}
	h.take(res)
	return nil
}

// ask asks the program what becomes of a run.
func (w *wave) ask(t *touch, h *held, p *flow.Program, world flow.World) (flow.Result, error) {
	nothing := flow.Result{}
	switch t.does {
	case settles:
		return p.Settle(h.id, *h.before(), t.n.effect, t.n.outcome, world)
	case reviews:
		return w.review(t, h, p, world)
	case hears:
		if _, moves := p.Hears(t.told.Type, t.told.Channel); !moves || h.run.State.Over() {
			return nothing, nil
		}
		return p.Hear(h.id, *h.before(), t.told, world)
	case redates:
		if !p.Follows() || h.run.State.Over() {
			return nothing, nil
		}
		return p.Wake(h.id, *h.before(), world)
	case wakes:
		if t.n.entry.Call != "" || h.run.State.Over() || !h.run.Due.Equal(t.n.entry.At) {
			return nothing, nil
		}
		w.d.Counts.Woken.Add(1)
		return p.Wake(h.id, *h.before(), world)
	case begins, begun, halts, erases:
	}
	return nothing, nil
}

// review takes a run over to the newest version where that says how, and takes
// in what became of its messages while its flow stood still.
func (w *wave) review(t *touch, h *held, p *flow.Program, world flow.World) (flow.Result, error) {
	if h.run.State.Over() {
		return flow.Result{}, nil
	}
	if to := t.l.newest; to != nil && to.Version > p.Version && len(to.Spec.Move) > 0 {
		if res, moves := to.Moved(h.id, *h.before(), p, world); moves {
			h.take(res)
			p = to
		}
	}
	for effect, o := range t.outcomes {
		res, err := p.Settle(h.id, *h.before(), effect, o, world)
		if err != nil {
			return res, err
		}
		if res.Changed {
			h.take(res)
		}
	}
	return flow.Result{}, nil
}

// end ends a run from outside.
func (w *wave) end(h *held, s flow.State, why string) {
	if h.run == nil || h.run.State.Over() {
		return
	}
	p := h.l.programs[h.run.Version]
	if p == nil {
		p = h.l.newest
	}
	if p == nil {
		return
	}
	h.take(p.Ended(h.id, *h.before(), s, why, w.now))
}

// erased ends a run of somebody who is to be forgotten, and once that is done
// forgets what it knows of them.
func (w *wave) erased(t *touch, h *held) {
	switch {
	case h.run == nil || h.run.Seen >= t.n.seq:
	case !h.run.State.Over():
		w.end(h, flow.Stopped, whyErased)
		w.once = append(w.once, t.n)
	case len(h.run.Identities) > 0:
		r := *h.run
		r.Event, r.Identities, r.Owes = []byte("{}"), nil, nil
		h.run, h.dirty = &r, true
	}
}

// before is the run as a program is given it, nil for none: what it owes and is
// known to be done is not in it, nor what is not stored yet.
func (h *held) before() *flow.Run {
	if h.run == nil {
		return nil
	}
	h.run.Owes = nil
	for _, id := range slices.Sorted(maps.Keys(h.pending)) {
		h.run.Owes = append(h.run.Owes, h.pending[id])
	}
	return h.run
}

// restore takes back what before did.
func (h *held) restore() {
	if h.run != nil {
		h.run.Owes = nil
	}
}

// take takes over what a program made of the run.
func (h *held) take(res flow.Result) {
	r := *res.Run
	calls := map[string]bool{}
	for _, e := range r.Owes {
		if _, known := h.pending[e.ID]; known {
			calls[e.ID] = true
			continue
		}
		h.owes = append(h.owes, e)
	}
	for id, e := range h.pending {
		if e.Kind == flow.Call && !calls[id] { // settled
			delete(h.pending, id)
		}
	}
	r.Owes = nil
	h.run, h.dirty = &r, true
}

// callLook is how often it is looked whether a call is still under way.
const callLook = 15 * time.Second

// later returns when the timer of a run is to be looked at once more; the zero
// time where it is not. A call is looked after until it has an outcome. Whoever
// kept a timer may not have stored yet the run whose time it is.
func (w *wave) later(e *entry, h *held) time.Time {
	if _, underway := h.pending[e.Call]; e.Call != "" && underway {
		return w.now.Add(callLook)
	}
	wanted := e.Call == "" && h.run != nil && h.run.Due.Equal(e.At)
	if young := e.kept.Add(settleFor); !wanted && young.After(w.now) {
		return young
	}
	return time.Time{}
}

// woke lets go of a timer.
func (d *Driver) woke(n *news) {
	switch e := n.entry; {
	case n.aside:
		d.wheel.putAside(e)
	case !e.later.IsZero():
		d.wheel.again(e, e.later)
	default:
		d.wheel.handled(e)
	}
}
