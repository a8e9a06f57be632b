package flow

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// day is 24 hours, whatever the clocks of a place do.
const day = 24 * time.Hour

// MaxDuration bounds every duration of a flow: what nobody waits for within a
// year is stale.
const MaxDuration = 365 * day

// duration reads what a document says of a time's length: as Go writes it, or
// whole days and weeks as 7d and 2w. It may be negative.
func duration(s string) (time.Duration, error) {
	var unit time.Duration
	switch {
	case strings.HasSuffix(s, "d"):
		unit = day
	case strings.HasSuffix(s, "w"):
		unit = 7 * day
	default:
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, fmt.Errorf("%q: want a duration such as 30m, 7d or 2w", s)
		}
		return d, nil
	}
	n, err := strconv.ParseInt(s[:len(s)-1], 10, 32)
	if err != nil || n > int64(MaxDuration/day)+1 || -n > int64(MaxDuration/day)+1 { // far more would not fit
		return 0, fmt.Errorf("%q: want a duration such as 30m, 7d or 2w, of at most 365 days", s)
	}
	return time.Duration(n) * unit, nil
}

// within reads a duration that lies between two bounds, both included; min and
// max say it in words.
func within(s string, least, most time.Duration, words string) error {
	d, err := duration(s)
	if err != nil || d < least || d > most {
		return fmt.Errorf("%q: want a duration from %s, such as 30m, 7d or 2w", s, words)
	}
	return nil
}

// ofYear is within for what lies ahead: 1s to 365d.
func ofYear(s string) error { return within(s, time.Second, MaxDuration, "1s to 365d") }

// clockTime reads HH:MM, 00:00 to 23:59, as the time since midnight.
func clockTime(s string) (time.Duration, error) {
	t, err := time.Parse("15:04", s)
	if err != nil || len(s) != len("15:04") {
		return 0, fmt.Errorf("%q: want a clock time such as 09:00", s)
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}
