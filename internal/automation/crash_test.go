package automation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/run"
)

// pays is a flow whose every step asks for something, and that goes one of two
// ways by what is told next.
const pays = `
kind: Flow
id: pays
type: automation
sender: bakery
contact: event.data.id
trigger: {events: [order.made]}
reentry: {key: event.data.order}
steps:
  - {id: mark, set: {labels: {buyer: true}}}
  - {id: hello, send: {text: Thanks}}
  - id: pay
    wait:
      events: [order.paid]
      where: event.data.order == run.event.data.order
      timeout: 1h
      then: [{id: thanks, send: {text: Paid}}]
      else: [{id: remind, send: {text: Please pay}}]
`

var errTrouble = errors.New("the engines are away")

// trouble fails, or ends the driver, before or after what it is asked for.
type trouble struct {
	Planner
	mu   sync.Mutex
	rand *rand.Rand
	left int // how often yet
	kill func()
}

func (x *trouble) around(do func() error) error {
	x.mu.Lock()
	what, hit := x.rand.IntN(4), x.left > 0 && x.rand.IntN(8) == 0
	if hit {
		x.left--
	}
	kill := x.kill
	x.mu.Unlock()
	if !hit {
		return do()
	}
	if what < 2 { // before
		if what == 0 {
			kill()
		}
		return errTrouble
	}
	_ = do()
	if what == 2 {
		kill()
	}
	return errTrouble
}

// Plan plans, or not.
func (x *trouble) Plan(ctx context.Context, id job.ID, expires time.Time, trace string) error {
	return x.around(func() error { return x.Planner.Plan(ctx, id, expires, trace) })
}

// TestCrash kills drivers at any point, fails what they ask for, tells events
// twice and out of order, and has two of them at once: every order has one run
// that took one way, each of its messages was planned once, and nothing is
// left to do.
func TestCrash(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			crash(t, rand.New(rand.NewPCG(seed, 7)))
		})
	}
}

func crash(t *testing.T, r *rand.Rand) {
	h := open(t)
	h.Apply(t, pays)
	x := &trouble{Planner: h.plans, rand: rand.New(rand.NewPCG(r.Uint64(), 1)), left: 30}
	h.plans = x
	learn := h.learn
	h.learn = func(ctx context.Context, sender string, us []contact.Update) error {
		return x.around(func() error { return learn(ctx, sender, us) })
	}
	tally, err := ledger.OpenTally(t.Context(), h.Ledger, h.Names, h.Log)
	rig.Must(t, err)
	rig.Loop(t, tally.Run)
	// Each leader leads until it is killed, two of them at a time.
	ctx, stop := context.WithCancel(t.Context())
	var leaders sync.WaitGroup
	for n := range 2 {
		leaders.Go(func() {
			for ctx.Err() == nil {
				life, kill := context.WithCancel(ctx)
				x.mu.Lock()
				x.kill = kill
				x.mu.Unlock()
				d := h.driver()
				d.Log = slog.New(slog.DiscardHandler)
				var led <-chan error
				if n == 0 {
					led = tally.Lead(life, d.Flush, d)
				}
				_ = d.Run(life) // the error of a kill
				kill()
				if led != nil {
					<-led
				}
			}
		})
	}
	first := map[string]int{} // when an order's events were kept first
	tell := func(typ, o string, i int) {
		e := order(typ, typ+o, i, map[string]any{"id": rig.Address(i), "order": o})
		if seq := h.tell(e); seq > 0 {
			first[typ+o] = int(seq)
		}
	}
	var told []func()
	for i := range 8 {
		for k := range 2 {
			o := fmt.Sprintf("o%d-%d", i, k)
			told = append(told, func() { tell("order.made", o, i) }, func() { tell("order.made", o, i) })
			if r.IntN(2) == 0 {
				told = append(told, func() { tell("order.paid", o, i) })
			}
		}
	}
	r.Shuffle(len(told), func(i, k int) { told[i], told[k] = told[k], told[i] })
	for _, do := range told {
		do()
		if r.IntN(4) == 0 {
			h.sent("pays", job.Sent)
		}
	}
	rig.Until(t, "everybody was greeted", func() bool {
		h.sent("pays", job.Sent)
		n := 0
		rig.Must(t, h.runs.Each(t.Context(), "pays", func(s run.Stored) error {
			if s.Run.Outcomes["hello"].State == job.Sent {
				n++
			}
			return nil
		}))
		return n == 16
	})
	h.later(2 * time.Hour)
	rig.Until(t, "all runs are done", func() bool {
		h.sent("pays", job.Sent)
		return h.states("pays")[flow.Done] == 16
	})
	stop()
	leaders.Wait()
	paths(t, h, first)
}

// paths holds every run against what was told.
func paths(t *testing.T, h *house, first map[string]int) {
	t.Helper()
	for id, n := range h.jobs("pays") {
		if got := h.States(t, id); n != 3 || !slices.Equal(got, []job.State{job.Pending, job.Claimed, job.Sent}) {
			t.Errorf("%s went %v", id, got)
		}
	}
	if n := len(h.jobs("pays")); n != 32 {
		t.Errorf("%d messages, want two for each of 16 orders", n)
	}
	seen := map[string]bool{}
	rig.Must(t, h.runs.Each(t.Context(), "pays", func(s run.Stored) error {
		o, _ := s.Run.Data()["order"].(string)
		var steps []string
		for _, v := range s.Run.Path {
			if v.Did == "send" {
				steps = append(steps, v.Step)
			}
		}
		got := strings.Join(steps, " ")
		ok := got == "hello thanks" || got == "hello remind"
		paid := first["order.paid"+o] > first["order.made"+o]
		if seen[o] || !ok || !paid && got == "hello thanks" {
			t.Errorf("order %s, made at %d, paid at %d: %s", o, first["order.made"+o], first["order.paid"+o], got)
		}
		seen[o] = true
		return nil
	}))
	if len(seen) != 16 {
		t.Errorf("%d orders have runs", len(seen))
	}
	for i := range 8 {
		c, _, err := h.Facts.Contact(t.Context(), "bakery", h.Facts.Key("bakery", rig.Address(i)))
		if err != nil || !slices.Equal(c.Labels, []string{"buyer"}) {
			t.Errorf("contact %d has labels %v, %v", i, c.Labels, err)
		}
	}
}
