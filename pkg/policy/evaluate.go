package policy

import (
	"time"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// judge is one case under judgement. It lives on the stack of one call.
type judge struct {
	*index
	at      time.Time // UTC, no monotonic reading
	sec     int64     // Unix seconds of at
	m       *Message
	f       *Facts
	s       *Sender
	channel channels
	kind    *kind // nil: a kind that the rulebook does not know
	digits  int   // in the text
	words   lists // that may have a phrase in it
}

// Evaluate says whether m may go to the contact with facts f from sender s
// at the moment at. It is pure and total: any input gets a verdict, and a
// missing rulebook or argument gets a hold with reason facts_unavailable. Limits are
// half open to the nanosecond.
func Evaluate(rb *Rulebook, at time.Time, m *Message, f *Facts, s *Sender) Verdict {
	j, ok := newJudge(rb, at, m, f, s)
	if !ok {
		return Verdict{Kind: Hold, Reason: reason.FactsUnavailable, Evidence: Evidence{At: at.UTC(), Note: "no rulebook or no case to judge"}}
	}
	for i := range j.checks {
		c := &j.checks[i]
		if c.covers(&j) && j.forbids(c) {
			return j.refuse(c.ID, c.code, c.hold, j.found(c))
		}
	}
	v, p := j.permit()
	if p != nil {
		v.Warnings = j.warnings[j.advised(p)]
		j.wait(&v)
	}
	return v
}

func newJudge(rb *Rulebook, at time.Time, m *Message, f *Facts, s *Sender) (judge, bool) {
	if rb == nil || rb.index == nil || m == nil || f == nil || s == nil {
		return judge{}, false
	}
	// UTC also drops a monotonic reading, which would make ages depend on
	// how a time was obtained.
	j := judge{index: rb.index, at: at.UTC(), m: m, f: f, s: s, channel: channelSet(s.Channel)}
	j.digits, j.words = rb.index.survey.of(m.Text)
	if m.Words != "" {
		digits, words := rb.index.survey.of(m.Words)
		j.digits, j.words = j.digits+digits, j.words|words
	}
	j.sec = j.at.Unix()
	if j.kind = j.standard; m.HasTemplate {
		j.kind = j.kinds[j.templateKind()]
	}
	return j, true
}

// refuse is the verdict of a rule that does not let the message pass.
func (j *judge) refuse(rule string, code reason.Code, hold bool, e Evidence) Verdict {
	v := Verdict{Kind: Block, Rule: rule, Reason: code, Evidence: e}
	if hold {
		v.Kind = Hold
	}
	v.Evidence.At = j.at
	return v
}

// origin is the message's origin; whatever is not a flow or a person counts
// as a broadcast, which is allowed least.
func (j *judge) origin() string {
	switch j.m.Origin {
	case "flow", "agent":
		return j.m.Origin
	default:
		return "broadcast"
	}
}

// flowType is the type of the flow; whatever is no automatic reply or
// notification counts as an automation. It is "" outside flows.
func (j *judge) flowType() string {
	if j.m.Origin != "flow" {
		return ""
	}
	switch j.m.FlowType {
	case "auto_reply", "notification":
		return j.m.FlowType
	default:
		return "automation"
	}
}

// templateKind is the kind of the template, standard where it has none, and
// standard for a message without a template.
func (j *judge) templateKind() string {
	if !j.m.HasTemplate || j.m.Template.Kind == "" {
		return "standard"
	}
	return j.m.Template.Kind
}

// age is how long before the moment judged t was; what lies ahead has age 0,
// since clocks of platforms run differently.
func (j *judge) age(t time.Time) time.Duration { return max(0, j.at.Sub(t)) }

// wrote is the last time that the contact is known to have written, zero if
// never. An ad message is a message, even where no other inbound is known; an
// action that opens nothing, such as a comment, is none.
func (j *judge) wrote() time.Time {
	if j.f.LastInbound.IsZero() || len(j.openers) > 0 && j.f.OpenedBy != "" && !contains(j.openers, j.f.OpenedBy) {
		return j.f.AdMessageAt
	}
	return j.f.LastInbound
}

// measure is the evidence of an age compared with a limit.
func (j *judge) measure(fact string, since time.Time, limit time.Duration) Evidence {
	return Evidence{At: j.at, Fact: fact, Since: since.UTC(), Age: j.age(since), Limit: limit}
}

// measureIf is measure where since is known, and a note where it is not.
func (j *judge) measureIf(fact string, since time.Time, limit time.Duration, note string) Evidence {
	if since.IsZero() {
		return Evidence{At: j.at, Limit: limit, Note: note}
	}
	return j.measure(fact, since, limit)
}
