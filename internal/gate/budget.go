package gate

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/internal/tendlc"
)

// Budget is what may go in one day, in segments. The zero value is no budget.
type Budget struct {
	Name  string // of whom: a brand with all its senders, or one sender
	Limit int
	Day   tendlc.Day
}

// look is how long a job waits at the most before it looks at a spent budget
// again: somebody may have raised it, and what was not sent comes back.
const look = 5 * time.Minute

// again is when to ask for slots after the budget was found spent.
func (b Budget) again(now time.Time) time.Time {
	if left := b.Day.End.Sub(now); left < look {
		return now.Add(max(left, Retry))
	}
	return now.Add(look)
}

// Budget returns what a sender's messages are counted against at a moment.
func (g *Gate) Budget(s *sender.Spec, at time.Time) (Budget, error) {
	if s.TenDLC == nil || s.TenDLC.PerDay == 0 {
		return Budget{}, nil
	}
	zone := g.zones.Load(tendlc.Zone)
	if zone == nil {
		return Budget{}, fmt.Errorf("the zone %s, in which a day's budget is counted, can't be loaded", tendlc.Zone)
	}
	return Budget{Name: s.BudgetName(), Limit: s.TenDLC.PerDay, Day: tendlc.DayOf(at, zone)}, nil
}

// budgetKey is beside the senders' rates, whose ids have no '~'.
func (g *Gate) budgetKey(b Budget) string { return g.keys.Rate("day~" + b.Name) }

// returnScript takes units back from what was spent on a day.
//
//	KEYS  meta, budget
//	ARGV  epoch, day, units
func returnScript() *redis.Script {
	return redis.NewScript(`
local epoch, day, n = string.match(redis.call('GET', KEYS[2]) or '', '^(%S+) (%S+) (%d+)$')
if epoch ~= ARGV[1] or redis.call('HGET', KEYS[1], 'epoch') ~= epoch or day ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[2], epoch .. ' ' .. day .. ' ' .. string.format('%.0f', math.max(0, tonumber(n) - tonumber(ARGV[3]))), 'PX', 172800000)
return 1`)
}

// Return gives units back that were taken from a budget and never sent. Where
// the day is over there is nothing to give back to. Failing to costs only what
// could have been sent: a budget that is counted anew finds them unspent.
func (g *Gate) Return(ctx context.Context, b Budget, units int) error {
	if err := g.back.Run(ctx, g.rdb, []string{g.keys.Meta(), g.budgetKey(b)}, g.view.Epoch(), b.Day.Name, units).Err(); err != nil {
		return fmt.Errorf("give back to a budget: %w", err)
	}
	return nil
}

// settled is how long after its epoch opened a budget may be counted: by then
// every slot from before it is over, and the claims that used one are in the
// ledger (MaxWait until the slot of the first call, as long again until that of
// the last, and a slot's life; the rest is margin).
const settled = 3 * time.Second

// lostScript tells whether a budget must be counted, and may be by now.
//
//	KEYS  meta, budget
//	ARGV  epoch, settled (µs)
func lostScript() *redis.Script {
	return redis.NewScript(`
local m = redis.call('HMGET', KEYS[1], 'epoch', 'opened')
local t = redis.call('TIME')
if m[1] ~= ARGV[1] or not m[2] or t[1] * 1000000 + t[2] < tonumber(m[2]) + tonumber(ARGV[2]) then return 0 end
if string.match(redis.call('GET', KEYS[2]) or '', '^(%S+) %S+ %d+$') == m[1] then return 0 end
return 1`)
}

// Lost tells whether Redis doesn't know what was spent of a budget. Nothing is
// sent on it until Found says.
func (g *Gate) Lost(ctx context.Context, b Budget) (bool, error) {
	n, err := g.lost.Run(ctx, g.rdb, []string{g.keys.Meta(), g.budgetKey(b)}, g.view.Epoch(), settled.Microseconds()).Int()
	if err != nil {
		return false, fmt.Errorf("look at a budget: %w", err)
	}
	return n == 1, nil
}

// foundScript opens a budget, unless somebody else did.
//
//	KEYS  meta, budget
//	ARGV  epoch, day, spent
func foundScript() *redis.Script {
	return redis.NewScript(`
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
if string.match(redis.call('GET', KEYS[2]) or '', '^(%S+) %S+ %d+$') == ARGV[1] then return 1 end
redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3], 'PX', 172800000)
return 1`)
}

// Epoch is the projection that Lost and Found speak of just now.
func (g *Gate) Epoch() string { return g.view.Epoch() }

// Found says what was spent on a budget's day, as counted since Lost said so in
// an epoch. It fails where that epoch is over.
func (g *Gate) Found(ctx context.Context, epoch string, b Budget, spent int) error {
	n, err := g.found.Run(ctx, g.rdb, []string{g.keys.Meta(), g.budgetKey(b)}, epoch, b.Day.Name, spent).Int()
	switch {
	case err != nil:
		return fmt.Errorf("open a budget: %w", err)
	case n == 0:
		return fmt.Errorf("open a budget: %w", facts.ErrRebuilding)
	}
	return nil
}
