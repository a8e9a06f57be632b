package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/sandbox"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// mostUnknown is how many jobs one kill may leave between claim and outcome:
// the waves that were under way. They are some 20 to 60 where the disk is quick,
// and a second's worth of the senders below where others keep it busy. Were all
// claimed that a worker holds, there would be a thousand.
const mostUnknown = 400

// missedAnswers is how many answers of a broadcast may come too late for
// workers that live, where other tests keep the machine busy for seconds.
const missedAnswers = 20

// stroke is one broadcast, of a sender of its own, and the kill that struck it.
type stroke struct {
	figures
	id   string
	pl   *platform // as its sender sees it
	ps   []person
	most int // unknown
}

// killing has broadcasts struck by kills. Each is reconciled at its end.
type killing struct {
	*office
	pl      *platform
	strokes []*stroke
	killed  []int // process ids
}

// strike defines a broadcast for a kill, of an account of its own.
func (k *killing) strike(fault, sender string, ps []person, most int) *stroke {
	k.t.Helper()
	n := len(k.strokes)
	s := &stroke{figures: figures{fault: fault, injected: 1}, id: fmt.Sprintf("b%d", n), pl: k.pl.of(fmt.Sprintf("10625400112200%02d", n)), ps: ps, most: most}
	k.define(s.pl, s.id, sender, s.ps)
	k.strokes = append(k.strokes, s)
	return s
}

// dies waits until a process has killed itself at the point it was told.
func (k *killing) dies(c *child, at string) time.Time {
	k.t.Helper()
	k.until("a process dies at "+at, func() bool { return !c.running() })
	k.dead(c)
	return time.Now()
}

// dead notes a process that was killed, and wants it to have been.
func (k *killing) dead(c *child) {
	k.t.Helper()
	if s, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGKILL {
		k.t.Fatalf("it ended otherwise: %v\n%s", c.cmd.ProcessState, tail(c.log.String(), 2000))
	}
	k.killed = append(k.killed, c.cmd.ProcessState.Pid())
}

// amid wants a stroke to have hit its broadcast in the middle.
func (k *killing) amid(s *stroke) {
	k.t.Helper()
	if n := s.pl.count(); n == 0 || n >= sendables(k.t, s.ps) {
		k.t.Errorf("%s: struck when %d of %d were sent", s.fault, n, sendables(k.t, s.ps))
	}
}

// again waits until a stroke's broadcast goes on, and notes how long that took
// since its process died.
func (k *killing) again(s *stroke, died time.Time, was int) {
	k.t.Helper()
	k.some(s.pl, was+1)
	s.recovery = time.Since(died)
}

// weighed ends all broadcasts and holds each against the books: who has no
// message has a reason, and what is unknown was claimed by a process that was
// killed.
func (k *killing) weighed() {
	k.t.Helper()
	for _, s := range k.strokes {
		k.ended(s.id)
		row := k.weigh(s.pl, s.id, s.ps)
		s.sent, s.duplicates, s.lost, s.unknown = row.sent, row.duplicates, row.lost, row.unknown
		k.known(s)
		most := s.most
		if !alone() {
			most += missedAnswers
		}
		if s.unknown > most {
			k.t.Errorf("%s: %d unknown, want at most %d: claims are made too long before the wire", s.fault, s.unknown, most)
		}
		if v := s.pl.Summary(s.pl.only).Violations; v["opted_out"]+v["outside_window"]+v["rate"] != 0 {
			k.t.Errorf("%s: violations: %v", s.fault, v)
		}
		faults.add(k.t, s.figures)
	}
}

// known checks each job of which the outcome is unknown: its story names the
// claim, and whose it was.
func (k *killing) known(s *stroke) {
	k.t.Helper()
	for m, err := range k.api.AuditMembers(k.t.Context(), s.id, "unknown") {
		if err != nil {
			k.t.Fatal(err)
		}
		story, err := k.api.Job(k.t.Context(), m.Job)
		if err != nil {
			k.t.Fatal(err)
		}
		by := ""
		for _, step := range story.Steps {
			if step.Record != nil && step.Record.State == "claimed" {
				by = step.Record.By
			}
		}
		if m.Reason != reason.OutcomeUnknown || by == "" || alone() && !slices.ContainsFunc(k.killed, func(pid int) bool { return strings.HasSuffix(by, fmt.Sprintf("/%d", pid)) }) {
			k.t.Errorf("%s is unknown (%s), claimed by %q; killed were %v", m.Job, m.Reason, by, k.killed)
		}
	}
}

// at is what a process is told to die at a pass of a point.
func at(p killpoint.Point, n int) string { return fmt.Sprintf("CARILLON_KILL=%s:%d", p, n) }

// TestChaosWorkerKilled kills a worker at every point of an envelope's way, of
// singles and of batches, beside another worker; then all there are, at moments
// that nobody chose.
func TestChaosWorkerKilled(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000})
	l := lay(t, pl, 1, 1)
	k := &killing{office: &l.office, pl: pl}
	for _, c := range []struct {
		point            killpoint.Point
		fault            string
		singles, batches int // passes: of waves, calls or answers; of batches
	}{
		{killpoint.BeforeClaim, "before the claim", 4, 3},
		{killpoint.AfterClaim, "after the claim", 4, 3},
		{killpoint.AfterRecheck, "after the recheck", 80, 3},
		{killpoint.AfterWrite, "after the request is written", 80, 3},
		{killpoint.BeforeOutcome, "before the outcome", 20, 3},
		{killpoint.AfterOutcome, "after the outcome", 20, 3},
		{killpoint.BetweenEnvelopes, "between envelopes", 2, 3},
	} {
		for range more(1, 3) {
			l.strikeWorker(k, k.strike("worker killed: "+c.fault, single, people(1200, time.Now()), mostUnknown), c.point, c.singles)
			l.strikeWorker(k, k.strike("worker killed: "+c.fault, batched, people(1200, time.Now()), mostUnknown), c.point, c.batches)
		}
	}
	for _, sender := range []string{single, batched} {
		s := k.strike("worker killed: all, at random moments", sender, people(2000, time.Now()), more(2, 6)*mostUnknown)
		s.injected = 0
		k.launch(s.id)
		for range more(2, 6) {
			k.some(s.pl, min(s.pl.count()+50+rand.IntN(350), sendables(t, s.ps)-400))
			k.amid(s)
			var died time.Time
			for _, w := range l.workers {
				if w.running() {
					w.end(t, syscall.SIGKILL)
					k.dead(w.child)
					died = time.Now()
					s.injected++
				}
			}
			was := s.pl.count()
			l.worker()
			k.again(s, died, was)
		}
	}
	k.weighed()
}

// more is a number in the short form, and in the long one.
func more(short, longer int) int {
	if *long {
		return longer
	}
	return short
}

// strikeWorker has one worker of several die in the middle of a broadcast.
func (l *layout) strikeWorker(k *killing, s *stroke, p killpoint.Point, n int) {
	l.t.Helper()
	l.of["worker"] = []string{at(p, n)}
	w := l.worker()
	l.of["worker"] = nil
	l.until("the worker is ready", func() bool { return w.up() && w.get("/readyz") == "ready" })
	w.signal(syscall.SIGSTOP) // until the other has sent something
	l.launch(s.id)
	l.some(s.pl, 20)
	w.signal(syscall.SIGCONT)
	died := k.dies(w.child, string(p))
	was := s.pl.count()
	k.amid(s)
	k.again(s, died, was)
}
