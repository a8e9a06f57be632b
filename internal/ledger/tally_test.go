package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// listener keeps what a tally told it, and refuses a record when asked to.
type listener struct {
	mu     sync.Mutex
	heard  []Entry
	refuse func(Entry) error
}

func (l *listener) Recorded(_ context.Context, e Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse != nil {
		if err := l.refuse(e); err != nil {
			return err
		}
	}
	l.heard = append(l.heard, e)
	return nil
}

func (l *listener) seqs(stream string, h house) []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []uint64
	for _, e := range l.heard {
		if h.names.Ledger(e.ID.Month, e.ID.Part) == stream {
			out = append(out, e.Seq)
		}
	}
	return out
}

// running is a tally at work, until stop or the end of the test.
type running struct {
	*Tally
	stop func() error
}

func (h house) tally(t *testing.T, l *listener, flush func(context.Context) error) running {
	t.Helper()
	tally, err := OpenTally(t.Context(), h.ledger, h.names, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	led, ended := tally.Lead(ctx, flush, l), make(chan error, 1)
	go func() { ended <- tally.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return errors.Join(<-led, <-ended) })
	t.Cleanup(func() { _ = stop() })
	return running{tally, stop}
}

func (r running) caughtUp(t *testing.T) {
	t.Helper()
	if err := r.CatchUpAll(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// recount counts a source from the ledger, by what each job is at last.
func (h house) recount(t *testing.T, s job.Source) Counts {
	t.Helper()
	lasts, all := map[job.Key]Record{}, NewCounts()
	for _, e := range h.records(t, s) {
		lasts[e.ID.Contact] = e.Record
		all.Seq, all.LastAt = e.Seq, e.Record.At
	}
	for _, r := range lasts {
		all.States[r.State]++
		if r.Reason != "" && r.State != job.Pending && r.State != job.Claimed {
			if all.Reasons[string(r.State)] == nil {
				all.Reasons[string(r.State)] = map[reason.Code]int{}
			}
			all.Reasons[string(r.State)][r.Reason]++
		}
	}
	return all
}

// live draws legal moves of a few jobs and writes them.
func live(t *testing.T, rt *rapid.T, c *Committer, s job.Source, at []Entry) {
	for range rapid.IntRange(1, 25).Draw(rt, "moves") {
		i := rapid.IntRange(0, len(at)-1).Draw(rt, "job")
		from := at[i].Record.State
		if from == "" {
			from = job.Pending
		}
		next := slices.DeleteFunc(job.Moves(from), func(to job.State) bool { return at[i].Seq == 0 && to == job.Sent })
		discard := from.Dead() && rapid.Bool().Draw(rt, "discard")
		if len(next) == 0 {
			continue
		}
		to := rapid.SampledFrom(next).Draw(rt, "to")
		if discard {
			to = from
		}
		a := move(s, i, at[i], to)
		a.Record.Discarded = discard
		a.Record.Reason = rapid.SampledFrom([]reason.Code{"", reason.OptedOut, reason.RateCapped}).Draw(rt, "reason")
		if discard {
			a.Record.Reason = at[i].Record.Reason
		}
		if err := CheckNext(s, at[i], a.Record); err != nil {
			rt.Fatal(err)
		}
		commit(t, c, a)
		at[i] = Entry{ID: a.ID, Seq: a.Written, Record: a.Record}
	}
}

// Whatever happens to the jobs of a source, the running counts are those of a
// full count: P1 in small.
func TestTallyEqualsARecount(t *testing.T) {
	t.Parallel()
	h := open(t)
	c := h.committer(t)
	tally := h.tally(t, &listener{}, nil)
	rapid.Check(t, func(rt *rapid.T) {
		s := source()
		at := make([]Entry, 5)
		for range 2 {
			live(t, rt, c, s, at)
			if err := tally.CatchUp(t.Context(), s); err != nil {
				rt.Fatal(err)
			}
			got, pos := tally.At(s)
			if diff := cmp.Diff(h.recount(t, s), got); diff != "" {
				rt.Fatalf("recounted (-) and counted (+):\n%s", diff)
			}
			if pos < got.Seq || got.Total() != distinct(at) || !cmp.Equal(got, tally.Of(s)) {
				rt.Fatalf("%+v at %d, total %d", got, pos, got.Total())
			}
		}
	})
}

func distinct(at []Entry) int {
	n := 0
	for _, e := range at {
		if e.Seq > 0 {
			n++
		}
	}
	return n
}

func TestTallyGoesOnFromItsCheckpoint(t *testing.T) {
	h := open(t)
	c, a, b := h.committer(t), source(), source()
	first := &listener{}
	tally := h.tally(t, first, nil)
	lifeOf(t, c, a, 0, job.Claimed, job.Sent)
	lifeOf(t, c, b, 0, job.Blocked)
	tally.caughtUp(t)
	if err := tally.stop(); err != nil {
		t.Fatal(err)
	}
	lifeOf(t, c, a, 1, job.Claimed, job.Failed)

	second := &listener{}
	tally = h.tally(t, second, nil)
	tally.caughtUp(t)
	for _, s := range []job.Source{a, b} {
		if diff := cmp.Diff(h.recount(t, s), tally.Of(s)); diff != "" {
			t.Errorf("recounted (-) and counted (+):\n%s", diff)
		}
	}
	if got := second.seqs(h.names.Ledger(month, 0), h); !slices.Equal(got, []uint64{4, 5}) {
		t.Errorf("the second run was told of %v, want 4 and 5 only", got)
	}
}

// A crash between the counts and the checkpoint leaves counts that are ahead:
// nothing is counted twice, and the watchers are told again.
func TestTallyCountsThatAreAhead(t *testing.T) {
	h := open(t)
	c, s := h.committer(t), source()
	tally := h.tally(t, &listener{}, nil)
	lifeOf(t, c, s, 0, job.Claimed, job.Sent, job.Delivered)
	lifeOf(t, c, s, 1, job.Held)
	tally.caughtUp(t)
	if err := tally.stop(); err != nil {
		t.Fatal(err)
	}
	name := h.names.Ledger(month, 0)
	data, err := json.Marshal(map[string]uint64{name: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tally.kv.Put(t.Context(), checkpointKey, data); err != nil {
		t.Fatal(err)
	}
	again := &listener{}
	tally = h.tally(t, again, nil)
	tally.caughtUp(t)
	if diff := cmp.Diff(h.recount(t, s), tally.Of(s)); diff != "" {
		t.Errorf("recounted (-) and counted (+):\n%s", diff)
	}
	if got := again.seqs(name, h); !slices.Equal(got, []uint64{3, 4}) {
		t.Errorf("told of %v, want 3 and 4", got)
	}
}

// Watchers hear of every record of a stream in its order, of streams that
// appear later too.
func TestTallyTellsInOrder(t *testing.T) {
	t.Parallel()
	h := open(t)
	c, l := h.committer(t), &listener{}
	tally := h.tally(t, l, nil)
	commit(t, c, claims(source(), 0, 300)...)
	tally.caughtUp(t)
	later := source()
	later.Part = 1
	if err := h.ledger.Ensure(t.Context(), month, 1); err != nil {
		t.Fatal(err)
	}
	commit(t, c, claims(later, 0, 20)...)
	commit(t, c, claims(source(), 0, 20)...)
	if err := tally.CatchUp(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	tally.caughtUp(t)
	for part, n := range []uint64{320, 20} {
		var want []uint64
		for i := range n {
			want = append(want, i+1)
		}
		if got := l.seqs(h.names.Ledger(month, part), h); !slices.Equal(got, want) {
			t.Errorf("part %d: told of %v, want 1 to %d", part, got, n)
		}
	}
	if got := tally.Of(later).States[job.Claimed]; got != 20 {
		t.Errorf("%d claimed in the later stream, want 20", got)
	}
}

// What a watcher could not keep is told again by the next run: the checkpoint
// stops before it, whatever came behind it.
func TestTallyStopsAtARefusedRecord(t *testing.T) {
	h := open(t)
	c, s := h.committer(t), source()
	no := errors.New("no")
	l := &listener{refuse: func(e Entry) error {
		if e.Seq == 150 {
			return no
		}
		return nil
	}}
	commit(t, c, claims(s, 0, 300)...)
	tally, err := OpenTally(t.Context(), h.ledger, h.names, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	led, ended := tally.Lead(ctx, nil, l), make(chan error, 1)
	go func() { ended <- tally.Run(ctx) }()
	if err := <-led; !errors.Is(err, no) {
		t.Fatalf("Lead: %v, want the watcher's error", err)
	}
	if err := tally.CatchUpAll(ctx); err != nil || tally.Of(s).Total() != 300 {
		t.Errorf("it counts no more: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	name := h.names.Ledger(month, 0)
	if got := l.seqs(name, h); got[len(got)-1] != 149 {
		t.Errorf("told of %d behind the refused one", got[len(got)-1])
	}
	again := &listener{}
	next := h.tally(t, again, nil)
	next.caughtUp(t)
	if got := again.seqs(name, h); got[0] != 150 || len(got) != 151 {
		t.Errorf("told of %d records from %d on, want 151 from 150 on", len(got), got[0])
	}
	if diff := cmp.Diff(h.recount(t, s), next.Of(s)); diff != "" {
		t.Errorf("recounted (-) and counted (+):\n%s", diff)
	}
}

// The checkpoint never moves past what a watcher has not made durable.
func TestTallyFlushesBeforeItsCheckpoint(t *testing.T) {
	t.Parallel()
	h := open(t)
	c, l := h.committer(t), &listener{}
	commit(t, c, claims(source(), 0, 5)...)
	tally := h.tally(t, l, func(context.Context) error { return errors.New("disk full") })
	tally.caughtUp(t)
	if err := tally.stop(); err != nil {
		t.Fatal(err)
	}
	again, flushed := &listener{}, make(chan int, 1000) // never full: a flush must not block
	tally = h.tally(t, again, func(context.Context) error { flushed <- len(again.heard); return nil })
	tally.caughtUp(t)
	if got := again.seqs(h.names.Ledger(month, 0), h); len(got) != 5 {
		t.Errorf("told of %v, want all 5 again", got)
	}
	for n := 0; n != 5; { // an earlier one may have come between two records
		n = received(t, "a flush with all 5", flushed)
	}
}

func TestWaitIdle(t *testing.T) {
	h := open(t)
	c, s := h.committer(t), source()
	tally := h.tally(t, &listener{}, nil)
	if err := tally.WaitIdle(t.Context(), s); err != nil {
		t.Errorf("of a source without records: %v", err)
	}
	at := lifeOf(t, c, s, 0, job.Claimed)
	lifeOf(t, c, s, 1, job.Claimed, job.Sent)
	tally.caughtUp(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tally.WaitIdle(ctx, s); !errors.Is(err, context.Canceled) {
		t.Errorf("with a claim open: %v", err)
	}
	idle := make(chan error, 1)
	go func() { idle <- tally.WaitIdle(t.Context(), s) }()
	commit(t, c, move(s, 0, at[0], job.Unknown))
	if err := received(t, "the source is idle", idle); err != nil {
		t.Error(err)
	}
}

func TestCatchUpOfNoLedger(t *testing.T) {
	h := open(t)
	tally := h.tally(t, &listener{}, nil)
	if err := tally.CatchUp(t.Context(), job.Source{Month: "202701", Sender: "bakery", Name: "x"}); err == nil {
		t.Error("no error")
	}
}

func TestCloneSharesNothing(t *testing.T) {
	c := NewCounts()
	c.Add(Entry{Seq: 1, Record: Record{State: job.Blocked, Reason: reason.OptedOut}})
	d := c.Clone()
	d.Add(Entry{Seq: 2, Record: Record{State: job.Blocked, Reason: reason.OptedOut}})
	if c.States[job.Blocked] != 1 || c.Reasons["blocked"][reason.OptedOut] != 1 || c.Seq != 1 || c.Total() != 1 {
		t.Errorf("the original changed: %+v", c)
	}
	if !maps.Equal(d.States, map[job.State]int{job.Blocked: 2}) {
		t.Errorf("the copy: %+v", d)
	}
}

// Names of sources may hold what a bucket's keys may not.
func TestSourceKeysDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"a-1", "a~1", "a~~1", "a~-1"} {
		k := sourceKey(job.Source{Month: month, Sender: "bakery", Name: name})
		if other, twice := seen[k]; twice {
			t.Errorf("%s and %s share the key %s", name, other, k)
		}
		seen[k] = name
	}
}

// Of two tallies that both believe to lead, one of yesterday, neither undoes
// what the other stored, in whatever order they store it.
func TestStaleLeaderUndoesNothing(t *testing.T) {
	t.Parallel()
	h := open(t)
	c, s := h.committer(t), source()
	commit(t, c, claims(s, 0, 10)...)
	first := h.tally(t, &listener{}, nil)
	first.caughtUp(t)
	if err := first.stop(); err != nil { // it stored 10
		t.Fatal(err)
	}
	stale := round{Tally: first.Tally, lead: &lead{}, told: map[string]uint64{h.names.Ledger(month, 0): 10}}
	yesterday := stale.changedAs(s)

	commit(t, c, claims(s, 10, 30)...)
	second := h.tally(t, &listener{}, nil)
	second.caughtUp(t)
	if err := second.stop(); err != nil { // it stored 30
		t.Fatal(err)
	}
	if err := stale.write(t.Context(), []savedCounts{yesterday}, stale.told); err != nil {
		t.Fatal(err)
	}
	third, err := OpenTally(t.Context(), h.ledger, h.names, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if got := third.seen[h.names.Ledger(month, 0)]; got != 30 {
		t.Errorf("the checkpoint went back to %d", got)
	}
	if diff := cmp.Diff(h.recount(t, s), third.Of(s)); diff != "" {
		t.Errorf("recounted (-) and stored (+):\n%s", diff)
	}

	commit(t, c, claims(s, 30, 35)...) // and who is behind may still go ahead
	if err := stale.write(t.Context(), []savedCounts{{s, h.recount(t, s)}}, map[string]uint64{h.names.Ledger(month, 0): 35}); err != nil {
		t.Fatal(err)
	}
	if cp, err := third.checkpoint(t.Context()); err != nil || cp[h.names.Ledger(month, 0)] != 35 {
		t.Errorf("%v, %v", cp, err)
	}
}

// changedAs returns a source's counts as this tally has them.
func (r *round) changedAs(s job.Source) savedCounts { return savedCounts{s, r.Of(s)} }

// Who follows counts all the same, tells nobody, and stores nothing; when it
// begins to lead its watchers hear of everything after the checkpoint.
func TestFollowerBeginsToLead(t *testing.T) {
	t.Parallel()
	h := open(t)
	c, s := h.committer(t), source()
	commit(t, c, claims(s, 0, 10)...)
	leader := h.tally(t, &listener{}, nil)
	leader.caughtUp(t)
	if err := leader.stop(); err != nil {
		t.Fatal(err)
	}
	follower, err := OpenTally(t.Context(), h.ledger, h.names, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- follower.Run(ctx) }()
	commit(t, c, claims(s, 10, 20)...)
	if err := follower.CatchUpAll(t.Context()); err != nil || follower.Of(s).Total() != 20 {
		t.Fatalf("it counts %d, %v", follower.Of(s).Total(), err)
	}
	if cp, err := follower.checkpoint(t.Context()); err != nil || cp[h.names.Ledger(month, 0)] != 10 {
		t.Errorf("a follower moved the checkpoint: %v, %v", cp, err)
	}
	l := &listener{}
	term, end := context.WithCancel(ctx)
	led := follower.Lead(term, nil, l)
	commit(t, c, claims(s, 20, 21)...)
	eventually(t, "the watcher hears of 11", func() bool { return len(l.seqs(h.names.Ledger(month, 0), h)) == 11 })
	if got := l.seqs(h.names.Ledger(month, 0), h); got[0] != 11 || got[10] != 21 {
		t.Errorf("told of %v, want 11 to 21", got)
	}
	end()
	if err := <-led; err != nil {
		t.Error(err)
	}
	if cp, err := follower.checkpoint(t.Context()); err != nil || cp[h.names.Ledger(month, 0)] != 21 {
		t.Errorf("what it was told last is not in the checkpoint: %v, %v", cp, err)
	}
	commit(t, c, claims(s, 21, 22)...)
	if err := follower.CatchUpAll(t.Context()); err != nil || follower.Of(s).Total() != 22 {
		t.Errorf("it counts no more: %d, %v", follower.Of(s).Total(), err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A follower that is behind the checkpoint when it begins to lead counts what
// it has not seen yet, and does not store less than was there.
func TestFollowerBehindBeginsToLead(t *testing.T) {
	t.Parallel()
	h := open(t)
	c, s := h.committer(t), source()
	behind, err := OpenTally(t.Context(), h.ledger, h.names, quiet()) // has read nothing yet
	if err != nil {
		t.Fatal(err)
	}
	leader := h.tally(t, &listener{}, nil)
	commit(t, c, claims(s, 0, 10)...)
	leader.caughtUp(t)
	if err := leader.stop(); err != nil { // it stored 10
		t.Fatal(err)
	}
	commit(t, c, claims(s, 10, 12)...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l := &listener{}
	led, ended := behind.Lead(ctx, nil, l), make(chan error, 1)
	go func() { ended <- behind.Run(ctx) }()
	if err := behind.CatchUp(t.Context(), s); err != nil || behind.Of(s).Total() != 12 {
		t.Errorf("it counts %d of 12, %v", behind.Of(s).Total(), err)
	}
	if err := behind.Stored(t.Context()); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := errors.Join(<-led, <-ended); err != nil {
		t.Error(err)
	}
	again, err := OpenTally(t.Context(), h.ledger, h.names, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h.recount(t, s), again.Of(s)); diff != "" {
		t.Errorf("recounted (-) and stored (+):\n%s", diff)
	}
}

// Stored waits for the checkpoint, whoever keeps it.
func TestStoredWaitsForTheCheckpoint(t *testing.T) {
	t.Parallel()
	h := open(t)
	c, s := h.committer(t), source()
	hold := make(chan struct{})
	leader := h.tally(t, &listener{}, func(ctx context.Context) error {
		select {
		case <-hold:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	follower, err := OpenTally(t.Context(), h.ledger, h.names, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- follower.Run(ctx) }()
	commit(t, c, claims(s, 0, 3)...)
	leader.caughtUp(t)
	stored := make(chan error, 1)
	go func() { stored <- follower.Stored(t.Context()) }()
	if err := follower.CatchUpAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-stored:
		t.Errorf("it does not wait: %v", err)
	default:
	}
	close(hold)
	if err := received(t, "the checkpoint is seen", stored); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestTallyOfAFlow asserts that the jobs of a flow are counted together, one
// source each as they are, by month, part and sender, and again after a start
// from the checkpoint.
func TestTallyOfAFlow(t *testing.T) {
	t.Parallel()
	h := open(t)
	c := h.committer(t)
	tally := h.tally(t, &listener{}, nil)
	flow := source()
	id := flow.Name
	var steps []Entry
	for i := range 3 {
		s := flow
		s.Name = id + "~run" + name(i) + "~1-2-1-0"
		a := move(s, i, Entry{}, job.Pending)
		a.Record.Planned = true
		commit(t, c, a)
		steps = append(steps, Entry{ID: a.ID, Seq: a.Written, Record: a.Record})
	}
	other := flow
	other.Sender = "florist"
	other.Name = id + "~run~1-2-1-0"
	commit(t, c, move(other, 0, Entry{}, job.Pending))
	claimed := claim(steps[0].ID.Source, 0, steps[0].Seq)
	commit(t, c, claimed)
	blocked := move(steps[1].ID.Source, 1, steps[1], job.Blocked)
	blocked.Record.Reason = reason.OptedOut
	commit(t, c, blocked)
	check := func(tally *Tally) {
		t.Helper()
		got := tally.Of(steps[2].ID.Source)
		want := map[job.State]int{job.Pending: 1, job.Claimed: 1, job.Blocked: 1}
		if !maps.Equal(got.States, want) || got.Reasons["blocked"][reason.OptedOut] != 1 {
			t.Errorf("the flow's counts: %+v", got)
		}
		if at, _ := tally.At(flow); !maps.Equal(at.States, want) {
			t.Errorf("the whole's counts: %+v", at)
		}
		if all := tally.OfFlow(id); len(all) != 2 || !maps.Equal(all[flow].States, want) || all[other.Whole()].States[job.Pending] != 1 {
			t.Errorf("by sender: %+v", all)
		}
		if open := tally.OpenFlows(); !slices.Contains(open, flow) || !slices.Contains(open, other.Whole()) {
			t.Errorf("open: %v", open)
		}
	}
	if err := tally.CatchUp(t.Context(), steps[0].ID.Source); err != nil {
		t.Fatal(err)
	}
	check(tally.Tally)
	if err := tally.stop(); err != nil {
		t.Fatal(err)
	}
	again := h.tally(t, &listener{}, nil)
	again.caughtUp(t)
	check(again.Tally)
	done := move(claimed.ID.Source, 0, Entry{ID: claimed.ID, Seq: claimed.Written, Record: claimed.Record}, job.Sent)
	commit(t, c, done)
	if err := again.WaitIdle(t.Context(), flow); err != nil {
		t.Fatal(err)
	}
}
