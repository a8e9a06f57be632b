package errand_test

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/errand"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/pkg/reason"
)

var engines *engine.Engines

func TestMain(m *testing.M) {
	os.Exit(rig.Main(m, func(e *engine.Engines) { engines = e }))
}

const (
	month       = "202611"
	traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
)

// planner is a planner on real engines, with the id of one job.
func planner(t *testing.T) (*rig.Rooms, *errand.Planner, job.ID) {
	t.Helper()
	r := rig.Open(t, engines)
	p := errand.New(r.Ledger, r.Commits, r.Facts.Key)
	run := flow.ID{Flow: "order", Contact: r.Facts.Key("bakery", "4711"), Slot: flow.SlotOf("x")}
	id, err := p.Place(t.Context(), month, "bakery", "4711", run.Source(flow.Place{Version: 1, At: 2, Visit: 1}))
	rig.Must(t, err)
	return r, p, id
}

// TestPlan asserts that a job is planned once, and that its record says when
// nobody wants it any more.
func TestPlan(t *testing.T) {
	t.Parallel()
	r, p, id := planner(t)
	if id.Flow() != "order" || id.Part != 0 || id.Contact != r.Facts.Key("bakery", "4711") {
		t.Fatalf("placed as %s", id)
	}
	if out, ended, err := p.State(t.Context(), id); ended || err != nil || out != (flow.Outcome{}) {
		t.Errorf("before it is planned: %+v %t %v", out, ended, err)
	}
	ends := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	rig.Must(t, p.Plan(t.Context(), id, ends, traceparent))
	rig.Must(t, p.Plan(t.Context(), id, ends.Add(time.Hour), ""))
	e, found, err := r.Ledger.Last(t.Context(), id)
	rig.Must(t, err)
	if !found || !e.Record.Planned || !e.Record.Expires.Equal(ends) || e.Record.Trace != "0af7651916cd43dd8448eb211c80319c" || e.Record.By != ledger.ByFlow {
		t.Errorf("planned as %+v", e.Record)
	}
	if err := ledger.CheckNext(id.Source, ledger.Entry{}, e.Record); err != nil {
		t.Error(err)
	}
	r.Record(t, id, ledger.Record{State: job.Claimed})
	r.Record(t, id, ledger.Record{State: job.Sent})
	rig.Must(t, p.Plan(t.Context(), id, ends, traceparent))
	if got := r.States(t, id); !slices.Equal(got, []job.State{job.Pending, job.Claimed, job.Sent}) {
		t.Errorf("history: %v", got)
	}
	out, ended, err := p.State(t.Context(), id)
	if out.State != job.Sent || out.Sender != "bakery" || out.At.IsZero() || !ended || err != nil {
		t.Errorf("it came to %+v %t %v", out, ended, err)
	}
}

// TestCancel asserts that what has not left is cancelled, and what a worker
// has, or has an outcome, is not.
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		moves []job.State
		want  job.State
		err   error
	}{
		{"pending", nil, job.Cancelled, nil},
		{"held", []job.State{job.Held}, job.Cancelled, nil},
		{"claimed", []job.State{job.Claimed}, job.Claimed, errand.ErrClaimed},
		{"came back", []job.State{job.Claimed, job.Pending}, job.Cancelled, nil},
		{"sent", []job.State{job.Claimed, job.Sent}, job.Sent, nil},
		{"unknown", []job.State{job.Claimed, job.Unknown}, job.Unknown, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, p, id := planner(t)
			rig.Must(t, p.Cancel(t.Context(), id, "never planned"))
			rig.Must(t, p.Plan(t.Context(), id, time.Time{}, ""))
			for _, s := range c.moves {
				r.Record(t, id, ledger.Record{State: s})
			}
			for range 2 {
				if err := p.Cancel(t.Context(), id, "the run ended"); !errors.Is(err, c.err) {
					t.Fatal(err)
				}
			}
			e, _, err := r.Ledger.Last(t.Context(), id)
			rig.Must(t, err)
			if e.Record.State != c.want {
				t.Fatalf("it is %s", e.Record.State)
			}
			if c.want == job.Cancelled && (e.Record.Reason != reason.Cancelled || e.Record.Evidence != "the run ended") {
				t.Errorf("cancelled as %+v", e.Record)
			}
		})
	}
}

// TestOutcome asserts that only records of an outcome settle a run.
func TestOutcome(t *testing.T) {
	t.Parallel()
	for _, s := range job.States() {
		out, ok := errand.Outcome(ledger.Entry{Record: ledger.Record{State: s, Reason: reason.RateCapped}})
		if ok != s.Ended() || ok && (out.State != s || out.Reason != reason.RateCapped) {
			t.Errorf("%s: %+v %t", s, out, ok)
		}
	}
	if _, ok := errand.Outcome(ledger.Entry{Record: ledger.Record{State: job.Failed, Discarded: true}}); ok {
		t.Error("a dead letter that was put aside is an outcome")
	}
}
