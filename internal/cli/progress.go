package cli

import (
	"fmt"
	"strings"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

// progressView draws where a broadcast stands.
type progressView struct {
	id       string
	progress client.Progress
	meter    *console.Meter // nil: no rate is known
}

// ended is how many of the audience have an outcome.
func (v progressView) ended() int { return v.progress.Audience - v.progress.Counts.Pending }

// figures is the progress in words: how far, how fast, how long.
func (v progressView) figures() string {
	p := v.progress
	if !p.Frozen {
		return "waiting until it is due and its audience is frozen"
	}
	s := fmt.Sprintf("%s  %s of %s", console.Percent(v.ended(), p.Audience), console.Count(v.ended()), console.Count(p.Audience))
	if settled(p) {
		return s
	}
	if v.meter == nil || p.State == "paused" {
		return s
	}
	s += "  " + console.Rate(v.meter.PerSecond())
	// What is held goes out at its own time, not at the rate.
	if left, ok := v.meter.Left(p.Counts.Pending - p.Counts.Held); ok {
		s += ", " + console.Span(left) + " left"
	}
	return s
}

func (v progressView) legend(t *console.Terminal) []string {
	return t.Legend(outcomes(v.progress.Counts), t.Width())
}

// lines are what is redrawn in place on a screen.
func (v progressView) lines(t *console.Terminal) []string {
	state := v.progress.State
	head := console.Cut(v.id, t.Width()-len(state)-2)
	lines := []string{t.Paint(console.Bold, head) + "  " + t.Paint(stateColor(state), state)}
	if !v.progress.Frozen {
		return append(lines, v.figures())
	}
	lines = append(lines, t.Bar(outcomes(v.progress.Counts), v.progress.Audience, t.Width()), console.Cut(v.figures(), t.Width()))
	lines = append(lines, v.legend(t)...)
	if state == "paused" {
		lines = append(lines, console.Cut("go on with: carillon broadcast resume "+v.id, t.Width()))
	}
	return lines
}

// plain is the same as one line, for logs and pipes.
func (v progressView) plain() string {
	line := fmt.Sprintf("%s  %s  %s  %s", stamp(v.progress.At), v.id, v.progress.State, v.figures())
	var counts []string
	for _, o := range outcomes(v.progress.Counts) {
		if o.N != 0 {
			counts = append(counts, o.Name+" "+console.Count(o.N))
		}
	}
	if len(counts) > 0 {
		line += ": " + strings.Join(counts, ", ")
	}
	return line
}

// writeEnd is what stays when a broadcast has ended.
func (v progressView) writeEnd(t *console.Terminal) error {
	if _, err := fmt.Fprintln(t, strings.Join(v.lines(t), "\n")); err != nil {
		return err
	}
	if err := reasonTable(t, byCount(v.progress.ByReason), v.progress.Audience, console.Yellow); err != nil {
		return err
	}
	_, err := fmt.Fprintf(t, "%s\n", t.Paint(console.Dim, "proof: carillon audit "+v.id))
	return err
}

// settled tells whether a broadcast has ended for everybody in its audience:
// one that was closed may still have calls on their way.
func settled(p client.Progress) bool { return client.Over(p.State) && p.Counts.Pending == 0 }
