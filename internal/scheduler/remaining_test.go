package scheduler_test

import (
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// TestImpactOfWhatIsLeft judges of a frozen audience those without an outcome,
// and nobody who came after the freeze.
func TestImpactOfWhatIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5, spring)
	ctx := t.Context()
	judged := func() int {
		t.Helper()
		var found []scheduler.Impact
		day := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
		rig.Must(t, w.sched.Impacts(ctx, w.Gate.Rules, day, day, func(string) bool { return true }, func(i scheduler.Impact) error { found = append(found, i); return nil }))
		if len(found) != 1 {
			t.Fatalf("%+v", found)
		}
		return found[0].Audience
	}
	if n := judged(); n != 5 {
		t.Errorf("%d of a draft, want everybody whom it picks", n)
	}
	w.set(func(i int) (ledger.Record, bool) {
		return []ledger.Record{{State: job.Sent}, {State: job.Blocked, Reason: reason.OptedOut}, {}, {}, {}, {}}[i], i < 2
	})
	w.launch("spring")
	b := w.frozen("spring")
	w.counted(b, job.Sent, 1)
	w.counted(b, job.Blocked, 1)
	w.Update(t, "bakery", contact.Update{Address: rig.Address(5), LastInbound: time.Now()})
	if n := judged(); n != 3 {
		t.Errorf("%d while it is sent, want the 3 without an outcome", n)
	}
	var dead []job.ID
	rig.Must(t, w.Ledger.OfSource(ctx, b.Source(), 0, func(e ledger.Entry) error {
		if e.Record.State.Dead() {
			dead = append(dead, e.ID)
		}
		return nil
	}))
	_, err := w.sched.Redrive(ctx, dead, "ada", false)
	rig.Must(t, err)
	if n := judged(); n != 4 {
		t.Errorf("%d after the one that was blocked is to go again, want 4", n)
	}
}
