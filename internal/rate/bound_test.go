package rate

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const (
	lifeMicros   = int64(SlotLife / time.Microsecond)
	jitterMicros = int64(WireJitter / time.Microsecond)
	secondMicros = int64(time.Second / time.Microsecond)
)

// arrival is a call of n messages that reaches the platform at a moment.
type arrival struct {
	at int64
	n  int
}

// busiest returns the most messages that arrive in any half-open second. A
// second that has the most can be moved to begin at an arrival.
func busiest(calls []arrival) int { return busiestIn(calls, secondMicros) }

// busiestIn is busiest for a stretch of another length.
func busiestIn(calls []arrival, stretch int64) int {
	slices.SortFunc(calls, func(a, b arrival) int { return int(a.at - b.at) })
	most, sum, first := 0, 0, 0
	for _, c := range calls {
		sum += c.n
		for ; calls[first].at <= c.at-stretch; first++ {
			sum -= calls[first].n
		}
		most = max(most, sum)
	}
	return most
}

func TestBusiest(t *testing.T) {
	for _, tc := range []struct {
		calls []arrival
		want  int
	}{
		{nil, 0},
		{[]arrival{{0, 2}, {secondMicros - 1, 3}}, 5},
		{[]arrival{{0, 2}, {secondMicros, 3}}, 3}, // half open
		{[]arrival{{secondMicros + 1, 1}, {0, 4}, {2, 1}}, 5},
	} {
		if got := busiest(tc.calls); got != tc.want {
			t.Errorf("%v: %d, want %d", tc.calls, got, tc.want)
		}
	}
}

// history draws what a sender's workers do to one state: calls at whatever
// moments, patient or not, some given back, some refused, and each granted
// one arriving as late as it may.
func history(t *rapid.T, pace int64, charge func() (Charge, int)) []arrival {
	var calls []arrival
	var s State
	now := int64(1_800_000_000_000_000)
	late := rapid.OneOf(rapid.Just(int64(0)), rapid.Just(lifeMicros+jitterMicros), rapid.Int64Range(0, lifeMicros+jitterMicros))
	step := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 2*pace), rapid.Int64Range(0, secondMicros))
	patience := rapid.OneOf(rapid.Just(int64(0)), rapid.Just(secondMicros), rapid.Int64Range(0, 2*secondMicros))
	for range rapid.IntRange(1, 150).Draw(t, "calls") {
		now += step.Draw(t, "step")
		c, n := charge()
		before := s
		var g Grant
		s, g = Take(s, now, c, patience.Draw(t, "patience"))
		if !g.OK {
			if s != before {
				t.Fatalf("a refusal changed %+v to %+v", before, s)
			}
			continue
		}
		if g.Slot < now {
			t.Fatalf("slot %d before now, %d", g.Slot, now)
		}
		if rapid.IntRange(0, 9).Draw(t, "fate") == 0 {
			s = Refund(s, g, c)
			continue
		}
		calls = append(calls, arrival{g.Slot + late.Draw(t, "late"), n})
	}
	return calls
}

func drawLimit(t *rapid.T) Limit {
	l := Limit{PerSecond: rapid.IntRange(1, 60).Draw(t, "rate")}
	l.Burst = rapid.IntRange(1, l.PerSecond).Draw(t, "burst")
	return l
}

func TestSingleCallsStayWithinTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLimit(t)
		c := l.Call()
		calls := history(t, c.Cost, func() (Charge, int) { return c, 1 })
		if got := busiest(calls); got > l.PerSecond {
			t.Fatalf("%+v: %d in a second", l, got)
		}
	})
}

// Calls that are charged more than they must be, each as it pleases, stay
// within the rate all the same: a pace can't break it.
func TestDearerCallsStayWithinTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLimit(t)
		c := l.Call()
		calls := history(t, c.Cost, func() (Charge, int) {
			return Charge{Cost: c.Cost * rapid.Int64Range(100, 2000).Draw(t, "percent") / 100, Tolerance: c.Tolerance}, 1
		})
		if got := busiest(calls); got > l.PerSecond {
			t.Fatalf("%+v: %d in a second", l, got)
		}
	})
}

func TestBatchesStayWithinTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLimit(t)
		most := rapid.IntRange(1, l.PerSecond).Draw(t, "most")
		c := l.Batch(most)
		calls := history(t, c.Cost, func() (Charge, int) { return c, rapid.IntRange(1, most).Draw(t, "n") })
		if got := busiest(calls); got > l.PerSecond {
			t.Fatalf("%+v in batches of %d: %d in a second", l, most, got)
		}
	})
}

func TestSharedStateStaysWithinTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLimit(t)
		most := rapid.IntRange(1, l.PerSecond).Draw(t, "most")
		size := rapid.OneOf(rapid.Just(1), rapid.Just(most), rapid.IntRange(1, most))
		calls := history(t, l.Shared(1, most).Cost, func() (Charge, int) {
			n := size.Draw(t, "n")
			return l.Shared(n, most), n
		})
		if got := busiest(calls); got > l.PerSecond {
			t.Fatalf("%+v with calls of up to %d: %d in a second", l, most, got)
		}
	})
}

