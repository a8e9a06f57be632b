package gate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/rate"
	"github.com/carillon-dev/carillon/internal/sender"
)

// MaxWait is how far away a slot may be for a worker to wait for it. A job
// whose place comes later goes back to its lane.
const MaxWait = time.Second

// Slot is a moment at which one call may go, on this process's monotonic
// clock: from From (included) until Until (excluded).
type Slot struct{ From, Until time.Time }

// Ask is what slots are asked for: one call for each entry of Units.
type Ask struct {
	Sender string
	App    string        // whose pace counts beside the sender's; empty: none
	Charge rate.Charge   // of a call that counts as one, at the full pace
	Units  []int         // how much each call counts: segments of a text message, 1 elsewhere
	Lead   time.Duration // what the caller has to do before it can use one
	Budget Budget        // what the units are taken from; zero: nothing, or they were before
}

// Slots are given by one round trip.
type Slots struct {
	Slots []Slot    // of the first calls asked for; those behind them have none
	Place time.Time // where there is a call without: when to ask again
	Spent bool      // where there is a call without: the day's budget is why, not the rate
	left  int64     // the TAT that was left behind, for a refund
	cost  int64     // of each, as it was charged, µs
}

// Ones asks for n calls that count as one each.
func Ones(n int) []int {
	ones := make([]int, n)
	for i := range ones {
		ones[i] = 1
	}
	return ones
}

// takeScript gives slots to the first calls, as many as have theirs within the
// longest wait of the first one's and fit into the day's budget, and the time of
// the place of the one behind them. The first one's is not given either where it
// is further away than the longest wait. The arithmetic is that of rate.Take.
// A pace below the full one makes each unit that much dearer, and nothing else.
// Where nobody has vouched for the projection lately, none is given: Redis' clock
// may have been set since, and the rate stands in its time.
// Before the epoch opened slots may have been given that nobody remembers, so
// the first one rests that long (rate.After).
//
//	KEYS  meta, rate, slow, budget, pace, the app's pace
//	ARGV  epoch, cost of a unit (µs), tolerance (µs), longest wait (µs), rest (µs), lead (µs), budget (0: none), day, beat limit (µs), units…
//	reply {now, TAT left, place or 0, 1 where the budget is why, cost charged, slot…}, or {} when the epoch is another, the beat is no good or the budget is not known
func takeScript() *redis.Script {
	return redis.NewScript(paceLua() + `
local m = redis.call('HMGET', KEYS[1], 'epoch', 'opened', 'beat')
if m[1] ~= ARGV[1] or not m[2] or not m[3] then return {} end
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
if now < tonumber(m[3]) or now > m[3] + ARGV[9] then return {} end
local cost, tolerance, wait = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local ask, budget, spent = now + tonumber(ARGV[6]), tonumber(ARGV[7]), 0
if budget > 0 then
  local epoch, day, n = string.match(redis.call('GET', KEYS[4]) or '', '^(%S+) (%S+) (%d+)$')
  if epoch ~= ARGV[1] or day > ARGV[8] then return {} end
  if day == ARGV[8] then spent = tonumber(n) end
end
local paces = redis.call('MGET', KEYS[5], KEYS[6])
cost = math.ceil(cost * 100 / math.min((pace(paces[1], now)), (pace(paces[2], now))))
local slow = tonumber(redis.call('GET', KEYS[3]) or '0')
local tat = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), tonumber(m[2]) + tonumber(ARGV[5]), slow + tolerance)
local first = math.max(ask, tat - tolerance)
if first - now > wait then return {now, tat, first, 0, cost} end
local out = {now, 0, 0, 0, cost}
for i = 10, #ARGV do
  local units, slot = tonumber(ARGV[i]), math.max(ask, tat - tolerance)
  if slot - first > wait then out[3] = slot break end
  if budget > 0 and spent + units > budget then out[3] = slot out[4] = 1 break end
  tat, spent = math.max(ask, tat) + cost * units, spent + units
  out[#out + 1] = slot
end
out[2] = tat
if #out > 5 then
  redis.call('SET', KEYS[2], string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000) + 1000)
  if budget > 0 then redis.call('SET', KEYS[4], ARGV[1] .. ' ' .. ARGV[8] .. ' ' .. string.format('%.0f', spent), 'PX', 172800000) end
end
return out`)
}

// giveScript takes the last slots back, if nobody was given any after them.
func giveScript() *redis.Script {
	return redis.NewScript(`
local tat = redis.call('GET', KEYS[1])
if tat ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1`)
}

