package rate

import (
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		l    Limit
		want string // in the error; "" is none
	}{
		{Limit{PerSecond: 1, Burst: 1}, ""}, {Limit{PerSecond: 300, Burst: 1}, ""}, {Limit{PerSecond: 300, Burst: 300}, ""}, {Limit{PerSecond: MaxPerSecond, Burst: 1}, ""},
		{Limit{}, "per_second 0"}, {Limit{PerSecond: -1, Burst: 1}, "per_second -1"}, {Limit{PerSecond: MaxPerSecond + 1, Burst: 1}, "per_second 100001"},
		{Limit{PerSecond: 300, Burst: 0}, "burst 0"}, {Limit{PerSecond: 300, Burst: -1}, "burst -1"}, {Limit{PerSecond: 300, Burst: 301}, "burst 301"},
	} {
		err := tc.l.Validate()
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", tc.l, err, tc.want)
		}
	}
}

func TestSpacing(t *testing.T) {
	if Window != 1150*time.Millisecond {
		t.Fatalf("Window = %v; the figures below are for 1.15 s", Window)
	}
	for _, tc := range []struct {
		l    Limit
		want time.Duration
	}{
		{Limit{PerSecond: 1, Burst: 1}, 1150 * time.Millisecond},
		{Limit{PerSecond: 2, Burst: 1}, 575 * time.Millisecond},
		{Limit{PerSecond: 2, Burst: 2}, 1150 * time.Millisecond},
		{Limit{PerSecond: 300, Burst: 1}, 3834 * time.Microsecond}, // 3833.3 rounded up
		{Limit{PerSecond: 300, Burst: 71}, 5 * time.Millisecond},
		{Limit{PerSecond: 300, Burst: 300}, 1150 * time.Millisecond},
		{Limit{PerSecond: MaxPerSecond, Burst: 1}, 12 * time.Microsecond}, // 11.5 rounded up
	} {
		if got := tc.l.Spacing(); got != tc.want {
			t.Errorf("%+v: spacing %v, want %v", tc.l, got, tc.want)
		}
	}
}

func TestBatchSpacing(t *testing.T) {
	for _, tc := range []struct {
		rate, n int
		want    time.Duration
	}{
		{300, 1, 3834 * time.Microsecond},
		{300, 50, 191667 * time.Microsecond}, // six: 191666.7 rounded up
		{299, 50, 230 * time.Millisecond},    // five
		{50, 50, 1150 * time.Millisecond},
		{99, 50, 1150 * time.Millisecond},
		{100, 50, 575 * time.Millisecond},
	} {
		if got := (Limit{PerSecond: tc.rate, Burst: 1}).BatchSpacing(tc.n); got != tc.want {
			t.Errorf("%d/s in batches of %d: spacing %v, want %v", tc.rate, tc.n, got, tc.want)
		}
	}
}

func TestCharges(t *testing.T) {
	for _, tc := range []struct {
		name      string
		got, want Charge
	}{
		{"call", Limit{PerSecond: 300, Burst: 1}.Call(), Charge{3834, 0}},
		{"call with burst", Limit{PerSecond: 300, Burst: 71}.Call(), Charge{5000, 70 * 5000}},
		{"batch", Limit{PerSecond: 300, Burst: 1}.Batch(50), Charge{191667, 0}},
		{"batch ignores burst", Limit{PerSecond: 300, Burst: 20}.Batch(50), Charge{191667, 0}},
		{"single beside batches", Limit{PerSecond: 279, Burst: 1}.Shared(1, 50), Charge{5000, 49 * 5000}},
		{"batch beside singles", Limit{PerSecond: 279, Burst: 1}.Shared(50, 50), Charge{50 * 5000, 0}},
		{"burst larger than batches", Limit{PerSecond: 279, Burst: 50}.Shared(20, 30), Charge{20 * 5000, 30 * 5000}},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, tc.got, tc.want)
		}
	}
}

func TestCallThatCanNeverGo(t *testing.T) {
	l := Limit{PerSecond: 10, Burst: 1}
	for name, call := range map[string]func(){
		"batch of 0":   func() { l.Batch(0) },
		"batch of 11":  func() { l.Batch(11) },
		"shared of 11": func() { l.Shared(1, 11) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			call()
		})
	}
	l.Batch(10)
	l.Shared(10, 10)
}

