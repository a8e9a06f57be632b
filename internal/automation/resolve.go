package automation

import (
	"cmp"
	"context"
	"slices"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/ingest"
)

// resolve says which runs news are for. It makes sure that what is told is in
// force.
func (w *wave) resolve(ctx context.Context, all []*news) error {
	if err := w.d.prevail(ctx, all); err != nil {
		return err
	}
	for _, n := range all {
		w.resolveOne(ctx, n)
	}
	if err := w.people.load(ctx); err != nil {
		return err
	}
	w.slots(ctx)
	return w.people.load(ctx)
}

// prevail has events in force that some flow hears.
func (d *Driver) prevail(ctx context.Context, all []*news) error {
	var some []*news
	var events []event.Event
	for _, n := range all {
		if n.kind == heard && n.meant == nil && d.wanted(n) {
			some, events = append(some, n), append(events, n.event)
		}
	}
	if len(events) == 0 {
		return nil
	}
	meant, err := d.Desk.Prevail(ctx, events)
	if err != nil {
		return err
	}
	for i, n := range some {
		n.meant = meant[i]
	}
	return nil
}

// wanted tells whether any flow hears an event.
func (d *Driver) wanted(n *news) bool {
	if n.event.Receipt() {
		return false
	}
	return n.event.Type == ingest.TypeErasure || len(d.hears(sort{n.event.Type, n.event.Channel})) > 0
}

func (w *wave) resolveOne(ctx context.Context, n *news) {
	switch n.kind {
	case heard:
		for i := range n.meant {
			w.resolveMeant(ctx, n, &n.meant[i])
		}
	case woken:
		w.one(n, wakes)
	case settled:
		w.one(n, settles)
	case reviewed:
		w.one(n, reviews)
	case changed:
		w.resolveChanged(n)
	case asked:
		if l := w.d.flows[n.id.Flow]; l != nil && l.going() {
			w.candidate(ctx, n, l, &n.told)
		}
	case halted:
		if l := w.d.flows[n.id.Flow]; l != nil && l.known {
			for _, id := range n.ids {
				w.touches = append(w.touches, &touch{n: n, l: l, does: halts, id: flow.ID{Flow: l.ID, Contact: w.people.key(id)}})
			}
		}
	case surveyed:
	}
}

// one touches the run that news name.
func (w *wave) one(n *news, does does) {
	l := w.d.flows[n.id.Flow]
	if l == nil || !l.known {
		return // a flow that was never defined here
	}
	w.touches = append(w.touches, &touch{n: n, l: l, does: does, id: n.id})
}

// resolveMeant finds the flows that hear an event as it is about one sender.
func (w *wave) resolveMeant(ctx context.Context, n *news, m *ingest.Meant) {
	t := &flow.Told{Event: m.Event, Seq: n.seq, Trace: n.trace, Word: m.Word}
	if m.Type == ingest.TypeErasure {
		w.erase(n, m)
		return
	}
	for _, h := range w.d.hears(sort{m.Type, m.Channel}) {
		switch {
		case n.only != nil && n.only != h.l, n.only == nil && !h.l.going():
			continue
		}
		// What was kept while the flow stood still, or before it was there,
		// begins nothing.
		if h.begins && !n.kept.Before(h.l.Since) && (n.only == nil || !n.kept.Before(h.l.At)) {
			w.candidate(ctx, n, h.l, t)
		}
		w.moved(ctx, n, h, t)
	}
}

// moved touches the runs of a contact that an event may move.
func (w *wave) moved(ctx context.Context, n *news, h listener, t *flow.Told) {
	seen := map[flow.Identity]bool{}
	for _, p := range h.moves {
		who, ok, err := p.Main(t)
		if err != nil {
			w.d.refused(ctx, h.l, string(t.Type), err)
		}
		if err != nil || !ok || seen[who] {
			continue
		}
		seen[who] = true
		w.touches = append(w.touches, &touch{n: n, l: h.l, does: hears, told: t, id: flow.ID{Flow: h.l.ID, Contact: w.people.key(who)}})
	}
}

// candidate is a run that may begin.
type candidate struct {
	n   *news
	l   *live
	t   *flow.Told
	who flow.Identity
	at  int // of the touch that it becomes
}

