package policy

import (
	"fmt"
	"strings"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// tryPermission says what permission p, which is in force on the channel,
// makes of the message, had it come to that.
func (x *explainer) tryPermission(p *permission) Tried {
	switch {
	case x.m.Via != "" && p.By != "via":
		return Tried{Outcome: "not_asked", Why: "via names the one permission tried"}
	case p.By == "window":
		return x.tryWindow(p)
	case p.By == "consent":
		return Tried{Outcome: "allowed", Why: "consent is recorded, where no check refused"}
	case p.By == "plus_one":
		return x.tryPlusOne()
	case !x.asksFor(p):
		return Tried{Outcome: "not_asked", Why: x.unaskedFor(p)}
	}
	if e, open := x.window(); open != nil && p.By != "via" {
		return Tried{Outcome: "not_asked", Why: "not looked at inside the window: " + e.Fact + " " + formatTime(e.Since)}
	}
	for _, code := range p.conditions {
		if x.fails(p, code) {
			v := x.failure(p, code)
			return Tried{Outcome: refusal(v.Kind == Hold), Reason: code, Why: x.failed(p, code, v)}
		}
	}
	return Tried{Outcome: "allowed", Why: x.basis(p).says()}
}

func (x *explainer) tryWindow(p *permission) Tried {
	e := x.measureWindow(p)
	if !e.Since.IsZero() && e.Age < e.Limit {
		return Tried{Outcome: "allowed", Why: e.says()}
	}
	return Tried{Outcome: "closed", Why: e.says()}
}

func (x *explainer) tryPlusOne() Tried {
	_, open := x.window()
	_, named := x.asked()
	switch {
	case open != nil:
		return Tried{Outcome: "not_asked", Why: "not looked at inside the window"}
	case named:
		return Tried{Outcome: "not_asked", Why: "only for a message without tag, via or a template of its own rule"}
	case x.wrote().IsZero():
		return Tried{Outcome: "closed", Why: "the contact never wrote"}
	case x.f.PlusOneUsed:
		return Tried{Outcome: "closed", Why: "used before"}
	default:
		return Tried{Outcome: "allowed", Why: "not used yet; " + x.measure("last inbound", x.wrote(), 0).says()}
	}
}

// asksFor says whether the message names permission p, by its via, its tag or
// its template.
func (x *explainer) asksFor(p *permission) bool {
	if x.m.Via != "" {
		return p.Via == x.m.Via
	}
	list, _ := x.asked()
	for _, q := range list {
		if q == p {
			return true
		}
	}
	return false
}

// unaskedFor says how p differs from what the message names.
func (x *explainer) unaskedFor(p *permission) string {
	switch {
	case p.By == "via":
		return "the message does not name it as via"
	case p.By == "template":
		return "the message has no template of kind " + p.Kind
	case contains(p.Tags, x.m.Tag):
		return "the template goes before the tag"
	case x.m.Tag == "":
		return "the message has no tag"
	default:
		return "the message has another tag"
	}
}

// failed says what the condition compared.
func (x *explainer) failed(p *permission, code reason.Code, v Verdict) string {
	switch code {
	case reason.CapabilityMissing:
		return "needs the capability " + p.Capability + "; the sender has " + listed(x.s.Capabilities)
	case reason.TagNeedsHuman:
		return "for origin " + strings.Join(p.Authors, ", ") + "; this is " + x.origin()
	case reason.TagNeedsTemplate:
		if !x.m.HasTemplate {
			return "for templates of kind " + p.Template + "; this is a text"
		}
		return "for templates of kind " + p.Template + "; this is " + x.templateKind()
	case reason.UseCaseMissing:
		return fmt.Sprintf("for %s; this is %q", strings.Join(p.UseCases, ", "), x.m.UseCase)
	case reason.TagPromotional:
		return "the message is promotional, and this carries nothing promotional"
	case reason.RegionExcluded:
		return v.Evidence.Note + ", " + x.f.Country
	case reason.NotOnChannel:
		return "a template of kind " + x.templateKind() + " is none of " + string(x.s.Channel)
	default:
		return v.Evidence.says()
	}
}
