package lane

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/rate"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/reason"
)

func key(i int) (k job.Key) {
	binary.BigEndian.PutUint64(k[:], uint64(i))
	return k
}

func source(name string) job.Source {
	return job.Source{Month: "202611", Sender: "bakery", Name: name + "~1"}
}

// audience is n contacts in chunks.
type audience struct {
	from, n, chunk int
	err            error
}

func (a audience) Chunk(_ context.Context, i int) ([]job.Key, error) {
	if a.err != nil || i*a.chunk >= a.n {
		return nil, a.err
	}
	out := make([]job.Key, min(a.chunk, a.n-i*a.chunk))
	for j := range out {
		out[j] = key(a.from + i*a.chunk + j)
	}
	return out, nil
}

func people(n int) audience { return audience{n: n, chunk: 7} }

// release is an envelope with when it was released.
type release struct {
	job.Envelope
	at time.Time
}

// world is the queue and the ledger that a lane works with.
type world struct {
	order    sync.Mutex
	mu       sync.Mutex
	released []release
	appends  []ledger.Record
	ids      []job.ID
	refuse   error // of Enqueue
	fail     error // of Commit
	seq      uint64
	lane     *Lane
	silent   bool // the ledger does not tell the lane
	worker   func(job.Envelope)
}

func (w *world) Enqueue(_ context.Context, e job.Envelope, _ bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return w.refuse
	}
	w.released = append(w.released, release{e, time.Now()})
	if w.worker != nil {
		go w.worker(e)
	}
	return nil
}

func (w *world) Commit(_ context.Context, _ ledger.Priority, entries []*ledger.Append) {
	for _, e := range entries {
		w.mu.Lock()
		err := w.fail
		w.mu.Unlock()
		if e.Err = err; err == nil {
			e.Written = w.tell(e.ID, e.Record)
		}
	}
}

// tell appends a record and tells the lane, in order as a tally does.
func (w *world) tell(id job.ID, r ledger.Record) uint64 {
	w.order.Lock()
	defer w.order.Unlock()
	w.mu.Lock()
	w.seq++
	e := ledger.Entry{ID: id, Seq: w.seq, Record: r}
	w.appends, w.ids = append(w.appends, r), append(w.ids, id)
	silent := w.silent
	w.mu.Unlock()
	if !silent {
		w.lane.Recorded(e)
	}
	return e.Seq
}

func (w *world) jobs() (out []job.Ref) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.released {
		out = append(out, r.Jobs...)
	}
	return out
}

func (w *world) records() []ledger.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.appends)
}

const repair, margin, lease = 30 * time.Second, 3 * time.Second, 15 * time.Second

func laneOf(perSecond, burst int, batch bool) (*Lane, *world) {
	return laneAt(NewShare(1000), sender.Spec{ID: "bakery", Batch: batch, Rate: sender.Rate{PerSecond: perSecond, Burst: burst}})
}

// laneAt is a lane that shares the workers with others.
func laneAt(share *Share, s sender.Spec) (*Lane, *world) {
	w := &world{}
	w.lane = New(&s, Config{Queue: w, Commits: w, Share: share, Log: slog.New(slog.DiscardHandler), Repair: repair, Margin: margin, Lease: lease})
	return w.lane, w
}

// running starts a lane in a bubble and returns what stops it.
func running(t *testing.T, l *Lane) func() {
	ctx, cancel := context.WithCancel(t.Context())
	go l.Run(ctx)
	return func() { cancel(); l.Wait() }
}

// settle is a worker that sends everything at once.
func (w *world) settle(s job.Source, refs []job.Ref) {
	for _, r := range refs {
		claim := w.tell(s.Job(r.Contact), ledger.Record{State: job.Claimed, From: job.Pending, Prev: r.Seq, Attempt: r.Attempt + 1, Deadline: 6 * time.Second})
		w.tell(s.Job(r.Contact), ledger.Record{State: job.Sent, From: job.Claimed, Prev: claim, Attempt: r.Attempt + 1})
	}
}

