package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/lane"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/receipt"
)

// Handled is what became of one dead letter that somebody dealt with.
type Handled struct {
	Job     job.ID
	Refused string // why nothing was done; "" where it was
}

// Redrive reopens dead jobs: they go back to their lane and through every
// check again. Each is reopened at the outcome that it has now, so that a
// task from before loses its claim. Where the outcome is unknown, that is so
// since somebody says it, and what was known of it is recorded; never before
// its claim has ended. dryRun only says what would be done.
func (s *Scheduler) Redrive(ctx context.Context, ids []job.ID, by string, dryRun bool) ([]Handled, error) {
	return s.redrive(ctx, ids, by, dryRun, s.reopened)
}

// RedriveLikely is Redrive for those of the jobs alone that are likely not
// sent.
func (s *Scheduler) RedriveLikely(ctx context.Context, ids []job.ID, by string, dryRun bool) ([]Handled, error) {
	return s.redrive(ctx, ids, by, dryRun, s.likelyReopened)
}

func (s *Scheduler) redrive(ctx context.Context, ids []job.ID, by string, dryRun bool, rule ruling) ([]Handled, error) {
	out, err := s.handle(ctx, ids, by, dryRun, s.redrivable, rule)
	if dryRun {
		return out, err
	}
	// What was reopened before something failed must not wait for a restart.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reopenTimeout)
	defer cancel()
	return out, errors.Join(err, s.reopenAll(ctx, out))
}

// reopenTimeout bounds how long reopening what was redriven may take.
const reopenTimeout = 20 * time.Second

// Discard takes dead jobs off the list. Their outcome stays what it is.
func (s *Scheduler) Discard(ctx context.Context, ids []job.ID, by string, dryRun bool) ([]Handled, error) {
	return s.handle(ctx, ids, by, dryRun, func(context.Context, job.ID) string { return "" }, discarded)
}

// ruling makes the record that follows a dead job's last one, or says why there
// is none. The evidence is that of the job's sender.
type ruling func(ctx context.Context, last ledger.Entry, evidence receipt.Evidence) (next ledger.Record, refused string, err error)

func discarded(_ context.Context, e ledger.Entry, _ receipt.Evidence) (ledger.Record, string, error) {
	return ledger.Record{State: e.Record.State, Reason: e.Record.Reason, Attempt: e.Record.Attempt, Discarded: true}, "", nil
}

func (s *Scheduler) reopened(ctx context.Context, e ledger.Entry, evidence receipt.Evidence) (ledger.Record, string, error) {
	next := ledger.Record{State: job.Pending}
	var err error
	if next.Expires, err = s.renewed(ctx, e.ID, evidence.Now); err != nil {
		return next, "", err
	}
	if e.Record.State != job.Unknown {
		return next, "", nil
	}
	since, err := s.unknownSince(ctx, e)
	if err != nil {
		return next, "", err
	}
	if until, soon := receipt.TooSoon(since, evidence.Now); soon {
		return next, "its claim may still stand; ask again after " + until.UTC().Format(time.RFC3339), nil
	}
	next.Evidence = evidence.Text(since)
	return next, "", nil
}

func (s *Scheduler) likelyReopened(ctx context.Context, e ledger.Entry, evidence receipt.Evidence) (ledger.Record, string, error) {
	if e.Record.State != job.Unknown {
		return ledger.Record{}, "its outcome is known: it is " + string(e.Record.State), nil
	}
	since, err := s.unknownSince(ctx, e)
	if err != nil {
		return ledger.Record{}, "", err
	}
	if !evidence.LikelyNotSent(since) {
		return ledger.Record{}, evidence.Text(since), nil
	}
	return s.reopened(ctx, e, evidence)
}

// renewed returns when nobody wants a flow's job any more that is reopened now:
// it is wanted as long again as it was at first. Zero: it has no end of its own.
func (s *Scheduler) renewed(ctx context.Context, id job.ID, now time.Time) (ends time.Time, err error) {
	if id.Flow() == "" {
		return ends, nil
	}
	err = s.Ledger.History(ctx, id, func(e ledger.Entry) error {
		if r := e.Record; r.Planned && !r.Expires.IsZero() {
			ends = now.Add(r.Expires.Sub(r.At)).UTC()
		}
		return nil
	})
	return ends, err
}

// unknownSince returns when the outcome of a job that is unknown was called
// so. To put it aside does not change that.
func (s *Scheduler) unknownSince(ctx context.Context, e ledger.Entry) (time.Time, error) {
	if !e.Record.Discarded {
		return e.Record.At, nil
	}
	var at time.Time
	err := s.Ledger.History(ctx, e.ID, func(h ledger.Entry) error {
		if h.Record.State == job.Unknown && !h.Record.Discarded {
			at = h.Record.At
		}
		return nil
	})
	return at, err
}

