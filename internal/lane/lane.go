// Package lane paces one sender: it releases jobs to the workers as fast as
// the sender's rate will let them through, and no faster, so that queues stay
// short and pause and cancel work at once. It watches what it released, and
// releases again what nobody recorded. Its pace is a courtesy to the workers;
// the hard limit is the gate's.
//
// What the workers can do is divided among all lanes by a Share. A lane whose
// sender leaves workers hanging, or sends its messages back, falls to a
// trickle until the sender answers again.
package lane

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Queue hands an envelope to the workers.
type Queue interface {
	Enqueue(ctx context.Context, e job.Envelope, urgent bool) error
}

// Committer writes ledger records.
type Committer interface {
	Commit(ctx context.Context, p ledger.Priority, entries []*ledger.Append)
}

// Config is what a lane works with.
type Config struct {
	Queue   Queue
	Commits Committer
	Share   *Share
	Log     *slog.Logger
	Repair  time.Duration   // what was released longer ago and has no record is released again
	Margin  time.Duration   // beyond a claim's deadline, before it is called unknown
	Lease   time.Duration   // what was released longer ago takes no worker's room any more
	Kill    *killpoint.Plan // nil: at no point
}

// ahead is how far ahead of their moment jobs are released: less than a
// worker waits for a slot (gate.MaxWait), so that hardly any come back.
const ahead = 800 * time.Millisecond

// Horizon is how long after its release a job may still wait for its turn.
const Horizon = 2 * time.Second

// idle is how long a lane without anything due sleeps at the most.
const idle = time.Second

// asleep is how long a lane without any source sleeps unless it is woken:
// thousands of senders that send nothing cost nothing.
const asleep = time.Hour

// maxDue is how many held jobs of a source become pending in one sweep.
const maxDue = 1000

// sweepEvery is how often a lane looks through everything that is out.
const sweepEvery = 200 * time.Millisecond

// retryQueue is how long a lane waits after the queue refused an envelope.
const retryQueue = 500 * time.Millisecond

// writer is who the records are by that a lane writes.
const writer = "lane"

// Lane paces one sender.
type Lane struct {
	cfg    Config
	sender string
	wake   chan struct{}
	done   chan struct{}
	swept  time.Time // by Run alone
	seat   *seat

	mu      sync.Mutex
	batch   bool
	size    int // jobs in an envelope
	most    int // unclaimed jobs with the workers
	pace    pacer
	paused  bool
	feeds   []*feed // in the order in which they take turns
	rush    rush    // single jobs of flows, which go first
	health  health
	starved time.Time // since when workers' room is what it waits for; zero: it is not
}

// New returns a lane for a sender. It does nothing until Run.
func New(s *sender.Spec, cfg Config) *Lane {
	l := &Lane{cfg: cfg, sender: s.ID, wake: make(chan struct{}, 1), done: make(chan struct{}), rush: newRush()}
	l.seat = cfg.Share.join(l.poke)
	l.Configure(s)
	return l
}

// Configure takes over a changed sender.
func (l *Lane) Configure(s *sender.Spec) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lim := s.Limit()
	l.batch, l.size = s.Batch, s.EnvelopeSize()
	l.most = max(l.size, 2*lim.PerSecond)
	l.pace.charge = lim.Call()
	if s.Batch {
		l.pace.charge = lim.Batch(l.size)
	}
	l.seat.setWeight(s.Share())
	l.poke()
}

func (l *Lane) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// SetPaused stops or resumes the whole sender.
func (l *Lane) SetPaused(paused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = paused
	l.poke()
}

// Add makes a source known. Nothing of it is released before Start; records
// that come meanwhile are kept.
func (l *Lane) Add(s job.Source, traceparent string, m Members, pace int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.find(s) == nil {
		l.feeds = append(l.feeds, newFeed(s, traceparent, m, pace))
	}
}