// A lane's releases, taken by a gate of the same rate after a short way, all
// find their slot within what a worker waits, at every rate and burst.
func TestPaceNeedsNoRequeue(t *testing.T) {
	for _, c := range []struct {
		perSecond, burst, pace int
		batch                  bool
	}{
		{perSecond: 1, burst: 1}, {perSecond: 2, burst: 2}, {perSecond: 3, burst: 1}, {perSecond: 7, burst: 3}, {perSecond: 100, burst: 1},
		{perSecond: 300, burst: 1}, {perSecond: 300, burst: 250}, {perSecond: 300, burst: 300}, {perSecond: 1000, burst: 500}, {perSecond: 100_000, burst: 1},
		{perSecond: 100_000, burst: 100_000}, {perSecond: 2, burst: 1, batch: true}, {perSecond: 99, burst: 1, batch: true}, {perSecond: 5000, burst: 1, batch: true},
		{perSecond: 300, burst: 1, pace: 1}, {perSecond: 300, burst: 1, pace: 20}, {perSecond: 5000, burst: 1, pace: 100, batch: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			l, w := laneOf(c.perSecond, c.burst, c.batch)
			s := source("spring")
			sp := &sender.Spec{Batch: c.batch, Rate: sender.Rate{PerSecond: c.perSecond, Burst: c.burst}}
			charge := sp.Limit().Call()
			if c.batch {
				charge = sp.Limit().Batch(sp.EnvelopeSize())
			}
			var gate rate.State
			var mu sync.Mutex
			var slots []int64
			w.worker = func(e job.Envelope) {
				mu.Lock()
				n := len(e.Jobs)
				if c.batch {
					n = 1
				}
				var last rate.Grant
				for range n {
					now := time.Now().UnixMicro()
					gate, last = rate.Take(gate, now, charge, (10 * time.Second).Microseconds())
					if wait := last.Slot - now; wait > 1_000_000 {
						t.Errorf("%+v: a worker would have to wait %d µs", c, wait)
					}
					slots = append(slots, last.Slot)
				}
				mu.Unlock()
				time.Sleep(time.Until(time.UnixMicro(last.Slot)))
				w.settle(s, e.Jobs)
			}
			const seconds = 2
			l.Add(s, "", audience{n: 30_000, chunk: 10_000}, c.pace)
			l.Start(s, Found{})
			stop := running(t, l)
			time.Sleep(seconds * time.Second)
			synctest.Wait()
			stop()
			want := seconds * min(c.perSecond, 10_000)
			if c.pace > 0 {
				want = seconds * c.pace
			} else {
				want -= want * c.burst / (c.perSecond + 1) // what may go at once is taken from the pace
			}
			if got := len(w.jobs()); got < want*8/10 || got == 0 {
				t.Errorf("%+v: released %d jobs in %d s, want about %d or more", c, got, seconds, want)
			}
			if c.pace > 0 {
				for i, r := range w.released {
					if got, most := jobsWithin(w.released[i:], r.at.Add(time.Second)), 2*c.pace+1; got > most {
						t.Fatalf("%+v: %d jobs within a second of release %d, at most %d", c, got, i, most)
					}
				}
			}
			time.Sleep(10 * time.Second) // let the workers end
		})
	}
}

func jobsWithin(rs []release, end time.Time) (n int) {
	for _, r := range rs {
		if r.at.Before(end) {
			n += len(r.Jobs)
		}
	}
	return n
}

func TestSourcesTakeTurnsAndNeverMix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := laneOf(300, 1, false)
		for i, name := range []string{"a", "b", "c"} {
			l.Add(source(name), "", audience{from: i * 1000, n: 500, chunk: 50}, 0)
			l.Start(source(name), Found{})
		}
		w.worker = func(e job.Envelope) { w.settle(e.Source, e.Jobs) }
		stop := running(t, l)
		time.Sleep(6 * time.Second)
		stop()
		count := map[string]int{}
		for i, r := range w.released {
			count[r.Source.Name] += len(r.Jobs)
			for _, j := range r.Jobs {
				if k := int(binary.BigEndian.Uint64(j.Contact[:])); source(string("abc"[k/1000])) != r.Source {
					t.Fatalf("envelope of %s carries contact %d", r.Source.Name, k)
				}
			}
			if i >= 3 && i < 20 && r.Source != w.released[i-3].Source {
				t.Errorf("release %d is of %s, three before of %s", i, r.Source.Name, w.released[i-3].Source.Name)
			}
		}
		if want := map[string]int{"a~1": 500, "b~1": 500, "c~1": 500}; !maps.Equal(count, want) {
			t.Errorf("released %v, want %v", count, want)
		}
		for _, name := range []string{"a", "b", "c"} {
			if !l.Drained(source(name)) {
				t.Errorf("%s is not drained", name)
			}
		}
	})
}

func TestGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := laneOf(10, 1, false) // envelopes of 5
		s := source("spring")
		l.Add(s, "", people(20), 0)
		l.Start(s, Found{})
		ctx := t.Context()
		l.step(ctx)
		first := w.released[0].Jobs
		before := len(w.jobs())

		l.GivenBack(s, []job.Ref{{Contact: first[0].Contact, Seq: 9}, {Contact: key(900)}}, time.Now())
		if got := l.Load().Waiting; got != 0 {
			t.Fatalf("%d jobs are back that were never out so", got)
		}
		l.GivenBack(s, first, time.Now().Add(3*time.Second))
		l.GivenBack(s, first, time.Now()) // a second time: they are not out any more
		if got := l.Load(); got.Waiting != 5 {
			t.Fatalf("load %+v, want 5 waiting", got)
		}
		time.Sleep(3*time.Second - time.Nanosecond)
		l.step(ctx)
		if got := len(w.jobs()); got != before {
			t.Errorf("released %d jobs while its workers could not let any go", got-before)
		}
		time.Sleep(time.Nanosecond)
		l.step(ctx)
		if again := w.jobs()[before:]; len(again) < 5 || !slices.Equal(again[:5], first) {
			t.Errorf("released %v first, want those given back, %v", again, first)
		}
	})
}

// A job that settles without a claim took no pace: others go in its stead.
func TestRefunds(t *testing.T) {
	for _, claims := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l, w := laneOf(10, 1, false)
			s := source("spring")
			l.Add(s, "", people(1000), 0)
			l.Start(s, Found{})
			l.step(t.Context())
			out := w.jobs()
			for _, r := range out {
				prev := r.Seq
				if claims {
					prev = w.tell(s.Job(r.Contact), ledger.Record{State: job.Claimed, From: job.Pending, Prev: prev, Attempt: 1})
				}
				w.tell(s.Job(r.Contact), ledger.Record{State: job.Blocked, Reason: reason.OptedOut, From: map[bool]job.State{false: job.Pending, true: job.Claimed}[claims], Prev: prev})
			}
			l.step(t.Context())
			if more := len(w.jobs()) > len(out); more == claims {
				t.Errorf("claims %v: released more at once: %v", claims, more)
			}
		})
	}
}

func TestPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := laneOf(100, 1, false)
		s := source("spring")
		l.Add(s, "", people(500), 0)
		l.PauseSource(s, true)
		l.Start(s, Found{})
		stop := running(t, l)
		defer stop()
		time.Sleep(time.Minute)
		if n := len(w.jobs()); n != 0 {
			t.Fatalf("a paused source released %d", n)
		}
		l.SetPaused(true)
		l.PauseSource(s, false)
		time.Sleep(time.Minute)
		if n := len(w.jobs()); n != 0 {
			t.Fatalf("a paused lane released %d", n)
		}
		l.SetPaused(false)
		synctest.Wait()
		if len(w.jobs()) == 0 {
			t.Error("released nothing at once after it was resumed")
		}
	})
}

