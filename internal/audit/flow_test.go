package audit_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/audit"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/pkg/reason"
)

func everybody(string) bool { return true }

// flowWorld is an auditor beside a ledger of flows' jobs.
func flowWorld(t *testing.T) world {
	t.Helper()
	w := world{Rooms: rig.Open(t, engines), keys: keys(3)}
	tally, _ := w.Count(t)
	w.auditor = audit.Auditor{Audiences: w.Audiences, Ledger: w.Ledger, Tally: tally}
	for _, month := range []string{"202610", "202611"} {
		rig.Must(t, w.Ledger.Ensure(t.Context(), month, 0))
	}
	return w
}

// step is a job of a flow: the visit-th message of a run of the i-th contact.
func (w world) step(flow, month, sender string, i, visit int) job.ID {
	return job.Source{Month: month, Sender: sender, Name: fmt.Sprintf("%s~run%d~1-2-%d-0", flow, i, visit)}.Job(w.keys[i])
}

// TestFlowBalancesAtEveryMoment asserts that at every moment of any legal
// history those who were planned are the sum of their buckets, by month and
// sender, and that another flow's are not among them.
func TestFlowBalancesAtEveryMoment(t *testing.T) {
	w := flowWorld(t)
	var ids []job.ID
	for _, flow := range []string{"order", "order-2"} {
		for i := range w.keys {
			ids = append(ids, w.step(flow, "202611", "bakery", i, 1), w.step(flow, "202611", "bakery", i, 2), w.step(flow, "202610", "bakery", i, 1), w.step(flow, "202611", "florist", i, 1))
		}
	}
	states := map[job.ID]ledger.Record{}
	rapid.Check(t, func(rt *rapid.T) {
		for range rapid.IntRange(1, 6).Draw(rt, "records") {
			id := rapid.SampledFrom(ids).Draw(rt, "job")
			last, ok := states[id]
			rec := ledger.Record{State: job.Pending, Planned: true}
			if ok {
				if rec, ok = next(rt, last.State); !ok {
					continue
				}
				if rec.Discarded {
					rec.Reason = last.Reason
				}
			}
			w.Record(t, id, rec)
			states[id] = rec
		}
		want := map[string]map[job.Bucket]int{}
		for id, r := range states {
			if id.Flow() != "order" {
				continue
			}
			at := id.Month + id.Sender
			if want[at] == nil {
				want[at] = map[job.Bucket]int{}
			}
			want[at][r.State.Bucket("")]++
		}
		listed := 0
		parts, err := w.auditor.Flow(t.Context(), "order", everybody, func(m audit.Member) error {
			if listed++; m.State != states[m.Job].State {
				rt.Errorf("%s is %s, want %s", m.Job, m.State, states[m.Job].State)
			}
			return nil
		})
		rig.Must(t, err)
		if len(parts) != len(want) {
			rt.Fatalf("%d parts, want %d", len(parts), len(want))
		}
		n := 0
		for _, p := range parts {
			n += p.Audience
			if !p.Balanced() {
				rt.Errorf("%s %s does not balance: %q", p.Month, p.Sender, p.Problems)
			}
			for b, k := range p.Buckets {
				if k != want[p.Month+p.Sender][b] {
					rt.Errorf("%s %s: %d %s, want %d", p.Month, p.Sender, k, b, want[p.Month+p.Sender][b])
				}
			}
		}
		if sum := audit.Sum(parts); sum.Audience != n || listed != n || !sum.Balanced() {
			rt.Errorf("%d in all and %d listed, want %d: %q", sum.Audience, listed, n, sum.Problems)
		}
	})
}

// TestFlowDoesNotBalance asserts that a job which nobody planned, and a history
// that is not legal, are found.
func TestFlowDoesNotBalance(t *testing.T) {
	w := flowWorld(t)
	fine, stray, twice := w.step("order", "202611", "bakery", 0, 1), w.step("order", "202611", "bakery", 1, 1), w.step("order", "202611", "bakery", 2, 1)
	w.Record(t, fine, ledger.Record{State: job.Pending, Planned: true})
	w.Record(t, fine, ledger.Record{State: job.Expired, Reason: reason.Expired, At: time.Now()})
	parts, err := w.auditor.Flow(t.Context(), "order", everybody, nil)
	rig.Must(t, err)
	if len(parts) != 1 || !parts[0].Balanced() || parts[0].Buckets[job.InExpired] != 1 {
		t.Fatalf("%+v", parts)
	}
	w.Record(t, stray, ledger.Record{State: job.Claimed})
	w.Record(t, twice, ledger.Record{State: job.Pending, Planned: true})
	w.Record(t, twice, ledger.Record{State: job.Pending, Planned: true})
	parts, err = w.auditor.Flow(t.Context(), "order", everybody, nil)
	rig.Must(t, err)
	if sum := audit.Sum(parts); sum.Balanced() || len(sum.Problems) < 4 {
		t.Errorf("problems: %q", sum.Problems)
	}
	if none, err := w.auditor.Flow(t.Context(), "order", func(sender string) bool { return sender == "florist" }, nil); err != nil || len(none) != 0 {
		t.Errorf("of another sender: %+v, %v", none, err)
	}
	if none, err := w.auditor.Flow(t.Context(), "ord", everybody, nil); err != nil || len(none) != 0 {
		t.Errorf("a flow that has sent nothing: %+v, %v", none, err)
	}
}
