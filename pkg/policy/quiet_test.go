package policy

import (
	"testing"
	"time"
)

// TestQuietHoursUntil: the first moment that is not quiet, at both sides of
// each end, and the same moment outside of the hours or where there are none.
func TestQuietHoursUntil(t *testing.T) {
	t.Parallel()
	night, err := ParseQuietHours("21:00", "08:00")
	if err != nil {
		t.Fatal(err)
	}
	zone := time.FixedZone("", 3600)
	from, to := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC), time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name     string
		hours    QuietHours
		at, want time.Time
	}{
		{"before", night, from.Add(-1), from.Add(-1)},
		{"from", night, from, to},
		{"until", night, to.Add(-1), to},
		{"to", night, to, to},
		{"none", QuietHours{}, from, from},
		{"all day, which is none", QuietHours{From: time.Hour, To: time.Hour, Set: true}, from, from},
	} {
		if got := c.hours.Until(c.at.In(zone), zone); !got.Equal(c.want) || got.Location() != time.UTC {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
