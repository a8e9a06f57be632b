package e2e

import (
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/sandbox"
)

// plannedAgain holds the jobs that were released twice against what a lane
// may have released ahead: two seconds of its rate for each change of leader.
func (l *layout) plannedAgain(most float64) {
	l.t.Helper()
	var twice float64
	for _, w := range l.workers {
		if w.running() {
			v, ok := w.figure("carillon_claims_lost_total")
			if !ok {
				l.t.Error("a worker gives no figures")
			}
			twice += v
		}
	}
	if l.t.Logf("%v jobs were released twice", twice); twice > most {
		l.t.Errorf("%v jobs were released twice, want %v at most", twice, most)
	}
}

// TestAnySchedulerTakesOrders gives every order to the one that does not
// lead.
func TestAnySchedulerTakesOrders(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000})
	l := lay(t, pl, 2, 1)
	l.open(l.other(l.leader()))
	ps := people(3000, time.Now())
	l.define(pl, "spring", single, ps)
	l.launch("spring")
	l.some(pl, 200)
	s, err := l.api.Pause(t.Context(), "spring")
	if err != nil || !s.InForce || s.InFlight != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	l.still("spring")
	n := pl.count()
	if sender, err := l.api.Sender(t.Context(), "spring"); err != nil || sender.Load == nil {
		t.Errorf("what the leader's lane holds: %+v, %v", sender.Load, err)
	}
	if _, err := l.api.Resume(t.Context(), "spring"); err != nil {
		t.Fatal(err)
	}
	l.some(pl, n+200)
	if _, err := l.api.Cancel(t.Context(), "spring"); err != nil {
		t.Fatal(err)
	}
	l.still("spring")
	a := l.reconcile(pl, "spring", ps)
	if a.Cancelled == 0 || a.Sent != pl.count() {
		t.Errorf("%+v; the platform has %d", a, pl.count())
	}
}
