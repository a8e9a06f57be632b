package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/carillon-dev/carillon/pkg/policy"
)

// screen is the narrowest terminal that tables are laid out for.
const screen = 80

// chapter is one group of the rulebook as a table: what its columns are
// called, how wide they are (together at most screen, two between each) and
// what stands in them.
type chapter struct {
	group  string
	heads  []string
	widths []int
	cells  func(l *policy.Listed) []string
}

func chapters() []chapter {
	clause := func(l *policy.Listed) []string { return []string{l.Rule, l.Says} }
	two := []int{24, 54}
	return []chapter{
		{"check", []string{"WHAT FORBIDS A MESSAGE", "THEN", "WHERE"}, []int{24, 6, 46}, func(l *policy.Listed) []string {
			return []string{l.Rule, map[string]string{"final": "blocks", "hold": "holds"}[string(l.Ending)], l.Says}
		}},
		{"opener", []string{"WHAT OPENS A WINDOW", "WHEN THE PERSON"}, two, clause},
		{"not_opener", []string{"WHAT OPENS NONE", "WHY"}, two, clause},
		{"permission", []string{"WHAT ALLOWS A MESSAGE", "LIMIT", "WRITTEN BY", "PROMO", "NEEDS"}, []int{22, 10, 10, 5, 25}, permissionCells},
		{"hours", []string{"WHEN IT WAITS", "WHY"}, two, clause},
		{"advice", []string{"WHAT ITS AUTHOR IS TOLD", "WHY"}, two, adviceCells},
		{"ten_dlc", []string{"10DLC CLASS", "WHAT IT MAY SEND"}, two, func(l *policy.Listed) []string { return []string{l.Rule, strings.Join(settingsOf(l), "; ")} }},
		{"note", []string{"NOTE", "WHAT NO CASE IS JUDGED BY"}, two, clause},
	}
}

func adviceCells(l *policy.Listed) []string {
	if l.Acknowledge {
		return []string{l.Rule, l.Says + " Acknowledged at the launch."}
	}
	return []string{l.Rule, l.Says}
}

func permissionCells(l *policy.Listed) []string {
	author, promotional := "anybody", "no"
	if len(l.Authors) > 0 {
		author = strings.Join(l.Authors, ", ")
	}
	if l.Promotional {
		promotional = "yes"
	}
	needs := l.Needs()
	if slices.ContainsFunc(l.Parameters, func(p policy.Parameter) bool { return p.Name == "not_sendable" }) {
		needs = []string{"the platform's ads system"}
	}
	if len(needs) == 0 {
		needs = []string{"-"}
	}
	return []string{l.Rule, l.Bound(), author, promotional, strings.Join(needs, ", ")}
}

// longList is as much of a list of words as a table shows; a longer one is
// only counted there.
const longList = 60

// settingsOf is the parameters of a rule in a few words each; --json has all
// of them.
func settingsOf(l *policy.Listed) []string {
	var out []string
	for _, p := range l.Parameters {
		name := strings.ReplaceAll(p.Name, "_", " ")
		switch words := strings.Count(p.Value, ", ") + 1; {
		case len(p.Value) > longList && words > 1:
			out = append(out, fmt.Sprintf("%s (%d)", name, words))
		case p.Value == "yes":
			out = append(out, name)
		default:
			out = append(out, name+" "+p.Value)
		}
	}
	return out
}

// listed is which entries of the rulebook are written, and how much of them.
type listed struct {
	all    bool // also what is not in force on the day
	wide   bool // clause, reading, source and the notes too
	asJSON bool
}

func (w listed) write(out io.Writer, list []policy.Listed) error {
	if w.asJSON {
		enc := json.NewEncoder(out)
		for _, l := range list {
			if l.State != "in_force" && !w.all {
				continue
			}
			if err := enc.Encode(l); err != nil {
				return err
			}
		}
		return nil
	}
	var b strings.Builder
	for _, c := range chapters() {
		if c.group == "note" && !w.wide {
			continue
		}
		if err := w.chapter(&b, &c, list); err != nil {
			return err
		}
	}
	if !w.wide {
		b.WriteString("\nWith --wide: every clause, the reading taken, its source, and notes.\n")
	}
	_, err := io.WriteString(out, strings.TrimPrefix(b.String(), "\n"))
	return err
}

// chapter writes a group with its heads, and nothing where it is empty.
func (w listed) chapter(b *strings.Builder, c *chapter, list []policy.Listed) error {
	first := true
	for i := range list {
		l := &list[i]
		if l.Group != c.group || l.State != "in_force" && !w.all {
			continue
		}
		t := table{widths: c.widths}
		if first {
			b.WriteString("\n")
			t.add(c.heads...)
			first = false
		}
		t.add(c.cells(l)...)
		if err := t.write(b); err != nil {
			return err
		}
		for _, line := range w.below(l) {
			below := table{widths: []int{1, screen - 3}}
			below.add("", line)
			if err := below.write(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// below is what stands under a rule: where and when it holds, what asks for
// it, and with wide its clause, reading and source.
func (w listed) below(l *policy.Listed) []string {
	var about []string
	add := func(label, text string) {
		if text != "" {
			about = append(about, strings.TrimSpace(label+" "+text))
		}
	}
	add("", channelNames(l.Channels))
	add(l.Asked, strings.Join(l.Names, ", "))
	add("from", l.From.String())
	add("until", l.To.String())
	add("closed to new from", l.ClosedToNew.String())
	add("row", l.Row)
	if l.Group != "permission" && l.Group != "ten_dlc" {
		add("", strings.Join(settingsOf(l), "; "))
	}
	add("", map[string]string{"ended": "ended", "not_yet": "not yet in force"}[l.State])
	var out []string
	if len(about) > 0 {
		out = append(out, strings.Join(about, "; "))
	}
	if !w.wide {
		return out
	}
	for _, s := range []struct{ label, text string }{
		{"clause:", clauseBelow(l)}, {"webhook:", l.Webhook}, {"reading:", l.Decided}, {"source:", strings.Join(l.Source, ", ")},
	} {
		if s.text != "" {
			out = append(out, s.label+" "+s.text)
		}
	}
	return out
}

// clauseBelow is the clause where no column has it.
func clauseBelow(l *policy.Listed) string {
	if l.Group == "permission" || l.Group == "ten_dlc" {
		return l.Says
	}
	return ""
}

// channelNames is "" for every channel.
func channelNames(cs []policy.Channel) string {
	names := make([]string, len(cs))
	for i, c := range cs {
		names[i] = string(c)
	}
	return strings.Join(names, ", ")
}