func (s *Scheduler) handle(ctx context.Context, ids []job.ID, by string, dryRun bool, refuse func(context.Context, job.ID) string, rule ruling) ([]Handled, error) {
	out := make([]Handled, len(ids))
	bySource := map[job.Source][]int{} // those of a flow together
	for i, id := range ids {
		out[i].Job = id
		bySource[id.Whole()] = append(bySource[id.Whole()], i)
	}
	for src, all := range bySource {
		why := refuse(ctx, src.Job(job.Key{}))
		evidence, err := s.Witness.Evidence(ctx, src.Sender)
		if err != nil {
			return out, err
		}
		for part := range slices.Chunk(all, job.MaxJobs) {
			if err := s.handlePart(ctx, out, part, why, by, dryRun, evidence, rule); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

func (s *Scheduler) handlePart(ctx context.Context, out []Handled, part []int, why, by string, dryRun bool, evidence receipt.Evidence, rule ruling) error {
	var entries []*ledger.Append
	var of []int
	for _, i := range part {
		if out[i].Refused = why; why != "" {
			continue
		}
		last, found, err := s.Ledger.Last(ctx, out[i].Job)
		if err != nil {
			return err
		}
		if !found || !last.Record.State.Dead() {
			out[i].Refused = fmt.Sprintf("it is %s, not a dead letter", stateOf(last, found))
			continue
		}
		r, refused, err := rule(ctx, last, evidence)
		if err != nil {
			return err
		}
		if out[i].Refused = refused; refused != "" {
			continue
		}
		r.By, r.From, r.FromReason, r.Prev, r.At, r.Trace = by, last.Record.State, last.Record.Reason, last.Seq, time.Now().UTC(), last.Record.Trace
		entries, of = append(entries, &ledger.Append{Entry: ledger.Entry{ID: out[i].Job, Record: r}}), append(of, i)
	}
	if dryRun {
		return nil
	}
	s.Commits.Commit(ctx, ledger.Bulk, entries)
	for n, e := range entries {
		switch {
		case errors.Is(e.Err, ledger.ErrConflict):
			out[of[n]].Refused = "somebody else dealt with it meanwhile"
		case e.Err != nil:
			return e.Err
		}
	}
	return nil
}

func stateOf(e ledger.Entry, found bool) job.State {
	if !found {
		return job.Pending
	}
	return e.Record.State
}

// redrivable says why nothing of a source can be redriven, "" where it can.
func (s *Scheduler) redrivable(ctx context.Context, id job.ID) string {
	if id.IsFlow() {
		return s.flowRedrivable(ctx, id.Name)
	}
	b, _, err := s.Defs.Broadcast(ctx, broadcast.IDOf(id.Name))
	switch {
	case errors.Is(err, definition.ErrNotFound):
		return "its broadcast is not defined any more"
	case err != nil:
		return err.Error()
	case b.State == broadcast.Cancelled:
		return "its broadcast was cancelled"
	case b.State == broadcast.Expired, !time.Now().Before(b.EndsAt):
		return "its broadcast ended at " + b.EndsAt.Format(time.RFC3339) + "; write to these contacts with a new one"
	}
	return ""
}

// flowRedrivable is redrivable for a flow. A run that has gone on since stays
// where it is; the message goes out all the same.
func (s *Scheduler) flowRedrivable(ctx context.Context, flow string) string {
	c, _, err := s.Facts.Control(ctx, facts.SourceControl, flow)
	switch {
	case err != nil:
		return err.Error()
	case flowState(c) == lane.FlowClosed:
		return "its flow was deleted"
	}
	return ""
}

// reopenAll lets finished broadcasts go on for what was redriven. A crash
// before it is made good at the next start.
func (s *Scheduler) reopenAll(ctx context.Context, handled []Handled) error {
	done := map[string]bool{}
	var errs []error
	for _, h := range handled {
		id := broadcast.IDOf(h.Job.Name)
		if h.Refused != "" || done[id] || h.Job.IsFlow() { // of which each goes by its record
			continue
		}
		done[id] = true
		err := s.Tally.CatchUp(ctx, h.Job.Source) // else it would look finished
		if err == nil {
			_, err = s.move(ctx, id, broadcast.Reopen, reopen)
		}
		if err != nil && !errors.Is(err, errIllegal) && !errors.Is(err, definition.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
