package scheduler

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/carillon-dev/carillon/internal/deadletter"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/sender"
)

// orderEvery is how often standing orders are looked at. What they are about
// has waited for minutes.
const orderEvery = 15 * time.Second

// orders carries out the standing orders of senders: what is likely not sent
// goes out again, once. It keeps only what it need not look at again.
type orders struct {
	*Scheduler
	done map[job.ID]uint64 // by job, the outcome that was looked at
}

// standing carries out standing orders until ctx ends.
func (l *Leader) standing(ctx context.Context) {
	o := &orders{Scheduler: l.Scheduler, done: map[job.ID]uint64{}}
	t := time.NewTicker(orderEvery)
	defer t.Stop()
	for {
		if err := o.look(ctx); err != nil && ctx.Err() == nil {
			l.Log.WarnContext(ctx, "standing orders could not be carried out; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// look carries out the orders of every sender that gives one.
func (o *orders) look(ctx context.Context) error {
	ids, err := o.Defs.Senders(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		n, _, err := o.Defs.Sender(ctx, id)
		if errors.Is(err, definition.ErrNotFound) {
			continue
		}
		if err == nil && n.Unknown.Redrive && o.Tally.UnknownOf(id) > 0 {
			err = o.carryOut(ctx, n)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// carryOut redrives what is likely not sent of one sender. The dead letters
// may be behind the ledger: whether it is so, is judged again by the ledger.
func (o *orders) carryOut(ctx context.Context, n *sender.Spec) error {
	evidence, err := o.Witness.Evidence(ctx, n.ID)
	if err != nil {
		return err
	}
	var ids []job.ID
	there := map[job.ID]bool{}
	err = o.Dead.Each(ctx, deadletter.Filter{State: job.Unknown, Sender: n.ID}, func(l deadletter.Letter) error {
		id, err := job.ParseID(l.Job)
		there[id] = true
		if err != nil || o.done[id] == l.Seq || !evidence.LikelyNotSent(l.At) {
			return err
		}
		again, err := o.redrivenBefore(ctx, id)
		if err != nil {
			return err
		}
		if o.done[id] = l.Seq; !again {
			ids = append(ids, id)
		}
		if len(ids) == orderAtOnce {
			return deadletter.ErrEnough
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(ids) < orderAtOnce { // all were looked at: those of the others are over
		maps.DeleteFunc(o.done, func(id job.ID, _ uint64) bool { return id.Sender == n.ID && !there[id] })
	}
	if len(ids) == 0 {
		return nil
	}
	return o.order(ctx, n.ID, ids)
}

// orderAtOnce is how many jobs a sender's order redrives at a look, so that a
// mistake in it can be stopped before all are gone.
const orderAtOnce = 500

func (o *orders) order(ctx context.Context, id string, ids []job.ID) error {
	done, err := o.RedriveLikely(ctx, ids, ledger.ByStandingOrder, false)
	if err != nil {
		for _, id := range ids { // perhaps not done
			delete(o.done, id)
		}
		return err
	}
	n := 0
	for _, h := range done {
		if h.Refused == "" {
			n++
		}
	}
	if n > 0 {
		o.Log.InfoContext(ctx, "messages that are likely not sent go out again by standing order", "sender", id, "messages", n)
	}
	return nil
}

// redrivenBefore tells whether a standing order redrove the job already: a
// message whose answer is lost again and again is for a person to look at.
func (o *orders) redrivenBefore(ctx context.Context, id job.ID) (before bool, err error) {
	err = o.Ledger.History(ctx, id, func(e ledger.Entry) error {
		before = before || e.Record.By == ledger.ByStandingOrder
		return nil
	})
	return before, err
}