// slowScript lets no slot be given for a while. It is a key of its own: what
// it says holds whatever burst the sender has saved up, and the rate must not
// be forgotten when it has passed.
func slowScript() *redis.Script {
	return redis.NewScript(`
local t = redis.call('TIME')
local slow = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), t[1] * 1000000 + t[2] + tonumber(ARGV[1]))
redis.call('SET', KEYS[1], string.format('%.0f', slow), 'PX', math.ceil((slow - t[1] * 1000000 - t[2]) / 1000) + 1000)
return 1`)
}

func (g *Gate) slowKey(sender string) string { return g.keys.Rate(sender) + ":slow" }

// ChargeOf returns what one call of a sender costs. A sender that may batch
// is charged for a full batch at every call, since two ways of charging on
// one state would break the bound.
func ChargeOf(s *sender.Spec) rate.Charge {
	if s.Batch {
		return s.Limit().Batch(s.EnvelopeSize())
	}
	return s.Limit().Call()
}

// Take gives the first calls of an ask their slots, from its lead on, and the
// time of the next place where it didn't give all. Its errors all mean that
// nothing may be sent.
func (g *Gate) Take(ctx context.Context, a Ask) (Slots, error) {
	rest := rate.After(0, MaxWait.Microseconds(), a.Charge.Tolerance).TAT
	args := []any{g.view.Epoch(), a.Charge.Cost, a.Charge.Tolerance, MaxWait.Microseconds(), rest, a.Lead.Microseconds(), a.Budget.Limit, a.Budget.Day.Name, facts.BeatLimit.Microseconds()}
	for _, n := range a.Units {
		args = append(args, n)
	}
	sent := time.Now()
	keys := append([]string{g.keys.Meta(), g.keys.Rate(a.Sender), g.slowKey(a.Sender), g.budgetKey(a.Budget)}, g.paceKeys(a.Sender, a.App)...)
	raw, err := g.take.Run(ctx, g.rdb, keys, args...).Int64Slice()
	received := time.Now()
	if err != nil {
		return Slots{}, fmt.Errorf("take slots: %w", err)
	}
	const head = 5
	switch {
	case len(raw) == 0:
		return Slots{}, facts.ErrRebuilding
	case len(raw) < head || len(raw) > head+len(a.Units) || len(raw) < head+len(a.Units) && raw[2] == 0:
		return Slots{}, errors.New("take slots: malformed answer")
	}
	delay := func(at int64) time.Duration { return time.Duration(at-raw[0]) * time.Microsecond }
	s := Slots{Slots: make([]Slot, len(raw)-head), left: raw[1], cost: raw[4]}
	for i := range s.Slots {
		s.Slots[i].From, s.Slots[i].Until = rate.Usable(sent, received, delay(raw[head+i]))
	}
	if len(s.Slots) < len(a.Units) {
		s.Place, s.Spent = received.Add(delay(raw[2])), raw[3] == 1
	}
	if s.Spent {
		s.Place = a.Budget.again(received)
	}
	return s, nil
}

// Give returns the last n slots unused, of calls that counted as one each, as
// far as nobody was given any after them. Failing to costs only time.
func (g *Gate) Give(ctx context.Context, sender string, s Slots, n int) error {
	if n == 0 || len(s.Slots) == 0 {
		return nil
	}
	err := g.give.Run(ctx, g.rdb, []string{g.keys.Rate(sender)}, s.left, s.left-int64(n)*s.cost).Err()
	if err != nil {
		return fmt.Errorf("give slots back: %w", err)
	}
	return nil
}

// Slow gives a sender no slots for a while: the platform asked for it.
func (g *Gate) Slow(ctx context.Context, sender string, d time.Duration) error {
	if err := g.slow.Run(ctx, g.rdb, []string{g.slowKey(sender)}, d.Microseconds()).Err(); err != nil {
		return fmt.Errorf("slow sender down: %w", err)
	}
	return nil
}

// strikesKept is for how long strikes of a sender count, from the first.
const strikesKept = 24 * time.Hour

// strikeScript adds to a count that ends a while after it began.
//
//	KEYS  strikes
//	ARGV  how many more, how long the count lasts (ms)
func strikeScript() *redis.Script {
	return redis.NewScript(`
local n = tonumber(redis.call('GET', KEYS[1]) or '0') + ARGV[1]
if n > tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], n, 'KEEPTTL')
else
  redis.call('SET', KEYS[1], n, 'PX', ARGV[2])
end
return n`)
}

// Strike counts n contacts that the platform asked to leave alone, and returns
// how many they are within a day. A lost count begins anew.
func (g *Gate) Strike(ctx context.Context, sender string, n int) (int, error) {
	total, err := g.strike.Run(ctx, g.rdb, []string{g.keys.Rate(sender) + ":strikes"}, n, strikesKept.Milliseconds()).Int()
	if err != nil {
		return 0, fmt.Errorf("count a strike: %w", err)
	}
	return total, nil
}
