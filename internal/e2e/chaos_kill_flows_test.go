package e2e

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/sandbox"
)

// TestChaosFlowKilled kills the only scheduler at every point of a flow's way,
// in the middle of the runs of some orders each, while the CRM tells what it
// got no answer for again. Each order has one run, and each message is sent
// once.
func TestChaosFlowKilled(t *testing.T) {
	t.Parallel()
	ways := []struct {
		point killpoint.Point
		n     int
		fault string
	}{
		{killpoint.EventKept, 2, "events kept, and not answered"},
		{killpoint.TimerKept, 1, "timers kept, and no runs"},
		{killpoint.RunKept, 2, "runs kept, and no messages planned"},
		{killpoint.JobPlanned, 20, "messages planned, and not known"},
		{killpoint.TimerWoken, 1, "runs woken, and not moved"},
	}
	const each = 60 // orders
	const calm = 30 // orders of which nothing is killed, so that some are paid while they wait for it
	n := each*len(ways) + calm
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000})
	s := newStorm(t, pl, n, 1)
	leads := s.schedulers[0]
	took := make([]time.Duration, len(ways))
	var died time.Time
	var telling sync.WaitGroup
	for i, w := range ways {
		s.of["scheduler"] = []string{at(w.point, w.n)}
		if i == 0 {
			leads.end(t, syscall.SIGKILL)
		}
		s.start(leads)
		if i > 0 {
			s.led(leads)
			took[i-1] = time.Since(died)
		}
		telling.Go(func() {
			orders := slices.Collect(span(i*each, (i+1)*each))
			s.tell("placed", orders, 3)
			s.tell("paid", kind(orders, paid), 2)
		})
		s.until("the scheduler dies at "+string(w.point), func() bool { return !leads.running() })
		(&killing{office: &s.office}).dead(leads.child)
		died = time.Now()
		s.of["scheduler"] = nil
		if i == len(ways)-1 {
			s.start(leads)
			s.led(leads)
			took[i] = time.Since(died)
		}
	}
	telling.Wait()
	s.ready()
	whole := slices.Collect(span(n-calm, n))
	s.tell("placed", whole, 2)
	s.waits(whole)
	s.tell("paid", kind(whole, paid), 2)
	s.over(n)
	s.compare(n, func(int) bool { return false })
	for i, w := range ways {
		row := s.slice(i*each, (i+1)*each)
		row.fault, row.injected, row.recovery = "flow killed: "+w.fault, 1, took[i]
		if row.unknown != 0 {
			t.Errorf("%s: %d unknown, and no worker was killed", row.fault, row.unknown)
		}
		faults.add(t, row)
	}
}

// slice is what became of the messages of some orders: what their runs asked
// for, and what the platform took.
func (s *storm) slice(from, to int) figures {
	s.t.Helper()
	got := map[string]int{}
	for _, a := range s.pl.books(s.t) {
		got[a.Text]++
	}
	var out figures
	s.each(func(i int, r *flow.Run) {
		if i < from || i >= to {
			return
		}
		for step, o := range r.Outcomes {
			n := got[fmt.Sprintf("%s o%d", step, i)]
			out.duplicates += max(0, n-1)
			switch {
			case o.State == "unknown":
				out.unknown++
			case n > 0:
				out.sent++
			default:
				out.lost++
			}
		}
	})
	return out
}