// Start begins to release a source, from where its ledger says that it is.
func (l *Lane) Start(s job.Source, found Found) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.find(s); f != nil && f.loading {
		f.start(found, time.Now())
		l.refund(f, spared{}) // a closed one without claims is done with
	}
	l.poke()
}

// Drained tells whether a source has nothing left to release and nothing out.
func (l *Lane) Drained(s job.Source) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.find(s)
	return f != nil && !f.loading && f.ended && len(f.out)+len(f.ready)+len(f.held) == 0
}

// Forget drops a source, so that it can be added anew.
func (l *Lane) Forget(s job.Source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.find(s)
	if f == nil {
		return
	}
	l.feeds = slices.DeleteFunc(l.feeds, func(g *feed) bool { return g == f })
	for p := range f.parcels() {
		l.uncount(p)
	}
}

// Has tells whether a source is being released.
func (l *Lane) Has(s job.Source) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.find(s) != nil
}

// PauseSource stops or resumes one source.
func (l *Lane) PauseSource(s job.Source, paused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.find(s); f != nil {
		f.paused = paused
	}
	l.poke()
}

// Close stops releasing a source, and forgets it once its claims have
// outcomes.
func (l *Lane) Close(s job.Source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.find(s)
	if f == nil {
		return
	}
	f.ended, f.chunk, f.skip, f.ready, f.held, f.paused, f.closed = true, nil, nil, nil, nil, true, true
	var back spared
	for k, o := range f.out {
		if o.claimed == 0 {
			back.add(f.drop(k))
		}
	}
	l.refund(f, back)
}

func (l *Lane) find(s job.Source) *feed {
	for _, f := range l.feeds {
		if f.source == s {
			return f
		}
	}
	return nil
}

// Recorded follows one record of the ledger.
func (l *Lane) Recorded(e ledger.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.ID.Flow() != "" {
		l.recordedSingle(e, time.Now())
		l.poke()
		return
	}
	if f := l.find(e.ID.Source); f != nil {
		l.refund(f, f.recorded(e, time.Now()))
		l.poke()
	}
}

// GivenBack takes jobs back that a worker could not let go yet.
func (l *Lane) GivenBack(s job.Source, refs []job.Ref, notBefore time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.Flow() != "" {
		l.singlesBack(s, refs, notBefore)
		l.poke()
		return
	}
	if f := l.find(s); f != nil {
		l.refund(f, f.givenBack(refs, notBefore))
		l.poke()
	}
}

// refund gives back the pace of calls that were never made, and the room of
// envelopes that are done with.
func (l *Lane) refund(f *feed, back spared) {
	l.settled(back)
	if f.pace != nil {
		f.pace.refund(back.jobs)
	}
	if f.closed && !f.loading && len(f.out) == 0 {
		l.feeds = slices.DeleteFunc(l.feeds, func(g *feed) bool { return g == f })
	}
}

// settled is refund for what no source's own pace counts.
func (l *Lane) settled(back spared) {
	for _, p := range back.parcels {
		l.uncount(p)
		if p.claimed > 0 {
			l.judge(p)
		}
	}
	l.pace.refund(back.calls)
}

// uncount gives the room of an envelope back, once.
func (l *Lane) uncount(p *parcel) {
	if !p.uncounted {
		p.uncounted = true
		if p.urgent {
			l.seat.rushed()
		} else {
			l.seat.free()
		}
	}
}

// judge takes in how an envelope went.
func (l *Lane) judge(p *parcel) {
	before := l.health.aside
	changed := l.health.judge(p.well(), p.probe, p.why, time.Now())
	l.seat.restrict(l.health.bad, l.health.aside != nil)
	switch {
	case !changed:
	case l.health.aside != nil:
		l.cfg.Log.Warn("a sender is sidelined until it answers again", "sender", l.sender, "reason", l.health.aside.Reason)
	default:
		l.cfg.Log.Info("a sender that was sidelined has its full share again", "sender", l.sender, "after", time.Since(before.Since).Round(time.Millisecond))
	}
}

