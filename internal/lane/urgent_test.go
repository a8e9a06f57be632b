package lane

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// step is the i-th job of a flow.
func step(flow string, i int) job.ID {
	s := source("spring")
	s.Name = fmt.Sprintf("%s~run%d~1-2-1-0", flow, i)
	return s.Job(key(i))
}

// plan plans a flow's job that has an end after a while; 0: it has none.
func (w *world) plan(id job.ID, ends time.Duration) uint64 {
	r := ledger.Record{State: job.Pending, From: job.Pending, Planned: true, At: time.Now(), Trace: "0af7651916cd43dd8448eb211c80319c"}
	if ends > 0 {
		r.Expires = time.Now().Add(ends)
	}
	return w.tell(id, r)
}

// ends are the records that the lane wrote.
func (w *world) ends() (out []ledger.Record) {
	for _, r := range w.records() {
		if r.By == writer {
			out = append(out, r)
		}
	}
	return out
}

// TestFlowsGoFirst asserts that a flow's message goes before the rest of a
// broadcast, in an envelope of its own, and that flows take turns.
func TestFlowsGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := laneOf(10, 1, false)
		s := source("spring")
		l.Add(s, "", people(1000), 0)
		l.Start(s, Found{})
		defer running(t, l)()
		time.Sleep(2 * time.Second)
		l.SetFlow("order", FlowRunning)
		l.SetFlow("cart", FlowRunning)
		l.SetPaused(true) // else the first may go before the others are planned
		synctest.Wait()
		before := len(w.released)
		for i := range 3 {
			w.plan(step("order", i), 0)
			w.plan(step("cart", 100+i), 0)
		}
		l.SetPaused(false)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		var flows []string
		for _, r := range w.released[before:] {
			if len(flows) == 6 {
				break
			}
			if flows = append(flows, r.Source.Flow()); len(r.Jobs) != 1 || r.Jobs[0].Seq == 0 {
				t.Errorf("released %+v", r)
			}
		}
		if want := []string{"order", "cart", "order", "cart", "order", "cart"}; !slices.Equal(flows, want) {
			t.Errorf("released of %q, want %q", flows, want)
		}
		if at := w.released[before].at; at.Sub(w.released[before-1].at) > time.Second {
			t.Errorf("the first went %v after the broadcast's last", at.Sub(w.released[before-1].at))
		}
	})
}

// TestFlowsKeepThePace asserts that flows and a broadcast together stay within
// the sender's rate.
func TestFlowsKeepThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := laneOf(10, 1, false)
		s := source("spring")
		w.worker = func(e job.Envelope) { w.settle(e.Source, e.Jobs) }
		l.Add(s, "", people(1000), 0)
		l.SetFlow("order", FlowRunning)
		for i := range 30 {
			w.plan(step("order", i), 0)
		}
		l.Start(s, Found{})
		stop := running(t, l)
		time.Sleep(10 * time.Second)
		stop()
		if n := len(w.jobs()); n < 90 || n > 110 { // a slot costs more than a tenth of a second: it has a life
			t.Errorf("%d jobs in 10 s at 10 a second", n)
		}
	})
}

// TestFlowEnds asserts both sides of a job's end: it is released until then,
// and expired from then on, while the flow or the sender is paused too; and
// that it is never both.
func TestFlowEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*Lane)
	}{
		{"paused flow", func(l *Lane) { l.SetFlow("order", FlowPaused) }},
		{"unknown flow", func(*Lane) {}},
		{"paused sender", func(l *Lane) { l.SetFlow("order", FlowRunning); l.SetPaused(true) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, w := laneOf(10, 1, false)
				c.set(l)
				defer running(t, l)()
				w.plan(step("order", 1), time.Minute)
				w.plan(step("order", 2), 0)
				time.Sleep(time.Minute - time.Nanosecond)
				synctest.Wait()
				if got := w.ends(); len(got) != 0 || len(w.jobs()) != 0 {
					t.Fatalf("before its end: %+v, released %v", got, w.jobs())
				}
				time.Sleep(idle + sweepEvery)
				synctest.Wait()
				got := w.ends()
				if len(got) != 1 || got[0].State != job.Expired || got[0].Reason != reason.Expired || got[0].Prev != 1 || got[0].From != job.Pending {
					t.Fatalf("after its end: %+v", got)
				}
				l.SetPaused(false)
				l.SetFlow("order", FlowRunning)
				time.Sleep(idle)
				synctest.Wait()
				if got := w.jobs(); len(got) != 1 || got[0].Contact != key(2) {
					t.Errorf("then released: %+v", got)
				}
			})
		})
	}
}

