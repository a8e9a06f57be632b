package deliver

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// crowd is a processor that tests fill and empty.
type crowd struct {
	mu   sync.Mutex
	full bool
	c    *Courtesy
	at   int // envelopes that are at work
	most int
}

func newCrowd(full bool, processors int) *crowd {
	w := &crowd{full: full}
	w.c = newCourtesy(func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.full }, processors)
	return w
}

func (w *crowd) set(full bool) { w.mu.Lock(); w.full = full; w.mu.Unlock() }

// work is one envelope that takes so long; it returns when it began, from start.
func (w *crowd) work(ctx context.Context, start time.Time, takes time.Duration) (began time.Duration, ok bool) {
	leave := w.c.enter(ctx)
	if leave == nil {
		return 0, false
	}
	defer leave()
	w.mu.Lock()
	w.at++
	w.most = max(w.most, w.at)
	w.mu.Unlock()
	began = time.Since(start)
	time.Sleep(takes) // of synctest's time
	w.mu.Lock()
	w.at--
	w.mu.Unlock()
	return began, true
}

// all is work of n envelopes that come one behind the other.
func (w *crowd) all(n int, takes time.Duration) []time.Duration {
	out := make([]time.Duration, n)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range n {
		wg.Go(func() { out[i], _ = w.work(context.Background(), start, takes) })
		synctest.Wait() // in their order
	}
	wg.Wait()
	return out
}

func TestNobodyWaitsForAnIdleProcessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newCrowd(false, 2)
		for i, at := range w.all(20, 100*time.Millisecond) {
			if want := time.Duration(i) * beat; at != want {
				t.Errorf("the %d. began after %s, want %s", i, at, want)
			}
		}
		if w.most != 20 {
			t.Errorf("%d at work at a time", w.most)
		}
	})
}

func TestBroadcastsRestWhileOthersWait(t *testing.T) {
	for _, c := range []struct {
		processors int
		want       []time.Duration
	}{
		{1, []time.Duration{0, 200 * time.Millisecond, 400 * time.Millisecond, 600 * time.Millisecond}},
		// The second begins before anything was measured.
		{2, []time.Duration{0, beat, 201 * time.Millisecond, 202 * time.Millisecond}},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newCrowd(true, c.processors)
			for i, at := range w.all(len(c.want), 100*time.Millisecond) {
				if at != c.want[i] {
					t.Errorf("%d processors: the %d. began after %s, want %s", c.processors, i, at, c.want[i])
				}
			}
			if w.most > c.processors {
				t.Errorf("%d at work at a time on %d processors", w.most, c.processors)
			}
		})
	}
}

func TestALineMovesOnceThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newCrowd(true, 1)
		time.AfterFunc(50*time.Millisecond, func() { w.set(false) })
		at := w.all(3, time.Second)
		if at[0] != 0 || at[1] != 50*time.Millisecond && at[1] != 50*time.Millisecond+beat || at[2] != at[1]+beat {
			t.Errorf("they began after %s", at)
		}
	})
}

func TestNobodyWaitsForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newCrowd(true, 1)
		for i, at := range w.all(4, time.Minute) {
			if want := min(time.Duration(i), 1) * longestWait; at != want {
				t.Errorf("the %d. began after %s, want %s", i, at, want)
			}
		}
		// They are counted like all others: once they have ended the line is as before.
		if w.c.working != 0 || len(w.c.first) != 0 {
			t.Errorf("%d at work, %d first in line", w.c.working, len(w.c.first))
		}
	})
}

func TestWhoGivesUpLeavesTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newCrowd(true, 1)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { w.work(context.Background(), time.Now(), time.Minute) })
		synctest.Wait()
		for range 2 { // the first in line, and one behind it
			wg.Go(func() {
				if _, ok := w.work(ctx, time.Now(), 0); ok {
					t.Error("it began")
				}
			})
			synctest.Wait()
		}
		cancel()
		wg.Wait()
		if w.c.working != 0 || len(w.c.first) != 0 {
			t.Errorf("%d at work, %d first in line", w.c.working, len(w.c.first))
		}
	})
}

// The runtime says that somebody waits exactly while somebody does.
func TestWhoWaitsForAProcessorIsSeen(t *testing.T) {
	var busy sync.WaitGroup
	var end atomic.Bool
	for range 4 * runtime.GOMAXPROCS(0) {
		busy.Go(func() {
			for !end.Load() {
				runtime.Gosched()
			}
		})
	}
	for !crowded() {
		runtime.Gosched()
	}
	end.Store(true)
	busy.Wait()
	for crowded() { // but for the runtime's own, which have an end
		runtime.Gosched()
	}
}

// An envelope that is told to end while it waits goes back whole; a small one
// doesn't wait at all.
func TestEnvelopesWaitForAProcessor(t *testing.T) {
	w := newWorld(t, fewJobs+1, false)
	c := newCrowd(true, 1)
	w.worker.Courtesy = c.c
	leave := c.c.enter(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.worker.Deliver(ctx, job.Envelope{Source: w.b.Source(), Jobs: w.refs()})
	if len(w.back) != fewJobs+1 || w.why[0] != reason.RateCapped || len(w.sent) != 0 {
		t.Errorf("given back %v for %v, sent %v", w.back, w.why, w.sent)
	}
	w.deliver(w.refs()[:fewJobs])
	leave()
	w.deliver(w.refs()[:fewJobs+1])
	for i := range fewJobs + 1 {
		w.want(i, job.Sent, "", 1)
	}
}