// Again releases everything again that has no record: the queue was lost.
func (l *Lane) Again() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, f := range l.feeds {
		l.refund(f, f.abandoned(now.Add(time.Hour), now))
	}
	l.abandonSingles(now.Add(time.Hour), now)
	l.poke()
}

// Run releases until ctx ends.
func (l *Lane) Run(ctx context.Context) {
	defer close(l.done)
	for {
		next := l.step(ctx)
		t := time.NewTimer(next)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-l.wake:
			t.Stop()
		case <-t.C:
		}
	}
}

// Wait blocks until Run has returned.
func (l *Lane) Wait() { <-l.done }

// envelope is a release on its way to the queue.
type envelope struct {
	feed   *feed // nil: a flow's, which is urgent
	source job.Source
	trace  string // W3C traceparent
	jobs   []job.Ref
}

// step does everything that is due and returns how long nothing will be.
func (l *Lane) step(ctx context.Context) time.Duration {
	now := time.Now()
	if now.Sub(l.swept) >= sweepEvery {
		l.swept = now
		l.mu.Lock()
		due, unknown := l.overdue(now)
		urgent := l.overdueSingles(now)
		l.mu.Unlock()
		l.commitSingles(ctx, urgent)
		l.commit(ctx, due)
		l.commit(ctx, unknown)
	}
	for {
		l.mu.Lock()
		todo := l.next(time.Now())
		l.mu.Unlock()
		switch {
		case todo.hungry != nil:
			l.fill(ctx, todo.hungry, todo.chunk)
			if ctx.Err() != nil {
				return idle
			}
		case todo.envelope == nil:
			return todo.wait
		case !l.enqueue(ctx, *todo.envelope):
			return retryQueue
		}
	}
}