// TestFlowHolds asserts that a held job waits until it is due, becomes pending
// and is released at the sequence of that.
func TestFlowHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := laneOf(10, 1, false)
		l.SetFlow("order", FlowRunning)
		defer running(t, l)()
		id := step("order", 1)
		at := w.plan(id, time.Hour)
		w.tell(id, ledger.Record{State: job.Held, From: job.Pending, Prev: at, Reason: reason.QuietHours, Until: time.Now().Add(time.Minute)})
		before := len(w.jobs())
		time.Sleep(time.Minute - time.Nanosecond)
		synctest.Wait()
		if len(w.ends()) != 0 || len(w.jobs()) != before {
			t.Fatal("released before it is due")
		}
		time.Sleep(2 * idle)
		synctest.Wait()
		got := w.ends()
		if len(got) != 1 || got[0].State != job.Pending || got[0].From != job.Held || got[0].FromReason != reason.QuietHours {
			t.Fatalf("when it is due: %+v", got)
		}
		jobs := w.jobs()
		if last := jobs[len(jobs)-1]; len(jobs) != before+1 || last.Seq != w.seq || last.Ends.IsZero() {
			t.Errorf("released %+v", jobs)
		}
	})
}

// TestFlowIsDeleted asserts that what waits of a flow is cancelled when the
// flow is deleted, and what is with the workers once it comes back.
func TestFlowIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := laneOf(1, 1, false)
		l.SetFlow("order", FlowRunning)
		l.SetFlow("cart", FlowRunning)
		defer running(t, l)()
		for i := range 5 {
			w.plan(step("order", i), time.Hour)
		}
		w.plan(step("cart", 9), 0)
		synctest.Wait()
		out := w.jobs()
		l.SetFlow("order", FlowClosed)
		time.Sleep(2 * idle)
		synctest.Wait()
		got := w.ends()
		for _, r := range got {
			if r.State != job.Cancelled || r.Reason != reason.Cancelled {
				t.Errorf("ended as %+v", r)
			}
		}
		ours := 0
		for _, r := range out {
			if r.Contact != key(9) {
				ours++
			}
		}
		if len(got)+ours != 5 {
			t.Fatalf("%d ended and %d are with workers, of 5", len(got), ours)
		}
		for _, r := range out {
			l.GivenBack(step("order", 0).Source, []job.Ref{r}, time.Now())
		}
		time.Sleep(repair + 2*idle)
		synctest.Wait()
		if n := len(w.ends()); n != 5 {
			t.Errorf("%d ended", n)
		}
	})
}