// candidate notes that an event may begin a run of a flow: which one is known
// once its contact is read.
func (w *wave) candidate(ctx context.Context, n *news, l *live, t *flow.Told) {
	who, ok, err := l.newest.Main(t)
	if err != nil {
		w.d.refused(ctx, l, string(t.Type), err)
	}
	if err != nil || !ok {
		return
	}
	w.people.ask(who)
	w.touches = append(w.touches, nil)
	w.candidates = append(w.candidates, candidate{n, l, t, who, len(w.touches) - 1})
}

// inTurn returns the candidates with those that answer by a keyword in the
// order in which they may.
func (w *wave) inTurn() []candidate {
	flows := map[*flow.Told][]*flow.Spec{}
	for _, c := range w.candidates {
		if c.answers() {
			flows[c.t] = append(flows[c.t], c.l.newest.Spec)
		}
	}
	turns := map[*flow.Told][]*flow.Spec{}
	for t, specs := range flows {
		turns[t] = flow.Answering(t.Text, specs)
	}
	out := slices.Clone(w.candidates)
	slices.SortStableFunc(out, func(a, b candidate) int {
		return cmp.Compare(slices.Index(turns[a.t], a.l.newest.Spec), slices.Index(turns[b.t], b.l.newest.Spec))
	})
	return out
}

// answers tells whether the candidate's flow answers by keywords.
func (c *candidate) answers() bool { return c.l.newest.Spec.Trigger.Keywords != nil }

// slots tells which runs candidates are. Of the flows that have a keyword of a
// text one answers: the first whose trigger takes it.
func (w *wave) slots(ctx context.Context) {
	answered := map[*flow.Told]bool{}
	for _, c := range w.inTurn() {
		if c.answers() && answered[c.t] {
			continue
		}
		p := c.l.newest
		slot, ok, err := p.Slot(c.t, c.who, w.people.world(ctx, w.now, []flow.Identity{c.who}))
		var others []flow.Identity
		if err == nil && ok {
			others, err = p.Others(c.t, w.people.record(c.who))
			if err != nil { // one that can't be found out costs the others nothing
				w.d.refused(ctx, c.l, string(c.t.Type), err)
				err = nil
			}
		}
		if err != nil {
			w.d.refused(ctx, c.l, string(c.t.Type), err)
		}
		if err != nil || !ok {
			continue
		}
		answered[c.t] = answered[c.t] || c.answers()
		ids := []flow.Identity{c.who}
		for _, o := range others {
			if o.Sender != c.who.Sender {
				ids = append(ids, o)
			}
		}
		w.people.ask(ids...)
		w.touches[c.at] = &touch{n: c.n, l: c.l, does: begins, told: c.t, ids: ids, id: flow.ID{Flow: c.l.ID, Contact: w.people.key(c.who), Slot: slot}}
	}
}

// resolveChanged touches the runs that a change of a contact may begin or move.
func (w *wave) resolveChanged(n *news) {
	who := flow.Identity{Sender: n.sender, Person: n.contact.Address}
	w.people.have[who] = n.contact
	if n.survey != nil {
		for id, at := range n.survey.of {
			if l := w.d.flows[id]; l == nil || !l.going() || !l.At.Equal(at) {
				n.survey.missed.Store(true)
			}
		}
	}
	for _, l := range w.d.flows {
		if !l.going() || !l.concerns(n.sender) || n.survey != nil && n.survey.of[l.ID].IsZero() {
			continue
		}
		whom := flow.ID{Flow: l.ID, Contact: w.people.key(who)}
		if slot, ok, err := l.newest.Slot(nil, who, flow.World{}); err == nil && ok {
			id := whom
			id.Slot = slot
			w.touches = append(w.touches, &touch{n: n, l: l, does: begun, ids: []flow.Identity{who}, id: id})
		}
		if l.follows() && n.survey == nil {
			w.touches = append(w.touches, &touch{n: n, l: l, does: redates, id: whom})
		}
	}
}

// erase touches every run of somebody who is to be forgotten.
func (w *wave) erase(n *news, m *ingest.Meant) {
	who := flow.Identity{Sender: m.Sender, Person: m.Person}
	for _, l := range w.d.flows {
		if n.only == nil && l.known {
			w.touches = append(w.touches, &touch{n: n, l: l, does: erases, id: flow.ID{Flow: l.ID, Contact: w.people.key(who)}})
		}
	}
}

// follows tells whether changes of contacts concern runs of any version.
func (l *live) follows() bool {
	for _, p := range l.programs {
		if p != nil && p.Follows() {
			return true
		}
	}
	return false
}

// concerns tells whether contacts of a sender may be a flow's.
func (l *live) concerns(sender string) bool {
	s := l.newest.Spec
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
