package console

import (
	"fmt"
	"strconv"
	"time"
)

// Count writes n with separators: 1,234,567.
func Count(n int) string {
	s := strconv.Itoa(n)
	first := 0
	if n < 0 {
		first = 1
	}
	for i := len(s) - 3; i > first; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Nouns writes n with its noun: 1 message, 1,204 messages.
func Nouns(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Count(n) + " " + noun + "s"
}

// Percent writes n as a part of total, with one decimal. Only nothing is
// 0 %, and only all is 100 %: what lies between never reads as either.
func Percent(n, total int) string {
	switch {
	case total <= 0 || n <= 0:
		return "0 %"
	case n >= total:
		return "100 %"
	}
	switch p := 100 * float64(n) / float64(total); {
	case p < 0.1:
		return "<0.1 %"
	case p > 99.9:
		return ">99.9 %"
	default:
		return fmt.Sprintf("%.1f %%", p)
	}
}

// Rate writes a number per second: 1,204/s, or 0.4/s below ten.
func Rate(perSecond float64) string {
	if perSecond >= 10 || perSecond <= 0 {
		return Count(int(perSecond+0.5)) + "/s"
	}
	return fmt.Sprintf("%.1f/s", perSecond)
}

// Span writes how long something takes: 12s, 5m 22s, 1h 03m, 2d 4h.
func Span(d time.Duration) string {
	s := int(d.Round(time.Second) / time.Second)
	switch {
	case s <= 0:
		return "under 1s"
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm %02ds", s/60, s%60)
	case s < 24*3600:
		return fmt.Sprintf("%dh %02dm", s/3600, s%3600/60)
	}
	return fmt.Sprintf("%dd %dh", s/86400, s%86400/3600)
}
