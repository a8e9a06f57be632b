package limit

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// TestBothSidesOfTheLimit: what was refused may come exactly when it was told,
// and not a nanosecond before.
func TestBothSidesOfTheLimit(t *testing.T) {
	l := New(50, 2, 10)
	for i := range 2 {
		if w := l.Take("a", noon); w != 0 {
			t.Fatalf("take %d of a full bucket waits %s", i+1, w)
		}
	}
	wait := l.Take("a", noon)
	if wait != 20*time.Millisecond {
		t.Fatalf("an empty bucket waits %s, want 20ms", wait)
	}
	if w := l.Take("b", noon); w != 0 {
		t.Errorf("somebody else waits %s", w)
	}
	if w := l.Take("a", noon.Add(wait-1)); w != time.Microsecond {
		t.Errorf("1 ns early it waits %s, want 1µs", w)
	}
	if w := l.Take("a", noon.Add(wait)); w != 0 {
		t.Errorf("it waits %s at the moment that it was told", w)
	}
}

// TestCount: what found no token is told of once, with the next that did, and
// to its own name alone.
func TestCount(t *testing.T) {
	l := New(1, 2, 10)
	for i, c := range []struct {
		name   string
		after  time.Duration
		missed int
		ok     bool
	}{
		{"a", 0, 0, true}, {"a", 0, 0, true}, {"a", 0, 0, false}, {"b", 0, 0, true}, {"a", time.Second - time.Microsecond, 0, false},
		{"a", time.Second, 2, true}, {"b", time.Second, 0, true}, {"a", time.Second, 0, false}, {"a", 3 * time.Second, 1, true}, {"a", 3 * time.Second, 0, true},
	} {
		if missed, ok := l.Count(c.name, noon.Add(c.after)); missed != c.missed || ok != c.ok {
			t.Errorf("call %d: %d, %t; want %d, %t", i+1, missed, ok, c.missed, c.ok)
		}
	}
}

// TestBound: in any time, nobody comes through more often than burst and rate
// allow, and nobody is refused who kept to them.
func TestBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perSecond := rapid.IntRange(1, 1000).Draw(t, "rate")
		burst := rapid.IntRange(1, 100).Draw(t, "burst")
		l := New(perSecond, burst, 4)
		now, passed := noon, 0
		for _, step := range rapid.SliceOfN(rapid.Int64Range(0, int64(time.Second)), 1, 300).Draw(t, "steps") {
			now = now.Add(time.Duration(step))
			if l.Take("a", now) == 0 {
				passed++
			}
			spacing := time.Second / time.Duration(perSecond) / time.Microsecond * time.Microsecond
			if most := burst + int((now.Sub(noon)+time.Microsecond)/spacing); passed > most {
				t.Fatalf("%d came through in %s, want at most %d", passed, now.Sub(noon), most)
			}
		}
		now = now.Add(time.Duration(burst) * time.Second / time.Duration(perSecond)).Add(time.Microsecond)
		for i := range burst {
			if w := l.Take("a", now); w != 0 {
				t.Fatalf("after a rest, %d of a burst of %d waits %s", i+1, burst, w)
			}
		}
	})
}

// TestMemoryIsBounded: whoever calls, no more names are held than allowed,
// and those that call keep their buckets.
func TestMemoryIsBounded(t *testing.T) {
	const most = 8
	l := New(1, 1, most)
	if w := l.Take("busy", noon); w != 0 {
		t.Fatal(w)
	}
	for i := range 1000 {
		l.Take(fmt.Sprint("passer-by ", i), noon)
		if w := l.Take("busy", noon); w != time.Second {
			t.Fatalf("after %d others it waits %s: its bucket was forgotten", i+1, w)
		}
		if len(l.buckets) > most || l.recent.Len() != len(l.buckets) {
			t.Fatalf("%d buckets, %d in order", len(l.buckets), l.recent.Len())
		}
	}
	if w := l.Take("passer-by 0", noon); w != 0 {
		t.Errorf("who was forgotten waits %s", w)
	}
}

func TestSeconds(t *testing.T) {
	for wait, want := range map[time.Duration]int{
		0: 1, 1: 1, time.Second - 1: 1, time.Second: 1, time.Second + 1: 2, 90 * time.Second: 90, 90*time.Second + 1: 91,
	} {
		if got := Seconds(wait); got != want {
			t.Errorf("%s: %d, want %d", wait, got, want)
		}
	}
}
