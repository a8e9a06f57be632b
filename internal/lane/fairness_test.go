package lane

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/reason"
)

func specOf(perSecond int) sender.Spec {
	return sender.Spec{ID: "bakery", Rate: sender.Rate{PerSecond: perSecond}}
}

// begin gives a lane a source of n contacts and lets it run.
func begin(t *testing.T, l *Lane, n int) (s job.Source, stop func()) {
	s = source("spring")
	l.Add(s, "", audience{n: n, chunk: 1000}, 0)
	l.Start(s, Found{})
	return s, running(t, l)
}

// answer is a worker whose platform answers everything alike after a while.
func (w *world) answer(e job.Envelope, after time.Duration, r ledger.Record) {
	claims := make([]uint64, len(e.Jobs))
	for i, ref := range e.Jobs {
		claims[i] = w.tell(e.Source.Job(ref.Contact), ledger.Record{State: job.Claimed, From: job.Pending, Prev: ref.Seq, Attempt: ref.Attempt + 1, Deadline: 6 * time.Second})
	}
	time.Sleep(after)
	for i, ref := range e.Jobs {
		r := r
		r.From, r.Prev, r.Attempt = job.Claimed, claims[i], ref.Attempt+1
		if r.State == job.Pending {
			r.Until = time.Now().Add(time.Second)
		}
		w.tell(e.Source.Job(ref.Contact), r)
	}
}

// since returns the envelopes that were released after a moment.
func (w *world) since(at time.Time) (out []release) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.released {
		if r.at.After(at) {
			out = append(out, r)
		}
	}
	return out
}

// switched is a worker that can be told to work in another way.
type switched struct {
	mu sync.Mutex
	do func(job.Envelope)
}

func (s *switched) work(e job.Envelope) {
	s.mu.Lock()
	do := s.do
	s.mu.Unlock()
	do(e)
}

func (s *switched) to(do func(job.Envelope)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.do = do
}

// A sender whose platform answers by timeouts, or only to say later, falls to
// single messages now and then, says so, and has its full rate again soon
// after the platform is well.
func TestStuckSenderIsSidelinedUntilItRecovers(t *testing.T) {
	for what, c := range map[string]struct {
		after time.Duration
		end   ledger.Record
		why   reason.Code
	}{
		"timeouts":    {3500 * time.Millisecond, ledger.Record{State: job.Unknown, Reason: reason.OutcomeUnknown}, reason.OutcomeUnknown},
		"rate errors": {10 * time.Millisecond, ledger.Record{State: job.Pending, Reason: reason.RateCapped}, reason.RateCapped},
	} {
		synctest.Test(t, func(t *testing.T) {
			l, w := laneAt(NewShare(24), specOf(300))
			var worker switched
			worker.to(func(e job.Envelope) { w.answer(e, c.after, c.end) })
			w.worker = worker.work
			began := time.Now()
			_, stop := begin(t, l, 100_000)
			defer func() { stop(); time.Sleep(lease) }() // what is out comes to its end
			time.Sleep(10 * time.Second)
			if a := l.Load().Sidelined; a == nil || a.Reason != c.why || a.Since.Sub(began) > 4*time.Second {
				t.Fatalf("%s: after 10 s it is sidelined as %+v", what, a)
			}
			if n := len(w.jobs()); n > 18*50+4 { // with the first probes
				t.Errorf("%s: %d messages went out before it was sidelined", what, n)
			}
			aside := time.Now()
			time.Sleep(time.Minute)
			probes := w.since(aside)
			if n := len(probes); n < 5 || n > 13 || slices.ContainsFunc(probes, func(r release) bool { return len(r.Jobs) != 1 }) {
				t.Errorf("%s: tried %d times within a minute, want 5 to 13 single messages: %v", what, n, probes)
			}
			worker.to(func(e job.Envelope) { w.answer(e, 10*time.Millisecond, ledger.Record{State: job.Sent}) })
			time.Sleep(maxProbe + 5*time.Second)
			if a := l.Load().Sidelined; a != nil {
				t.Fatalf("%s: still sidelined as %+v", what, a)
			}
			well := time.Now()
			time.Sleep(10 * time.Second)
			n := 0
			for _, r := range w.since(well) {
				n += len(r.Jobs)
			}
			if n < 2500 { // its slots are a little apart, for the jitter of the wire
				t.Errorf("%s: recovered, it released %d in 10 s at 300/s", what, n)
			}
		})
	}
}

