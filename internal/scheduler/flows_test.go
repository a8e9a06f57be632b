package scheduler_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/errand"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// plan plans the i-th job of a flow, which ends after a while.
func (w *world) plan(name string, i int, ends time.Duration) job.ID {
	w.t.Helper()
	p := errand.New(w.Ledger, w.Commits, w.Facts.Key)
	run := flow.ID{Flow: name, Contact: w.Facts.Key("bakery", rig.Address(i)), Slot: flow.SlotOf(fmt.Sprint(i))}
	id, err := p.Place(w.t.Context(), time.Now().UTC().Format("200601"), "bakery", rig.Address(i), run.Source(flow.Place{Version: 1, At: 2, Visit: 1}))
	rig.Must(w.t, err)
	rig.Must(w.t, p.Plan(w.t.Context(), id, time.Now().Add(ends), ""))
	return id
}

func (w *world) flow(id, state string) {
	w.t.Helper()
	w.Control(w.t, facts.SourceControl, id, facts.Control{State: state})
}

// becomes waits until a job is in a state, and returns its newest record.
func (w *world) becomes(id job.ID, s job.State) (r ledger.Record) {
	w.t.Helper()
	rig.Until(w.t, fmt.Sprintf("%s becomes %s", id, s), func() bool {
		e, _, err := w.Ledger.Last(w.t.Context(), id)
		rig.Must(w.t, err)
		r = e.Record
		return r.State == s
	})
	return r
}

// errands is a world whose leader hears of flows' controls.
func errands(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, 20, spring)
	w.Project(t, follower{w})
	return w
}

// follower tells whoever leads of controls.
type follower struct{ w *world }

// Controlled tells the leader.
func (f follower) Controlled(kind, id string, c facts.Control) {
	f.w.mu.Lock()
	lead := f.w.lead
	f.w.mu.Unlock()
	lead.Controlled(kind, id, c)
}

// TestFlowJobsGo asserts that a planned job is released by its record alone,
// of a flow that was there before and of one that comes later.
func TestFlowJobsGo(t *testing.T) {
	t.Parallel()
	w := errands(t)
	w.flow("order", facts.Running)
	w.becomes(w.plan("order", 1, time.Hour), job.Sent)
	late := w.plan("cart", 1, time.Hour)
	w.flow("cart", facts.Running)
	w.becomes(late, job.Sent)
	if got := w.States(t, late); !slices.Equal(got, []job.State{job.Pending, job.Claimed, job.Sent}) {
		t.Errorf("history: %v", got)
	}
}

// TestFlowIsPaused asserts that nothing of a paused flow is released, that the
// end of a job comes all the same, and that the rest goes when it is resumed.
func TestFlowIsPaused(t *testing.T) {
	t.Parallel()
	w := errands(t)
	w.flow("order", facts.Paused)
	soon, later := w.plan("order", 1, time.Second), w.plan("order", 2, time.Hour)
	r := w.becomes(soon, job.Expired)
	rig.Reason(t, r.Reason, reason.Expired)
	if got := w.States(t, later); !slices.Equal(got, []job.State{job.Pending}) {
		t.Fatalf("of a paused flow: %v", got)
	}
	w.flow("order", facts.Running)
	w.becomes(later, job.Sent)
}

// TestFlowIsDeleted asserts that the leader cancels what is open of a flow that
// is deleted, whoever was leading when it was planned.
func TestFlowIsDeleted(t *testing.T) {
	t.Parallel()
	w := errands(t)
	w.flow("order", facts.Paused)
	var ids []job.ID
	for i := range 20 {
		ids = append(ids, w.plan("order", i, time.Hour))
	}
	w.restart()
	w.flow("order", facts.Cancelled)
	for _, id := range ids {
		rig.Reason(t, w.becomes(id, job.Cancelled).Reason, reason.Cancelled)
	}
	rig.Until(t, "the tally says so", func() bool {
		return w.tally.Of(ids[0].Source).States[job.Cancelled] == len(ids) && len(w.tally.OpenFlows()) == 0
	})
}

// TestFlowJobsAfterARestart asserts that a new leader goes on where the old one
// was: with jobs that wait, are held and are claimed, each within its end.
func TestFlowJobsAfterARestart(t *testing.T) {
	t.Parallel()
	w := errands(t)
	w.flow("order", facts.Paused)
	waits, held, claimed, ends := w.plan("order", 1, time.Hour), w.plan("order", 2, time.Hour), w.plan("order", 3, time.Hour), w.plan("order", 4, 2*time.Second)
	w.Record(t, held, ledger.Record{State: job.Held, Reason: reason.QuietHours, Until: time.Now().Add(time.Second)})
	w.Record(t, claimed, ledger.Record{State: job.Claimed, Attempt: 1, Deadline: time.Second})
	rig.Must(t, w.tally.Stored(t.Context())) // the new one is told of none of it
	w.restart()
	w.becomes(ends, job.Expired)
	w.becomes(claimed, job.Unknown)
	w.flow("order", facts.Running)
	w.becomes(waits, job.Sent)
	w.becomes(held, job.Sent)
	if got := w.States(t, held); !slices.Equal(got, []job.State{job.Pending, job.Held, job.Pending, job.Claimed, job.Sent}) {
		t.Errorf("history: %v", got)
	}
}

// TestFlowBesideABroadcast asserts that both go by one lane.
func TestFlowBesideABroadcast(t *testing.T) {
	t.Parallel()
	w := errands(t)
	w.flow("order", facts.Running)
	w.launch("spring")
	id := w.plan("order", 1, time.Hour)
	w.becomes(id, job.Sent)
	w.until("spring", "done")
	w.audit("spring", map[job.Bucket]int{job.InSent: 20})
}

// TestFlowJobsAreRedriven asserts that a dead letter of a flow goes again, is
// wanted as long again as it was at first, and that one of a deleted flow does
// not.
func TestFlowJobsAreRedriven(t *testing.T) {
	t.Parallel()
	w := errands(t)
	w.flow("order", facts.Running)
	w.set(all(job.Failed, reason.PlatformRejected))
	ids := []job.ID{w.plan("order", 1, time.Hour), w.plan("order", 2, time.Hour)}
	for _, id := range ids {
		w.becomes(id, job.Failed)
	}
	w.set(all(job.Sent, ""))
	before := time.Now()
	done, err := w.sched.Redrive(t.Context(), ids, "anna", false)
	rig.Must(t, err)
	for _, h := range done {
		if h.Refused != "" {
			t.Errorf("%s: %s", h.Job, h.Refused)
		}
		w.becomes(h.Job, job.Sent)
		var ends time.Time
		rig.Must(t, w.Ledger.History(t.Context(), h.Job, func(e ledger.Entry) error {
			if e.Record.By == "anna" {
				ends = e.Record.Expires
			}
			return nil
		}))
		if left := ends.Sub(before); left < 59*time.Minute || left > 61*time.Minute {
			t.Errorf("it is wanted for %v", left)
		}
	}
	w.set(all(job.Failed, reason.PlatformRejected))
	dead := w.plan("order", 3, time.Hour)
	w.becomes(dead, job.Failed)
	w.flow("order", facts.Cancelled)
	done, err = w.sched.Redrive(t.Context(), []job.ID{dead}, "anna", false)
	if err != nil || done[0].Refused != "its flow was deleted" {
		t.Errorf("redriven of a deleted flow: %+v, %v", done, err)
	}
	done, err = w.sched.Discard(t.Context(), []job.ID{dead}, "anna", false)
	if err != nil || done[0].Refused != "" {
		t.Errorf("discarded: %+v, %v", done, err)
	}
}
