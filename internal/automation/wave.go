package automation

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/run"
)

// wave is one pass over news: everything that they concern is loaded at once,
// changed in memory, stored at once, and what is owed is done.
type wave struct {
	d          *Driver
	depth      int
	now        time.Time
	people     *people
	touches    []*touch
	candidates []candidate
	runs       map[flow.ID]*held
	of         map[run.Whom][]flow.ID // runs of a contact, by any of their identities
	memories   map[run.Whom]*memory
	read       map[run.Whom]bool // all their runs are in runs
	once       []*news           // to be taken in once more
	fresh      map[run.Whom]bool // to be read from the leader: a replica was behind, or somebody was quicker
}

// held is a run in memory.
type held struct {
	id      flow.ID
	l       *live
	run     *flow.Run // nil: there is none. What it owes stands in pending and owes
	rev     uint64
	due     time.Time              // that a timer is kept for
	pending map[string]flow.Effect // what it owes that is under way: calls, and jobs to be cancelled that a worker has
	owes    []flow.Effect          // asked for in this wave
	dirty   bool
	over    bool // it had ended when it was loaded
	begun   bool
}

// memory is what a flow remembers of a contact.
type memory struct {
	v     *flow.Memory
	rev   uint64
	dirty bool
}

const (
	// maxWaves is how often news are taken in again since somebody was quicker.
	maxWaves = 20
	// maxDepth is how many flows may start one another in a row.
	maxDepth = 20
)

var errContended = errors.New("somebody else goes on with the same runs again and again")

// waves takes news in.
func (d *Driver) waves(ctx context.Context, all []*news, depth int) error {
	fresh := map[run.Whom]bool{}
	for range maxWaves {
		if len(all) == 0 {
			return nil
		}
		now, err := d.believed()
		if err != nil {
			return err
		}
		w := &wave{
			d: d, depth: depth, now: now, people: newPeople(d), runs: map[flow.ID]*held{}, of: map[run.Whom][]flow.ID{},
			memories: map[run.Whom]*memory{}, read: map[run.Whom]bool{}, fresh: fresh,
		}
		again, err := w.pass(ctx, all)
		if err != nil {
			return err
		}
		all = again
	}
	return errContended
}

// pass takes news in and returns those that have to be taken in once more.
func (w *wave) pass(ctx context.Context, all []*news) ([]*news, error) {
	if err := w.resolve(ctx, all); err != nil {
		return nil, err
	}
	w.touches = slices.DeleteFunc(w.touches, func(t *touch) bool { return t == nil })
	if len(w.touches) == 0 {
		return nil, nil
	}
	if err := w.load(ctx); err != nil {
		return nil, err
	}
	for _, t := range w.touches {
		if err := w.apply(ctx, t); err != nil {
			return nil, err
		}
	}
	moved, err := w.store(ctx)
	if err != nil {
		return nil, err
	}
	again, seen := w.once, map[*news]bool{}
	for _, n := range again {
		seen[n] = true
	}
	for _, t := range w.touches {
		if w.concerns(t, moved) && !seen[t.n] {
			seen[t.n] = true
			again = append(again, t.n)
		}
	}
	return again, nil
}

// concerns tells whether a touch is about somebody of whom nothing could be
// stored.
func (w *wave) concerns(t *touch, moved map[run.Whom]bool) bool {
	if moved[run.WhomOf(t.id)] {
		return true
	}
	return t.id.Slot == "" && slices.ContainsFunc(w.of[run.WhomOf(t.id)], func(id flow.ID) bool { return moved[run.WhomOf(id)] })
}

// load reads the runs that are touched, what is remembered of their contacts,
// and what is known of those; what runs owe from before is done.
func (w *wave) load(ctx context.Context) error {
	var want run.Wanted
	asked, whom, minds := map[flow.ID]bool{}, map[run.Whom]bool{}, map[run.Whom]bool{}
	for _, t := range w.touches {
		of := run.WhomOf(t.id)
		switch {
		case t.id.Slot == "" && !whom[of]:
			whom[of] = true
			want.Of = append(want.Of, of)
		case t.id.Slot != "" && !asked[t.id]:
			asked[t.id] = true
			want.Runs = append(want.Runs, t.id)
		}
		if (t.does == begins || t.does == begun) && !minds[of] && t.l.remembers() {
			minds[of] = true
			want.Memories = append(want.Memories, of)
		}
	}
	found, err := w.d.Runs.Read(ctx, want)
	if err != nil {
		return err
	}
	if err := w.refresh(ctx, want, found); err != nil {
		return err
	}
	for of, ids := range found.Of {
		w.of[of] = ids
	}
	for of, m := range found.Memories {
		w.memories[of] = &memory{v: &m.Memory, rev: m.Rev}
	}
	return w.hold(ctx, found)
}

