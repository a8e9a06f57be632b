package automation

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/run"
)

// set changes how a flow stands.
func (h *house) set(id string, s flow.Life) {
	h.t.Helper()
	f, rev, err := h.Defs.Flow(h.t.Context(), id)
	rig.Must(h.t, err)
	f.State, f.At = s, time.Now().UTC()
	_, err = h.Defs.PutFlow(h.t.Context(), f, rev)
	rig.Must(h.t, err)
}

// acted waits until the driver has done what a flow's change asks for.
func (h *house) acted(id string, s flow.Life, version int) {
	h.t.Helper()
	rig.Until(h.t, "the driver knows of the flow", func() bool {
		a, _, err := (&Driver{Config: Config{Marks: h.marks}}).acted(h.t.Context(), id)
		return err == nil && a.State == s && a.Version == version
	})
}

const crowdOfTest = 60

// beginCrowd begins as many runs of the cart as a crowd has.
func (h *house) beginCrowd() {
	h.t.Helper()
	for i := range crowdOfTest {
		h.tell(order("cart.left", "left"+itoa(i), i, about(i)))
	}
	h.until("cart", flow.Waiting, crowdOfTest)
}

// TestPause asserts that a flow that is paused stands still: nothing begins and
// nothing is woken, and that once it goes on it hears first what was told
// meanwhile, then wakes whose time has come, whoever leads then.
func TestPause(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.Apply(t, waits)
	d, stop := h.drive()
	h.beginCrowd()
	h.set("cart", flow.Paused)
	h.acted("cart", flow.Paused, 1)
	h.later(2 * time.Hour)
	d.hurry()
	for i := range crowdOfTest / 2 {
		h.tell(order("order.placed", "placed"+itoa(i), i, about(i)))
	}
	h.tell(order("cart.left", "late", 1000, about(1000)))
	rig.Until(t, "the events were passed over", func() bool { return d.Counts.Heard.Load() == crowdOfTest+crowdOfTest/2+1 })
	rig.Until(t, "the timers came", func() bool { return d.wheel.size() == 0 })
	stop()
	if got := h.states("cart"); got[flow.Waiting] != crowdOfTest || len(h.jobs("cart")) != 0 {
		t.Fatalf("while it is paused: %v, %d messages", got, len(h.jobs("cart")))
	}
	_, stop = h.drive()
	h.set("cart", flow.Active)
	h.until("cart", flow.Exited, crowdOfTest/2)
	h.planned("cart", crowdOfTest/2)
	h.acted("cart", flow.Active, 1)
	stop()
	if n := len(h.of("cart", 1000)); n != 0 {
		t.Error("a run began by what was told while the flow was paused")
	}
}

// TestPausedOutcome asserts that a run takes in what became of its message
// while its flow was paused.
func TestPausedOutcome(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.Apply(t, waits)
	_, stop := h.leads()
	h.tell(order("cart.left", "1", 1, about(1)))
	h.until("cart", flow.Waiting, 1)
	h.later(time.Hour)
	h.planned("cart", 1)
	h.set("cart", flow.Paused)
	h.acted("cart", flow.Paused, 1)
	h.sent("cart", job.Sent)
	stop()
	_, stop = h.leads()
	h.set("cart", flow.Active)
	h.waiting("cart", 1, 24*time.Hour)
	stop()
}

// TestDelete asserts that the runs of a flow that was deleted end, and what
// they planned with them, whoever leads when it is deleted.
func TestDelete(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.Apply(t, waits)
	_, stop := h.drive()
	h.beginCrowd()
	h.later(time.Hour)
	h.planned("cart", crowdOfTest)
	stop()
	h.set("cart", flow.Deleted)
	h.drive()
	h.until("cart", flow.Stopped, crowdOfTest)
	h.acted("cart", flow.Deleted, 1)
	rig.Until(t, "its messages are cancelled", func() bool {
		for id := range h.jobs("cart") {
			if last, _, err := h.Ledger.Last(t.Context(), id); err != nil || last.Record.State != job.Cancelled {
				return false
			}
		}
		return true
	})
	h.tell(order("cart.left", "late", 1000, about(1000)))
	h.until("cart", flow.Stopped, crowdOfTest)
}

// TestVersions asserts that runs stay on the version that they began with
// unless the new one takes them over, and that new ones begin with the new one.
func TestVersions(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.Apply(t, waits)
	_, stop := h.drive()
	h.beginCrowd()
	h.Apply(t, strings.Replace(waits, "for: 24h", "for: 48h", 1))
	h.acted("cart", flow.Active, 2)
	h.tell(order("cart.left", "new", 1000, about(1000)))
	h.until("cart", flow.Waiting, crowdOfTest+1)
	count := func() map[run.Kind]int {
		n, err := h.runs.Count(t.Context(), "cart")
		rig.Must(t, err)
		return n
	}
	if n := count(); n[run.Kind{State: flow.Waiting, Version: 1}] != crowdOfTest || n[run.Kind{State: flow.Waiting, Version: 2}] != 1 {
		t.Errorf("runs: %v", n)
	}
	stop()
	h.Apply(t, strings.Replace(waits, "for: 1h", "for: 3h", 1)+"move: {wait: wait}\n")
	h.drive()
	h.acted("cart", flow.Active, 3)
	if n := count(); n[run.Kind{State: flow.Waiting, Version: 3}] != crowdOfTest+1 {
		t.Errorf("after the move: %v", n)
	}
	h.waiting("cart", crowdOfTest+1, 2*time.Hour)
}