// Senders share a few workers with one that takes all it can get and whose
// platform hangs: theirs go as if it was not there.
func TestOthersDoNotNoticeAStuckSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots = 8
		share, queue := NewShare(slots), make(chan func(), 10_000)
		var mu sync.Mutex
		held, most := 0, 0
		for range slots {
			go func() {
				for work := range queue {
					work()
				}
			}()
		}
		stuck, sw := laneAt(share, specOf(10_000))
		sw.worker = func(e job.Envelope) {
			queue <- func() {
				mu.Lock()
				held++
				most = max(most, held)
				mu.Unlock()
				sw.answer(e, 3500*time.Millisecond, ledger.Record{State: job.Unknown, Reason: reason.OutcomeUnknown})
				mu.Lock()
				held--
				mu.Unlock()
			}
		}
		_, stopStuck := begin(t, stuck, 1_000_000)
		time.Sleep(time.Second) // it has all that it can have
		var stops []func()
		var worst time.Duration
		for range 5 {
			l, w := laneAt(share, specOf(50))
			w.worker = func(e job.Envelope) {
				released := time.Now()
				queue <- func() {
					w.answer(e, 20*time.Millisecond, ledger.Record{State: job.Sent})
					mu.Lock()
					defer mu.Unlock()
					worst = max(worst, time.Since(released))
				}
			}
			_, stop := begin(t, l, 1_000_000)
			stops = append(stops, func() {
				if n := len(w.jobs()); n < 25*50 { // its slots are a little apart, for the jitter of the wire
					t.Errorf("a healthy sender released %d messages in 30 s at 50/s", n)
				}
				stop()
			})
		}
		time.Sleep(30 * time.Second)
		for _, stop := range append(stops, stopStuck) {
			stop()
		}
		time.Sleep(lease)
		close(queue)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if most > slots*3/4 {
			t.Errorf("the stuck sender held %d of %d slots", most, slots)
		}
		if worst > 100*time.Millisecond {
			t.Errorf("an envelope of a healthy sender took %v", worst)
		}
	})
}

// Envelopes that nobody can be working at any more take no room; while there
// is no worker they wait for one, and nothing is piled up on them.
func TestLostEnvelopesGiveTheirRoomBack(t *testing.T) {
	for _, c := range []struct{ slots, before, after int }{{4, 3, 6}, {0, 3, 3}} {
		synctest.Test(t, func(t *testing.T) {
			share := NewShare(c.slots)
			l, w := laneAt(share, specOf(10_000))
			l.Add(source("spring"), "", audience{n: 10_000, chunk: 10_000}, 0)
			l.Start(source("spring"), Found{})
			l.step(t.Context())
			time.Sleep(lease - time.Nanosecond)
			l.step(t.Context())
			if n := len(w.since(time.Time{})); n != c.before {
				t.Errorf("%d slots: %d envelopes are out before their lease is over, want %d", c.slots, n, c.before)
			}
			time.Sleep(sweepEvery)
			l.step(t.Context())
			if n := len(w.since(time.Time{})); n != c.after {
				t.Errorf("%d slots: %d envelopes were released once it is, want %d", c.slots, n, c.after)
			}
			l.Forget(source("spring"))
			if share.out != 0 {
				t.Errorf("%d slots: a forgotten source still takes room for %d", c.slots, share.out)
			}
		})
	}
}

// What waits for the workers' room is told by its age; what waits for its
// sender's rate, or for a sidelined sender's turn, is not.
func TestOldestTellsOfMissingRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		short, sw := laneAt(NewShare(2), specOf(10_000))
		sw.worker = func(e job.Envelope) { sw.answer(e, time.Second, ledger.Record{State: job.Sent}) }
		enough, ew := laneAt(NewShare(24), specOf(10))
		ew.worker = func(e job.Envelope) { ew.answer(e, 10*time.Millisecond, ledger.Record{State: job.Sent}) }
		_, stopShort := begin(t, short, 100_000)
		_, stopEnough := begin(t, enough, 100_000)
		time.Sleep(20*time.Second + 500*time.Millisecond)
		if got := short.Load().Oldest; got < 20*time.Second {
			t.Errorf("room was missing for 20 s, and the lane says %v", got)
		}
		if got := enough.Load().Oldest; got > time.Second {
			t.Errorf("nothing but its rate held it up, and the lane says %v", got)
		}
		stopShort()
		stopEnough()
		time.Sleep(lease)
	})
}

// A lane without a source waits to be woken, and holds no place in a line.
func TestLaneWithoutASourceSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := laneOf(100, 1, false)
		if got := l.step(t.Context()); got != asleep {
			t.Errorf("it looks again after %v", got)
		}
		_, stop := begin(t, l, 5)
		synctest.Wait()
		stop()
		if len(w.jobs()) == 0 {
			t.Error("a source that is started does not wake it")
		}
	})
}
