package flow

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Draw returns the flow as a Mermaid flowchart.
func (s *Spec) Draw() string { return s.DrawPath(nil) }

// DrawPath returns the flow as a Mermaid flowchart in which the steps that a
// run came to stand out, with what became of them and when.
func (s *Spec) DrawPath(path []Visit) string {
	d := drawing{newest: map[string]Visit{}}
	for _, v := range path {
		d.newest[v.Step] = v
	}
	d.b.WriteString("flowchart TD\n")
	open := []edge{{from: d.node("", "([", s.Trigger.Words(), "])")}}
	open = d.sequence("steps", s.Steps, open)
	for i := range s.Criteria {
		open = d.criterion(s, i, open)
	}
	if len(open) > 0 {
		d.join(open, d.node("", "([", "done", "])"))
	}
	if len(d.taken) > 0 {
		d.b.WriteString("  classDef taken fill:#dff0d8,stroke:#3c763d\n  class " + strings.Join(d.taken, ",") + " taken\n")
	}
	return d.b.String()
}

// drawing writes nodes and edges as it comes to them.
type drawing struct {
	b      strings.Builder
	n      int
	newest map[string]Visit // of a run, by step
	taken  []string         // nodes that it came to
}

// edge begins somewhere and has yet to lead on.
type edge struct {
	from  string
	label string
}

// node writes a node between two marks of its shape, and returns its name. id
// is the step's, "" for what is none.
func (d *drawing) node(id, before, label, after string) string {
	d.n++
	name := "n" + strconv.Itoa(d.n)
	lines := []string{quote(label)}
	if v, ok := d.newest[id]; ok && id != "" {
		lines, d.taken = append(lines, quote(v.words())), append(d.taken, name)
	}
	fmt.Fprintf(&d.b, "  %s%s\"%s\"%s\n", name, before, strings.Join(lines, "<br/>"), after)
	return name
}

func (d *drawing) join(open []edge, to string) {
	for _, e := range open {
		if e.label == "" {
			fmt.Fprintf(&d.b, "  %s --> %s\n", e.from, to)
			continue
		}
		fmt.Fprintf(&d.b, "  %s -->|\"%s\"| %s\n", e.from, quote(e.label), to)
	}
}

// sequence draws steps one behind the other and returns what leads on from
// the last. Those without an id are called after the list.
func (d *drawing) sequence(id string, steps []Step, open []edge) []edge {
	for i := range steps {
		name := steps[i].ID
		if name == "" {
			name = id + "-" + strconv.Itoa(i+1)
		}
		open = d.step(name, &steps[i], open)
	}
	return open
}

func (d *drawing) step(id string, st *Step, open []edge) []edge {
	if len(st.Branch)+len(st.Split) > 0 || st.Repeat != nil || st.Wait != nil && len(st.Wait.Events) > 0 {
		return d.fork(id, st, open)
	}
	before, after := "[", "]"
	if st.End || st.Handover != nil {
		before, after = "([", "])"
	}
	name := d.node(id, before, st.words(id), after)
	d.join(open, name)
	if st.End || st.Handover != nil {
		return nil
	}
	return []edge{{from: name}}
}

// fork draws a step with ways below it.
func (d *drawing) fork(id string, st *Step, open []edge) (on []edge) {
	name := d.node(id, "{", st.words(id), "}")
	d.join(open, name)
	for i, w := range st.sequences() {
		on = append(on, d.sequence(id+w.id, w.steps, []edge{{name, st.way(i)}})...)
	}
	switch n := len(st.Branch); {
	case st.Repeat != nil:
		d.join(on, name)
		return []edge{{name, "over"}}
	case n > 0 && st.Branch[n-1].When != "":
		on = append(on, edge{name, "else"})
	}
	return on
}

// criterion draws the i-th criterion with its steps and its schedules, which
// begin beside them, and returns what leads on to the next.
func (d *drawing) criterion(s *Spec, i int, open []edge) []edge {
	c, place, id := &s.Criteria[i], "criteria-"+strconv.Itoa(i+1), s.Criteria[i].id(i)
	when := c.When
	if when == "" {
		when = "always"
	}
	name := d.node(id, "{", id+": "+when, "}")
	d.join(open, name)
	var ends []edge
	for j := range c.Schedule {
		wait := Wait{For: c.Schedule[j].After, Date: c.Schedule[j].Date}
		later := d.node(id+"-schedule-"+strconv.Itoa(j+1), "[[", "scheduled: "+wait.words(), "]]")
		fmt.Fprintf(&d.b, "  %s -.-> %s\n", name, later)
		ends = append(ends, d.sequence(place+"-schedule-"+strconv.Itoa(j+1)+"-do", c.Schedule[j].Do, []edge{{from: later}})...)
	}
	held := d.sequence(place+"-do", c.Do, []edge{{name, "holds"}})
	open = nil
	if c.When != "" {
		open = []edge{{name, "else"}}
	}
	if c.Then == "next" {
		open = append(open, held...)
	} else {
		ends = append(ends, held...)
	}
	if len(ends) > 0 {
		d.join(ends, d.node("", "([", "done", "])"))
	}
	return open
}

