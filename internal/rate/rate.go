// Package rate is the arithmetic that keeps a sender's messages within its
// rate: a generic cell rate algorithm (GCRA, ITU-T I.371) over one number per
// sender. It reads no clock, keeps no state and does no I/O; whoever holds the
// number calls it, and the Redis script of the gate repeats its steps.
//
// Its invariant: in any half-open second fewer or as many messages reach the
// platform as Limit.PerSecond says, and in any half-open minute as many as
// Limit.PerMinute says, however many workers ask and however long each stalls
// between getting its slot and the wire, up to SlotLife, and however the network
// then delays it, up to WireJitter.
//
// # Unit
//
// Times are microseconds since the Unix epoch and lengths are microseconds,
// both int64. Redis' TIME gives microseconds, and a Lua number is a double,
// which holds every whole number up to 2^53: the microseconds until the year
// 2255.
//
// # The algorithm
//
// The state is TAT, the theoretical arrival time: the moment at which all
// that was granted would be used up at the sustained pace. A charge is a cost
// and a tolerance. In whole numbers, with s the slot:
//
//	s = max(now, TAT - tolerance)
//	if s - now > maxWait: refuse; the place is s; TAT stays
//	TAT = max(now, TAT) + cost
//	grant s
//
// # Why it holds
//
// A call with slot s arrives in [s, s + SlotLife + WireJitter]. What arrives
// in one half-open second therefore has its slots in a half-open stretch of
// Window = 1 s + SlotLife + WireJitter. Between the first and the last grant
// of such a stretch TAT grows by all their costs together; it is no earlier
// than the first slot before the first of them, and by the rule for s it is
// at most tolerance + cost past the last slot after the last. The costs of a
// stretch thus sum to less than Window + tolerance + cost. Each way of
// charging below chooses its numbers so that this is PerSecond messages.
//
// A minute is reckoned in the same way, with Minute in place of Window; the
// larger of the two costs holds both.
//
// A message that counts as several, as a text message in segments does, costs
// that many times one: a stretch then has at most PerSecond of what messages
// count as, but for its last message, which may pass the bound by what it
// counts beyond one. Its calls stay within the bound whatever they count as.
//
// One state serves one way of charging. Two ways on one state break the
// bound: a batch that is charged after it went can follow a second's worth of
// single calls.
package rate

import (
	"fmt"
	"time"
)

// What may lie between the moment of a slot and the arrival of its call.
const (
	// SlotLife is how long a slot may be used: a call that isn't on the wire
	// by then asks again.
	SlotLife = 100 * time.Millisecond
	// WireJitter is the most by which two calls' ways to the platform may
	// differ in length.
	WireJitter = 50 * time.Millisecond
	// Window is the stretch of slots that can arrive within one second.
	Window = time.Second + SlotLife + WireJitter
	// Minute is the stretch of slots that can arrive within one minute.
	Minute = time.Minute + SlotLife + WireJitter
)

// MaxPerSecond bounds Limit.PerSecond. Up to here rounding the spacing up to a
// microsecond costs less than a twelfth of the rate.
const MaxPerSecond = 100_000

// MaxPerMinute bounds Limit.PerMinute.
const MaxPerMinute = 60 * MaxPerSecond

const (
	windowMicros = int64(Window / time.Microsecond)
	minuteMicros = int64(Minute / time.Microsecond)
)

// Limit is a sender's rate. The zero value is not valid.
type Limit struct {
	PerSecond int // messages in any second, 1 to MaxPerSecond
	Burst     int // messages that may go at one moment after a pause, 1 to PerSecond
	PerMinute int // messages in any minute, Burst to MaxPerMinute; 0: as many as PerSecond allows
}

// Validate returns an error that names the field and its range.
func (l Limit) Validate() error {
	if l.PerSecond < 1 || l.PerSecond > MaxPerSecond {
		return fmt.Errorf("rate.per_second %d: must be 1 to %d", l.PerSecond, MaxPerSecond)
	}
	if l.Burst < 1 || l.Burst > l.PerSecond {
		return fmt.Errorf("rate.burst %d: must be 1 to per_second, %d", l.Burst, l.PerSecond)
	}
	if l.PerMinute != 0 && (l.PerMinute < l.Burst || l.PerMinute > MaxPerMinute) {
		return fmt.Errorf("rate.per_minute %d: must be burst, %d, to %d", l.PerMinute, l.Burst, MaxPerMinute)
	}
	return nil
}

// Charge is what one call takes from a state, in microseconds. See the
// package comment for what it does with them.
type Charge struct {
	Cost      int64 // how far the call moves TAT, > 0
	Tolerance int64 // how far TAT may be ahead of the call's slot, >= 0
}

// Call is the charge of a single message where the sender's calls are all
// single. In a burst PerSecond messages may go in Window, never more: what
// the burst allows at once is taken from the pace.
func (l Limit) Call() Charge { return l.Shared(1, 1) }

// Shared is the charge of a call of n messages where calls of up to most
// messages, single ones included, share one state: 1 <= n <= most <=
// PerSecond. The state is a bucket that holds the burst or the largest call,
// whichever is more, so that a single message finds its place within one
// spacing of a batch. It costs pace: PerSecond - max(Burst, most) + 1 messages
// go in Window. Under single calls that alone exceed the pace, batches starve.
//
// Bound: a stretch has costs below Window + room*T, with T*(PerSecond - room
// + 1) >= Window, hence fewer than PerSecond + 1 messages.
func (l Limit) Shared(n, most int) Charge {
	l.mustFit(most)
	room := max(l.Burst, most)
	t := ceilDiv(windowMicros, int64(l.PerSecond-room+1))
	if l.PerMinute > 0 {
		t = max(t, ceilDiv(minuteMicros, int64(l.PerMinute-room+1)))
	}
	return Charge{Cost: int64(n) * t, Tolerance: int64(room-n) * t}
}

// Batch is the charge of a call of up to n messages, full or not, where every
// call of the sender is one, a single message too: 1 <= n <= PerSecond. It
// lets the most full batches through that any rule can: PerSecond/n, rounded
// down, in Window.
//
// Bound: a stretch has costs below Window + cost, with cost*(PerSecond/n) >=
// Window, hence at most PerSecond/n calls.
func (l Limit) Batch(n int) Charge {
	l.mustFit(n)
	cost := ceilDiv(windowMicros, int64(l.PerSecond/n))
	if l.PerMinute > 0 {
		cost = max(cost, ceilDiv(minuteMicros, int64(l.PerMinute/n)))
	}
	return Charge{Cost: cost}
}

// Spacing returns the time between single calls at the sustained pace, whole
// microseconds, rounded up.
func (l Limit) Spacing() time.Duration { return duration(l.Call().Cost) }

// BatchSpacing returns the time between batches of up to n messages where
// every call is one, whole microseconds, rounded up.
func (l Limit) BatchSpacing(n int) time.Duration { return duration(l.Batch(n).Cost) }

// mustFit panics where a call is larger than a second's messages: it could
// never go, and whoever fills envelopes has to know that.
func (l Limit) mustFit(n int) {
	if n < 1 || n > l.PerSecond || l.PerMinute > 0 && n > l.PerMinute {
		panic(fmt.Sprintf("rate: a call of %d messages at %d a second and %d a minute", n, l.PerSecond, l.PerMinute))
	}
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }

func duration(micros int64) time.Duration { return time.Duration(micros) * time.Microsecond }