// Why Shared exists: single calls charged by Call and batches charged by
// Batch, on one state, go over the rate although each alone doesn't.
func TestTwoWaysOfChargingDoNotMix(t *testing.T) {
	l := Limit{PerSecond: 300, Burst: 1}
	var s State
	var calls []arrival
	for range 299 {
		var g Grant
		s, g = Take(s, 0, l.Call(), 10*secondMicros)
		calls = append(calls, arrival{g.Slot + lifeMicros + jitterMicros, 1})
	}
	_, g := Take(s, 0, l.Batch(50), 10*secondMicros)
	calls = append(calls, arrival{g.Slot, 50})
	if got := busiest(calls); got <= l.PerSecond {
		t.Errorf("%d in a second: the two mix after all, and the package comment is wrong", got)
	}
}

// The bound is met, not merely kept: asked without pause, a window has as many
// messages as the rule promises.
func TestSustainedPace(t *testing.T) {
	for _, tc := range []struct {
		name string
		c    Charge
		n    int
		want int // messages in Window
	}{
		{"calls", Limit{PerSecond: 300, Burst: 1}.Call(), 1, 300},
		{"calls with burst", Limit{PerSecond: 300, Burst: 71}.Call(), 1, 300},
		{"one a second", Limit{PerSecond: 1, Burst: 1}.Call(), 1, 1},
		{"batches", Limit{PerSecond: 300, Burst: 1}.Batch(50), 50, 300},
		{"batches that don't divide", Limit{PerSecond: 299, Burst: 1}.Batch(50), 50, 250},
		{"shared batches", Limit{PerSecond: 300, Burst: 1}.Shared(50, 50), 50, 300},
		{"shared singles after a pause", Limit{PerSecond: 300, Burst: 1}.Shared(1, 50), 1, 300},
	} {
		var s State
		got, start := 0, int64(1_000_000_000)
		for {
			var g Grant
			if s, g = Take(s, start, tc.c, windowMicros-1); !g.OK {
				break
			}
			got += tc.n
		}
		if got != tc.want {
			t.Errorf("%s: %d in the first window, want %d", tc.name, got, tc.want)
		}
	}
}

func TestSlotsDoNotDecrease(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLimit(t)
		most := rapid.IntRange(1, l.PerSecond).Draw(t, "most")
		var s State
		var now, last int64
		for range rapid.IntRange(2, 60).Draw(t, "calls") {
			now += rapid.Int64Range(0, 300_000).Draw(t, "step")
			n := rapid.IntRange(1, most).Draw(t, "n")
			var g Grant
			if s, g = Take(s, now, l.Shared(n, most), secondMicros); !g.OK {
				continue
			}
			if g.Slot < last {
				t.Fatalf("slot %d after %d", g.Slot, last)
			}
			last = g.Slot
		}
	})
}

// bucket is the same rule told as a leaking bucket and found by trying every
// moment: room for so many units, one leaks each spacing, a call pours its
// own in as soon as they fit.
type bucket struct {
	spacing, room int64 // per unit, units
	level, at     int64 // level in microseconds of leaking, at this moment
}

func (b *bucket) levelAt(now int64) int64 { return max(0, b.level-(now-b.at)) }

func (b *bucket) take(now, n, maxWait int64) (int64, bool) {
	for slot := now; slot <= now+maxWait; slot++ {
		if b.levelAt(slot)+n*b.spacing <= b.room*b.spacing {
			// Poured in now, for the queue is reckoned from the asking.
			b.level, b.at = b.levelAt(now)+n*b.spacing, now
			return slot, true
		}
	}
	return 0, false
}

func TestTakeIsALeakyBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &bucket{spacing: rapid.Int64Range(1, 9).Draw(t, "spacing"), room: rapid.Int64Range(1, 6).Draw(t, "room")}
		var s State
		now := int64(100)
		b.at = now
		for range rapid.IntRange(1, 40).Draw(t, "calls") {
			now += rapid.Int64Range(0, 30).Draw(t, "step")
			n := rapid.Int64Range(1, b.room).Draw(t, "n")
			maxWait := rapid.Int64Range(0, 40).Draw(t, "wait")
			c := Charge{Cost: n * b.spacing, Tolerance: (b.room - n) * b.spacing}
			slot, ok := b.take(now, n, maxWait)
			var g Grant
			if s, g = Take(s, now, c, maxWait); g.OK != ok || ok && g.Slot != slot {
				t.Fatalf("at %d for %d: %+v, the bucket says %v at %d", now, n, g, ok, slot)
			}
		}
	})
}

// Every moment until 2255 and every state reached from one is a whole number
// to a Lua script.
func TestMicrosecondsFitADouble(t *testing.T) {
	last := time.Date(2255, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	l := Limit{PerSecond: MaxPerSecond, Burst: MaxPerSecond}
	s := After(last, secondMicros, l.Call().Tolerance)
	if s.TAT >= 1<<53 {
		t.Errorf("TAT %d is not below 2^53", s.TAT)
	}
	if f := float64(s.TAT); int64(f) != s.TAT || int64(f+1) != s.TAT+1 {
		t.Errorf("TAT %d doesn't survive as a double", s.TAT)
	}
}

func BenchmarkTake(b *testing.B) {
	c := Limit{PerSecond: 300, Burst: 1}.Call()
	var s State
	b.ReportAllocs()
	for i := range int64(b.N) {
		s, _ = Take(s, i, c, secondMicros)
	}
}
