package policy

import (
	"cmp"
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
	want := document(book())
	if *update {
		must(t, os.WriteFile(path, []byte(want), 0o644))
	}
	got, err := os.ReadFile(path)
	must(t, err)
	if string(got) != want {
		t.Errorf("%s is not current: run go test ./pkg/policy -update", path)
	}
}

// page is the document being written.
type page struct {
	strings.Builder
	rb   *Rulebook
	list []Listed
	last time.Time // the last day on which anything changes
}

func document(rb *Rulebook) string {
	p := &page{rb: rb, last: lastDay(rb)}
	p.list = List(rb, p.last)
	p.WriteString(introduction)
	for _, part := range []func(){
		p.words, p.checks, p.openers, p.permissions, p.days, p.tags, p.kinds, p.hours, p.advice, p.keywords, p.tenDLC, p.notes, p.contradictions, p.sources,
	} {
		part()
	}
	return p.String()
}

const introduction = `# The rulebook

Which message may go to whom, when, and by which rule: the messaging policies of Messenger, Instagram and SMS as dated data.
Generated from ` + "`pkg/policy/rulebook.yaml`" + `; ` + "`carillon policy --rulebook FILE`" + ` judges by a file of your own, which
` + "`rulebook.schema.json`" + ` beside it describes. ` + "`carillon policy list --at DATE`" + ` is the rulebook on a day,
` + "`carillon policy diff`" + ` what changes between two, ` + "`carillon policy explain`" + ` every rule tried for one case.

A message is judged in four steps: what forbids it (the checks), what allows it (the permissions), whether it waits (the hours),
and what its author is told besides (the advice). Days begin at 00:00 UTC, and "until" names the first day on which a rule no
longer holds. Limits are half open: inside while the age is less than the limit, outside from exactly the limit on.
`