// claimOne releases one job and claims it.
func claimOne(t *testing.T, l *Lane, w *world, s job.Source) (job.Ref, uint64) {
	t.Helper()
	l.step(t.Context())
	r := w.jobs()[0]
	return r, w.tell(s.Job(r.Contact), ledger.Record{State: job.Claimed, From: job.Pending, Prev: r.Seq, Attempt: r.Attempt + 1, Deadline: 6 * time.Second})
}

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestOverdueClaimBecomesUnknownOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := laneOf(1, 1, false)
		s := source("spring")
		l.Add(s, traceparent, people(1), 0)
		l.Start(s, Found{})
		_, claim := claimOne(t, l, w, s)
		time.Sleep(9*time.Second - time.Nanosecond)
		l.step(t.Context())
		if got := len(w.records()); got != 1 {
			t.Fatalf("%d records before deadline and margin are over", got)
		}
		w.silent = true // the tally is behind
		time.Sleep(time.Second)
		l.step(t.Context())
		time.Sleep(time.Second)
		l.step(t.Context())
		rs := w.records()
		if len(rs) != 2 {
			t.Fatalf("%d records, want claim and unknown", len(rs))
		}
		got := rs[1]
		if got.State != job.Unknown || got.From != job.Claimed || got.Prev != claim || got.Attempt != 1 || got.Reason != reason.OutcomeUnknown ||
			got.Evidence == "" || got.Trace != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("record %+v", got)
		}
	})
}

func TestLateOutcomeEndsTheWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := laneOf(1, 1, false)
		s := source("spring")
		l.Add(s, "", people(1), 0)
		l.Start(s, Found{})
		r, claim := claimOne(t, l, w, s)
		time.Sleep(8 * time.Second)
		w.tell(s.Job(r.Contact), ledger.Record{State: job.Sent, From: job.Claimed, Prev: claim})
		time.Sleep(time.Minute)
		l.step(t.Context())
		if got := len(w.records()); got != 2 {
			t.Errorf("%d records, want claim and sent", got)
		}
		if !l.Drained(s) {
			t.Errorf("not drained: %+v", l.Load())
		}
	})
}

// What could not be written is tried again: a claim's end and a hold's.
func TestFailedRecordsAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := laneOf(1, 1, false)
		s := source("spring")
		l.Add(s, "", people(2), 0)
		l.Start(s, Found{UpTo: 5, Any: []job.Key{key(0), key(1)}, Open: map[job.Key]Where{
			key(0): {Seq: 4, State: job.Claimed, Attempt: 3, Deadline: time.Second},
			key(1): {Seq: 5, State: job.Held, Attempt: 2, Until: time.Now().Add(time.Second), Reason: reason.QuietHours},
		}})
		w.seq, w.fail = 5, errors.New("no leader")
		time.Sleep(4 * time.Second)
		l.step(t.Context())
		if got := l.Load(); got.Claimed != 1 || got.Held != 1 {
			t.Fatalf("load %+v, want one claimed and one held", got)
		}
		w.fail = nil
		time.Sleep(time.Second)
		l.step(t.Context())
		var states []job.State
		for _, r := range w.records() {
			states = append(states, r.State)
			switch r.State {
			case job.Unknown:
				if r.Prev != 4 || r.Attempt != 3 {
					t.Errorf("unknown: %+v", r)
				}
			case job.Pending:
				if r.Prev != 5 || r.From != job.Held || r.FromReason != reason.QuietHours || r.Attempt != 2 {
					t.Errorf("pending: %+v", r)
				}
			}
		}
		slices.Sort(states)
		if !slices.Equal(states, []job.State{job.Pending, job.Unknown}) {
			t.Errorf("recorded %v", states)
		}
	})
}

func TestCloseKeepsWatchingClaims(t *testing.T) {
	open := map[job.Key]Where{key(0): {Seq: 4, State: job.Claimed, Attempt: 1, Deadline: time.Second}, key(1): {Seq: 5, State: job.Pending}}
	found := Found{UpTo: 5, Any: []job.Key{key(0), key(1)}, Open: open}
	for name, closing := range map[string]func(l *Lane, s job.Source){
		"before its ledger was read": func(l *Lane, s job.Source) { l.Close(s); l.Start(s, found) },
		"after":                      func(l *Lane, s job.Source) { l.Start(s, found); l.Close(s) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, w := laneOf(10, 1, false)
				s := source("spring")
				l.Add(s, "", people(100), 0)
				closing(l, s)
				w.seq = 5
				if !l.Has(s) {
					t.Fatal("forgotten with a claim open")
				}
				time.Sleep(4 * time.Second)
				l.step(t.Context())
				if n := len(w.jobs()); n != 0 {
					t.Errorf("a closed source released %d", n)
				}
				if rs := w.records(); len(rs) != 1 || rs[0].State != job.Unknown || rs[0].Attempt != 1 {
					t.Errorf("records %+v, want one unknown", rs)
				}
				if l.Has(s) {
					t.Error("still there with nothing open")
				}
			})
		})
	}
	t.Run("gives the pace of what was not claimed to others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l, w := laneOf(10, 1, false)
			l.Add(source("a"), "", people(100), 0)
			l.Start(source("a"), Found{})
			l.step(t.Context())
			n := len(w.jobs())
			l.Close(source("a"))
			l.Add(source("b"), "", people(100), 0)
			l.Start(source("b"), Found{})
			l.step(t.Context())
			if got := len(w.jobs()) - n; got != n {
				t.Errorf("the other source released %d at once, want %d", got, n)
			}
		})
	})
}

