package policy

import (
	"fmt"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// Explain says in one line what the verdict was decided on, as in
// "window closed 3 h 12 min before: last inbound 2026-11-21 06:48Z, limit 24 h, standard_window".
func (v Verdict) Explain() string {
	var b strings.Builder
	b.WriteString(v.headline())
	e := v.Evidence
	switch {
	case !e.Since.IsZero():
		fmt.Fprintf(&b, ": %s %s", e.Fact, formatTime(e.Since))
		if e.Limit > 0 {
			fmt.Fprintf(&b, ", limit %s", FormatDuration(e.Limit))
		}
		if e.Note != "" {
			b.WriteString(", " + e.Note)
		}
	case e.Note != "":
		b.WriteString(": " + e.Note)
	}
	if v.Rule != "" {
		b.WriteString(", " + v.Rule)
	}
	return b.String()
}

// headline is the verdict with its distance from the limit.
func (v Verdict) headline() string {
	e := v.Evidence
	over := ""
	if e.Limit > 0 && !e.Since.IsZero() && e.Age >= e.Limit {
		over = " " + FormatDuration(e.Age-e.Limit) + " before"
	}
	switch {
	case v.Kind == Send && e.Limit > 0 && e.Age < e.Limit:
		return "sent with " + FormatDuration(e.Limit-e.Age) + " to go"
	case v.Kind == Send:
		return "sent"
	case v.Kind == Hold && !v.Until.IsZero():
		return "held until " + formatTime(v.Until) + " for " + string(v.Reason)
	case v.Kind == Hold:
		return "held for " + string(v.Reason)
	case v.Reason == reason.WindowClosed || v.Reason == reason.TagWindowClosed:
		return "window closed" + over
	case v.Reason == reason.PrivateReplyExpired || v.Reason == reason.TokenExpired:
		return string(v.Reason) + over
	case v.Reason == "":
		return v.Kind.String()
	default:
		return string(v.Reason)
	}
}

// formatTime is t in UTC to the minute, with seconds and less where it has them.
func formatTime(t time.Time) string {
	t = t.UTC()
	if t.Second() == 0 && t.Nanosecond() == 0 {
		return t.Format("2006-01-02 15:04Z")
	}
	return t.Format("2006-01-02 15:04:05.999999999Z")
}

// FormatDuration is d as a person reads it: 365 d, 7 d, 27 h 12 min, 40 s.
// Days begin at 72 h. A part below a second is given only where it is all.
func FormatDuration(d time.Duration) string {
	if d < time.Second {
		return d.String()
	}
	var parts []string
	add := func(unit time.Duration, word string) {
		if n := d / unit; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, word))
			d %= unit
		}
	}
	if d >= 3*day {
		add(day, "d")
	}
	add(time.Hour, "h")
	add(time.Minute, "min")
	add(time.Second, "s")
	return strings.Join(parts[:min(2, len(parts))], " ")
}

// Tried is one rule and why it applied or did not.
type Tried struct {
	Rule    string      `json:"rule"`
	Outcome string      `json:"outcome"`          // passed, refused, held, allowed, not_asked, not_in_force, other_channel, warned
	Reason  reason.Code `json:"reason,omitempty"` // with refused and held
	Why     string      `json:"why"`
	Decides bool        `json:"decides,omitempty"` // the verdict comes from this rule
}

// Explain tries every rule, also those after the one that decides, and says
// of each why it applied or not. The rule that Evaluate went by is marked.
func Explain(rb *Rulebook, at time.Time, m *Message, f *Facts, s *Sender) []Tried {
	j, ok := newJudge(rb, at, m, f, s)
	if !ok {
		return nil
	}
	v := Evaluate(rb, at, m, f, s)
	var out []Tried
	for i := range j.checks {
		out = append(out, j.tryCheck(&j.checks[i]))
	}
	for _, p := range j.all {
		out = append(out, j.tryPermission(p))
	}
	if pv, p := j.permit(); p == nil {
		out = append(out, Tried{Rule: "permission", Outcome: "refused", Reason: pv.Reason, Why: pv.Explain()})
	}
	for i := range j.hours {
		out = append(out, j.tryHours(&j.hours[i]))
	}
	for i := range j.advice {
		out = append(out, j.tryAdvice(&j.advice[i], v))
	}
	return mark(out, v)
}

// mark finds the rule that the verdict came from.
func mark(out []Tried, v Verdict) []Tried {
	for i := range out {
		t := &out[i]
		if t.Reason == v.Reason && (t.Rule == v.Rule || t.Rule == "permission") && t.Outcome == decisive(v) {
			t.Decides = true
			break
		}
	}
	return out
}

func decisive(v Verdict) string {
	switch v.Kind {
	case Send:
		return "allowed"
	case Hold:
		return "held"
	default:
		return "refused"
	}
}

