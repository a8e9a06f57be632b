package policy

import (
	"fmt"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// Explain says in one line what the verdict was decided on, as in
// "window closed 3 h 12 min before: last inbound 2026-11-21 06:48Z, limit 24 h, standard_window".
func (v Verdict) Explain() string {
	var b strings.Builder
	b.WriteString(v.headline())
	e := v.Evidence
	measured := !e.Since.IsZero()
	// After words instead of numbers a rule at the end would read as one more
	// of them, and one that is named as its reason says nothing new.
	named := v.Rule == "" || v.Rule == string(v.Reason)
	if !measured && !named {
		b.WriteString(" by " + v.Rule)
	}
	switch {
	case measured:
		fmt.Fprintf(&b, ": %s %s", e.Fact, formatTime(e.Since))
		if e.Limit > 0 {
			fmt.Fprintf(&b, ", limit %s", FormatDuration(e.Limit))
		}
		if e.Note != "" {
			b.WriteString(", " + e.Note)
		}
	case e.Note != "":
		b.WriteString(": " + e.Note)
	}
	if measured && !named {
		b.WriteString(", " + v.Rule)
	}
	return b.String()
}

// headline is the verdict with its distance from the limit.
func (v Verdict) headline() string {
	e := v.Evidence
	over := ""
	if e.Limit > 0 && !e.Since.IsZero() && e.Age >= e.Limit {
		over = " " + FormatDuration(e.Age-e.Limit) + " before"
	}
	switch {
	case v.Kind == Send && e.Limit > 0 && e.Age < e.Limit:
		return "sent with " + FormatDuration(e.Limit-e.Age) + " to go"
	case v.Kind == Send:
		return "sent"
	case v.Kind == Hold && !v.Until.IsZero():
		return "held until " + formatTime(v.Until) + " for " + string(v.Reason)
	case v.Kind == Hold:
		return "held for " + string(v.Reason)
	case v.Reason == reason.WindowClosed && over != "":
		return "window closed" + over
	case v.Reason == reason.TagWindowClosed || v.Reason == reason.PrivateReplyExpired || v.Reason == reason.TokenExpired:
		return string(v.Reason) + over
	case v.Reason == "":
		return v.Kind.String()
	default:
		return string(v.Reason)
	}
}

// formatTime is t in UTC to the minute, with seconds and less where it has them.
func formatTime(t time.Time) string {
	t = t.UTC()
	if t.Second() == 0 && t.Nanosecond() == 0 {
		return t.Format("2006-01-02 15:04Z")
	}
	return t.Format("2006-01-02 15:04:05.999999999Z")
}

// FormatDuration is d as a person reads it: 365 d, 7 d, 27 h 12 min, 40 s.
// Days begin at 72 h. A part below a second is given only where it is all.
func FormatDuration(d time.Duration) string {
	if d < time.Second {
		return d.String()
	}
	var parts []string
	add := func(unit time.Duration, word string) {
		if n := d / unit; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, word))
			d %= unit
		}
	}
	if d >= 3*day {
		add(day, "d")
	}
	add(time.Hour, "h")
	add(time.Minute, "min")
	add(time.Second, "s")
	return strings.Join(parts[:min(2, len(parts))], " ")
}