// refresh reads from the leader what could not be written over what a replica
// had.
func (w *wave) refresh(ctx context.Context, want run.Wanted, found *run.Found) error {
	if len(w.fresh) == 0 {
		return nil
	}
	ids := slices.Clone(want.Runs)
	for id := range found.Runs {
		ids = append(ids, id)
	}
	for _, id := range ids {
		if !w.fresh[run.WhomOf(id)] {
			continue
		}
		r, rev, there, err := w.d.Runs.Get(ctx, id)
		if err != nil {
			return err
		}
		if delete(found.Runs, id); there {
			found.Runs[id] = run.Stored{ID: id, Run: r, Rev: rev}
		}
	}
	for _, of := range want.Memories {
		if !w.fresh[of] {
			continue
		}
		m, rev, err := w.d.Runs.Memory(ctx, of)
		if err != nil {
			return err
		}
		if delete(found.Memories, of); rev > 0 {
			found.Memories[of] = run.Remembered{Memory: m, Rev: rev}
		}
	}
	return nil
}

// hold takes runs into memory.
func (w *wave) hold(ctx context.Context, found *run.Found) error {
	var owed []*held
	for id, s := range found.Runs {
		l := w.d.flows[id.Flow]
		if l == nil {
			continue
		}
		h := &held{id: id, l: l, run: &s.Run, rev: s.Rev, due: s.Run.Due, over: s.Run.State.Over(), pending: map[string]flow.Effect{}}
		w.runs[id] = h
		w.people.ask(s.Run.Identities...)
		if len(h.run.Owes) > 0 {
			owed = append(owed, h)
		}
	}
	if err := w.people.load(ctx); err != nil {
		return err
	}
	if err := w.doOwed(ctx, owed); err != nil {
		return err
	}
	return w.outcomes(ctx)
}