// scope is why a clause is not asked at all, or "".
func (j *judge) scope(rule string, t term, c *Clause) (Tried, bool) {
	switch {
	case t.notYet(j.sec):
		return Tried{Rule: rule, Outcome: "not_in_force", Why: "begins on " + c.From.String()}, true
	case !t.inForce(j.sec):
		return Tried{Rule: rule, Outcome: "not_in_force", Why: "ended on " + c.To.String()}, true
	case !t.on(j.channel):
		return Tried{Rule: rule, Outcome: "other_channel", Why: "not a rule of " + string(j.s.Channel)}, true
	default:
		return Tried{}, false
	}
}

func (j *judge) tryCheck(c *check) Tried {
	if t, out := j.scope(c.ID, c.term, &c.Clause); out {
		return t
	}
	if !j.forbids(c) {
		return Tried{Rule: c.ID, Outcome: "passed", Why: "does not apply"}
	}
	v := j.refuse(c.ID, c.code, c.Hold, j.found(c))
	return Tried{Rule: c.ID, Outcome: decisive(v), Reason: c.code, Why: v.Explain()}
}

func (j *judge) tryPermission(p *permission) Tried {
	if t, out := j.scope(p.ID, p.term, &p.Clause); out {
		return t
	}
	e, open := j.window()
	switch {
	case p.By == "window":
		return j.tryWindow(p)
	case p.By == "consent":
		return Tried{Rule: p.ID, Outcome: "allowed", Why: "the recipient consented, where no check says otherwise"}
	case !j.asksFor(p):
		return Tried{Rule: p.ID, Outcome: "not_asked", Why: p.how()}
	case p.By != "via" && open != nil:
		return Tried{Rule: p.ID, Outcome: "not_asked", Why: "not looked at inside the window: " + e.Fact + " " + formatTime(e.Since)}
	}
	for _, code := range p.conditions {
		if j.fails(p, code) {
			v := j.failure(p, code)
			return Tried{Rule: p.ID, Outcome: decisive(v), Reason: code, Why: v.Explain()}
		}
	}
	if p.By == "plus_one" && (j.f.PlusOneUsed || j.wrote().IsZero()) {
		return Tried{Rule: p.ID, Outcome: "not_asked", Why: "used before, or the contact never wrote"}
	}
	return Tried{Rule: p.ID, Outcome: "allowed", Why: j.allow(p, j.basis(p)).Explain()}
}

func (j *judge) tryWindow(p *permission) Tried {
	if j.m.Via != "" {
		return Tried{Rule: p.ID, Outcome: "not_asked", Why: "via names the one permission tried"}
	}
	e := j.measureWindow(p)
	switch {
	case e.Since.IsZero():
		return Tried{Rule: p.ID, Outcome: "not_asked", Why: e.Note}
	case e.Age >= e.Limit:
		v := j.refuse(p.ID, reason.WindowClosed, false, e)
		return Tried{Rule: p.ID, Outcome: "refused", Reason: v.Reason, Why: v.Explain()}
	default:
		return Tried{Rule: p.ID, Outcome: "allowed", Why: j.allow(p, e).Explain()}
	}
}

// asksFor says whether the message asks for permission p.
func (j *judge) asksFor(p *permission) bool {
	if j.m.Via != "" {
		return p.By == "via" && p.Via == j.m.Via
	}
	list, named := j.asked()
	if p.By == "plus_one" {
		return !named
	}
	for _, q := range list {
		if q == p {
			return true
		}
	}
	return false
}

// how says how a message would ask for p.
func (p *permission) how() string {
	switch p.By {
	case "via":
		return "the message does not name it as via"
	case "tag":
		return "the message has no such tag"
	case "template":
		return "the message has no such template"
	default:
		return "only for a message without tag, via or a template of its own rule"
	}
}

func (j *judge) tryHours(h *hours) Tried {
	if t, out := j.scope(h.ID, h.term, &h.Clause); out {
		return t
	}
	if !j.quietUnder(h) {
		return Tried{Rule: h.ID, Outcome: "not_asked", Why: "not asked of this message or sender"}
	}
	q := h.quiet
	if h.SendersOwn {
		q = j.s.QuietHours
	}
	now := clock(j.at, j.zone())
	where := fmt.Sprintf("%s in %s", j.at.In(j.zone()).Format("15:04:05"), j.zone())
	if q.left(now) == 0 {
		return Tried{Rule: h.ID, Outcome: "passed", Why: where + " is not quiet"}
	}
	return Tried{Rule: h.ID, Outcome: "held", Reason: reason.QuietHours, Why: where + " is quiet"}
}

func (j *judge) tryAdvice(a *advice, v Verdict) Tried {
	if t, out := j.scope(a.ID, a.term, &a.Clause); out {
		return t
	}
	if contains(v.Warnings, a.ID) {
		return Tried{Rule: a.ID, Outcome: "warned", Why: a.Says}
	}
	return Tried{Rule: a.ID, Outcome: "passed", Why: "nothing to advise"}
}
