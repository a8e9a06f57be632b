// Package budget counts anew what senders have spent of a day's cap, where Redis
// doesn't know it: after a flush, a failover or a start. The ledger knows, since
// every claim of a text message says what it counts. While nobody has counted,
// the gate lets nothing go on that budget.
//
// Its invariant: what it finds is at least what the platform got on that day.
// What was claimed and has no outcome yet counts; what certainly never left, or
// was refused, doesn't.
package budget

import (
	"context"
	"log/slog"
	"time"

	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
)

// every is how often budgets are looked at. A lost one holds its senders for as
// long at the most, beyond what counting takes.
const every = time.Second

// leeway is by how much the clocks of a worker and of the ledger's server may
// differ: records are found by the one and dated by the other.
const leeway = 5 * time.Minute

// Keeper keeps budgets known. Its fields are set once. Any number of them may be
// at work: the first to have counted is believed.
type Keeper struct {
	Gate   *gate.Gate
	Ledger *ledger.Ledger
	Defs   *definition.Store
	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger
}

// Run keeps budgets known until ctx ends. What fails is tried again.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	troubled := false
	for {
		err := k.Look(ctx)
		if err != nil && ctx.Err() == nil && !troubled {
			k.Log.WarnContext(ctx, "what was spent of daily caps can't be counted; their senders wait", "error", err)
		}
		troubled = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Look counts what Redis doesn't know.
func (k *Keeper) Look(ctx context.Context) error {
	now := time.Now
	if k.Now != nil {
		now = k.Now
	}
	budgets, members, err := k.budgets(ctx, now())
	if err != nil {
		return err
	}
	for _, b := range budgets {
		epoch := k.Gate.Epoch()
		lost, err := k.Gate.Lost(ctx, b)
		if err != nil {
			return err
		}
		if !lost {
			continue
		}
		spent := 0
		for _, id := range members[b.Name] {
			n, err := k.count(ctx, id, b)
			if err != nil {
				return err
			}
			spent += n
		}
		if err := k.Gate.Found(ctx, epoch, b, spent); err != nil {
			return err
		}
		k.Log.InfoContext(ctx, "what was spent of a daily cap was counted", "budget", b.Name, "day", b.Day.Name, "segments", spent)
	}
	return nil
}

// budgets are those of all senders, each with who shares it. A brand may have
// different limits at its senders: how much there is, each asks for itself.
func (k *Keeper) budgets(ctx context.Context, now time.Time) (out []gate.Budget, members map[string][]string, err error) {
	ids, err := k.Defs.Senders(ctx)
	if err != nil {
		return nil, nil, err
	}
	members = map[string][]string{}
	for _, id := range ids {
		s, _, err := k.Defs.Sender(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		b, err := k.Gate.Budget(s, now)
		if err != nil {
			return nil, nil, err
		}
		if b.Limit == 0 {
			continue
		}
		if members[b.Name] == nil {
			out = append(out, b)
		}
		members[b.Name] = append(members[b.Name], id)
	}
	return out, members, nil
}

// count returns how many segments of a sender count on a budget's day: those of
// claims that were made on it, but for what certainly never left.
func (k *Keeper) count(ctx context.Context, id string, b gate.Budget) (spent int, err error) {
	open := map[job.ID]int{} // claims without an outcome
	err = k.Ledger.OfSender(ctx, id, b.Day.Start.Add(-leeway), func(e ledger.Entry) error {
		switch r := e.Record; {
		case r.State == job.Claimed && !r.At.Before(b.Day.Start) && r.At.Before(b.Day.End):
			open[e.ID] = r.Segments
			spent += r.Segments
		case r.From == job.Claimed && r.State != job.Sent && r.State != job.Unknown:
			spent -= open[e.ID]
			delete(open, e.ID)
		default:
			delete(open, e.ID)
		}
		return nil
	})
	return spent, err
}
