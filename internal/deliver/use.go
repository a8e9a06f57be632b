package deliver

import (
	"context"
	"sync"
	"time"

	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// use claims the permissions that serve once of those tasks which go by one,
// and returns the tasks that may be claimed. Whose permission another job has
// is blocked; of whom nobody knows goes back.
func (r *run) use(ctx context.Context, tasks []*task) []*task {
	if r.plan.Spec.Message.Via == "" {
		return tasks
	}
	owners, errs := make([]string, len(tasks)), make([]error, len(tasks))
	var asked sync.WaitGroup
	for i, t := range tasks {
		asked.Go(func() {
			owners[i], errs[i] = r.Uses.Claim(ctx, r.sender.Account, t.decision.Uses.ID, r.source.Job(t.ref.Contact))
		})
	}
	asked.Wait()
	var mine []*task
	var lost []*ledger.Append
	var back []job.Ref
	for i, t := range tasks {
		switch {
		case errs[i] != nil:
			r.Log.WarnContext(ctx, "a permission that serves once could not be claimed; the job goes back", "job", r.source.Job(t.ref.Contact).String(), "error", errs[i])
			back = append(back, t.ref)
		case owners[i] != r.source.Job(t.ref.Contact).String():
			lost = append(lost, r.append(t.ref, usedBy(owners[i], t, r.now()), t.ref.Seq))
		default:
			t.used = t.decision.Uses.ID
			mine = append(mine, t)
		}
	}
	r.giveBack(ctx, back, time.Now().Add(gate.Retry), reason.FactsUnavailable)
	if len(lost) > 0 {
		r.commit(ctx, lost)
	}
	return mine
}

// usedBy is the record of a job whose permission another one has.
func usedBy(owner string, t *task, now time.Time) ledger.Record {
	why := reason.TokenUsed
	if t.decision.Verdict.Rule == message.PrivateReply {
		why = reason.PrivateReplyUsed
	}
	return ledger.Record{
		State: job.Blocked, From: job.Pending, At: now, Attempt: t.ref.Attempt, Rule: t.decision.Verdict.Rule, Reason: why,
		Facts: t.decision.Facts, Evidence: "it serves once, and job " + owner + " has it",
	}
}
