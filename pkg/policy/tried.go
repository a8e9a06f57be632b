package policy

import (
	"fmt"
	"time"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// Tried is one rule, what it said of a case, and the facts that it compared.
type Tried struct {
	Group   string      `json:"group"`             // check, permission, hours, advice
	Rule    string      `json:"rule"`              // its id; "" where no rule has the name that the message uses
	Entry   string      `json:"entry,omitempty"`   // which of the entries with this id; without an id, the name used
	Outcome string      `json:"outcome"`           // passed, refused, held, closed, allowed, warned, not_asked, not_in_force, other_channel, not_reached
	Would   string      `json:"would,omitempty"`   // with not_reached: the outcome, had the rule been looked at
	Reason  reason.Code `json:"reason,omitempty"`  // with refused and held
	Why     string      `json:"why"`               // facts and limits; no text and no address
	Decides bool        `json:"decides,omitempty"` // the verdict comes from this rule
}

// Explain tries every rule and says of each why it applied or not. Exactly
// one is marked as that which decided. Those that Evaluate did not come to,
// since the verdict was found before, are marked as not reached.
func Explain(rb *Rulebook, at time.Time, m *Message, f *Facts, s *Sender) []Tried {
	j, ok := newJudge(rb, at, m, f, s)
	if !ok {
		return nil
	}
	x := explainer{judge: &j, verdict: Evaluate(rb, at, m, f, s)}
	refused := x.tryChecks()
	allowed := x.tryPermissions(refused)
	x.tryWaits(allowed != nil && !refused)
	x.tryAdvices(allowed, refused)
	return x.out
}

// explainer goes the way of Evaluate once more and keeps what it sees.
type explainer struct {
	*judge
	verdict Verdict
	out     []Tried
}

// add keeps t; reached says whether Evaluate came to the rule.
func (x *explainer) add(group, rule, entry string, t Tried, reached bool) {
	t.Group, t.Rule, t.Entry = group, rule, entry
	switch t.Outcome {
	case "not_asked", "not_in_force", "other_channel": // true wherever the verdict was found
	default:
		if !reached {
			t.Would, t.Outcome, t.Decides = t.Outcome, "not_reached", false
		}
	}
	x.out = append(x.out, t)
}

// outside is why a clause is not asked at all, or false.
func (x *explainer) outside(t term, c *Clause) (Tried, bool) {
	switch {
	case t.notYet(x.sec):
		return Tried{Outcome: "not_in_force", Why: "begins on " + c.From.String()}, true
	case !t.inForce(x.sec):
		return Tried{Outcome: "not_in_force", Why: "ended on " + c.To.String()}, true
	case !t.on(x.channel):
		return Tried{Outcome: "other_channel", Why: "not a rule of " + string(x.s.Channel)}, true
	default:
		return Tried{}, false
	}
}

// tryChecks says whether one of them refuses.
func (x *explainer) tryChecks() bool {
	refused := false
	for i := range x.checks {
		c := &x.checks[i]
		t, out := x.outside(c.term, &c.Clause)
		forbids := !out && x.forbids(c)
		if !out && !forbids {
			t = Tried{Outcome: "passed", Why: x.passed(c)}
		}
		if forbids {
			t = Tried{Outcome: refusal(c.hold), Reason: c.code, Why: x.refused(c), Decides: true}
		}
		x.add("check", c.ID, "", t, !refused)
		refused = refused || forbids
	}
	return refused
}

func refusal(hold bool) string {
	if hold {
		return "held"
	}
	return "refused"
}

// tryPermissions gives the one that allows the message, or would if no check
// had refused; nil where none does. They are listed in the order of the
// rulebook, though Evaluate looks at the windows first.
func (x *explainer) tryPermissions(refused bool) *permission {
	v, allowed := x.permit()
	from := x.source(allowed)
	_, open := x.window()
	labels, passedOpen := entriesOf(x.all), false
	for i, p := range x.all {
		t, out := x.outside(p.term, &p.Clause)
		if !out {
			t = x.tryPermission(p)
		}
		reached := p.By == "window" && t.Outcome == "closed" && !passedOpen
		if p == from && !refused {
			t, reached = x.decide(t, v), true
		}
		x.add("permission", p.ID, labels[i], t, reached && !refused)
		passedOpen = passedOpen || p == open
	}
	x.tryName(v, from, refused)
	return allowed
}

// source is the permission that the verdict of permit comes from, nil where
// no rule has the name that the message uses.
func (x *explainer) source(allowed *permission) *permission {
	if allowed != nil {
		return allowed
	}
	list, named := x.byVia[x.m.Via], x.m.Via != ""
	if !named {
		list, named = x.asked()
		if _, open := x.window(); x.offChannel() && (open != nil || !named) {
			return x.kindRule()
		}
	}
	if named {
		p, _ := x.version(list, "", "")
		return p
	}
	return x.closedWindow()
}

// decide is t where permit's verdict comes from it.
func (x *explainer) decide(t Tried, v Verdict) Tried {
	if v.Kind == Send {
		t.Decides = x.verdict.Kind == Send
		return t
	}
	// What lies outside its days or channel, or is refused for its template
	// kind, says of itself something else than the verdict.
	if t.Outcome != "closed" && t.Reason != v.Reason {
		t.Why = v.Evidence.says()
	}
	t.Outcome, t.Reason, t.Decides = refusal(v.Kind == Hold), v.Reason, true
	return t
}

// tryName is a line for a name that the message uses and no rule has.
func (x *explainer) tryName(v Verdict, from *permission, refused bool) {
	unknownTag := x.m.Tag != "" && len(x.byTag[x.m.Tag]) == 0
	switch {
	case from == nil:
		t := Tried{Outcome: refusal(v.Kind == Hold), Reason: v.Reason, Why: v.Evidence.says(), Decides: !refused}
		x.add("permission", "", x.name(), t, !refused)
	case unknownTag:
		_, open := x.window()
		why := "no rule has it, but a utility template is judged as that whatever its tag"
		switch {
		case x.m.Via != "":
			why = "no rule has it, but via names the one permission tried"
		case x.channel == onSMS:
			why = "no rule has it"
		case open != nil:
			why = "no rule has it: ignored inside the window, refused as tag_unknown outside"
		}
		x.add("permission", "", fmt.Sprintf("tag %q", x.m.Tag), Tried{Outcome: "not_asked", Why: why}, true)
	}
}

// name is what the message names and no rule allows by.
func (x *explainer) name() string {
	switch {
	case x.m.Via != "":
		return fmt.Sprintf("via %q", x.m.Via)
	case x.offChannel():
		return fmt.Sprintf("template kind %q", x.templateKind())
	case x.m.Tag != "":
		return fmt.Sprintf("tag %q", x.m.Tag)
	default:
		return "a window" // the rulebook has none for the channel and the day
	}
}

// tryWaits goes through the hours; those of one message all count, for the
// end of its wait.
func (x *explainer) tryWaits(reached bool) {
	held := false
	for i := range x.hours {
		h := &x.hours[i]
		t, out := x.outside(h.term, &h.Clause)
		if !out {
			t = x.tryHours(h)
		}
		if t.Outcome == "held" {
			t.Decides, held = !held, true
		}
		x.add("hours", h.ID, "", t, reached)
	}
}

func (x *explainer) tryAdvices(allowed *permission, refused bool) {
	labels := adviceEntries(x.advice)
	for i := range x.advice {
		a := &x.advice[i]
		t, out := x.outside(a.term, &a.Clause)
		if !out {
			t = x.tryAdvice(a, allowed)
		}
		x.add("advice", a.ID, labels[i], t, allowed != nil && !refused)
	}
}