// fill reads a source's next chunk. The lane stays open to others meanwhile:
// who follows the ledger must not wait for an audience. A source whose chunk
// can't be read rests a while, so that the others have their turn.
func (l *Lane) fill(ctx context.Context, f *feed, i int) {
	chunk, err := f.read(ctx, i)
	if err != nil && ctx.Err() == nil {
		l.cfg.Log.ErrorContext(ctx, "an audience can't be read; trying again", "sender", l.sender, "error", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		f.unread = time.Now().Add(retryQueue)
		return
	}
	f.fill(i, chunk)
}

func (l *Lane) enqueue(ctx context.Context, e envelope) bool {
	tctx := propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": e.trace})
	err := l.cfg.Queue.Enqueue(tctx, job.Envelope{Source: e.source, Jobs: e.jobs}, e.feed == nil)
	if err == nil {
		l.cfg.Kill.Pass(killpoint.BetweenReleases)
		return true
	}
	if ctx.Err() == nil {
		l.cfg.Log.WarnContext(tctx, "an envelope could not be queued; trying again", "source", e.source.Name, "error", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.feed == nil {
		l.singlesBack(e.source, e.jobs, time.Now().Add(retryQueue))
		return false
	}
	l.refund(e.feed, e.feed.givenBack(e.jobs, time.Now().Add(retryQueue)))
	return false
}

// overdue collects held jobs that are due again, and claims that nobody may
// still be working on. It also finds what was released and never recorded.
func (l *Lane) overdue(now time.Time) (due, unknown []*ledger.Append) {
	manned := l.cfg.Share.manned()
	for _, f := range slices.Clone(l.feeds) { // a refund may end a closed one
		if f.loading {
			continue
		}
		if !f.paused {
			for _, it := range f.held.popDue(now, maxDue) {
				due = append(due, appendOf(f, it.ref, ledger.Record{
					State: job.Pending, From: job.Held, FromReason: it.reason, Prev: it.ref.Seq, Attempt: it.ref.Attempt, At: now, By: writer,
				}))
			}
		}
		l.refund(f, f.abandoned(now.Add(-l.cfg.Repair), now))
		for _, o := range f.out {
			// No worker can be at this envelope any more, so it takes no
			// room. While there are no workers it waits for them.
			if p := o.parcel; p != nil && manned && now.Sub(p.at) >= l.cfg.Lease {
				l.uncount(p)
			}
			if o.claimed != 0 && !o.settled && now.Sub(o.seen) >= o.stands+l.cfg.Margin {
				o.settled = true
				unknown = append(unknown, appendOf(f, o.ref, forgotten(o, now)))
			}
		}
	}
	return due, unknown
}

// forgotten is the record of a claim that nobody may still be working on.
func forgotten(o *released, now time.Time) ledger.Record {
	return ledger.Record{
		State: job.Unknown, From: job.Claimed, Prev: o.claimed, Attempt: o.ref.Attempt + 1, At: now, By: writer,
		Reason: reason.OutcomeUnknown, Evidence: "claimed, and no outcome was recorded within the claim's deadline and margin",
	}
}

func appendOf(f *feed, ref job.Ref, r ledger.Record) *ledger.Append {
	r.Trace = traceID(f.trace)
	return &ledger.Append{Entry: ledger.Entry{ID: f.source.Job(ref.Contact), Record: r}}
}

// traceID returns the trace id of a W3C traceparent, "" where it is none.
func traceID(traceparent string) string {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceparent})
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}

// commit writes records of jobs that have moved on if they conflict; what the
// ledger then says comes back by Recorded.
func (l *Lane) commit(ctx context.Context, entries []*ledger.Append) {
	for part := range slices.Chunk(entries, job.MaxJobs) {
		bySource := map[job.Source][]*ledger.Append{}
		for _, e := range part {
			bySource[e.ID.Source] = append(bySource[e.ID.Source], e)
		}
		for _, group := range bySource {
			l.cfg.Commits.Commit(ctx, ledger.Bulk, group)
			for _, e := range group {
				if e.Err != nil && !errors.Is(e.Err, ledger.ErrConflict) && ctx.Err() == nil {
					l.retry(e)
				}
			}
		}
	}
}

// retry makes sure that a record which could not be written is tried again.
func (l *Lane) retry(e *ledger.Append) {
	l.cfg.Log.Warn("a record could not be written; trying again", "job", e.ID.String(), "error", e.Err)
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.find(e.ID.Source)
	if f == nil {
		return
	}
	r := e.Record
	if o := f.out[e.ID.Contact]; o != nil && r.State == job.Unknown {
		o.settled = false
		return
	}
	if r.From == job.Held {
		f.place(e.ID.Contact, Where{Seq: r.Prev, State: job.Held, Attempt: r.Attempt, Until: time.Now().Add(idle), Reason: r.FromReason}, time.Now())
	}
}

// todo is what a lane does next: release an envelope, read a chunk, or wait.
type todo struct {
	envelope *envelope
	hungry   *feed // needs its chunk read
	chunk    int
	wait     time.Duration
	refused  bool // for want of the workers' room
}

// next picks what to do next: single jobs of flows go before everything else,
// and sources take turns.
func (l *Lane) next(now time.Time) todo {
	out := todo{wait: idle}
	none := len(l.feeds)+len(l.rush.jobs) == 0
	if none {
		out.wait = asleep
	}
	if l.paused || none {
		l.rested()
		return out
	}
	if out = l.nextSingle(now); out.envelope != nil {
		return out
	}
	unclaimed := 0
	for _, f := range l.feeds {
		unclaimed += f.idle
	}
	for i, f := range l.feeds {
		t := l.from(f, l.most-unclaimed, now)
		if t.envelope != nil { // whoever comes after it has the next turn
			l.feeds = slices.Concat(l.feeds[i+1:], l.feeds[:i+1])
		}
		if t.envelope != nil || t.hungry != nil {
			return t
		}
		out.wait, out.refused = min(out.wait, t.wait), out.refused || t.refused
	}
	switch {
	case !out.refused:
		l.rested()
	case l.starved.IsZero():
		l.starved = now
	}
	return out
}

// rested says that room is not what the lane waits for.
func (l *Lane) rested() {
	l.starved = time.Time{}
	l.seat.rest()
}

// from picks what to do for one source.
func (l *Lane) from(f *feed, room int, now time.Time) todo {
	if f.loading || f.paused {
		return todo{wait: idle}
	}
	if rest := f.rest.Sub(now); rest > 0 {
		return todo{wait: min(rest, idle)}
	}
	n := l.size
	if l.health.aside != nil {
		if rest := l.health.next.Sub(now); rest > 0 {
			return todo{wait: min(rest, idle)}
		}
		n = 1
	}
	if f.pace != nil {
		n = min(n, max(1, int(int64(ahead/time.Microsecond)/f.pace.charge.Cost)))
	}
	n, hungry := f.available(n, now)
	switch {
	case hungry && !now.Before(f.unread):
		return todo{hungry: f, chunk: f.index}
	case n == 0:
		return todo{wait: max(f.soonest(now), time.Millisecond)}
	case room < n:
		return todo{wait: idle} // an outcome wakes the lane
	}
	if at := l.pace.room(l.calls(n), now, ahead); at.After(now) {
		return todo{wait: at.Sub(now)}
	}
	if f.pace != nil {
		if at := f.pace.room(n, now, ahead); at.After(now) {
			return todo{wait: at.Sub(now)}
		}
	}
	if !l.seat.take(n) {
		return todo{wait: idle, refused: true}
	}
	jobs := f.take(n, l.batch, l.health.aside != nil, now)
	if len(jobs) == 0 {
		l.seat.free()
		return todo{}
	}
	l.pace.spend(l.calls(len(jobs)), now)
	if f.pace != nil {
		f.pace.spend(len(jobs), now)
	}
	return todo{envelope: &envelope{f, f.source, f.trace, jobs}}
}

// calls is what n jobs in one envelope cost: a batch is one call.
func (l *Lane) calls(n int) int {
	if l.batch {
		return 1
	}
	return n
}

func (f *feed) soonest(now time.Time) time.Duration {
	wait := idle
	if len(f.ready) > 0 {
		wait = min(wait, f.ready[0].at.Sub(now))
	}
	if len(f.held) > 0 {
		wait = min(wait, max(sweepEvery, f.held[0].at.Sub(now)))
	}
	if rest := f.unread.Sub(now); rest > 0 {
		wait = min(wait, rest)
	}
	return wait
}

// Load is what a lane has in hand, for people.
type Load struct {
	Sender    string `json:"sender"`
	Paused    bool   `json:"paused"`
	Sources   int    `json:"sources"`
	Unclaimed int    `json:"unclaimed"` // with the workers
	Claimed   int    `json:"claimed"`
	Held      int    `json:"held"`
	Waiting   int    `json:"waiting"` // given back, to go again

	// Oldest is how long jobs have waited for workers: since the one was
	// released that should be claimed next, or since the lane has more to
	// release than the workers have room for; 0 where neither is so.
	Oldest time.Duration `json:"oldest"`

	Sidelined *Sidelined `json:"sidelined,omitempty"` // nil: it is not
}

// Load returns what the lane has in hand.
func (l *Lane) Load() Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := Load{Sender: l.sender, Paused: l.paused, Sources: len(l.feeds)}
	now := time.Now()
	if !l.starved.IsZero() && l.health.aside == nil {
		out.Oldest = now.Sub(l.starved)
	}
	if a := l.health.aside; a != nil {
		at := *a
		out.Sidelined = &at
	}
	l.rush.load(&out, now)
	for _, f := range l.feeds {
		out.Oldest = max(out.Oldest, f.oldest(now))
		out.Unclaimed, out.Claimed = out.Unclaimed+f.idle, out.Claimed+len(f.out)-f.idle
		out.Held, out.Waiting = out.Held+len(f.held), out.Waiting+len(f.ready)
	}
	return out
}
