package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/sandbox"
)

// perSecond is the rate of the sender below, so that most of the broadcast
// takes about a minute.
const perSecond = 1500

// TestTwoSidesApart runs a broadcast of 100,000 over two schedulers and four
// workers, and takes each kind of process away in the middle: a worker that
// is told to end, a leader that is killed, a leader that is paused for most of
// the broadcast and wakes up, still believing, before its end.
func TestTwoSidesApart(t *testing.T) {
	t.Parallel()
	const n = 100_000
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 2 * perSecond})
	l := lay(t, pl, 2, 4)
	ps := people(n, time.Now())
	l.define(pl, "spring", "rate: {per_second: 1500}\nbatch: true", ps)
	l.launch("spring")

	l.some(pl, n/20)
	l.workers[0].end(t, syscall.SIGTERM)
	if code := l.workers[0].cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d of a worker that was told to end", code)
	}
	l.worker()

	l.some(pl, n/10)
	first := l.leader()
	at := time.Now()
	first.end(t, syscall.SIGKILL)
	l.open(l.other(first))
	second := l.leader()
	l.some(pl, pl.count()+perSecond)
	t.Logf("killed: the other leads and sends again after %v", time.Since(at).Round(time.Millisecond))
	l.start(first)

	l.some(pl, n/5)
	at = time.Now()
	second.signal(syscall.SIGSTOP)
	l.until("the other answers", func() bool { return first.get("/readyz") == "ready" })
	l.open(first)
	if third := l.leader(); third != first {
		t.Fatal("the paused one leads")
	}
	l.some(pl, pl.count()+perSecond)
	t.Logf("paused: the other leads and sends again after %v", time.Since(at).Round(time.Millisecond))
	l.some(pl, sendables(t, ps)-5*perSecond)
	t.Logf("woken after %v", time.Since(at).Round(time.Second))
	second.signal(syscall.SIGCONT)
	l.ended("spring")
	l.until("the one that was paused is ready", func() bool { return second.get("/readyz") == "ready" })
	if l.leader() != first {
		t.Error("the one that woke up leads again")
	}

	l.open(second)
	a := l.reconcile(pl, "spring", ps)
	if a.Sent != sendables(t, ps) || a.Unknown != 0 || a.Pending != 0 {
		t.Errorf("%d sent of %d, %d unknown, %d pending", a.Sent, sendables(t, ps), a.Unknown, a.Pending)
	}
	l.open(first)
	if b, err := l.api.Audit(t.Context(), "spring"); err != nil || !b.Balanced || b.Sent != a.Sent || b.LedgerSeq != a.LedgerSeq {
		t.Errorf("the other counts %+v, %v", b, err)
	}
	l.plannedAgain(2 * 2 * perSecond)
	if v := pl.Summary("").Violations; v["opted_out"]+v["outside_window"]+v["rate"] != 0 {
		t.Errorf("violations: %v", v)
	}
}

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