func TestRepairAndAgain(t *testing.T) {
	for name, lose := range map[string]func(l *Lane){
		"repair": func(*Lane) { time.Sleep(repair + time.Second) },
		"again":  func(l *Lane) { time.Sleep(time.Second); l.Again() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, w := laneOf(10, 1, false)
				s := source("spring")
				l.Add(s, "", people(5), 0)
				l.Start(s, Found{})
				l.step(t.Context())
				l.step(t.Context())
				first := w.jobs()
				r := first[0]
				w.tell(s.Job(r.Contact), ledger.Record{State: job.Claimed, From: job.Pending, Deadline: time.Hour})
				lose(l)
				l.step(t.Context())
				l.step(t.Context())
				again := w.jobs()[len(first):]
				if len(again) != 4 || slices.Contains(again, r) {
					t.Errorf("released again %d jobs, want the 4 that nobody claimed", len(again))
				}
			})
		})
	}
}

func TestQueueRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := laneOf(10, 1, false)
		s := source("spring")
		l.Add(s, "", people(5), 0)
		l.Start(s, Found{})
		w.refuse = errors.New("redis is away")
		if wait := l.step(t.Context()); wait != retryQueue {
			t.Errorf("waits %s after a refusal, want %s", wait, retryQueue)
		}
		w.refuse = nil
		time.Sleep(retryQueue)
		l.step(t.Context())
		if got := len(w.jobs()); got != 5 {
			t.Errorf("released %d, want 5", got)
		}
	})
}

func TestUnreadableAudienceIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := laneOf(10, 1, false)
		l.Add(source("a"), "", audience{err: errors.New("no object")}, 0)
		l.Start(source("a"), Found{})
		if wait := l.step(t.Context()); wait != retryQueue || len(w.jobs()) != 0 {
			t.Errorf("waits %s with %d released", wait, len(w.jobs()))
		}
	})
}

func TestStartGoesOnWhereTheLedgerIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := laneOf(1000, 1, false)
		s := source("spring")
		w.seq = 10
		l.Add(s, "", people(8), 0)
		// While the ledger is read: 6 is blocked, and the tally repeats what
		// was read already.
		w.lane.Recorded(ledger.Entry{ID: s.Job(key(2)), Seq: 7, Record: ledger.Record{State: job.Claimed, From: job.Pending, Prev: 3}})
		w.tell(s.Job(key(6)), ledger.Record{State: job.Blocked, From: job.Pending})
		if _, err := Find(func(fn func(ledger.Entry) error) error { return errors.New("lost") }); err == nil {
			t.Error("Find swallows an error")
		}
		found, err := Find(func(fn func(ledger.Entry) error) error {
			for _, e := range []ledger.Entry{
				{Seq: 1, ID: s.Job(key(0)), Record: ledger.Record{State: job.Sent}},
				{Seq: 3, ID: s.Job(key(2)), Record: ledger.Record{State: job.Held}},
				{Seq: 4, ID: s.Job(key(2)), Record: ledger.Record{State: job.Pending, Attempt: 2}},
				{Seq: 5, ID: s.Job(key(3)), Record: ledger.Record{State: job.Failed}},
				{Seq: 6, ID: s.Job(key(3)), Record: ledger.Record{State: job.Failed, Discarded: true}},
				{Seq: 8, ID: s.Job(key(4)), Record: ledger.Record{State: job.Held, Until: time.Now().Add(time.Hour)}},
				{Seq: 10, ID: s.Job(key(5)), Record: ledger.Record{State: job.Claimed, Attempt: 1, Deadline: time.Second}},
			} {
				if err := fn(e); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || found.UpTo != 10 || len(found.Any) != 5 || len(found.Open) != 3 {
			t.Fatalf("found %+v, %v", found, err)
		}
		l.Start(s, found)
		w.lane.Recorded(ledger.Entry{ID: s.Job(key(2)), Seq: 3, Record: ledger.Record{State: job.Held, From: job.Pending}}) // again
		// A task from before the restart is faster than the snapshot's reader.
		w.tell(s.Job(key(7)), ledger.Record{State: job.Claimed, From: job.Pending, Attempt: 1, Deadline: time.Hour})
		l.step(t.Context())
		l.step(t.Context())
		want := []job.Ref{{Contact: key(2), Seq: 4, Attempt: 2}, {Contact: key(1)}}
		if got := w.jobs(); !slices.Equal(got, want) {
			t.Errorf("released %v, want %v", got, want)
		}
		if got := l.Load(); got.Claimed != 2 || got.Held != 1 || got.Waiting != 0 || got.Unclaimed != 2 {
			t.Errorf("load %+v", got)
		}
	})
}

func TestMillionMembersStaySmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := laneOf(100_000, 1, true)
		s := source("big")
		n := 0
		w.worker = func(e job.Envelope) {
			w.order.Lock()
			defer w.order.Unlock()
			for _, r := range e.Jobs {
				l.Recorded(ledger.Entry{ID: s.Job(r.Contact), Seq: uint64(2*n + 1), Record: ledger.Record{State: job.Claimed, From: job.Pending}})
				l.Recorded(ledger.Entry{ID: s.Job(r.Contact), Seq: uint64(2*n + 2), Record: ledger.Record{State: job.Sent, From: job.Claimed}})
				n++
			}
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		l.Add(s, "", audience{n: 1_000_000, chunk: 50_000}, 0)
		l.Start(s, Found{})
		for !l.Drained(s) {
			wait := l.step(t.Context())
			w.mu.Lock()
			w.released = nil
			w.mu.Unlock()
			synctest.Wait()
			time.Sleep(wait)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if n != 1_000_000 {
			t.Errorf("released %d", n)
		}
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 20<<20 {
			t.Errorf("the lane keeps %d MB of a million members", grown>>20)
		}
	})
}

// stuck is an audience whose store does not answer.
type stuck struct{ asked chan struct{} }

func (s stuck) Chunk(ctx context.Context, _ int) ([]job.Key, error) {
	s.asked <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

// A store that does not answer keeps neither those who follow the ledger nor
// those who look at the lane waiting, and is asked again.
func TestStuckAudience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := laneOf(100, 1, false)
		s := stuck{make(chan struct{}, 16)}
		l.Add(source("a"), "", s, 0)
		l.Start(source("a"), Found{})
		defer running(t, l)()
		<-s.asked
		began := time.Now()
		l.Recorded(ledger.Entry{ID: source("a").Job(key(1)), Seq: 1, Record: ledger.Record{State: job.Sent}})
		if got := l.Load(); got.Sources != 1 || time.Since(began) > 0 {
			t.Errorf("the lane says %+v after %s", got, time.Since(began))
		}
		<-s.asked
		if took := time.Since(began); took < chunkTimeout || took > chunkTimeout+retryQueue {
			t.Errorf("asked again after %s", took)
		}
	})
}

// A source whose audience can't be read does not keep the others from theirs.
func TestUnreadableAudienceHarmsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := laneOf(100, 1, false)
		for name, m := range map[string]Members{"a": audience{err: errors.New("the store is away")}, "b": people(30), "c": people(30)} {
			l.Add(source(name), "", m, 0)
			l.Start(source(name), Found{})
		}
		defer running(t, l)()
		time.Sleep(10 * time.Second)
		if got := len(w.jobs()); got != 60 {
			t.Errorf("%d jobs were released, want the 60 of the others", got)
		}
	})
}