// TestFlowIsAdopted asserts that a lane goes on from what a reading found, and
// takes no record twice.
func TestFlowIsAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := laneOf(10, 1, false)
		now := time.Now()
		l.Adopt("202611", 0, 40, map[job.ID]Standing{
			step("order", 1): {Where: Where{Seq: 11, State: job.Pending, Attempt: 2}},
			step("order", 2): {Where: Where{Seq: 12, State: job.Held, Until: now.Add(time.Hour), Reason: reason.QuietHours}},
			step("order", 3): {Where: Where{Seq: 13, State: job.Claimed, Attempt: 1, Deadline: 6 * time.Second}},
			step("order", 4): {Where: Where{Seq: 14, State: job.Pending}, Expires: now.Add(-time.Second)},
		})
		l.Recorded(ledger.Entry{ID: step("order", 5), Seq: 40, Record: ledger.Record{State: job.Pending, Planned: true}}) // which the reading has seen end
		w.seq = 40
		l.SetFlow("order", FlowRunning)
		defer running(t, l)()
		time.Sleep(9*time.Second - time.Nanosecond)
		synctest.Wait()
		if got := w.jobs(); len(got) != 1 || got[0].Contact != key(1) || got[0].Seq != 11 || got[0].Attempt != 2 {
			t.Errorf("released %+v", got)
		}
		if got := w.ends(); len(got) != 1 || got[0].State != job.Expired || got[0].Prev != 14 {
			t.Errorf("ended %+v", got)
		}
		time.Sleep(idle)
		synctest.Wait()
		if got := w.ends(); len(got) != 2 || got[1].State != job.Unknown || got[1].Prev != 13 {
			t.Errorf("after the claim's deadline and margin: %+v", got)
		}
		if load := l.Load(); load.Held != 1 || load.Unclaimed != 1 || load.Claimed != 0 || load.Waiting != 0 || load.Sources != 1 {
			t.Errorf("in hand: %+v", load)
		}
	})
}

// TestShareOfFlows asserts that an urgent envelope finds room beside a lane
// that has taken all, and that urgent ones have their own bound.
func TestShareOfFlows(t *testing.T) {
	t.Parallel()
	h := NewShare(8)
	woken := 0
	giant, other := h.join(func() {}), h.join(func() { woken++ })
	for giant.take(1) {
	}
	n := 0
	for ; giant.rush(); n++ {
	}
	if n != 6 { // three quarters of the slots
		t.Errorf("a full lane has room for %d urgent envelopes", n)
	}
	for ; other.rush(); n++ {
	}
	if n != 10 { // all slots and a quarter more
		t.Errorf("all lanes have room for %d urgent envelopes", n)
	}
	was := woken
	giant.rushed()
	if woken == was || !other.rush() || other.rush() {
		t.Error("room that came back was not handed over, or more than that")
	}
}

// TestManyFlowJobs releases from a hundred thousand open jobs, of which most
// are held, and looks at none of them in vain.
func TestManyFlowJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 100_000
		l, w := laneOf(1000, 1, false)
		open := map[job.ID]Standing{}
		for i := range n {
			s := Standing{Where: Where{Seq: uint64(i + 1), State: job.Pending}, Expires: time.Now().Add(24 * time.Hour)}
			if i%4 != 0 {
				s.State, s.Until = job.Held, time.Now().Add(time.Duration(i)*time.Hour)
			}
			open[step("order", i)] = s
		}
		l.Adopt("202611", 0, n, open)
		l.SetFlow("order", FlowRunning)
		w.seq = n
		w.worker = func(e job.Envelope) { w.settle(e.Source, e.Jobs) }
		defer running(t, l)()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := len(w.jobs()); got != n/4+2 && got != n/4 && got != n/4+1 {
			t.Errorf("%d were released", got)
		}
	})
}

// errands is a model of one lane with the ledger of several flows' jobs.
type errands struct {
	*model
	last  map[job.ID]ledger.Entry
	tasks []task
	sent  map[job.ID]int
	state map[string]FlowState
}

type task struct {
	id  job.ID
	ref job.Ref
}

// Enqueue keeps a task for the workers.
func (m *errands) Enqueue(_ context.Context, e job.Envelope, urgent bool) error {
	id := e.Source.Job(e.Jobs[0].Contact)
	if !urgent || len(e.Jobs) != 1 {
		m.t.Fatalf("released %+v, urgent %t", e, urgent)
	}
	if r := e.Jobs[0]; !r.Ends.IsZero() && !r.Ends.After(time.Now()) {
		m.t.Fatalf("%s was released after its end", id)
	}
	m.tasks = append(m.tasks, task{id, e.Jobs[0]})
	return nil
}

// Commit decides by compare-and-set.
func (m *errands) Commit(_ context.Context, _ ledger.Priority, entries []*ledger.Append) {
	for _, e := range entries {
		e.Err = ledger.ErrConflict
		if seq, ok := m.write(e.ID, e.Record); ok {
			e.Written, e.Err = seq, nil
		}
	}
}

