package lane

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// model is a lane with a ledger that decides by compare-and-set, workers that
// do anything they may do with any task they ever got, and a tally that may be
// behind.
type model struct {
	t       *rapid.T
	lane    *Lane
	source  job.Source
	members audience
	last    map[job.Key]ledger.Entry
	log     []ledger.Entry
	told    int // of the log
	tasks   []job.Ref
	sent    map[job.Key]int
}

func (m *model) Enqueue(_ context.Context, e job.Envelope, _ bool) error {
	if e.Source != m.source || len(e.Jobs) == 0 || len(e.Jobs) > 5 {
		m.t.Fatalf("released %+v", e)
	}
	m.tasks = append(m.tasks, e.Jobs...)
	return nil
}

func (m *model) Commit(_ context.Context, _ ledger.Priority, entries []*ledger.Append) {
	for _, e := range entries {
		e.Err = ledger.ErrConflict
		if seq, ok := m.write(e.ID.Contact, e.Record); ok {
			e.Written, e.Err = seq, nil
		}
	}
}

func (m *model) write(k job.Key, r ledger.Record) (uint64, bool) {
	prev := m.last[k]
	if prev.Seq != r.Prev {
		return 0, false
	}
	if err := ledger.CheckNext(m.source, prev, r); err != nil {
		m.t.Fatalf("%v", err)
	}
	e := ledger.Entry{ID: m.source.Job(k), Seq: uint64(len(m.log) + 1), Record: r}
	m.log, m.last[k] = append(m.log, e), e
	if r.State == job.Sent {
		m.sent[k]++
	}
	return e.Seq, true
}

func (m *model) catchUp(n int) {
	for ; n > 0 && m.told < len(m.log); n-- {
		m.lane.Recorded(m.log[m.told])
		m.told++
	}
}

