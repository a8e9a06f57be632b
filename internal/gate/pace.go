package gate

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-dev/carillon/internal/sender"
)

// A pace is the part of its rate, in percent, that a sender uses, or that an
// app leaves to each of its senders. It is never above 100: a pace only makes
// calls dearer, so the rate holds whatever it says. How fast it falls and comes
// back is judgement: the platform publishes its limits by the hour and by the
// day, and no way to find the pace that keeps within them.
const (
	FullPace  = 100
	minPace   = 5 // a sender that stood still would never learn that it may go again
	halved    = 50
	eased     = 80
	paceStep  = 5 // of the full pace, each
	paceEvery = 10 * time.Second
)

// paceLua reads a pace as it is now. What is kept is what it was cut to, when
// it begins to recover, and until when a rate error cuts it no more (µs). None,
// or one that can't be read, is the full pace.
func paceLua() string {
	return fmt.Sprintf(`
local function pace(v, now)
  local p, from, rests = string.match(v or '', '^(%%d+) (%%d+) (%%d+)$')
  if not p then return %d, 0, 0 end
  from = tonumber(from)
  local up = %d * math.max(0, math.floor((now - from) / %d))
  return math.min(%d, math.max(%d, tonumber(p)) + up), from, tonumber(rests)
end
`, FullPace, paceStep, paceEvery.Microseconds(), FullPace, minPace)
}

// cutScript cuts a pace to a part of what it is now. Redis forgets it once it
// is full again.
//
//	KEYS  pace
//	ARGV  part (%), how long until it recovers (µs), 1 for a rate error
//	reply the pace after it
func cutScript() *redis.Script {
	return redis.NewScript(paceLua() + fmt.Sprintf(`
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local p, from, rests = pace(redis.call('GET', KEYS[1]), now)
local errs = ARGV[3] == '1'
if errs and now < rests or not errs and now < from then return p end
p = math.max(%d, math.floor(p * ARGV[1] / 100))
from = math.max(from, now + ARGV[2])
if errs then rests = from end
local ms = math.ceil((from - now) / 1000) + math.ceil((%d - p) / %d) * %d
redis.call('SET', KEYS[1], string.format('%%.0f %%.0f %%.0f', p, from, rests), 'PX', ms)
return p`, minPace, FullPace, paceStep, paceEvery.Milliseconds()))
}

// pacesScript reads paces, two for each sender: the lower one counts.
//
//	KEYS  its own, its app's, …
func pacesScript() *redis.Script {
	return redis.NewScript(paceLua() + `
local t = redis.call('TIME')
local now, out = t[1] * 1000000 + t[2], {}
for i = 1, #KEYS, 2 do
  local v = redis.call('MGET', KEYS[i], KEYS[i + 1])
  out[#out + 1] = math.min((pace(v[1], now)), (pace(v[2], now)))
end
return out`)
}

// paceKey is of a sender, or of an app, whose names have a '~'.
func (g *Gate) paceKey(name string) string { return g.keys.Rate(name) + ":pace" }

// Halve halves the pace of a sender, by its id, or of an app, by its name:
// the platform said that it is too fast. For the pause that the platform asks
// for, the same said again by calls that were on their way changes nothing; then
// the pace begins to recover.
func (g *Gate) Halve(ctx context.Context, name string, pause time.Duration) error {
	return g.cutPace(ctx, name, halved, pause, 1)
}

// Ease takes a fifth off the pace of a sender or an app, at most once in ten
// seconds: its quota is nearly used up. Asked sooner it costs no round trip.
func (g *Gate) Ease(ctx context.Context, name string) error {
	now := time.Now()
	if last, ok := g.lastEased.Load(name); ok && now.Sub(last.(time.Time)) < paceEvery { //nolint:forcetypeassert // only stored below
		return nil
	}
	if err := g.cutPace(ctx, name, eased, paceEvery, 0); err != nil {
		return err
	}
	g.lastEased.Store(name, now)
	return nil
}

func (g *Gate) cutPace(ctx context.Context, name string, part int, hold time.Duration, errs int) error {
	if err := g.cut.Run(ctx, g.rdb, []string{g.paceKey(name)}, part, hold.Microseconds(), errs).Err(); err != nil {
		return fmt.Errorf("cut a pace: %w", err)
	}
	return nil
}

// Paces returns the percentage of its rate that each sender uses now, 5 to 100.
func (g *Gate) Paces(ctx context.Context, of []*sender.Spec) ([]int, error) {
	keys := make([]string, 0, 2*len(of))
	for _, s := range of {
		keys = append(keys, g.paceKeys(s.ID, s.App())...)
	}
	raw, err := g.paces.Run(ctx, g.rdb, keys).Int64Slice()
	if err != nil {
		return nil, fmt.Errorf("read paces: %w", err)
	}
	if len(raw) != len(of) {
		return nil, fmt.Errorf("read paces: %d of %d", len(raw), len(of))
	}
	paces := make([]int, len(raw))
	for i, p := range raw {
		paces[i] = int(p)
	}
	return paces, nil
}

// paceKeys are the two that count for a sender's calls: the same one twice
// where it names no app.
func (g *Gate) paceKeys(sender, app string) []string {
	if app == "" {
		app = sender
	}
	return []string{g.paceKey(sender), g.paceKey(app)}
}