// outcomes asks what became of the messages of runs that are reviewed.
func (w *wave) outcomes(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(hands)
	for _, t := range w.touches {
		h := w.runs[t.id]
		if t.does != reviews || h == nil || h.run.State.Over() {
			continue
		}
		g.Go(func() error {
			t.outcomes = map[string]flow.Outcome{}
			for _, th := range h.run.Threads {
				if th.Job == "" {
					continue
				}
				id, err := w.d.Planner.Place(ctx, th.Since.UTC().Format("200601"), th.To.Sender, th.To.Person, h.id.String()+"~"+th.Job)
				if err != nil {
					return err
				}
				o, ended, err := w.d.Planner.State(ctx, id)
				if err != nil {
					return err
				}
				if ended {
					t.outcomes[th.Job] = o
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// doOwed does what runs owe from before, where that is not known to be done.
func (w *wave) doOwed(ctx context.Context, owed []*held) error {
	var todo []debt
	for _, h := range owed {
		known := w.d.done[h.id] == h.rev
		for _, e := range h.run.Owes {
			if e.Kind == flow.Call || !known {
				todo = append(todo, debt{h, e})
			}
		}
	}
	if err := w.pay(ctx, todo); err != nil {
		return err
	}
	for _, h := range owed {
		w.d.paid(h)
		h.run.Owes = nil
	}
	return nil
}

// get returns a run that is in memory, as there being none yet where it is not.
func (w *wave) get(t *touch) *held {
	h := w.runs[t.id]
	if h == nil {
		h = &held{id: t.id, l: t.l, pending: map[string]flow.Effect{}}
		w.runs[t.id] = h
	}
	return h
}

func (l *live) remembers() bool {
	for _, p := range l.programs {
		if p != nil && p.Remembers() {
			return true
		}
	}
	return false
}

// store keeps timers, then runs, then does what those owe. It returns of whom
// somebody else wrote meanwhile.
func (w *wave) store(ctx context.Context) (moved map[run.Whom]bool, err error) {
	changes, parts := w.changes()
	if len(changes) == 0 {
		return nil, nil
	}
	began := time.Now()
	if err := w.d.Timers.Append(ctx, w.timers(parts)); err != nil {
		return nil, err
	}
	w.d.Kill.Pass(killpoint.TimerKept)
	w.d.Runs.Write(ctx, changes)
	w.d.Kill.Pass(killpoint.RunKept)
	moved = map[run.Whom]bool{}
	var written []*held
	for i, c := range changes {
		switch {
		case c.Err == nil:
			for k, e := range c.Runs {
				parts[i][k].rev = e.Rev
			}
			written = append(written, parts[i]...)
		case errors.Is(c.Err, run.ErrMoved):
			moved[c.Whom], w.fresh[c.Whom] = true, true
		default:
			err = errors.Join(err, c.Err)
		}
	}
	if err != nil {
		return nil, err
	}
	if time.Since(began) > settleFor/2 { // whoever looked after the timers may have found no run for them
		if err := w.d.Timers.Append(ctx, w.timers([][]*held{written})); err != nil {
			return nil, err
		}
	}
	return moved, w.finish(ctx, written)
}

// finish does what stored runs owe, and counts them.
func (w *wave) finish(ctx context.Context, written []*held) error {
	var todo []debt
	for _, h := range written {
		for _, e := range h.run.Owes {
			if _, underway := h.pending[e.ID]; !underway {
				todo = append(todo, debt{h, e})
			}
		}
	}
	if err := w.pay(ctx, todo); err != nil {
		return err
	}
	for _, h := range written {
		w.d.paid(h)
		if h.begun {
			w.d.Counts.Started.Add(1)
		}
		if h.run.State.Over() && !h.over {
			w.d.Counts.Ended.add(h.run.State)
		}
	}
	return nil
}

// changes collects what is to be written, by contact and flow, and the runs of
// each change.
func (w *wave) changes() (out []*run.Change, parts [][]*held) {
	at := map[run.Whom]int{}
	of := func(whom run.Whom) *run.Change {
		i, ok := at[whom]
		if !ok || len(out[i].Runs) == run.MaxRuns {
			i = len(out)
			at[whom] = i
			out, parts = append(out, &run.Change{Whom: whom}), append(parts, nil)
		}
		return out[i]
	}
	for _, id := range sorted(w.runs) {
		h := w.runs[id]
		if !h.dirty {
			continue
		}
		c := of(run.WhomOf(id))
		h.run.Owes = nil
		for _, e := range h.pending { // what is under way is owed until it has an outcome
			h.run.Owes = append(h.run.Owes, e)
		}
		h.run.Owes = append(h.run.Owes, h.owes...)
		var also []job.Key
		for _, i := range h.run.Identities[min(1, len(h.run.Identities)):] {
			also = append(also, w.people.key(i))
		}
		c.Runs = append(c.Runs, &run.Entry{ID: id, Run: h.run, Rev: h.rev, Also: also, Keep: h.l.keep(h.run.Version)})
		i := at[run.WhomOf(id)]
		parts[i] = append(parts[i], h)
	}
	for whom, m := range w.memories {
		if m.dirty {
			c := of(whom)
			c.Memory, c.MemRev = m.v, m.rev
		}
	}
	return out, parts
}

// keep is how long ended runs of a version are kept.
func (l *live) keep(version int) time.Duration {
	p := l.programs[version]
	if p == nil {
		return run.KeptFor
	}
	return run.Keep(p.Spec.Reentry, p.Again())
}

// timers are when the runs are to be looked at next, where that is not kept
// yet, and the calls that they begin.
func (w *wave) timers(parts [][]*held) (out []run.Timer) {
	for _, part := range parts {
		for _, h := range part {
			if due := h.run.Due; !due.IsZero() && !due.Equal(h.due) {
				out = append(out, run.Timer{Run: h.id, At: due})
			}
			for _, e := range h.run.Owes {
				if _, underway := h.pending[e.ID]; e.Kind == flow.Call && !underway {
					out = append(out, run.Timer{Run: h.id, At: e.At, Call: e.ID})
				}
			}
		}
	}
	return out
}

// sorted returns ids in an order that is the same every time.
func sorted(m map[flow.ID]*held) []flow.ID {
	out := make([]flow.ID, 0, len(m))
	for id := range m {
		out = append(out, id)
	}
	slices.SortFunc(out, func(a, b flow.ID) int {
		return cmp.Or(bytes.Compare(a.Contact[:], b.Contact[:]), cmp.Compare(a.Flow, b.Flow), cmp.Compare(a.Slot, b.Slot))
	})
	return out
}
