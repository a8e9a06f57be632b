package rate

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestValidateMinute(t *testing.T) {
	for _, c := range []struct {
		l    Limit
		want string
	}{
		{Limit{PerSecond: 2, Burst: 2, PerMinute: 2}, ""}, {Limit{PerSecond: 1, Burst: 1, PerMinute: MaxPerMinute}, ""},
		{Limit{PerSecond: 2, Burst: 2, PerMinute: 1}, "rate.per_minute 1: must be burst, 2, to 6000000"},
		{Limit{PerSecond: 2, Burst: 1, PerMinute: -1}, "rate.per_minute -1: must be burst, 1, to 6000000"},
		{Limit{PerSecond: 2, Burst: 1, PerMinute: MaxPerMinute + 1}, "rate.per_minute 6000001: must be burst, 1, to 6000000"},
	} {
		got := ""
		if err := c.l.Validate(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.l, got, c.want)
		}
	}
}

func TestSpacingOfAMinute(t *testing.T) {
	for _, c := range []struct {
		l    Limit
		want time.Duration
	}{
		{Limit{PerSecond: 2, Burst: 1, PerMinute: 75}, 802 * time.Millisecond}, // 60.15 s / 75
		{Limit{PerSecond: 75, Burst: 1, PerMinute: 4500}, 15334 * time.Microsecond},
		{Limit{PerSecond: 1, Burst: 1, PerMinute: 4500}, 1150 * time.Millisecond}, // the second is the tighter
		{Limit{PerSecond: 60, Burst: 60, PerMinute: 60}, 60150 * time.Millisecond},
	} {
		if got := c.l.Spacing(); got != c.want {
			t.Errorf("%+v: %v, want %v", c.l, got, c.want)
		}
	}
	if got := (Limit{PerSecond: 100, Burst: 1, PerMinute: 120}).BatchSpacing(50); got != 30075*time.Millisecond {
		t.Errorf("two batches of 50 in a minute of 120: %v apart", got)
	}
}

// TestMinuteHolds draws calls that count as one to five each: calls keep to both
// bounds, and what they count as passes a bound by the last call's excess alone.
func TestMinuteHolds(t *testing.T) {
	const minute = 60 * secondMicros
	rapid.Check(t, func(t *rapid.T) {
		l := Limit{PerSecond: rapid.IntRange(1, 60).Draw(t, "second")}
		l.PerMinute = rapid.IntRange(1, 90).Draw(t, "minute")
		l.Burst = rapid.IntRange(1, min(l.PerSecond, l.PerMinute)).Draw(t, "burst")
		one := l.Call()
		const most = 5
		counted := history(t, one.Cost, func() (Charge, int) {
			n := rapid.IntRange(1, most).Draw(t, "segments")
			return Charge{Cost: one.Cost * int64(n), Tolerance: one.Tolerance}, n
		})
		calls := slices.Clone(counted)
		for i := range calls {
			calls[i].n = 1
		}
		if n := busiest(calls); n > l.PerSecond {
			t.Fatalf("%d calls in a second of %d", n, l.PerSecond)
		}
		if n := busiestIn(calls, minute); n > l.PerMinute {
			t.Fatalf("%d calls in a minute of %d", n, l.PerMinute)
		}
		if n := busiest(counted); n > l.PerSecond+most-1 {
			t.Fatalf("%d counted in a second of %d", n, l.PerSecond)
		}
		if n := busiestIn(counted, minute); n > l.PerMinute+most-1 {
			t.Fatalf("%d counted in a minute of %d", n, l.PerMinute)
		}
	})
}
