package flow

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func zone(t failer, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return z
}

func moment(t failer, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return at
}

// TestNext: the next time that a clock shows, around its jumps.
func TestNext(t *testing.T) {
	t.Parallel()
	const oslo, lordHowe, samoa, london = "Europe/Oslo", "Australia/Lord_Howe", "Pacific/Apia", "Europe/London"
	for _, c := range []struct {
		name, zone, now string
		clock           time.Duration
		want            string
	}{
		{"later today", oslo, "2026-11-22T06:00:00Z", 9 * time.Hour, "2026-11-22T08:00:00Z"},
		{"just before", oslo, "2026-11-22T07:59:59.999999999Z", 9 * time.Hour, "2026-11-22T08:00:00Z"},
		{"at that moment", oslo, "2026-11-22T08:00:00Z", 9 * time.Hour, "2026-11-22T08:00:00Z"},
		{"just after", oslo, "2026-11-22T08:00:00.000000001Z", 9 * time.Hour, "2026-11-23T08:00:00Z"},
		{"over the year", "UTC", "2026-12-31T09:00:01Z", 9 * time.Hour, "2027-01-01T09:00:00Z"},
		{"in the gap", oslo, "2026-03-29T00:30:00Z", 150 * time.Minute, "2026-03-29T01:00:00Z"},
		{"after the gap", oslo, "2026-03-29T01:00:00.000000001Z", 150 * time.Minute, "2026-03-30T00:30:00Z"},
		{"the first of two", oslo, "2026-10-24T23:00:00Z", 150 * time.Minute, "2026-10-25T00:30:00Z"},
		{"between the two", oslo, "2026-10-25T00:30:00.000000001Z", 150 * time.Minute, "2026-10-26T01:30:00Z"},
		{"half an hour's gap", lordHowe, "2026-10-03T15:00:00Z", 135 * time.Minute, "2026-10-03T15:30:00Z"},
		{"a day that was left out", samoa, "2011-12-30T09:30:00Z", 9 * time.Hour, "2011-12-30T19:00:00Z"},
		{"midnight", london, "2026-06-01T22:59:59Z", 0, "2026-06-01T23:00:00Z"},
		{"midnight that is left out", "America/Sao_Paulo", "2018-11-03T12:00:00Z", 0, "2018-11-04T03:00:00Z"},
	} {
		if got := next(moment(t, c.now), c.clock, zone(t, c.zone)); !got.Equal(moment(t, c.want)) {
			t.Errorf("%s: %s, want %s", c.name, got.Format(time.RFC3339Nano), c.want)
		}
	}
}

func zones() []string {
	return []string{
		"UTC", "Europe/Oslo", "Europe/London", "America/New_York", "America/St_Johns", "America/Sao_Paulo", "America/Havana", "America/Asuncion", "Asia/Kolkata",
		"Asia/Kathmandu", "Asia/Beirut", "Asia/Gaza", "Asia/Tehran", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati", "Africa/Casablanca",
		"Africa/Cairo", "Antarctica/Troll", "Asia/Pyongyang", "America/Scoresbysund", "Atlantic/Azores", "Pacific/Kwajalein",
	}
}

// TestNextIsNext: in every zone the moment is not past, shows the time or is
// the jump over it, and no earlier one does on a day on which it has not been
// shown yet.
func TestNextIsNext(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		z := zone(t, rapid.SampledFrom(zones()).Draw(t, "zone"))
		now := time.Unix(rapid.Int64Range(0, 2_000_000_000).Draw(t, "now"), rapid.Int64Range(0, 1e9-1).Draw(t, "ns")).UTC()
		if rapid.Bool().Draw(t, "near a jump") {
			if _, jump := now.In(z).ZoneBounds(); !jump.IsZero() {
				now = jump.Add(time.Duration(rapid.Int64Range(-int64(26*time.Hour), int64(26*time.Hour)).Draw(t, "off")))
			}
		}
		clock := time.Duration(rapid.IntRange(0, 24*60-1).Draw(t, "clock")) * time.Minute
		got := next(now, clock, z)
		if got.Before(now) || got.Sub(now) > 3*day {
			t.Fatalf("%s after %s", got, now)
		}
		shows, before := clockOf(got.In(z)), clockOf(got.Add(-1).In(z))
		overnight := wallOf(got, z).day != wallOf(got.Add(-1), z).day // Tehran's clocks once went from 23:00 to midnight
		jumped := before < clock && (clock < shows || overnight) || overnight && clock < shows
		if shows != clock && !jumped {
			t.Fatalf("the clock shows %s, want %s", shows, clock)
		}
		for at := now.Truncate(time.Minute); at.Before(got); at = at.Add(time.Minute) {
			if at.Before(now) || clockOf(at.In(z)) != clock {
				continue
			}
			first := wallOf(at, z).in(z) // it may be the second time on that day
			if first.Equal(at) {
				t.Fatalf("%s is earlier than %s", at, got)
			}
		}
	})
}

// TestWaitUntil: the contact's clock counts, else the sender's, else UTC; and
// at the very moment there is nothing to wait for, but once.
func TestWaitUntil(t *testing.T) {
	t.Parallel()
	const doc = "trigger: {events: [a]}\nsteps: [{repeat: {at_most: 2, do: [{wait: {until: \"09:00\"}}]}}]"
	for name, c := range map[string]struct{ contact, sender, first string }{
		"the contact's": {"America/New_York", "Europe/Oslo", "2026-11-22T14:00:00Z"},
		"the sender's":  {"", "Europe/Oslo", "2026-11-23T08:00:00Z"},
		"no such zone":  {"Nowhere/Land", "Europe/Oslo", "2026-11-23T08:00:00Z"},
		"neither":       {"", "", "2026-11-23T09:00:00Z"},
		"at the moment": {"Atlantic/Azores", "", "2026-11-23T10:00:00Z"},
	} {
		s := play(t, doc)
		s.zone = c.sender
		r := s.contacts["shop"]
		r.Timezone = c.contact
		s.contacts["shop"] = r
		s.tell("a", of("7", ""))
		_, run := s.only()
		if !run.Due.Equal(moment(t, c.first)) {
			t.Errorf("%s: %s", name, run.Due)
		}
		s.until(run.Due)
		if _, run = s.only(); !run.Due.Equal(moment(t, c.first).Add(day)) {
			t.Errorf("%s, the next: %s", name, run.Due)
		}
	}
	s := play(t, doc)
	s.now = moment(t, "2026-11-22T09:00:00Z")
	s.tell("a", of("7", ""))
	s.wantDid("start repeat wait repeat wait")
	s.after(day - 1)
	s.wantDid("start repeat wait repeat wait")
	s.after(1)
	s.wantDid("start repeat wait repeat wait repeat done")
}
