package policy

import (
	"time"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// Advise returns the codes of all advice that may apply to m, sent from s at
// the moment at, to whatever contact: each warning that Evaluate gives for
// some facts is among them. It asks for the days, channel, authors, tags,
// wording and links of the advice, under each permission that m and s leave
// possible, and passes the checks over: a text that is refused as it stands
// still shows what it would be warned of. It is pure and total; a missing
// argument, or a rulebook that Parse did not make, has no advice. The codes
// are in the order of the rulebook and shared with it: read only.
func Advise(rb *Rulebook, at time.Time, m *Message, s *Sender) []string {
	j, ok := newJudge(rb, at, m, &Facts{}, s)
	if !ok {
		return nil
	}
	set := 0
	for _, p := range j.possible() {
		set |= j.advised(p)
	}
	return j.warnings[set]
}

// possible is the permissions that permit may find for some facts.
func (j *judge) possible() []*permission {
	if j.m.Via != "" {
		return j.possibleOf(j.byVia[j.m.Via])
	}
	if p := j.first(j.consent); p != nil {
		return []*permission{p}
	}
	if j.offChannel() {
		return nil
	}
	var out []*permission
	for _, p := range j.windows {
		if p.covers(j) {
			out = append(out, p)
		}
	}
	list, named := j.asked()
	if !named {
		list = j.plusOne
	}
	return append(out, j.possibleOf(list)...)
}

// possibleOf is the permission of list in force, unless the message or its
// sender fails one of its conditions.
func (j *judge) possibleOf(list []*permission) []*permission {
	p := j.first(list)
	if p == nil {
		return nil
	}
	for _, code := range p.conditions {
		if !ofContact(code) && j.fails(p, code) {
			return nil
		}
	}
	return []*permission{p}
}

// ofContact says whether a condition looks at facts of the contact; one that
// is not known here counts as such, so that it takes no advice away.
func ofContact(code reason.Code) bool {
	switch code {
	case reason.NotOnChannel, reason.SponsoredNotSendable, reason.TagPromotional, reason.TagNeedsHuman,
		reason.TagNeedsTemplate, reason.UseCaseMissing, reason.CapabilityMissing:
		return false
	default:
		return true
	}
}
