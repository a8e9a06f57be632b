package automation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/errand"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/run"
)

// debt is an effect that a run asks for.
type debt struct {
	h *held
	e flow.Effect
}

const (
	// hands is how many runs' messages are planned at once: the committer puts
	// them together.
	hands = 1024
	// maxDone is how many runs are remembered whose effects are done; of the
	// others they are done again.
	maxDone = 100_000
	// claimedFor is when a message is asked for again that could not be
	// cancelled since a worker had it.
	claimedFor = 3 * time.Second
)

// pay does what runs ask for. Calls are begun; everything else is done once it
// returns, or stays pending.
func (w *wave) pay(ctx context.Context, debts []debt) error {
	if len(debts) == 0 {
		return nil
	}
	if err := w.learn(ctx, debts); err != nil {
		return err
	}
	if err := w.plan(ctx, debts); err != nil {
		return err
	}
	if err := w.others(ctx, debts); err != nil {
		return err
	}
	for _, x := range debts {
		if x.e.Kind == flow.Call {
			x.h.pending[x.e.ID] = x.e
			w.d.calls.add(x.h.id, &x.e)
		}
	}
	return nil
}

// learn changes contacts.
func (w *wave) learn(ctx context.Context, debts []debt) error {
	updates := map[string][]contact.Update{}
	for _, x := range debts {
		if x.e.Kind != flow.Change {
			continue
		}
		c := contact.Change{At: x.e.At, Labels: x.e.Labels, Attributes: x.e.Attributes}
		if err := c.Validate(); err != nil {
			w.d.refused(ctx, x.h.l, "a change of the contact", err)
			continue
		}
		updates[x.e.Identity.Sender] = append(updates[x.e.Identity.Sender], c.Update(x.e.Identity.Person))
	}
	for _, id := range slices.Sorted(maps.Keys(updates)) {
		if err := w.d.Learn(ctx, id, updates[id]); err != nil {
			return fmt.Errorf("changes of contacts: %w", err)
		}
	}
	return nil
}

// plan plans messages and cancels them, those of one run in their order.
func (w *wave) plan(ctx context.Context, debts []debt) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(hands)
	of := map[*held][]flow.Effect{}
	var order []*held
	for _, x := range debts {
		if x.e.Kind != flow.Plan && x.e.Kind != flow.Cancel {
			continue
		}
		if of[x.h] == nil {
			order = append(order, x.h)
		}
		of[x.h] = append(of[x.h], x.e)
	}
	for _, h := range order {
		g.Go(func() error {
			for _, e := range of[h] {
				if err := w.d.message(ctx, h, e); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// cancelPrefix begins the id of an effect that cancels another.
const cancelPrefix = "cancel-"

// message plans or cancels one message. One that a worker has just now is asked
// for again a little later: it may come back unsent.
func (d *Driver) message(ctx context.Context, h *held, e flow.Effect) error {
	source := h.id.String() + "~" + strings.TrimPrefix(e.ID, cancelPrefix)
	id, err := d.Planner.Place(ctx, e.Month, e.Identity.Sender, e.Identity.Person, source)
	if err != nil {
		return err
	}
	if e.Kind == flow.Plan {
		return d.Planner.Plan(ctx, id, e.Expires, h.run.Trace)
	}
	err = d.Planner.Cancel(ctx, id, "its run ended: "+h.run.Why)
	delete(h.pending, e.ID)
	if err == nil || !errors.Is(err, errand.ErrClaimed) {
		return err
	}
	h.pending[e.ID] = e
	return d.Timers.Append(ctx, []run.Timer{{Run: h.id, At: d.Now().Add(claimedFor)}})
}

// others starts and stops other flows.
func (w *wave) others(ctx context.Context, debts []debt) error {
	var all []*news
	for _, x := range debts {
		switch x.e.Kind {
		case flow.Start:
			all = append(all, &news{kind: asked, id: flow.ID{Flow: x.e.Flow}, told: x.h.run.Told()})
		case flow.Stop:
			all = append(all, &news{kind: halted, id: flow.ID{Flow: x.e.Flow}, ids: x.h.run.Identities, why: "flow " + x.h.id.Flow + " stopped it"})
		case flow.Plan, flow.Cancel, flow.Change, flow.Call:
		}
	}
	if len(all) > 0 && w.depth >= maxDepth {
		w.d.refused(ctx, debts[0].h.l, "another flow", errors.New("flows start one another in a circle"))
		return nil
	}
	return w.d.waves(ctx, all, w.depth+1)
}

// paid notes that everything is done that a run owed as it is stored, but for
// what is under way.
func (d *Driver) paid(h *held) {
	for _, e := range h.run.Owes {
		if e.Kind == flow.Call {
			continue
		}
		if h.pending[e.ID].Kind == flow.Cancel {
			return // asked for again
		}
		if len(d.done) >= maxDone {
			clear(d.done)
		}
		d.done[h.id] = h.rev
	}
}
