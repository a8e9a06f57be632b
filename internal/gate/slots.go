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

// Slots are given by one round trip.
type Slots struct {
	Slots []Slot
	Place time.Time // instead of slots: when a place comes free
	left  int64     // the TAT that was left behind, for a refund
	cost  int64     // of each, µs
}

// takeScript gives n slots, or none and the time of the first place. The
// arithmetic is that of rate.Take. Before the epoch opened slots may have been
// given that nobody remembers, so the first one rests that long (rate.After).
//
//	KEYS  meta, rate, slow
//	ARGV  epoch, cost of a slot (µs), n, tolerance (µs), longest wait (µs), rest (µs), lead (µs)
//	reply {now, slot…, TAT left}, {now, -1, place}, or {} when the epoch is another
func takeScript() *redis.Script {
	return redis.NewScript(`
local m = redis.call('HMGET', KEYS[1], 'epoch', 'opened')
if m[1] ~= ARGV[1] or not m[2] then return {} end
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local ask = now + tonumber(ARGV[7])
local cost, n, tolerance = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local slow = tonumber(redis.call('GET', KEYS[3]) or '0')
local tat = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), tonumber(m[2]) + tonumber(ARGV[6]), slow + tolerance)
local first = math.max(ask, tat - tolerance)
if first - now > tonumber(ARGV[5]) then return {now, -1, first} end
local out = {now}
for i = 1, n do
  local slot = math.max(ask, tat - tolerance)
  tat = math.max(ask, tat) + cost
  out[i + 1] = slot
end
out[n + 2] = tat
redis.call('SET', KEYS[2], string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000) + 1000)
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

// Take gives n slots of a sender from lead on, or the time of the next place.
// The lead is what the caller has to do before it can use one. Its errors all
// mean that nothing may be sent.
func (g *Gate) Take(ctx context.Context, sender string, c rate.Charge, n int, lead time.Duration) (Slots, error) {
	rest := rate.After(0, MaxWait.Microseconds(), c.Tolerance).TAT
	sent := time.Now()
	raw, err := g.take.Run(ctx, g.rdb, []string{g.keys.Meta(), g.keys.Rate(sender), g.slowKey(sender)},
		g.view.Epoch(), c.Cost, n, c.Tolerance, MaxWait.Microseconds(), rest, lead.Microseconds()).Int64Slice()
	received := time.Now()
	if err != nil {
		return Slots{}, fmt.Errorf("take slots: %w", err)
	}
	delay := func(i int) time.Duration { return time.Duration(raw[i]-raw[0]) * time.Microsecond }
	switch {
	case len(raw) == 0:
		return Slots{}, facts.ErrRebuilding
	case len(raw) == 3 && raw[1] == -1:
		return Slots{Place: received.Add(delay(2))}, nil
	case len(raw) != n+2:
		return Slots{}, errors.New("take slots: malformed answer")
	}
	s := Slots{Slots: make([]Slot, n), left: raw[n+1], cost: c.Cost}
	for i := range s.Slots {
		s.Slots[i].From, s.Slots[i].Until = rate.Usable(sent, received, delay(i+1))
	}
	return s, nil
}

// Give returns the last n slots unused, as far as nobody was given any after
// them. Failing to costs only time.
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