// lastDay is the last day on which the rulebook changes.
func lastDay(rb *Rulebook) time.Time {
	changes := Diff(rb, time.Time{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	return changes[len(changes)-1].Date.Time
}

func (p *page) heading(title, text string) {
	fmt.Fprintf(p, "\n## %s\n", title)
	if text != "" {
		fmt.Fprintf(p, "\n%s\n", text)
	}
}

// table writes the rows under a small title, "" for none; without rows nothing.
func (p *page) table(title string, head []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	if title != "" {
		fmt.Fprintf(p, "\n### %s\n", title)
	}
	fmt.Fprintf(p, "\n| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, row := range rows {
		for i, cell := range row {
			row[i] = strings.ReplaceAll(cell, "|", "\\|")
		}
		fmt.Fprintf(p, "| %s |\n", strings.Join(row, " | "))
	}
}

// rows is one row for each entry of a group.
func (p *page) rows(group string, row func(l *Listed) []string) [][]string {
	var out [][]string
	for i := range p.list {
		if l := &p.list[i]; l.Group == group {
			out = append(out, row(l))
		}
	}
	return out
}

// readings and parameters follow the table of a group.
func (p *page) readings(group, what string) {
	var rows [][]string
	for _, l := range p.list {
		if l.Group == group && l.Decided != "" {
			rows = append(rows, []string{code(l.Rule), on(l.Channels), l.Decided})
		}
	}
	p.table("Readings taken for "+what, []string{"rule", "channels", "reading, and why"}, rows)
}

// parameters leaves out those that a column has, by name.
func (p *page) parameters(group, what string, shown ...string) {
	var rows [][]string
	for _, l := range p.list {
		for _, s := range l.Parameters {
			if l.Group == group && !slices.Contains(shown, s.Name) {
				rows = append(rows, []string{code(l.Rule), code(s.Name), meaning[s.Name], s.Value})
			}
		}
	}
	p.table("Parameters of "+what, []string{"rule", "parameter", "meaning", "value"}, rows)
}

// meaning is what a parameter does.
var meaning = map[string]string{
	"acknowledge": "asked for when a broadcast is launched", "answers_excepted": "agents and automatic replies don't wait", "authors": "origins that it is about",
	"between": "words that may stand between a negation and its request", "capability": "asked of the sender", "digits": "of a card number",
	"except": "number types that are not asked", "excluded_countries": "of the contact, where it is not offered", "flow_types": "that are asked",
	"harmless": "what only looks like an object", "iban": "length by country", "kind": "template kind that asks for it where there is no tag", "kinds": "template kinds that are meant", "lengths.instagram": "longest text",
	"lengths.messenger": "longest text", "lengths.sms": "longest text", "limit": "age from which it applies", "links.domains": "last labels of a bare host name",
	"links.prefixes": "what a link begins with", "marketing": "an opt-out of marketing covers it, promotional or not", "not_sendable": "only the platform's own systems send it",
	"not_under": "permissions that it is not about all the same", "objects": "what is asked for", "opened_by": "actions that open the window",
	"phrases": "words that it looks for", "promotional_only": "only promotional messages wait", "quiet": "the hours", "senders_own": "the hours that the sender sets",
	"tags": "that it is about", "under": "permissions that it is about", "under_by": "ways of asking whose permissions it is about, also later ones",
	"unless": "negations that make it a warning", "until": "words beyond which an object does not count", "use_cases": "that a message may name", "within": "words looked at on either side",
}

func TestEveryParameterHasAMeaning(t *testing.T) {
	for _, l := range List(book(), time.Time{}) {
		for _, s := range l.Parameters {
			if meaning[s.Name] == "" && l.Group != "ten_dlc" && !slices.Contains(inColumns, s.Name) {
				t.Errorf("%s: nothing says what %s is", l.Rule, s.Name)
			}
		}
	}
}

// inColumns are the parameters of permissions that stand in the table.
var inColumns = []string{"since", "limit", "max", "authors", "capability", "template", "cooldown"}

func (p *page) checks() {
	p.heading("What forbids a message, in the order tried",
		"The first that applies is the reason reported. A check that blocks ends the message as a dead letter; one that holds lets it wait until its cause has passed.")
	p.table("", []string{"reason", "row", "channels", "then", "clause", "source"}, p.rows("check", func(l *Listed) []string {
		return []string{code(l.Rule), l.Row, on(l.Channels), map[string]string{"final": "blocks", "hold": "holds"}[string(l.Ending)], l.Says, strings.Join(l.Source, ", ")}
	}))
	p.parameters("check", "checks")
	p.readings("check", "checks")
}

func (p *page) openers() {
	p.heading("What opens the window", "Actions of the person from which a window is counted, the newest one of them. A window lists those that open it as `opened_by`.")
	row := func(l *Listed) []string {
		return []string{code(l.Rule), l.Says, l.Webhook, strings.Join(l.Source, ", ")}
	}
	p.table("", []string{"action", "the person", "webhook that shows it", "source"}, p.rows("opener", row))
	p.table("What does not open it", []string{"action", "row", "why not", "webhook that shows it", "reading", "source"}, p.rows("not_opener", func(l *Listed) []string {
		return []string{code(l.Rule), l.Row, l.Says, l.Webhook, l.Decided, strings.Join(l.Source, ", ")}
	}))
}

func (p *page) permissions() {
	order := make([]string, len(p.rb.Conditions))
	for i, c := range p.rb.Conditions {
		order[i] = code(string(c))
	}
	p.heading("What allows a message, in the order tried",
		"Inside a window nothing else is needed. Outside it, a message is judged by the one permission that its template, tag or via asks for.\nThe conditions of a permission are looked at in this order: "+strings.Join(order, ", ")+".")
	p.table("", []string{"rule", "row", "channels", "days", "asked for by", "limit", "written by", "promotional", "capability", "template required", "of the person"}, p.rows("permission", permissionRow))
	p.table("Their clauses", []string{"rule", "channels", "clause", "source"}, p.rows("permission", func(l *Listed) []string {
		return []string{code(l.Rule), on(l.Channels), l.Says, strings.Join(l.Source, ", ")}
	}))
	p.parameters("permission", "permissions", inColumns...)
	p.readings("permission", "permissions")
}

func permissionRow(l *Listed) []string {
	asked := l.Asked
	for _, n := range l.Names {
		asked += " " + code(n)
	}
	promotional, author, template := "no", "anybody", ""
	if l.Promotional {
		promotional = "yes"
	}
	if len(l.Authors) > 0 {
		author = strings.Join(l.Authors, ", ")
	}
	if l.Template != "" {
		template = code(l.Template)
	}
	var gave []string
	for _, n := range l.Needs() {
		if !strings.HasPrefix(n, "capability ") && !strings.HasPrefix(n, "template ") {
			gave = append(gave, n)
		}
	}
	capability := ""
	if l.Capability != "" {
		capability = code(l.Capability)
	}
	limit := l.Bound()
	since := map[string]string{sinceInbound: " after the last inbound", sinceAd: " after the first message from an ad", sinceComment: " after the comment", sinceToken: " after the token was given"}
	if l.Limit > 0 {
		limit += since[l.Since]
	}
	if len(l.Cooldown) > 0 {
		limit = "one message in " + dated(l.Cooldown)
	}
	return []string{code(l.Rule), l.Row, on(l.Channels), span(l), asked, limit, author, promotional, capability, template, strings.Join(gave, ", ")}
}

// span is the days of a rule.
func span(l *Listed) string {
	switch {
	case l.From.IsZero() && l.To.IsZero():
		return "always"
	case l.To.IsZero():
		return "from " + l.From.String()
	case l.From.IsZero():
		return "until " + l.To.String()
	default:
		return l.From.String() + " until " + l.To.String()
	}
}

// days is every date of the rulebook.
func (p *page) days() {
	type dated struct {
		d    Date
		cell []string
	}
	var all []dated
	add := func(d Date, rule, what string, cs []Channel, detail string) {
		if !d.IsZero() {
			all = append(all, dated{d, []string{d.String(), code(rule), what, on(cs), detail}})
		}
	}
	for _, c := range Diff(p.rb, time.Time{}, p.last) {
		detail := strings.Join(c.Names, ", ")
		if c.What == "limit" || c.What == "changes" {
			detail = c.Detail
		}
		add(c.Date, c.Rule, c.What, c.Channels, detail)
	}
	for _, l := range p.list {
		names := strings.Join(l.Names, ", ")
		add(l.Announced, l.Rule, "is announced", l.Channels, names)
		add(l.EndAnnounced, l.Rule, "end is announced", l.Channels, names)
		add(l.EndPlanned, l.Rule, "end first planned", l.Channels, names)
	}
	slices.SortStableFunc(all, func(a, b dated) int { return cmp.Compare(a.d.Unix(), b.d.Unix()) })
	rows := make([][]string, len(all))
	for i, d := range all {
		rows[i] = d.cell
	}
	p.heading("Every date", "")
	p.table("", []string{"day", "rule", "what", "channels", "of what"}, rows)
}

func code(s string) string { return "`" + s + "`" }

func on(cs []Channel) string {
	names := make([]string, len(cs))
	for i, c := range cs {
		names[i] = string(c)
	}
	return cmp.Or(strings.Join(names, ", "), "all")
}

func (p *page) sources() {
	p.heading("Sources", "What the keys above stand for. Third parties are named as such: where they alone say something, the reading is marked.")
	var rows [][]string
	for _, key := range slices.Sorted(maps.Keys(p.rb.Sources)) {
		s := p.rb.Sources[key]
		title := s.Title
		if s.URL != "" {
			title = "[" + s.Title + "](" + s.URL + ")"
		}
		rows = append(rows, []string{key, title, s.Section, s.AsOf})
	}
	p.table("", []string{"key", "source", "section", "as of"}, rows)
}