func (m *errands) write(id job.ID, r ledger.Record) (uint64, bool) {
	prev := m.last[id]
	if prev.Seq != r.Prev {
		return 0, false
	}
	if err := ledger.CheckNext(id.Source, prev, r); err != nil {
		m.t.Fatalf("%s: %v", id, err)
	}
	e := ledger.Entry{ID: id, Seq: uint64(len(m.log) + 1), Record: r}
	m.log, m.last[id] = append(m.log, e), e
	if r.State == job.Sent {
		m.sent[id]++
	}
	return e.Seq, true
}

// start begins anew from what the ledger says, as a new leader does.
func (m *errands) start() {
	m.lane, _ = laneOf(10, 1, false)
	m.lane.cfg.Queue, m.lane.cfg.Commits = m, m
	for f, s := range m.state {
		m.lane.SetFlow(f, s)
	}
	open := map[job.ID]Standing{}
	for _, e := range m.log {
		Stand(open, e)
	}
	m.lane.Adopt("202611", 0, uint64(len(m.log)), open)
}

// work lets a worker do something with a task, which need not be its newest.
func (m *errands) work(k task, what string) {
	end := map[string]ledger.Record{
		"send": {State: job.Sent}, "fail": {State: job.Failed, Reason: reason.PlatformRejected}, "retry": {State: job.Pending, Until: time.Now().Add(time.Second)},
		"hold again": {State: job.Held, Until: time.Now().Add(time.Second), Reason: reason.QuietHours}, "expire": {State: job.Expired, Reason: reason.Expired},
	}[what]
	switch what {
	case "give back":
		m.lane.GivenBack(k.id.Source, []job.Ref{k.ref}, time.Now().Add(time.Second))
		return
	case "hold":
		m.write(k.id, ledger.Record{State: job.Held, From: job.Pending, Prev: k.ref.Seq, Attempt: k.ref.Attempt, Reason: reason.QuietHours, Until: time.Now().Add(2 * time.Second)})
		return
	}
	seq, ok := m.write(k.id, ledger.Record{State: job.Claimed, From: job.Pending, Prev: k.ref.Seq, Attempt: k.ref.Attempt + 1, Deadline: 6 * time.Second})
	if !ok || what == "crash" {
		return
	}
	end.From, end.Prev, end.Attempt = job.Claimed, seq, k.ref.Attempt+1
	m.write(k.id, end)
}

// check holds the lane's memory against the ledger.
func (m *errands) check() {
	r := &m.lane.rush
	idle, envelopes := 0, 0
	places := map[job.ID]int{}
	for _, g := range r.turns {
		for i, s := range g.ready.list {
			if places[s.id]++; s.held || s.waits != i || s.out != nil {
				m.t.Fatalf("ready at %d: %+v", i, s)
			}
		}
		for i, s := range g.held.list {
			if places[s.id]++; !s.held || s.waits != i || s.out != nil {
				m.t.Fatalf("held at %d: %+v", i, s)
			}
		}
		for i, s := range g.endings.list {
			if s.expires != i || s.out != nil {
				m.t.Fatalf("ending at %d: %+v", i, s)
			}
		}
		for id, s := range g.out {
			if places[id]++; s.out.claimed == 0 && !s.away {
				idle++
			}
			if p := s.out.parcel; p != nil && !p.uncounted {
				envelopes++
			}
		}
	}
	if idle != r.idle || envelopes != m.lane.seat.out || envelopes != m.lane.seat.urgent {
		m.t.Fatalf("%d are out unclaimed, counted as %d; %d envelopes, counted as %d and %d", idle, r.idle, envelopes, m.lane.seat.out, m.lane.seat.urgent)
	}
	for id, e := range m.last {
		s := r.jobs[id]
		if open := !e.Record.State.Ended(); open != (s != nil) || open && places[id] != 1 || !open && places[id] != 0 {
			m.t.Fatalf("%s is %s in the ledger and stands in %d places", id, e.Record.State, places[id])
		}
		if s != nil && (e.Record.State == job.Claimed) != (s.out != nil && s.out.claimed != 0) {
			m.t.Fatalf("%s is %s in the ledger, out as %+v", id, e.Record.State, s.out)
		}
	}
}

