package sandbox

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// bruteForce counts the fullest sliding second by looking at each of them,
// and the fullest that holds the last of the times.
func bruteForce(times []int64) (peak, last int) {
	t := times[len(times)-1]
	for _, end := range times {
		n := 0
		for _, other := range times {
			if other > end-int64(time.Second) && other <= end {
				n++
			}
		}
		peak = max(peak, n)
		if end >= t && end-int64(time.Second) < t {
			last = max(last, n)
		}
	}
	return peak, last
}

// TestWindowIsExact: in whatever order arrivals are told, as long as none is
// later than a body may be.
func TestWindowIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		var times []int64
		newest := int64(0)
		// Steps near a second find the edges; far ones make it forget.
		step := rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64Range(-5, 5).Filter(func(n int64) bool { return n != 0 }),
			rapid.Int64Range(999_999_998, 1_000_000_002), rapid.Int64Range(-2_000_000_000, 20_000_000_000))
		for range rapid.IntRange(1, 60).Draw(t, "calls") {
			at := newest + step.Draw(t, "step")
			newest = max(newest, at)
			times = append(times, at)
			peak, last := bruteForce(times)
			if got := w.add(at); got != last || w.peak != peak {
				t.Fatalf("after %v: %d in the fullest second of the last call, peak %d; want %d, %d", times, got, w.peak, last, peak)
			}
		}
	})
}

func TestWindowForgets(t *testing.T) {
	var w window
	for i := range 100_000 {
		w.add(int64(i) * int64(time.Second))
	}
	if len(w.times) > 4096 || !slices.IsSorted(w.times) {
		t.Errorf("%d arrivals remembered of 31 seconds with one each", len(w.times))
	}
	if w.peak != 1 {
		t.Errorf("peak %d, want 1", w.peak)
	}
}

func TestRateLimit(t *testing.T) {
	b := newBench(t, Options{RatePerSecond: 3})
	var got []string
	for _, wait := range []time.Duration{0, 0, 0, 0, time.Second - 1, 1} {
		b.clock.advance(wait)
		got = append(got, b.text("77", "1").code(t))
	}
	// The refused fourth counts, and so does the fifth: at exactly one second
	// only it and the sixth are left.
	if want := []string{"", "", "", "613", "613", ""}; !slices.Equal(got, want) {
		t.Errorf("codes %q, want %q", got, want)
	}
	if got := b.text("88", "1").code(t); got != "" {
		t.Errorf("another account: %q", got)
	}
	rates := b.Rates("77")
	if len(rates) != 1 || rates[0].Peak != 5 || rates[0].Calls != 6 || rates[0].Limit != 3 || !rates[0].PeakAt.Equal(noon.Add(time.Second-1)) {
		t.Errorf("rates %+v", rates)
	}
	if len(b.Rates("")) != 2 || len(b.Rates("99")) != 0 {
		t.Errorf("rates of all %v, of none %v", b.Rates(""), b.Rates("99"))
	}
}

func TestRateCountsBatchItems(t *testing.T) {
	b := newBench(t, Options{RatePerSecond: 3})
	items := []map[string]string{sendItem("77/messages", "1"), sendItem("77/messages", "2"), sendItem("77/messages", "3"), sendItem("77/messages", "4")}
	if got, want := b.batch(items...).codes(t), []string{"", "", "", "613"}; !slices.Equal(got, want) {
		t.Errorf("codes %q, want %q", got, want)
	}
}

func TestMediaRate(t *testing.T) {
	b := newBench(t, Options{})
	send := func(kind string) string {
		return b.send("77", fmt.Sprintf(`{"recipient":{"id":"1"},"messaging_type":"RESPONSE","message":{"attachment":{"type":%q,"payload":{}}}}`, kind)).code(t)
	}
	for i := range 10 {
		if got := send([]string{"audio", "video"}[i%2]); got != "" {
			t.Fatalf("send %d: %q", i+1, got)
		}
	}
	if got := send("audio"); got != "613" {
		t.Errorf("the 11th in a second: %q, want 613", got)
	}
	if got := send("image"); got != "" {
		t.Errorf("an image: %q", got)
	}
}

// TestDefaultRate is the platform's: 300 in any second, and not one more.
func TestDefaultRate(t *testing.T) {
	b := newBench(t, Options{})
	for i := range 300 {
		if got := b.text("77", "1").code(t); got != "" {
			t.Fatalf("call %d: %q", i+1, got)
		}
	}
	if got := b.text("77", "1").code(t); got != "613" {
		t.Errorf("call 301: %q, want 613", got)
	}
}

func TestRolling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRolling(time.Minute, 60)
		minute := rapid.Int64Range(0, 30_000_000).Draw(t, "start")
		counts := map[int64]int{}
		for range rapid.IntRange(1, 50).Draw(t, "events") {
			minute += rapid.OneOf(rapid.Int64Range(0, 2), rapid.Int64Range(55, 65), rapid.Int64Range(0, 500)).Draw(t, "minutes")
			r.add(minute * int64(time.Minute))
			counts[minute]++
			want := 0
			for m, n := range counts {
				if m > minute-60 {
					want += n
				}
			}
			if r.sum != want {
				t.Fatalf("%d in the last 60 minutes, want %d", r.sum, want)
			}
		}
	})
}
