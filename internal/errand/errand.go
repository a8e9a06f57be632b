// Package errand makes jobs of what the runs of flows ask for: it plans a
// message, cancels one that is not wanted any more, and says what became of
// one. It decides nothing about whether a message may go, and keeps nothing.
//
// Invariant: a job that is asked for again and again is planned once. Its
// first record is written where the ledger has none, and nowhere else.
package errand

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Committer writes ledger records.
type Committer interface {
	Commit(ctx context.Context, p ledger.Priority, entries []*ledger.Append)
}

// Planner plans messages of flows.
type Planner struct {
	ledger  *ledger.Ledger
	commits Committer
	key     func(sender, address string) job.Key

	Kill *killpoint.Plan // set before it is used; nil: at no point

	mu    sync.Mutex
	parts map[string]part // by month
}

// part is the part of a month's ledger that takes new jobs.
type part struct {
	n  int
	at time.Time // when it was asked for
}

// partFor is how long a part is believed to have room: what may be planned
// meanwhile is far less than its limit leaves.
const partFor = time.Minute

// New returns a planner. key derives a contact's key from its address.
func New(l *ledger.Ledger, c Committer, key func(sender, address string) job.Key) *Planner {
	return &Planner{ledger: l, commits: c, key: key, parts: map[string]part{}}
}

// Place returns the id of the job that a source of the month (yyyymm) is for
// one person: the one that is planned already where there is one, in whichever
// part, and else one in the part that takes new jobs.
func (p *Planner) Place(ctx context.Context, month, sender, person, source string) (job.ID, error) {
	now, err := p.part(ctx, month)
	if err != nil {
		return job.ID{}, fmt.Errorf("place %s: %w", source, err)
	}
	src := job.Source{Month: month, Sender: sender, Name: source}
	id := src.Job(p.key(sender, person))
	for ; id.Part < now; id.Part++ {
		if _, found, err := p.ledger.Last(ctx, id); found || err != nil {
			return id, err
		}
	}
	return id, nil
}

func (p *Planner) part(ctx context.Context, month string) (int, error) {
	p.mu.Lock()
	have, ok := p.parts[month]
	p.mu.Unlock()
	if ok && time.Since(have.at) < partFor {
		return have.n, nil
	}
	n, err := p.ledger.Place(ctx, month, 1)
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parts[month] = part{n, time.Now()}
	return n, nil
}

// Plan plans a job, which its sender's lane then releases. Nobody wants it any
// more from expires on; zero: always. traceparent is the W3C one of what began
// the run. A job that is there already stays as it is, whatever became of it.
func (p *Planner) Plan(ctx context.Context, id job.ID, expires time.Time, traceparent string) error {
	a := &ledger.Append{Entry: ledger.Entry{ID: id, Record: ledger.Record{
		State: job.Pending, From: job.Pending, Planned: true, Expires: expires, At: time.Now().UTC(), By: ledger.ByFlow, Trace: traceID(traceparent),
	}}}
	p.commits.Commit(ctx, ledger.Urgent, []*ledger.Append{a})
	if a.Err != nil && !errors.Is(a.Err, ledger.ErrConflict) {
		return fmt.Errorf("plan %s: %w", id, a.Err)
	}
	p.Kill.Pass(killpoint.JobPlanned)
	return nil
}

// ErrClaimed says that a worker is sending the job just now. It may come back
// unsent: ask again once it has an outcome, in some seconds at the latest.
var ErrClaimed = errors.New("a worker has claimed it")

// Cancel ends a job that has not left, for a reason in words. One that was
// never planned, or has an outcome, stays as it is.
func (p *Planner) Cancel(ctx context.Context, id job.ID, why string) error {
	for {
		last, found, err := p.ledger.Last(ctx, id)
		switch {
		case err != nil:
			return fmt.Errorf("cancel %s: %w", id, err)
		case !found || last.Record.State.Ended():
			return nil
		case last.Record.State == job.Claimed:
			return fmt.Errorf("cancel %s: %w", id, ErrClaimed)
		}
		r := last.Record
		a := &ledger.Append{Entry: ledger.Entry{ID: id, Record: ledger.Record{
			State: job.Cancelled, From: r.State, FromReason: r.Reason, Prev: last.Seq, Attempt: r.Attempt, At: time.Now().UTC(),
			Reason: reason.Cancelled, Evidence: why, By: ledger.ByFlow, Trace: r.Trace,
		}}}
		p.commits.Commit(ctx, ledger.Urgent, []*ledger.Append{a})
		if a.Err == nil || !errors.Is(a.Err, ledger.ErrConflict) {
			return a.Err
		}
	}
}

// State returns what became of a job. It reports false for one that has no
// outcome yet, or was never planned.
func (p *Planner) State(ctx context.Context, id job.ID) (flow.Outcome, bool, error) {
	last, found, err := p.ledger.Last(ctx, id)
	if err != nil || !found {
		return flow.Outcome{}, false, err
	}
	out, ok := Outcome(last)
	return out, ok, nil
}

// Outcome is what a record says became of its job, as a run hears it. It
// reports false for a record that says of no outcome: the job waits or is on
// its way, or somebody put a dead letter aside.
func Outcome(e ledger.Entry) (flow.Outcome, bool) {
	r := e.Record
	if !r.State.Ended() || r.Discarded {
		return flow.Outcome{}, false
	}
	return flow.Outcome{State: r.State, Reason: r.Reason, Sender: e.ID.Sender, At: r.At}, true
}

// traceID returns the trace id of a W3C traceparent, "" where it is none.
func traceID(traceparent string) string {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceparent})
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}
