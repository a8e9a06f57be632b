package tendlc

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func pacific(t interface{ Fatal(...any) }) *time.Location {
	l, err := Pacific()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s    Spec
		want string // "": good
	}{
		{Spec{Class: "A"}, ""},
		{Spec{Class: "T", PerMinute: 60, PerDay: 2000, Brand: "acme"}, ""},
		{Spec{PerMinute: MaxPerMinute}, ""},
		{Spec{PerDay: MaxPerDay}, ""},
		{Spec{}, "ten_dlc: want a class, per_minute or per_day"},
		{Spec{Brand: "acme"}, "ten_dlc: want a class, per_minute or per_day"},
		{Spec{Class: "a"}, `ten_dlc class "a": want A to F, or T`},
		{Spec{PerMinute: -1}, "ten_dlc per_minute -1: want 0 to 6000000"},
		{Spec{PerMinute: MaxPerMinute + 1}, "ten_dlc per_minute 6000001: want 0 to 6000000"},
		{Spec{PerDay: -1}, "ten_dlc per_day -1: want 0 to 100000000"},
		{Spec{PerDay: MaxPerDay + 1}, "ten_dlc per_day 100000001: want 0 to 100000000"},
	} {
		err := c.s.Validate()
		if got := ""; err != nil && err.Error() != c.want || err == nil && got != c.want {
			t.Errorf("%+v: %v, want %q", c.s, err, c.want)
		}
	}
}

func TestMinute(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s    *Spec
		want int
	}{
		{nil, 0}, {&Spec{PerDay: 1}, 0}, {&Spec{Class: "A"}, 4500}, {&Spec{Class: "B"}, 4500}, {&Spec{Class: "C"}, 2400}, {&Spec{Class: "D"}, 2400},
		{&Spec{Class: "E"}, 240}, {&Spec{Class: "F"}, 240}, {&Spec{Class: "T"}, 75}, {&Spec{Class: "A", PerMinute: 9}, 9},
	} {
		if got := c.s.Minute(); got != c.want {
			t.Errorf("%+v: %d, want %d", c.s, got, c.want)
		}
	}
	for _, class := range Classes() {
		if classRate(class) == 0 {
			t.Errorf("class %s has no rate", class)
		}
	}
}

func TestDayOf(t *testing.T) {
	t.Parallel()
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		name, at, day string
		start, end    string
	}{
		{"winter", "2026-11-22T12:00:00Z", "2026-11-22", "2026-11-22T08:00:00Z", "2026-11-23T08:00:00Z"},
		{"the first instant", "2026-11-22T08:00:00Z", "2026-11-22", "2026-11-22T08:00:00Z", "2026-11-23T08:00:00Z"},
		{"the instant before", "2026-11-22T07:59:59.999999999Z", "2026-11-21", "2026-11-21T08:00:00Z", "2026-11-22T08:00:00Z"},
		{"summer", "2026-07-04T12:00:00Z", "2026-07-04", "2026-07-04T07:00:00Z", "2026-07-05T07:00:00Z"},
		{"the day of 23 hours", "2026-03-08T20:00:00Z", "2026-03-08", "2026-03-08T08:00:00Z", "2026-03-09T07:00:00Z"},
		{"the day of 25 hours", "2026-11-01T20:00:00Z", "2026-11-01", "2026-11-01T07:00:00Z", "2026-11-02T08:00:00Z"},
		{"its last instant", "2026-11-02T07:59:59.999999999Z", "2026-11-01", "2026-11-01T07:00:00Z", "2026-11-02T08:00:00Z"},
		{"the end of a year", "2026-12-31T23:30:00-08:00", "2026-12-31", "2026-12-31T08:00:00Z", "2027-01-01T08:00:00Z"},
	} {
		d := DayOf(at(c.at), pacific(t))
		if d.Name != c.day || !d.Start.Equal(at(c.start)) || !d.End.Equal(at(c.end)) {
			t.Errorf("%s: %s from %v to %v", c.name, d.Name, d.Start.UTC(), d.End.UTC())
		}
	}
}

// TestDaysFollowEachOther holds the days together: every moment is in one.
func TestDaysFollowEachOther(t *testing.T) {
	t.Parallel()
	zone := pacific(t)
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(1_700_000_000, 2_500_000_000).Draw(t, "at"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns"))
		d := DayOf(at, zone)
		if at.Before(d.Start) || !at.Before(d.End) {
			t.Fatalf("%v is not in its own day %+v", at, d)
		}
		if next := DayOf(d.End, zone); !next.Start.Equal(d.End) || next.Name <= d.Name {
			t.Fatalf("after %+v comes %+v", d, next)
		}
		if h := d.End.Sub(d.Start); h != 23*time.Hour && h != 24*time.Hour && h != 25*time.Hour {
			t.Fatalf("%s has %v", d.Name, h)
		}
	})
}
