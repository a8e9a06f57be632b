package rehearsal

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
)

// Text is the report as people read it, and as golden files keep it. Times are
// UTC.
func (r *Report) Text() string {
	var b strings.Builder
	for _, run := range r.Runs {
		run.text(&b)
	}
	for _, q := range r.Quiet {
		about := "nothing began"
		if q.Flow != "" {
			about = q.Flow + ": no run"
		}
		fmt.Fprintf(&b, "%s  %s: %s: %s\n", stamp(q.At), q.What, about, q.Why)
	}
	if len(r.Quiet) > 0 {
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%s, from %s to %s\n", r.sum(), stamp(r.From), stamp(r.Until))
	return b.String()
}

// sum says in a few words what happened.
func (r *Report) sum() string {
	states, began := map[flow.State]int{}, len(r.Runs)
	for _, run := range r.Runs {
		states[run.State]++
	}
	messages := 0
	counts := r.Counts()
	for _, n := range counts {
		messages += n
	}
	return nouns(began, "run") + of(states) + "; " + nouns(messages, "message") + of(counts)
}

func of[K cmp.Ordered](counts map[K]int) string {
	if len(counts) == 0 {
		return ""
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %v", counts[k], k))
	}
	return ": " + strings.Join(parts, ", ")
}

func nouns(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// text is one run: its head, then its path with its messages where they were
// asked for.
func (run *Run) text(b *strings.Builder) {
	fmt.Fprintf(b, "%s  %s/%s  %s", run.Flow, run.Contact.Sender, run.Contact.Person, run.State)
	switch {
	case run.Why != "":
		fmt.Fprintf(b, ": %s", run.Why)
	case !run.State.Over() && !run.Due.IsZero():
		fmt.Fprintf(b, " until %s", stamp(run.Due))
	}
	fmt.Fprintf(b, "\n  begun by %s\n", run.By)
	if run.Cut > 0 {
		fmt.Fprintf(b, "  (%s before are not kept)\n", nouns(run.Cut, "visit"))
	}
	width := 0
	for _, v := range run.Path {
		width = max(width, len(v.Step))
	}
	for _, v := range run.Path {
		visit(b, v, width)
		run.came(b, v)
	}
	b.WriteByte('\n')
}

// came writes what a visit came to: messages, calls, changes of the contact.
func (run *Run) came(b *strings.Builder, v flow.Visit) {
	for _, m := range run.Messages {
		if v.Job != "" && v.Job == m.effect {
			m.text(b)
		}
	}
	for _, c := range run.Calls {
		if v.Job != "" && v.Job == c.effect {
			fmt.Fprintf(b, "%s%s is told %s: %s\n", indent, c.Endpoint, c.Data, c.State)
		}
	}
	for _, c := range run.Changes {
		if v.Step == c.Step && v.At.Equal(c.At) && v.Did == "set" {
			c.text(b)
		}
	}
}

func visit(b *strings.Builder, v flow.Visit, width int) {
	fmt.Fprintf(b, "  %s  %-*s  %s", stamp(v.At), width, v.Step, v.Did)
	if v.What != "" {
		fmt.Fprintf(b, " %s", v.What)
	}
	if !v.Until.IsZero() {
		fmt.Fprintf(b, " until %s", stamp(v.Until))
	}
	if v.State != "" {
		fmt.Fprintf(b, " %s", v.State)
	}
	if v.Reason != "" {
		fmt.Fprintf(b, " (%s)", v.Reason)
	}
	b.WriteByte('\n')
}

// indent is where what belongs to a line stands.
const indent = "                        "

func (m *Message) text(b *strings.Builder) {
	from := m.To.Sender
	if m.Template != "" {
		from += " by template " + m.Template
	}
	fmt.Fprintf(b, "%sto %s from %s\n", indent, m.To.Person, from)
	for _, part := range []string{m.Text, m.Words} {
		for line := range strings.Lines(part) {
			fmt.Fprintf(b, "%s| %s\n", indent, strings.TrimRight(line, "\n"))
		}
	}
	for _, v := range m.Verdicts {
		fmt.Fprintf(b, "%s%s %s %s: %s\n", indent, stamp(v.At), v.Verdict, cmp.Or(string(v.Reason), v.Rule), v.Says)
	}
	switch {
	case m.OutcomeAt.IsZero():
		fmt.Fprintf(b, "%s%s\n", indent, m.State)
	case m.State != job.Blocked: // which its verdict said
		fmt.Fprintf(b, "%s%s %s", indent, stamp(m.OutcomeAt), m.State)
		if m.Reason != "" {
			fmt.Fprintf(b, ": %s", m.Reason)
		}
		b.WriteByte('\n')
	}
}

func (c *Change) text(b *strings.Builder) {
	for _, l := range slices.Sorted(maps.Keys(c.Labels)) {
		sign := "-"
		if c.Labels[l] {
			sign = "+"
		}
		fmt.Fprintf(b, "%slabel %s%s\n", indent, sign, l)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Attributes)) {
		if v := c.Attributes[name]; v != nil {
			fmt.Fprintf(b, "%s%s = %s\n", indent, name, *v)
		} else {
			fmt.Fprintf(b, "%s%s is unset\n", indent, name)
		}
	}
}
