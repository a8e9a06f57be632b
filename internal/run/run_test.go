package run_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/run"
	"github.com/carillon-dev/carillon/internal/stream"
)

var engines *engine.Engines

func TestMain(m *testing.M) {
	os.Exit(rig.Main(m, func(e *engine.Engines) { engines = e }))
}

func open(t *testing.T) (*run.Store, *rig.Rooms) {
	t.Helper()
	r := rig.Open(t, engines)
	s, err := run.Open(t.Context(), engines.NATS, r.Streams, r.Names)
	rig.Must(t, err)
	return s, r
}

func idOf(flowID string, contact, n int) flow.ID {
	return flow.ID{Flow: flowID, Contact: job.Key{byte(contact), byte(contact >> 8)}, Slot: flow.SlotOf(fmt.Sprint(n))}
}

func waiting(version int) *flow.Run {
	return &flow.Run{Version: version, State: flow.Waiting, Seen: 7, Due: time.Date(2026, 11, 22, 10, 0, 0, 1, time.UTC)}
}

// TestAllOrNothing asserts that a run and what is remembered of its contact
// are written together, and that whoever saw something older is told.
func TestAllOrNothing(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	ctx := t.Context()
	id := idOf("cart", 1, 1)
	w := run.WhomOf(id)
	change := func(rev, memrev uint64, seen uint64) *run.Change {
		r := waiting(1)
		r.Seen = seen
		return &run.Change{Whom: w, Runs: []*run.Entry{{ID: id, Run: r, Rev: rev}}, Memory: &flow.Memory{Seq: seen}, MemRev: memrev}
	}
	first := change(0, 0, 1)
	rig.Must(t, s.Save(ctx, first))
	for _, c := range []*run.Change{change(0, first.MemRev, 2), change(first.Runs[0].Rev, 0, 2), change(first.Runs[0].Rev+1, first.MemRev, 2)} {
		if err := s.Save(ctx, c); !errors.Is(err, run.ErrMoved) {
			t.Errorf("written over what it had not seen: %v", err)
		}
	}
	rig.Must(t, s.Save(ctx, change(first.Runs[0].Rev, first.MemRev, 3)))
	r, rev, found, err := s.Get(ctx, id)
	m, memrev, merr := s.Memory(ctx, w)
	if err != nil || merr != nil || !found || r.Seen != 3 || m.Seq != 3 || memrev != rev+1 || !r.Due.Equal(waiting(1).Due) {
		t.Errorf("run %+v at %d, %t, %v; memory %+v at %d, %v", r, rev, found, err, m, memrev, merr)
	}
	if _, rev, found, err := s.Get(ctx, idOf("cart", 1, 2)); err != nil || found || rev != 0 {
		t.Errorf("a run that never was: %t at %d, %v", found, rev, err)
	}
}

// TestTogether writes many changes at once, of which some are refused: those
// alone are told so, and the others are written.
func TestTogether(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	rapid.Check(t, func(rt *rapid.T) {
		flowID := "f" + fmt.Sprint(time.Now().UnixNano())
		n := rapid.IntRange(1, 40).Draw(rt, "contacts")
		stale := rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 0, n, rapid.ID[int]).Draw(rt, "stale")
		for _, i := range stale {
			rig.Must(t, s.Save(t.Context(), &run.Change{Whom: run.WhomOf(idOf(flowID, i, 0)), Runs: []*run.Entry{{ID: idOf(flowID, i, 0), Run: waiting(1)}}}))
		}
		var all []*run.Change
		for i := range n {
			c := &run.Change{Whom: run.WhomOf(idOf(flowID, i, 0))}
			for k := range rapid.IntRange(1, 30).Draw(rt, "runs") {
				c.Runs = append(c.Runs, &run.Entry{ID: idOf(flowID, i, k), Run: waiting(2)})
			}
			all = append(all, c)
		}
		s.Write(t.Context(), all)
		want, told := 0, map[flow.ID]uint64{}
		for i, c := range all {
			if slices.Contains(stale, i) {
				if want++; !errors.Is(c.Err, run.ErrMoved) {
					rt.Fatalf("contact %d was there: %v", i, c.Err)
				}
				continue
			}
			want += len(c.Runs)
			if c.Err != nil {
				rt.Fatalf("contact %d: %v", i, c.Err)
			}
			for _, e := range c.Runs {
				told[e.ID] = e.Rev
			}
		}
		got := 0
		rig.Must(t, s.Each(t.Context(), flowID, func(r run.Stored) error {
			if rev, ok := told[r.ID]; ok && rev != r.Rev {
				rt.Fatalf("%s is at %d, told %d", r.ID, r.Rev, rev)
			}
			got++
			return nil
		}))
		if got != want {
			rt.Fatalf("%d runs, want %d", got, want)
		}
	})
}

