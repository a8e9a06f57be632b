package console

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// Width returns the columns that s takes on a screen. It must hold no colours.
func Width(s string) int { return uniseg.StringWidth(s) }

// Clean replaces what is not printable, line breaks and escape sequences
// among it, by spaces: names and answers from outside are drawn beside ours.
func Clean(s string) string {
	if !strings.ContainsFunc(s, unprintable) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if unprintable(r) {
			return ' '
		}
		return r
	}, s)
}

// unprintable also names the marks that turn the direction of text around.
func unprintable(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || unicode.In(r, unicode.Zl, unicode.Zp)
}

// Cut returns s in at most width columns; what was longer ends with "…".
func Cut(s string, width int) string {
	if Width(s) <= width {
		return s
	}
	if width <= 0 {
		return ""
	}
	var b strings.Builder
	used, state := 0, -1
	for rest := s; rest != ""; {
		var cluster string
		var w int
		cluster, rest, w, state = uniseg.FirstGraphemeClusterInString(rest, state)
		if used+w > width-1 {
			break
		}
		b.WriteString(cluster)
		used += w
	}
	return b.String() + "…"
}

// pad fills s up to width columns, at its left side where right is true.
func pad(s string, width int, right bool) string {
	fill := strings.Repeat(" ", max(0, width-Width(s)))
	if right {
		return fill + s
	}
	return s + fill
}

// Wrap breaks text at spaces into lines of at most width columns; a word
// that is longer stands alone, whole.
func Wrap(text string, width int) []string { return join(strings.Fields(text), " ", width) }

// join puts words on lines of at most width columns, with sep between those
// of one line.
func join(words []string, sep string, width int) []string {
	var lines []string
	line := ""
	for _, w := range words {
		switch {
		case line == "":
			line = w
		case Width(line)+Width(sep)+Width(w) <= width:
			line += sep + w
		default:
			lines, line = append(lines, line), w
		}
	}
	return append(lines, line)
}
