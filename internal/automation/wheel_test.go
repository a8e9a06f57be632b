package automation

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/run"
)

// TestWheel holds the wheel against what may ever be forgotten of a minute:
// nothing before all of it is in memory and handled, and nothing that was kept
// after what was in memory.
func TestWheel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w, at := newWheel(), time.Unix(6000, 0).UTC()
		m := run.Minute{At: at}
		open, last, loaded, aside, reached, stale := 0, uint64(0), false, false, false, false
		var out []*entry
		for seq := uint64(1); seq <= 30; seq++ {
			switch rapid.IntRange(0, 6).Draw(t, "do") {
			case 0:
				w.reach(m)
				reached, loaded, stale = true, false, false
			case 1:
				if reached {
					w.loaded(m)
					loaded = !stale
				}
			case 2:
				n := rapid.IntRange(1, 3).Draw(t, "timers")
				w.add(run.Group{Minute: m, Seq: seq, Timers: make([]run.Timer, n)})
				if reached {
					open, last = open+n, seq
				}
			case 3:
				out = append(out, w.due(at, 2)...)
			case 4:
				if len(out) > 0 {
					w.handled(out[0])
					out, open = out[1:], open-1
				}
			case 5:
				if len(out) > 0 {
					w.putAside(out[0])
					out, open, aside = out[1:], open-1, true
				}
			case 6:
				w.takeUp()
				if aside {
					aside, loaded, stale = false, false, true
				}
			}
			upTo, over := w.over(at.Add(time.Hour))[m]
			if want := loaded && open == 0 && !aside; over != want || over && upTo != last {
				t.Fatalf("over %t up to %d, want %t up to %d (%d open)", over, upTo, want, last, open)
			}
			if _, early := w.over(at.Add(time.Minute))[m]; early {
				t.Fatal("a minute that is not over is forgotten")
			}
		}
	})
}

// TestWheelOrder asserts that the earliest comes first, at its moment and not
// before, and that what comes before its minute is reached is left to its
// loading.
func TestWheelOrder(t *testing.T) {
	t.Parallel()
	w, at := newWheel(), time.Unix(6000, 0).UTC()
	w.reach(run.Minute{At: at})
	w.add(run.Group{Minute: run.Minute{At: at.Add(time.Minute)}, Seq: 1, Timers: []run.Timer{{At: at.Add(time.Minute)}}})
	w.add(run.Group{Minute: run.Minute{At: at}, Seq: 2, Timers: []run.Timer{{At: at.Add(3)}, {At: at.Add(1)}, {At: at.Add(2)}}})
	if next, ok := w.next(); !ok || !next.Equal(at.Add(1)) {
		t.Errorf("next at %v, %t", next, ok)
	}
	if got := w.due(at, 9); len(got) != 0 {
		t.Errorf("%d are due too early", len(got))
	}
	if got := w.due(at.Add(2), 1); len(got) != 1 || !got[0].At.Equal(at.Add(1)) {
		t.Errorf("first: %+v", got)
	}
	if got := w.due(at.Add(time.Hour), 9); len(got) != 2 || !got[1].At.Equal(at.Add(3)) {
		t.Errorf("then: %+v", got)
	}
}

// TestWheelPassed asserts that a timer is loaded that was kept in a minute which
// nobody had seen, before a later one was reached.
func TestWheelPassed(t *testing.T) {
	t.Parallel()
	w, at := newWheel(), time.Unix(6000, 0).UTC()
	between := run.Minute{At: at.Add(time.Minute)}
	w.reach(run.Minute{At: at})
	w.add(run.Group{Minute: between, Seq: 1, Timers: []run.Timer{{At: between.At}}}) // the loading of its minute is to bring it
	w.reach(run.Minute{At: at.Add(2 * time.Minute)})
	if !w.wants(between) {
		t.Fatal("a minute that was passed over is never loaded")
	}
	w.add(run.Group{Minute: between, Seq: 2, Timers: []run.Timer{{At: between.At}}})
	if !w.wants(between) {
		t.Fatal("what was kept first in a minute that was passed over is never loaded")
	}
	for _, e := range w.due(between.At, 9) {
		w.handled(e)
	}
	if _, over := w.over(at.Add(time.Hour))[between]; over {
		t.Fatal("it is forgotten without having been loaded")
	}
}

// TestInbox asserts that whoever tells too much waits, that Flush waits until
// what was told is done, and that nobody waits for ever for a driver that ended.
func TestInbox(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newInbox()
		for range inboxSize {
			if err := b.put(t.Context(), &news{}); err != nil {
				t.Fatal(err)
			}
		}
		full, flushed := make(chan error, 1), make(chan error, 1)
		go func() { full <- b.put(t.Context(), &news{}) }()
		go func() { flushed <- b.settled(t.Context()) }()
		synctest.Wait()
		if n := len(b.take(1)); n != 1 {
			t.Errorf("took %d", n)
		}
		if err := <-full; err != nil {
			t.Error(err)
		}
		b.take(inboxSize)
		synctest.Wait()
		select {
		case <-flushed:
			t.Error("flushed before anything was done")
		default:
		}
		b.finished(inboxSize)
		if err := <-flushed; err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.settled(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("one is not done: %v", err)
		}
		go func() { flushed <- b.settled(t.Context()) }()
		synctest.Wait()
		b.close()
		if err := <-flushed; !errors.Is(err, errOver) {
			t.Errorf("after the end: %v", err)
		}
		if err := b.put(t.Context(), &news{}); !errors.Is(err, errOver) {
			t.Errorf("told after the end: %v", err)
		}
	})
}
