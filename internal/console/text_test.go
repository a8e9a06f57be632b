package console

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCut(t *testing.T) {
	for _, c := range []struct {
		in    string
		width int
		want  string
	}{
		{"spring", 6, "spring"},
		{"spring", 5, "spri…"},
		{"spring", 1, "…"},
		{"spring", 0, ""},
		{"日本語", 6, "日本語"},
		{"日本語", 5, "日本…"},
		{"日本語", 4, "日…"}, // the second one would take columns 3 and 4, and the mark needs one
		{"e\u0301a", 1, "…"},
		{"e\u0301a", 2, "e\u0301a"},
	} {
		if got := Cut(c.in, c.width); got != c.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", c.in, c.width, got, c.want)
		}
	}
}

func TestCutNeverWider(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, width := Clean(rapid.String().Draw(t, "s")), rapid.IntRange(0, 30).Draw(t, "width")
		got := Cut(s, width)
		if Width(got) > width {
			t.Fatalf("Cut(%q, %d) = %q takes %d columns", s, width, got, Width(got))
		}
		if Width(s) <= width && got != s {
			t.Fatalf("Cut(%q, %d) = %q, though it fits", s, width, got)
		}
	})
}

func TestCleanTakesControlAway(t *testing.T) {
	if got := Clean("Ada\x1b[31m\nEve\u202e\u2028"); got != "Ada [31m Eve  " {
		t.Errorf("got %q", got)
	}
	if got := Clean("Åse 日本"); got != "Åse 日本" {
		t.Errorf("letters were changed: %q", got)
	}
}

func TestWrap(t *testing.T) {
	got := Wrap("the window after the contact's last action is over", 20)
	want := "the window after the|contact's last|action is over"
	if strings.Join(got, "|") != want {
		t.Errorf("got %q", got)
	}
	if got := Wrap("", 20); len(got) != 1 || got[0] != "" {
		t.Errorf("nothing became %q", got)
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1: "-1", -999: "-999", -1000: "-1,000", 100000: "100,000"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		n, total int
		want     string
	}{
		{0, 0, "0 %"}, {0, 7, "0 %"}, {7, 7, "100 %"}, {1, 3, "33.3 %"},
		{1, 1_000_000, "<0.1 %"}, {999, 1_000_000, "<0.1 %"}, {1000, 1_000_000, "0.1 %"},
		{999_000, 1_000_000, "99.9 %"}, {999_001, 1_000_000, ">99.9 %"}, {999_999, 1_000_000, ">99.9 %"},
	} {
		if got := Percent(c.n, c.total); got != c.want {
			t.Errorf("Percent(%d, %d) = %s, want %s", c.n, c.total, got, c.want)
		}
	}
}

func TestNouns(t *testing.T) {
	for n, want := range map[int]string{0: "0 jobs", 1: "1 job", 2: "2 jobs", 1204: "1,204 jobs"} {
		if got := Nouns(n, "job"); got != want {
			t.Errorf("Nouns(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestRate(t *testing.T) {
	for in, want := range map[float64]string{0: "0/s", 0.44: "0.4/s", 9.94: "9.9/s", 10: "10/s", 1203.6: "1,204/s"} {
		if got := Rate(in); got != want {
			t.Errorf("Rate(%v) = %s, want %s", in, got, want)
		}
	}
}

func TestSpan(t *testing.T) {
	for in, want := range map[time.Duration]string{
		0: "under 1s", 499 * time.Millisecond: "under 1s", 500 * time.Millisecond: "1s", 59 * time.Second: "59s", time.Minute: "1m 00s",
		time.Hour - time.Second: "59m 59s", time.Hour: "1h 00m", 24*time.Hour - time.Second: "23h 59m", 28 * time.Hour: "1d 4h",
	} {
		if got := Span(in); got != want {
			t.Errorf("Span(%v) = %s, want %s", in, got, want)
		}
	}
}

func TestMeter(t *testing.T) {
	var m Meter
	at := time.Unix(0, 0)
	if _, ok := m.Left(10); ok || m.PerSecond() != 0 {
		t.Error("an empty meter knows a rate")
	}
	for i := range 21 { // 100 a second for 5 s
		m.Add(at.Add(time.Duration(i)*250*time.Millisecond), i*25)
	}
	if got := m.PerSecond(); got != 100 {
		t.Errorf("rate %v, want 100", got)
	}
	if d, ok := m.Left(1000); !ok || d != 10*time.Second {
		t.Errorf("left %v %v, want 10s", d, ok)
	}
	for i := range 21 { // then nothing
		m.Add(at.Add(5*time.Second+time.Duration(i)*250*time.Millisecond), 500)
	}
	if got := m.PerSecond(); got != 0 {
		t.Errorf("rate %v after 5 s of nothing", got)
	}
	if _, ok := m.Left(1); ok {
		t.Error("a stall has an end")
	}
	m.Add(at.Add(11*time.Second), 3)
	if got := m.PerSecond(); got != 0 {
		t.Errorf("rate %v after the count shrank", got)
	}
}
