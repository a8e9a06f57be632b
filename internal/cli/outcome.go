package cli

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// outcomes are the parts of an audience as bars and legends draw them. Held
// is taken out of pending, so that the parts sum up to the audience.
func outcomes(c client.Counts) []console.Segment {
	return []console.Segment{
		{Name: "sent", N: c.Sent, Glyph: "█", Color: console.Green},
		{Name: "blocked", N: c.Blocked, Glyph: "▓", Color: console.Yellow},
		{Name: "failed", N: c.Failed, Glyph: "▒", Color: console.Red},
		{Name: "unknown", N: c.Unknown, Glyph: "╳", Color: console.Magenta},
		{Name: "cancelled", N: c.Cancelled, Glyph: "═", Color: console.Dim},
		{Name: "expired", N: c.Expired, Glyph: "─", Color: console.Dim},
		{Name: "held", N: c.Held, Glyph: "┄", Color: console.Cyan},
		{Name: "pending", N: c.Pending - c.Held, Glyph: "░", Color: console.Dim},
	}
}

// stateColor is the colour of a state of a job, a broadcast or a sender.
func stateColor(state string) console.Color {
	switch state {
	case "sent", "delivered", "read", "done", "open", "send", "created", "on", "active", "goal":
		return console.Green
	case "blocked", "block", "paused", "sidelined", "expired", "off":
		return console.Yellow
	case "failed", "cancelled", "deleted":
		return console.Red
	case "unknown":
		return console.Magenta
	case "held", "hold", "scheduled", "running", "waiting", "gathering":
		return console.Cyan
	}
	return console.Plain
}

// stamp is a moment as people read it, always UTC; "" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// shortStamp is a time of the last or the next months, as lists have it.
func shortStamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("01-02 15:04:05Z")
}

// counted is one line of a breakdown.
type counted struct {
	name string
	n    int
}

// byCount sorts a breakdown by its counts, greatest first.
func byCount[K ~string](m map[K]int) []counted {
	var cs []counted
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k] != 0 {
			cs = append(cs, counted{string(k), m[k]})
		}
	}
	slices.SortStableFunc(cs, func(a, b counted) int { return cmp.Compare(b.n, a.n) })
	return cs
}

// meaning is the sentence of a reason, "" for what is none.
func meaning(code string) string {
	e, _ := reason.Lookup(reason.Code(code))
	return e.Meaning
}

// reasonTable is a breakdown by reason or rule, with the meaning of each.
func reasonTable(t *console.Terminal, counts []counted, total int, color console.Color) error {
	tab := console.NewTable(t, console.Column{Whole: true, Paint: func(string) console.Color { return color }},
		console.Column{Right: true, Whole: true}, console.Column{Right: true, Whole: true}, console.Column{})
	for _, c := range counts {
		tab.Row("  "+c.name, console.Count(c.n), console.Percent(c.n, total), meaning(c.name))
	}
	return tab.Flush()
}

// solidBar is a bar of one part, without colours.
func solidBar(n, total, width int) string {
	bar := console.Fixed(nil, width, false, false).Bar([]console.Segment{{N: n, Glyph: "█"}}, max(total, 1), width)
	return strings.ReplaceAll(bar, "·", " ")
}
