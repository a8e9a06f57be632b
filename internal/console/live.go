package console

import (
	"fmt"
	"strings"
)

// Live is a few lines at the foot of a screen that are redrawn in place. It
// is used by one goroutine.
type Live struct {
	t     *Terminal
	lines int // drawn last, the cursor below them
}

// NewLive returns a Live without lines. The terminal must be a screen.
func NewLive(t *Terminal) *Live { return &Live{t: t} }

// Draw puts lines in the place of those drawn before. Line wrap is off
// meanwhile: after a screen has become narrower, a wrapped line would make
// the next redraw go up too few rows. Each row is erased before it is written:
// erasing after a line as wide as the screen would take its last column.
func (l *Live) Draw(lines ...string) error {
	var b strings.Builder
	b.WriteString("\x1b[?7l")
	l.up(&b)
	for _, line := range lines {
		b.WriteString("\x1b[K" + line + "\n")
	}
	b.WriteString("\x1b[J\x1b[?7h")
	l.lines = len(lines)
	_, err := l.t.Write([]byte(b.String()))
	return err
}

// Clear takes the lines away, so that something else can be written there.
func (l *Live) Clear() error {
	if l.lines == 0 {
		return nil
	}
	var b strings.Builder
	l.up(&b)
	b.WriteString("\x1b[J")
	l.lines = 0
	_, err := l.t.Write([]byte(b.String()))
	return err
}

func (l *Live) up(b *strings.Builder) {
	if l.lines > 0 {
		fmt.Fprintf(b, "\x1b[%dF", l.lines)
	}
}