// Both sides of every limit of Take, by one microsecond.
func TestTakeEdges(t *testing.T) {
	const now = 1_800_000_000_000_000
	c := Charge{Cost: 1000, Tolerance: 300}
	for _, tc := range []struct {
		name    string
		tat     int64
		maxWait int64
		ok      bool
		slot    int64
		left    int64 // TAT afterwards
	}{
		{"fresh", 0, 0, true, now, now + 1000},
		{"long ago", now - 1, 0, true, now, now + 1000},
		{"just used up", now, 0, true, now, now + 1000},
		{"within tolerance", now + 1, 0, true, now, now + 1001},
		{"at the tolerance", now + 300, 0, true, now, now + 1300},
		{"past the tolerance, no wait", now + 301, 0, false, now + 1, now + 301},
		{"past the tolerance, wait 1", now + 301, 1, true, now + 1, now + 1301},
		{"at the longest wait", now + 800, 500, true, now + 500, now + 1800},
		{"past the longest wait", now + 801, 500, false, now + 501, now + 801},
		{"clock set back an hour", now + 3_600_000_000, 500, false, now + 3_599_999_700, now + 3_600_000_000},
	} {
		s, g := Take(State{tc.tat}, now, c, tc.maxWait)
		want := Grant{OK: tc.ok, Slot: tc.slot}
		if tc.ok {
			want.TAT = tc.left
		}
		if g != want || s.TAT != tc.left {
			t.Errorf("%s: %+v leaving %d, want %+v leaving %d", tc.name, g, s.TAT, want, tc.left)
		}
	}
}

func TestTakeUpTo(t *testing.T) {
	c := Charge{Cost: 100}
	for _, tc := range []struct {
		n, granted int
		next, left int64
	}{
		{0, 0, 0, 0}, {1, 1, 0, 1100}, {3, 3, 0, 1300}, {4, 3, 1300, 1300}, {9, 3, 1300, 1300},
	} {
		s, granted, next := TakeUpTo(State{}, 1000, c, 200, tc.n)
		if len(granted) != tc.granted || next != tc.next || s.TAT != tc.left {
			t.Errorf("%d: %d granted, next %d, TAT %d; want %+v", tc.n, len(granted), next, s.TAT, tc)
		}
		for i, g := range granted {
			if want := int64(1000 + 100*i); g.Slot != want {
				t.Errorf("%d: slot %d at %d, want %d", tc.n, i, g.Slot, want)
			}
		}
	}
}

func TestRefund(t *testing.T) {
	c := Charge{Cost: 100, Tolerance: 50}
	s1, first := Take(State{TAT: 1020}, 1000, c, 0)
	s2, second := Take(s1, 1080, c, 0)
	if !first.OK || !second.OK {
		t.Fatalf("grants %+v, %+v", first, second)
	}
	if got := Refund(s1, first, c); got.TAT != 1020 {
		t.Errorf("the newest given back leaves %d, want what was before", got.TAT)
	}
	if got := Refund(s2, first, c); got != s2 {
		t.Errorf("an older one given back changes %+v to %+v", s2, got)
	}
	if got := Refund(Refund(s2, second, c), first, c); got.TAT != 1020 {
		t.Errorf("both, last first, leave %d, want 1020", got.TAT)
	}
	_, no := Take(s2, 1080, c, 0)
	if got := Refund(State{}, no, c); got != (State{}) {
		t.Errorf("a refusal given back changes the state to %+v", got)
	}
}

// A refund to a state that had been idle leaves it at the moment of the
// grant, not before: the past can't be saved up.
func TestRefundSavesNothingUp(t *testing.T) {
	c := Charge{Cost: 100}
	s, g := Take(State{TAT: 5}, 1000, c, 0)
	if got := Refund(s, g, c); got.TAT != 1000 {
		t.Errorf("TAT %d, want 1000", got.TAT)
	}
}

func TestAfter(t *testing.T) {
	const now, maxWait = 5_000_000, 1_000_000
	single, batch := Limit{PerSecond: 100, Burst: 1}.Shared(1, 20), Limit{PerSecond: 100, Burst: 1}.Shared(20, 20)
	s := After(now, maxWait, single.Tolerance)
	last := int64(now + maxWait) // the latest slot that the lost state may have granted
	_, g := Take(s, now, single, 1<<40)
	if want := last + windowMicros; g.Slot != want {
		t.Errorf("first slot %d, want %d: a second after the last old one may arrive", g.Slot, want)
	}
	if _, g := Take(s, now, batch, 1<<40); g.Slot < last+windowMicros {
		t.Errorf("first batch %d, want not before %d", g.Slot, last+windowMicros)
	}
}

func TestUsable(t *testing.T) {
	sent := time.Unix(100, 0)
	for _, tc := range []struct{ trip, delay, from, until time.Duration }{
		{0, 0, 0, SlotLife},
		{time.Millisecond, 0, time.Millisecond, SlotLife},
		{time.Millisecond, time.Second, time.Second + time.Millisecond, time.Second + SlotLife},
		{SlotLife, 0, SlotLife, SlotLife}, // lost on the way
	} {
		from, until := Usable(sent, sent.Add(tc.trip), tc.delay)
		if from.Sub(sent) != tc.from || until.Sub(sent) != tc.until {
			t.Errorf("%+v: from %v until %v", tc, from.Sub(sent), until.Sub(sent))
		}
	}
}