// TestOneAnother asserts that a flow starts another once, and stops it.
func TestOneAnother(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.Apply(t, waits+`---
kind: Flow
id: first
type: automation
sender: bakery
contact: event.data.id
trigger: {events: [go]}
steps: [{start: second}, {wait: {for: 1h}}, {stop: second}]
---
kind: Flow
id: second
type: automation
sender: bakery
contact: event.data.id
trigger: {events: [never]}
steps: [{start: cart}, {wait: {for: 10h}}]
`)
	h.drive()
	h.tell(order("go", "1", 1, about(1)))
	h.until("first", flow.Waiting, 1)
	h.until("second", flow.Waiting, 1)
	h.until("cart", flow.Waiting, 1)
	h.later(time.Hour)
	h.until("second", flow.Stopped, 1)
	h.until("first", flow.Done, 1)
}

// TestPace asserts that no more runs begin in a minute than may, and that none
// is lost.
func TestPace(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.Apply(t, strings.Replace(waits, "exit:", "limits: {starts_per_minute: 25}\nexit:", 1))
	h.drive()
	for i := range crowdOfTest {
		h.tell(order("cart.left", "left"+itoa(i), i, about(i)))
	}
	h.until("cart", flow.Gathering, crowdOfTest-25)
	h.later(time.Minute)
	h.until("cart", flow.Gathering, crowdOfTest-50)
	h.later(time.Minute)
	h.until("cart", flow.Waiting, crowdOfTest)
}

func TestPacer(t *testing.T) {
	t.Parallel()
	p, now := &pacer{most: 2}, time.Unix(1000, 0)
	var got []time.Duration
	for range 5 {
		at := p.next(now)
		p.took(at, now)
		if at.IsZero() {
			at = now
		}
		got = append(got, at.Sub(now))
	}
	for i, want := range []time.Duration{0, 0, time.Minute, time.Minute, 2 * time.Minute} {
		if got[i] != want {
			t.Errorf("the %d. begins after %v, want %v", i+1, got[i], want)
		}
	}
	if at := p.next(now.Add(2 * time.Minute)); !at.Equal(now.Add(2*time.Minute)) && !at.IsZero() {
		t.Errorf("the next begins at %v", at)
	}
	if at := (&pacer{}).next(now); !at.IsZero() {
		t.Errorf("without a limit: %v", at)
	}
}

// TestErased asserts that runs of somebody who is to be forgotten end, and say
// nothing of them any more.
func TestErased(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.Apply(t, waits)
	h.drive()
	h.beginCrowd()
	e := order(string(ingest.TypeErasure), "erase", 1, nil)
	e.Source, e.Change = "carillon/erase", &contact.Change{Erase: true}
	h.tell(e)
	h.until("cart", flow.Stopped, 1)
	rig.Until(t, "the run is blank", func() bool {
		r := h.of("cart", 1)[0].Run
		return string(r.Event) == "{}" && len(r.Identities) == 0 && len(r.Owes) == 0
	})
	if n := h.states("cart")[flow.Waiting]; n != crowdOfTest-1 {
		t.Errorf("%d others wait", n)
	}
}

// late is a catalog that hears of flows when it has to.
type late struct {
	Catalog

	mu     sync.Mutex
	caught bool
}

// Flows returns none before Catch.
func (l *late) Flows(ctx context.Context) ([]Flow, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.caught {
		return nil, nil
	}
	return l.Catalog.Flows(ctx)
}

// Catch waits for what is there.
func (l *late) Catch(ctx context.Context) error {
	if err := l.Catalog.Catch(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.caught = true
	return nil
}

// TestAppliedAMomentAgo asserts that an event which was kept right after a flow
// was applied begins a run, although the leader has not heard of the flow yet.
func TestAppliedAMomentAgo(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.defs = &late{Catalog: h.defs}
	h.drive()
	h.Apply(t, waits)
	h.tell(order("cart.left", "1", 1, about(1)))
	h.until("cart", flow.Waiting, 1)
}

// TestResumedAsTimersCome asserts that a run is woken whose timer comes in the
// very round in which its flow goes on, and so is taken in too early.
func TestResumedAsTimersCome(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.Apply(t, waits)
	_, stop := h.drive()
	h.tell(order("cart.left", "1", 1, about(1)))
	h.until("cart", flow.Waiting, 1)
	h.set("cart", flow.Paused)
	h.acted("cart", flow.Paused, 1)
	stop()
	h.later(2 * time.Hour)
	h.set("cart", flow.Active)
	rig.Must(t, h.defs.Catch(t.Context()))
	d := h.driver()
	rig.Must(t, d.begin(t.Context()))
	for i := range 2 {
		rig.Must(t, d.loadNear(t.Context()))
		r := &round{}
		rig.Must(t, d.gather(t.Context(), nil, r))
		if len(r.timers) != 1 || d.flows["cart"].catching != (i == 0) {
			t.Fatalf("round %d: %d timers, catching %t", i+1, len(r.timers), d.flows["cart"].catching)
		}
		rig.Must(t, d.carryOut(t.Context(), r))
	}
	if n := len(h.jobs("cart")); n != 1 {
		t.Errorf("%d messages", n)
	}
	d.inbox.close()
	_ = d.beside.Wait()
}

// dumb is a catalog that does not answer at first when it is asked for a
// version.
type dumb struct {
	Catalog
	asked atomic.Int64
}

// Program fails some times.
func (d *dumb) Program(ctx context.Context, id string, version int) (*flow.Program, error) {
	if d.asked.Add(1) <= 3 {
		return nil, nats.ErrTimeout
	}
	return d.Catalog.Program(ctx, id, version)
}

// TestNoAnswer asserts that no event passes by a flow of which a version could
// not be read just now.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.defs = &dumb{Catalog: h.defs}
	h.Apply(t, waits)
	h.tell(order("cart.left", "1", 1, about(1)))
	h.drive()
	h.until("cart", flow.Waiting, 1)
}