// TestEveryFlowJobIsInOnePlace lets anything happen to the jobs of two flows,
// and then lets all of them come to an end: none twice, none after its end.
func TestEveryFlowJobIsInOnePlace(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var failed any
		synctest.Test(t, func(t *testing.T) {
			defer func() { failed = recover() }()
			liveErrands(t.Context(), rt)
		})
		if failed != nil {
			panic(failed)
		}
	})
}

func liveErrands(ctx context.Context, rt *rapid.T) {
	m := &errands{
		model: &model{t: rt}, last: map[job.ID]ledger.Entry{}, sent: map[job.ID]int{},
		state: map[string]FlowState{"order": FlowRunning, "cart": FlowRunning},
	}
	m.start()
	jobs := rapid.IntRange(1, 20).Draw(rt, "jobs")
	id := func() job.ID {
		return step(rapid.SampledFrom([]string{"order", "cart"}).Draw(rt, "flow"), rapid.IntRange(0, jobs-1).Draw(rt, "job"))
	}
	for range rapid.IntRange(1, 80).Draw(rt, "steps") {
		switch rapid.IntRange(0, 11).Draw(rt, "what") {
		case 0, 1:
			time.Sleep(time.Duration(rapid.IntRange(1, 3000).Draw(rt, "ms")) * time.Millisecond)
			m.lane.step(ctx)
		case 2, 3, 4:
			r := ledger.Record{State: job.Pending, From: job.Pending, Planned: true}
			if rapid.Bool().Draw(rt, "ends") {
				r.Expires = time.Now().Add(time.Duration(rapid.IntRange(1, 60).Draw(rt, "after")) * time.Second)
			}
			m.write(id(), r)
		case 5, 6, 7:
			if len(m.tasks) > 0 {
				m.work(rapid.SampledFrom(m.tasks).Draw(rt, "task"),
					rapid.SampledFrom([]string{"send", "fail", "retry", "give back", "hold", "hold again", "expire", "crash"}).Draw(rt, "worker"))
			}
		case 8:
			m.catchUp(rapid.IntRange(1, 10).Draw(rt, "records"))
		case 9:
			f := rapid.SampledFrom([]string{"order", "cart"}).Draw(rt, "of")
			m.state[f] = rapid.SampledFrom([]FlowState{FlowRunning, FlowPaused, FlowRunning, FlowClosed}).Draw(rt, "state")
			m.lane.SetFlow(f, m.state[f])
		case 10:
			m.lane.Again()
		case 11:
			if rapid.Bool().Draw(rt, "restart") {
				m.start() // the tally still tells what was read
			} else if e := m.last[id()]; e.Record.State.Dead() {
				m.write(e.ID, ledger.Record{State: job.Pending, From: e.Record.State, Prev: e.Seq, Expires: time.Now().Add(time.Minute)})
			}
		}
	}
	m.catchUp(len(m.log))
	m.check()
	m.drain(ctx)
}

func (m *errands) drain(ctx context.Context) {
	for f, s := range m.state {
		if s == FlowPaused {
			m.lane.SetFlow(f, FlowRunning)
		}
	}
	for range 200 {
		m.tasks = nil
		time.Sleep(time.Second)
		m.lane.step(ctx)
		m.catchUp(len(m.log))
		for _, k := range slices.Clone(m.tasks) {
			m.work(k, "send")
		}
		m.catchUp(len(m.log))
		m.check()
		if len(m.lane.rush.jobs) == 0 {
			break
		}
	}
	for id, e := range m.last {
		if !e.Record.State.Ended() || m.sent[id] > 1 {
			m.t.Fatalf("%s is %s, sent %d times; %+v", id, e.Record.State, m.sent[id], m.lane.Load())
		}
	}
	if n := m.lane.seat.out + m.lane.seat.urgent + m.lane.rush.idle; n != 0 {
		m.t.Fatalf("%d are still counted as out", n)
	}
}
