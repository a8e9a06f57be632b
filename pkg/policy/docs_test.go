package policy

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write docs/rulebook.md")

func TestDocument(t *testing.T) {
	const path = "../../docs/rulebook.md"
	want := document(Default())
	if *update {
		must(t, os.WriteFile(path, []byte(want), 0o644))
	}
	got, err := os.ReadFile(path)
	must(t, err)
	if string(got) != want {
		t.Errorf("%s is not current: run go test ./pkg/policy -update", path)
	}
}

func document(rb *Rulebook) string {
	var b strings.Builder
	b.WriteString("# The rulebook\n\nGenerated from `pkg/policy/rulebook.yaml`, which `carillon policy --rulebook FILE` replaces by your own;\n" +
		"`rulebook.schema.json` beside it describes the format. Dates begin at 00:00 UTC; `until` is the first day on which\n" +
		"a rule no longer holds. Limits are half open: inside while the age is less than the limit.\n")
	list := List(rb, time.Time{})
	section(&b, "What forbids a message, in the order tried", list, "check")
	b.WriteString("\n## What allows a message, in the order tried\n\nThe conditions of a permission are looked at in this order: ")
	for i, c := range rb.Conditions {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "`%s`", c)
	}
	b.WriteString(".\n\n| rule | row | channels | announced | from | until | end announced | end planned | asked by | promotional | author | needs | limit | clause | source | decided |\n|" + strings.Repeat("---|", 16) + "\n")
	for _, l := range list {
		if l.Group == "permission" {
			permissionRow(&b, l)
		}
	}
	uses(&b, list)
	section(&b, "When an allowed message waits", list, "hours")
	section(&b, "Advice that refuses nothing", list, "advice")
	section(&b, "Rows that no case can be judged by", list, "note")
	fmt.Fprintf(&b, "\n## Words from contacts\n\n%s Source: %s.\n\n- opt out: %s\n- opt in: %s\n- help: %s\n", rb.Keywords.Says,
		strings.Join(rb.Keywords.Source, ", "), strings.Join(rb.Keywords.OptOut, ", "), strings.Join(rb.Keywords.OptIn, ", "), strings.Join(rb.Keywords.Help, ", "))
	b.WriteString("\n## Sources\n\n| key | what it is |\n|---|---|\n")
	for _, key := range slices.Sorted(maps.Keys(rb.Sources)) {
		fmt.Fprintf(&b, "| %s | %s |\n", key, rb.Sources[key])
	}
	return b.String()
}

// uses is what each tag is for.
func uses(b *strings.Builder, list []Listed) {
	b.WriteString("\n## What the tags are for\n\n| tag | rule | for | not for | successor |\n|---|---|---|---|---|\n")
	for _, l := range list {
		for _, tag := range l.Names {
			if u, ok := l.Uses[tag]; ok {
				fmt.Fprintf(b, "| `%s` | `%s` | %s | %s | %s |\n", tag, l.Rule, u.For, u.NotFor, u.Successor)
			}
		}
	}
}

func section(b *strings.Builder, title string, list []Listed, group string) {
	fmt.Fprintf(b, "\n## %s\n\n| rule | row | channels | from | until | clause | source | decided |\n|%s\n", title, strings.Repeat("---|", 8))
	for _, l := range list {
		if l.Group == group {
			fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s | %s | %s |\n", l.Rule, l.Row, on(l.Channels), l.From, l.To, l.Says, strings.Join(l.Source, ", "), l.Decided)
		}
	}
}

func permissionRow(b *strings.Builder, l Listed) {
	asked := l.Asked
	for _, n := range l.Names {
		asked += " `" + n + "`"
	}
	promotional, author, limit := "no", "anybody", "none"
	if l.Promotional {
		promotional = "yes"
	}
	if len(l.Authors) > 0 {
		author = strings.Join(l.Authors, ", ")
	}
	if l.Limit > 0 {
		limit = l.Limit.String()
	}
	if l.Max > 0 {
		limit += ", at most " + l.Max.String()
	}
	needs := strings.TrimSpace(l.Capability + " " + l.Template)
	fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", l.Rule, l.Row, on(l.Channels), l.Announced, l.From, l.To,
		l.EndAnnounced, l.EndPlanned, asked, promotional, author, needs, limit, l.Says, strings.Join(l.Source, ", "), l.Decided)
}

func on(cs []Channel) string {
	names := make([]string, len(cs))
	for i, c := range cs {
		names[i] = string(c)
	}
	if len(names) == 0 {
		return "all"
	}
	return strings.Join(names, ", ")
}