// way is what stands at the i-th way of a fork.
func (st *Step) way(i int) string {
	switch {
	case st.Wait != nil:
		return []string{"it came", "none came"}[i]
	case st.Repeat != nil:
		return "again"
	case len(st.Split) > 0:
		return "weight " + strconv.Itoa(st.Split[i].Weight)
	case st.Branch[i].When == "":
		return "else"
	}
	return st.Branch[i].When
}

// words say what a step does.
func (st *Step) words(id string) string {
	does := "end"
	switch {
	case st.Send != nil:
		does = "send " + st.Send.words()
		for _, o := range st.Send.Otherwise {
			does += ", otherwise " + o.words()
		}
	case st.Wait != nil:
		does = st.Wait.words()
	case len(st.Branch) > 0:
		does = "branch"
	case len(st.Split) > 0:
		does = "split"
	case st.Repeat != nil:
		does = fmt.Sprintf("repeat at most %d times", st.Repeat.AtMost)
		if st.Repeat.While != "" {
			does += " while " + st.Repeat.While
		}
	case st.Set != nil:
		does = "set " + strings.Join(st.Set.names(), ", ")
	case st.Webhook != nil:
		does = "call " + st.Webhook.Endpoint
	case st.Start != "":
		does = "start flow " + st.Start
	case st.Stop != "":
		does = "stop flow " + st.Stop
	case st.Notify != nil:
		does = "notify the team"
	case st.Handover != nil:
		does = "hand over to a person"
	}
	return id + ": " + does
}

func (s *Send) words() string {
	what := "a message"
	switch {
	case s.Template != "":
		what = "template " + s.Template
	case s.Text != "":
		what = "“" + short(s.Text) + "”"
	}
	if s.Sender != "" {
		what += " from " + s.Sender
	}
	return what
}

func (w *Wait) words() string {
	switch {
	case w.For != "":
		return "wait " + w.For
	case w.Until != "":
		return "wait until " + w.Until
	case w.Date != nil:
		return "wait for the date " + strings.TrimSpace(w.Date.Field+" "+w.Date.Offset+" "+w.Date.At)
	}
	return "wait for " + strings.Join(w.Events, ", ") + ", at most " + w.Timeout
}

func (s *Set) names() (out []string) {
	for l, on := range ordered(s.Labels) {
		out = append(out, map[bool]string{true: "label " + l, false: "no label " + l}[on])
	}
	for a := range ordered(s.Attributes) {
		out = append(out, "attribute "+a)
	}
	return out
}

// Words say what begins a run.
func (t *Trigger) Words() string {
	says := "a comment"
	switch {
	case len(t.Events) > 0:
		says = strings.Join(t.Events, ", ")
	case t.Keywords != nil:
		var words []string
		for _, w := range t.Keywords.all() {
			words = append(words, w)
		}
		says = "keyword " + strings.Join(words[:min(5, len(words))], ", ")
	case len(t.Inbound) > 0:
		says = strings.Join(t.Inbound, ", ") + " from a contact"
	case t.Label != nil && t.Label.Added != "":
		says = "label " + t.Label.Added + " put on"
	case t.Label != nil:
		says = "label " + t.Label.Removed + " taken off"
	case t.Segment != nil:
		says = "the contact begins to match a segment"
	case t.Date != nil:
		says = "the date " + strings.TrimSpace(t.Date.Field+" "+t.Date.Offset+" "+t.Date.At)
	}
	if t.Where != "" {
		says += " where " + t.Where
	}
	return says
}

// words are what became of a step, in one line.
func (v *Visit) words() string {
	words := []string{v.At.UTC().Format(time.DateTime), v.Did, v.What, string(v.State), string(v.Reason)}
	if !v.Until.IsZero() {
		words = append(words, "until "+v.Until.UTC().Format(time.DateTime))
	}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}

// maxShown is how much of a text stands in a drawing, in characters.
const maxShown = 40

func short(s string) string {
	if r := []rune(s); len(r) > maxShown {
		return string(r[:maxShown]) + "…"
	}
	return s
}

// quote is a text as it may stand between the quotation marks of a label.
func quote(s string) string {
	return strings.NewReplacer("&", "#amp;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "\n", " ", "\r", " ", "`", "'").Replace(s)
}
