package scheduler_test

import (
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/audit"
	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/receipt"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// lost is an outcome that was called unknown so long ago.
func lost(ago time.Duration) ledger.Record {
	return ledger.Record{State: job.Unknown, Reason: reason.OutcomeUnknown, At: time.Now().UTC().Add(-ago)}
}

// each ends the i-th job that is handed out as the i-th record.
func each(rs ...ledger.Record) func(int) (ledger.Record, bool) {
	return func(i int) (ledger.Record, bool) { return rs[i%len(rs)], true }
}

// in returns the jobs of the broadcast that are in a state.
func (w *world) in(id string, s job.State) (out []job.ID) {
	w.t.Helper()
	a := audit.Auditor{Audiences: w.Audiences, Ledger: w.Ledger, Tally: w.tally}
	_, err := a.Run(w.t.Context(), w.broadcast(id), func(m audit.Member) error {
		if m.State == s {
			out = append(out, m.Job)
		}
		return nil
	})
	rig.Must(w.t, err)
	return out
}

// echo tells that the message of a job came back.
func (w *world) echo(id job.ID) {
	w.t.Helper()
	d := &receipt.Desk{Ledger: w.Ledger, Commits: w.Commits, Key: w.Facts.Key, Echoes: w.witness.Echoes, Stats: &receipt.Stats{}, Log: w.Log}
	for i := range 10 {
		if a := rig.Address(i); w.Facts.Key("bakery", a) == id.Contact {
			_, err := d.Apply(w.t.Context(), []event.Event{{
				Type: event.Echo, Channel: "messenger", Sender: "bakery", Person: a, Job: id.String(), MessageID: "m", Time: time.Now(),
			}})
			rig.Must(w.t, err)
		}
	}
}

// TestLateOutcomeReopens: a worker that was stopped past its claim says that
// nothing left, when the broadcast is over and let go of.
func TestLateOutcomeReopens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, spring)
	w.set(each(ledger.Record{State: job.Sent}, ledger.Record{State: job.Sent}, lost(0)))
	w.launch("spring")
	b := w.until("spring", broadcast.Done)
	rig.Until(t, "the leader lets go of it", func() bool { return !w.lead.Has("spring") })
	late := w.in("spring", job.Unknown)
	w.set(all(job.Sent, ""))
	w.Record(t, late[0], ledger.Record{State: job.Pending, Attempt: 1, Reason: reason.PlatformUnreachable, Evidence: "nothing left"})
	w.counted(b, job.Sent, 3)
	w.until("spring", broadcast.Done)
}

// Nobody redrives an unknown outcome before its claim has ended, nor one that
// echoes say nothing of where only likely ones are meant; what was known
// stays with the job.
func TestRedriveOfTheUnknown(t *testing.T) {
	w := newWorld(t, 3, spring)
	w.set(each(ledger.Record{State: job.Sent}, lost(20*time.Minute), lost(0)))
	w.launch("spring")
	w.counted(w.until("spring", broadcast.Done), job.Unknown, 2)
	dead := w.in("spring", job.Unknown)
	if e, _, err := w.Ledger.Last(t.Context(), dead[0]); err != nil || time.Since(e.Record.At) < time.Minute {
		dead[0], dead[1] = dead[1], dead[0]
	}
	got, err := w.sched.Redrive(t.Context(), dead, "ada", true)
	if err != nil || got[0].Refused != "" || !strings.HasPrefix(got[1].Refused, "its claim may still stand; ask again after ") {
		t.Errorf("redrive says %+v, %v", got, err)
	}
	got, err = w.sched.RedriveLikely(t.Context(), dead, "ada", true)
	if err != nil || !strings.Contains(got[0].Refused, "no echo of this sender has ever come") || got[1].Refused == "" {
		t.Errorf("before any echo: %+v, %v", got, err)
	}
	sent := w.in("spring", job.Sent)
	w.echo(sent[0])
	got, err = w.sched.RedriveLikely(t.Context(), append(dead, sent[0]), "ada", true)
	if err != nil || got[0].Refused != "" || got[1].Refused == "" || got[2].Refused != "it is sent, not a dead letter" {
		t.Errorf("after an echo: %+v, %v", got, err)
	}
	w.set(all(job.Sent, ""))
	_, err = w.sched.RedriveLikely(t.Context(), dead[:1], "ada", false)
	rig.Must(t, err)
	rig.Until(t, "it is sent", func() bool {
		e, _, err := w.Ledger.Last(t.Context(), dead[0])
		return err == nil && e.Record.State == job.Sent
	})
	var why string
	rig.Must(t, w.Ledger.History(t.Context(), dead[0], func(e ledger.Entry) error {
		if e.Record.By == "ada" {
			why = e.Record.Evidence
		}
		return nil
	}))
	if !strings.HasPrefix(why, "likely not sent: no echo of it has come in 20m") {
		t.Errorf("the redrive's evidence is %q", why)
	}
}

// A sender's standing order redrives what is likely not sent, each once, and
// the audit counts it apart.
func TestStandingOrder(t *testing.T) {
	w := newWorld(t, 3, spring)
	w.set(each(ledger.Record{State: job.Sent}, lost(20*time.Minute), ledger.Record{State: job.Blocked, Reason: reason.OptedOut}))
	w.launch("spring")
	b := w.until("spring", broadcast.Done)
	w.counted(b, job.Unknown, 1)
	first, second := w.in("spring", job.Unknown)[0], w.in("spring", job.Blocked)[0]
	w.echo(w.in("spring", job.Sent)[0])
	orders := func(id job.ID) (n int) {
		t.Helper()
		rig.Must(t, w.Ledger.History(t.Context(), id, func(e ledger.Entry) error {
			if e.Record.By == ledger.ByStandingOrder {
				n++
			}
			return nil
		}))
		return n
	}

	w.set(all(job.Sent, ""))
	w.restart() // without an order nothing goes
	w.Apply(t, rig.Bakery+"unknown: {redrive: true}\n")
	w.set(each(lost(20 * time.Minute)))
	w.restart()
	rig.Until(t, "the order is carried out", func() bool { return orders(first) == 1 })
	w.counted(w.until("spring", broadcast.Done), job.Unknown, 1)

	_, err := w.sched.Redrive(t.Context(), []job.ID{second}, "ada", false)
	rig.Must(t, err)
	w.counted(b, job.Unknown, 2)
	w.until("spring", broadcast.Done)
	w.set(all(job.Sent, ""))
	w.restart()
	rig.Until(t, "the other one goes again", func() bool {
		e, _, err := w.Ledger.Last(t.Context(), second)
		return err == nil && e.Record.State == job.Sent
	})
	if one, two := orders(first), orders(second); one != 1 || two != 1 {
		t.Errorf("by standing order %d and %d times, want each once", one, two)
	}
	rig.Must(t, w.tally.CatchUpAll(t.Context()))
	a := audit.Auditor{Audiences: w.Audiences, Ledger: w.Ledger, Tally: w.tally, Witness: w.witness}
	r, err := a.Run(t.Context(), w.until("spring", broadcast.Done), nil)
	rig.Must(t, err)
	if !r.Balanced() || r.Redriven != 2 || r.Likely != 1 || r.Buckets[job.InUnknown] != 1 || r.Buckets[job.InSent] != 2 {
		t.Errorf("audit %+v", r)
	}
}
