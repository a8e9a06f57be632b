package console

import (
	"io"
	"os"

	"golang.org/x/term"
)

const (
	// maxWidth keeps tables readable on wide screens.
	maxWidth = 100
	// minWidth is what a bar with its figures needs.
	minWidth = 40
)

// Terminal is where something is drawn: a screen, or a file or pipe that
// takes plain lines.
type Terminal struct {
	io.Writer

	screen bool
	color  bool
	size   func() int // columns; 0: unknown
}

// Open looks at what w is. Lines are redrawn in place only on a screen, and
// colours are used only on a screen and where NO_COLOR is empty, as
// no-color.org asks; a dumb terminal gets neither.
func Open(w io.Writer, getenv func(string) string) *Terminal {
	t := &Terminal{Writer: w, size: func() int { return 0 }}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || getenv("TERM") == "dumb" {
		return t
	}
	t.screen, t.color = true, getenv("NO_COLOR") == ""
	t.size = func() int {
		w, _, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 0
		}
		return w
	}
	return t
}

// Fixed is a Terminal of a given shape: what a test draws on.
func Fixed(w io.Writer, width int, screen, color bool) *Terminal {
	return &Terminal{Writer: w, screen: screen, color: color, size: func() int { return width }}
}

// Screen tells whether lines can be redrawn in place.
func (t *Terminal) Screen() bool { return t.screen }

// Width returns the columns to draw in at this moment, 40 to 100.
func (t *Terminal) Width() int {
	w := t.size()
	if w == 0 {
		return maxWidth
	}
	return max(minWidth, min(maxWidth, w))
}

// Color is one of the few colours that every terminal has.
type Color string

// The colours. Plain leaves the text as it is.
const (
	Plain   Color = ""
	Bold    Color = "1"
	Dim     Color = "2"
	Red     Color = "31"
	Green   Color = "32"
	Yellow  Color = "33"
	Magenta Color = "35"
	Cyan    Color = "36"
)

// Paint colours s where the terminal takes colours.
func (t *Terminal) Paint(c Color, s string) string {
	if !t.color || c == Plain || s == "" {
		return s
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}