func (m *model) start() {
	m.lane, _ = laneOf(10, 1, false)
	m.lane.cfg.Queue, m.lane.cfg.Commits = m, m
	m.lane.Add(m.source, "", m.members, 0)
	found, err := Find(func(fn func(ledger.Entry) error) error {
		for _, e := range m.log {
			if err := fn(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.lane.Start(m.source, found)
}

// work lets a worker do something with a task, which need not be its newest.
func (m *model) work(r job.Ref, what string) {
	k := r.Contact
	claimed := func() (uint64, bool) {
		return m.write(k, ledger.Record{State: job.Claimed, From: job.Pending, Prev: r.Seq, Attempt: r.Attempt + 1, Deadline: 6 * time.Second})
	}
	ends := map[string]ledger.Record{
		"send": {State: job.Sent}, "fail": {State: job.Failed, Reason: reason.PlatformRejected}, "retry": {State: job.Pending, Until: time.Now().Add(time.Second)},
		"hold again": {State: job.Held, Until: time.Now().Add(time.Second), Reason: reason.QuietHours},
	}
	switch what {
	case "give back":
		m.lane.GivenBack(m.source, []job.Ref{r}, time.Now().Add(time.Second))
	case "hold":
		m.write(k, ledger.Record{State: job.Held, From: job.Pending, Prev: r.Seq, Attempt: r.Attempt, Reason: reason.QuietHours, Until: time.Now().Add(2 * time.Second)})
	case "block":
		m.write(k, ledger.Record{State: job.Blocked, From: job.Pending, Prev: r.Seq, Reason: reason.OptedOut})
	case "crash":
		claimed()
	default:
		if seq, ok := claimed(); ok {
			end := ends[what]
			end.From, end.Prev, end.Attempt = job.Claimed, seq, r.Attempt+1
			m.write(k, end)
		}
	}
}

// check holds the lane's memory against the ledger: once it has heard all,
// every member is in exactly one place, and it is the right one.
func (m *model) check() {
	f := m.lane.find(m.source)
	places := map[job.Key][]string{}
	add := func(k job.Key, p string) { places[k] = append(places[k], p) }
	for i := f.index; i*m.members.chunk < m.members.n; i++ {
		keys, _ := m.members.Chunk(context.Background(), i)
		for _, k := range keys {
			if !f.recordedBefore(k) {
				add(k, "not yet released")
			}
		}
	}
	for _, k := range f.chunk[min(f.next, len(f.chunk)):] {
		if !f.recordedBefore(k) {
			add(k, "not yet released")
		}
	}
	for _, it := range f.ready {
		add(it.ref.Contact, "ready")
	}
	for _, it := range f.held {
		add(it.ref.Contact, "held")
	}
	idle := 0
	for k, o := range f.out {
		add(k, "out")
		if o.claimed == 0 {
			idle++
		}
	}
	if idle != f.idle {
		m.t.Fatalf("%d are out unclaimed, counted as %d", idle, f.idle)
	}
	envelopes := 0
	for p := range f.parcels() {
		if !p.uncounted {
			envelopes++
		}
	}
	if got := m.lane.seat.out; got != envelopes || m.lane.seat.granted {
		m.t.Fatalf("%d envelopes are out, and the share counts %d", envelopes, got)
	}
	for i := range m.members.n {
		k := key(i)
		state := m.last[k].Record.State
		ended := state.Ended()
		if got := places[k]; ended && len(got) != 0 || !ended && len(got) != 1 {
			m.t.Fatalf("contact %d is %q in the ledger and stands in %q", i, state, got)
		}
		if o := f.out[k]; (state == job.Claimed) != (o != nil && o.claimed != 0) {
			m.t.Fatalf("contact %d is %q in the ledger, out as %+v", i, state, o)
		}
	}
}

func TestEveryMemberIsInOnePlace(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var failed any // a bubble has a goroutine of its own; rapid wants its panic in this one
		synctest.Test(t, func(t *testing.T) {
			defer func() { failed = recover() }()
			live(t.Context(), rt)
		})
		if failed != nil {
			panic(failed)
		}
	})
}

// live lets anything happen to a lane, and then lets it come to its end.
func live(ctx context.Context, rt *rapid.T) {
	m := &model{t: rt, source: source("spring"), members: people(rapid.IntRange(1, 25).Draw(rt, "members")), last: map[job.Key]ledger.Entry{}, sent: map[job.Key]int{}}
	m.start()
	for range rapid.IntRange(1, 60).Draw(rt, "steps") {
		switch rapid.IntRange(0, 9).Draw(rt, "what") {
		case 0, 1, 2:
			time.Sleep(time.Duration(rapid.IntRange(1, 3000).Draw(rt, "ms")) * time.Millisecond)
			m.lane.step(ctx)
		case 3, 4, 5:
			if len(m.tasks) > 0 {
				what := rapid.SampledFrom([]string{"send", "fail", "retry", "give back", "hold", "hold again", "block", "crash"}).Draw(rt, "worker")
				m.work(rapid.SampledFrom(m.tasks).Draw(rt, "task"), what)
			}
		case 6:
			m.catchUp(rapid.IntRange(1, 10).Draw(rt, "records"))
		case 7:
			m.lane.Again()
		case 8:
			time.Sleep(repair)
		case 9:
			if rapid.Bool().Draw(rt, "restart") {
				m.start() // the tally still tells what was read
			} else if k := key(rapid.IntRange(0, m.members.n-1).Draw(rt, "redriven")); m.last[k].Record.State.Dead() {
				e := m.last[k]
				m.write(k, ledger.Record{State: job.Pending, From: e.Record.State, Prev: e.Seq})
			}
		}
	}
	m.catchUp(len(m.log))
	m.check()
	m.drain(ctx)
}

// drain lets workers send everything, and expects the lane to come to an end.
func (m *model) drain(ctx context.Context) {
	for range 200 {
		m.tasks = nil
		time.Sleep(time.Second)
		m.lane.step(ctx)
		m.catchUp(len(m.log))
		for _, r := range slices.Clone(m.tasks) {
			m.work(r, "send")
		}
		m.catchUp(len(m.log))
		m.check()
		if m.lane.Drained(m.source) {
			break
		}
	}
	for i := range m.members.n {
		if k := key(i); !m.last[k].Record.State.Ended() || m.sent[k] > 1 {
			m.t.Fatalf("contact %d is %q, sent %d times; %+v", i, m.last[k].Record.State, m.sent[k], m.lane.Load())
		}
	}
}