// TestReadBy asserts that a run is found by each of its identities, that many
// runs of one contact are all found, and that flows are kept apart.
func TestReadBy(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	ctx := t.Context()
	other := job.Key{9, 9, 9}
	rig.Must(t, s.Save(ctx, &run.Change{Whom: run.WhomOf(idOf("cart", 1, 0)), Runs: []*run.Entry{{ID: idOf("cart", 1, 0), Run: waiting(1), Also: []job.Key{other}}}}))
	rig.Must(t, s.Save(ctx, &run.Change{Whom: run.WhomOf(idOf("stage", 1, 0)), Runs: []*run.Entry{{ID: idOf("stage", 1, 0), Run: waiting(1)}}}))
	const many = 1100 // more than one answer holds
	for from := 1; from <= many; from += run.MaxRuns {
		c := &run.Change{Whom: run.WhomOf(idOf("cart", 2, 0))}
		for n := from; n < from+run.MaxRuns && n <= many; n++ {
			c.Runs = append(c.Runs, &run.Entry{ID: idOf("cart", 2, n), Run: waiting(1)})
		}
		rig.Must(t, s.Save(ctx, c))
	}
	for _, c := range []struct {
		flow string
		key  job.Key
		want int
	}{{"cart", job.Key{1}, 1}, {"cart", other, 1}, {"cart", job.Key{2}, many}, {"stage", job.Key{1}, 1}, {"stage", other, 0}, {"none", job.Key{1}, 0}} {
		got, err := s.Of(ctx, c.flow, c.key)
		if err != nil || len(got) != c.want {
			t.Errorf("%s of %s: %d runs, want %d: %v", c.flow, c.key, len(got), c.want, err)
		}
		for _, g := range got {
			if g.ID.Flow != c.flow || g.Rev == 0 || g.Run.Seen != 7 {
				t.Errorf("%s of %s: %+v", c.flow, c.key, g)
			}
		}
	}
	f, err := s.Read(ctx, run.Wanted{
		Runs: []flow.ID{idOf("cart", 1, 0), idOf("cart", 3, 0)}, Of: []run.Whom{{Flow: "stage", Contact: job.Key{1}}, {Flow: "cart", Contact: job.Key{2}}},
		Memories: []run.Whom{{Flow: "cart", Contact: job.Key{1}}},
	})
	if err != nil || len(f.Runs) != many+2 || len(f.Memories) != 0 {
		t.Errorf("%d runs, %d memories, %v", len(f.Runs), len(f.Memories), err)
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	for i, r := range []*flow.Run{waiting(1), waiting(1), waiting(2), {Version: 2, State: flow.Done}} {
		id := idOf("cart", i, 0)
		rig.Must(t, s.Save(t.Context(), &run.Change{Whom: run.WhomOf(id), Runs: []*run.Entry{{ID: id, Run: r}}, Memory: &flow.Memory{}}))
	}
	got, err := s.Count(t.Context(), "cart")
	want := map[run.Kind]int{{State: flow.Waiting, Version: 1}: 2, {State: flow.Waiting, Version: 2}: 1, {State: flow.Done, Version: 2}: 1}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

// TestEndedRunsAreForgotten asserts that a run which has ended goes by itself
// and that a new one may then take its place, while one that waits, or is
// wanted for good, stays.
func TestEndedRunsAreForgotten(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	ctx := t.Context()
	ended := &flow.Run{State: flow.Done}
	for i, e := range []*run.Entry{
		{ID: idOf("cart", 0, 0), Run: ended, Keep: time.Second, Also: []job.Key{{7}}},
		{ID: idOf("cart", 1, 0), Run: ended},
		{ID: idOf("cart", 2, 0), Run: waiting(1), Keep: time.Second},
	} {
		rig.Must(t, s.Save(ctx, &run.Change{Whom: run.WhomOf(e.ID), Runs: []*run.Entry{e}}))
		if _, _, found, err := s.Get(ctx, e.ID); err != nil || !found {
			t.Errorf("run %d is not there: %v", i, err)
		}
	}
	rig.Until(t, "the run is forgotten", func() bool {
		_, _, found, err := s.Get(ctx, idOf("cart", 0, 0))
		rig.Must(t, err)
		return !found
	})
	for i := 1; i < 3; i++ {
		if _, _, found, err := s.Get(ctx, idOf("cart", i, 0)); err != nil || !found {
			t.Errorf("run %d is forgotten: %v", i, err)
		}
	}
	again := &run.Entry{ID: idOf("cart", 0, 0), Run: waiting(1)}
	rig.Must(t, s.Save(ctx, &run.Change{Whom: run.WhomOf(again.ID), Runs: []*run.Entry{again}}))
}

func TestKeep(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		r     flow.Reentry
		after time.Duration
		want  time.Duration
	}{
		{"once for each event", flow.Reentry{}, 0, run.KeptFor},
		{"never again", flow.Reentry{Never: true}, 0, 0},
		{"once for each key", flow.Reentry{Key: "event.id"}, 0, 0},
		{"again after a while", flow.Reentry{After: "1h"}, time.Hour, run.KeptFor},
		{"again after a long while", flow.Reentry{After: "90d"}, 90 * 24 * time.Hour, 90 * 24 * time.Hour},
		{"the same key again after a while", flow.Reentry{Key: "event.id", After: "1h"}, time.Hour, run.KeptFor},
	} {
		if got := run.Keep(c.r, c.after); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestTimers asserts that what is kept is found by its minute, that a purge
// leaves what was kept after it, and that calls are kept apart.
func TestTimers(t *testing.T) {
	t.Parallel()
	r := rig.Open(t, engines)
	ctx := t.Context()
	ts, err := run.OpenTimers(ctx, engines.NATS, r.Streams, r.Names)
	rig.Must(t, err)
	at := time.Date(2026, 11, 22, 9, 59, 59, 999999999, time.UTC)
	var all []run.Timer
	for i := range 1500 { // more than one message has
		all = append(all, run.Timer{Run: idOf("cart", i, 0), At: at})
	}
	all = append(all, run.Timer{Run: idOf("cart", 0, 1), At: at.Add(1)}, run.Timer{Run: idOf("cart", 0, 2), At: at, Call: "1-2-3-0"})
	rig.Must(t, ts.Append(ctx, all))
	nine := run.Minute{At: at.Truncate(time.Minute)}
	ten, calls := run.Minute{At: at.Add(1)}, run.Minute{At: nine.At, Calls: true}
	if got, err := ts.Minutes(ctx, ten.At); err != nil || len(got) != 2 || !slices.Contains(got, nine) || !slices.Contains(got, calls) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ts.Minutes(ctx, ten.At.Add(1)); err != nil || len(got) != 3 {
		t.Errorf("%v, %v", got, err)
	}
	load := func(m run.Minute) (out []run.Timer, last uint64) {
		rig.Must(t, ts.Load(ctx, m, func(g run.Group) error {
			if g.Minute != m || g.Kept.IsZero() {
				t.Errorf("%+v of %v", g.Minute, m)
			}
			out, last = append(out, g.Timers...), g.Seq
			return nil
		}))
		return out, last
	}
	got, last := load(nine)
	if !slices.Equal(got, all[:1500]) {
		t.Errorf("%d timers are read, of %d that were kept", len(got), 1500)
	}
	if c, _ := load(calls); !slices.Equal(c, all[1501:]) {
		t.Errorf("calls: %+v", c)
	}
	rig.Must(t, ts.Append(ctx, all[:1])) // late
	rig.Must(t, ts.Purge(ctx, nine, last))
	if got, _ := load(nine); !slices.Equal(got, all[:1]) {
		t.Errorf("%d timers stay", len(got))
	}
	if c, _ := load(ten); len(c) != 1 {
		t.Errorf("the next minute has %d", len(c))
	}
	ch := make(chan stream.Message, 10)
	stop := rig.Loop(t, func(ctx context.Context) error { return ts.Follow(ctx, 1, ch) })
	n := 0
	for range 3 {
		g, err := ts.Decode(<-ch)
		rig.Must(t, err)
		n += len(g.Timers)
	}
	stop()
	if n != 3 {
		t.Errorf("followed %d timers, want 3", n)
	}
}
