package policy

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// passed says what check c compared and found good.
func (j *judge) passed(c *check) string {
	switch c.test {
	case testRestricted:
		return "no restriction of the account is known"
	case testFeature:
		if len(j.s.RestrictedFeatures) == 0 {
			return "no feature is withdrawn"
		}
		return "the message uses none of what is withdrawn: " + listed(j.s.RestrictedFeatures)
	case testUnregistered:
		if contains(c.Except, j.s.NumberType) {
			return "not asked of number type " + j.s.NumberType
		}
		return "the sender has " + c.Capability
	case testPaused:
		return "the sender is not paused"
	case testCredential:
		return "the credential is not known to be refused"
	case testOptedOut:
		if j.f.OptedOutMarket {
			return "opted out of marketing, and this is none"
		}
		return "no opt-out is recorded"
	case testBlocked:
		return "no block by the contact is known"
	case testConsent:
		return "consent is recorded"
	case testReview:
		return "no words of the contact wait for a person"
	case testDisclosure:
		return j.disclosed()
	case testUnresolved:
		return "a sender on " + string(j.s.Channel)
	case testMismatch:
		return "nothing in it belongs to another channel"
	case testFlow:
		return j.flowFits(c)
	default:
		return j.contentPassed(c)
	}
}

func (j *judge) contentPassed(c *check) string {
	switch c.test {
	case testTemplate:
		if !j.m.HasTemplate {
			return "a text without a template"
		}
		return "a template of kind " + j.templateKind()
	case testApproval:
		if !contains(c.Kinds, j.templateKind()) {
			return "asked of kind " + strings.Join(c.Kinds, ", ") + "; this is " + j.templateKind()
		}
		return "the template is not known to be unapproved"
	case testCard:
		if j.digits < c.Digits.Min {
			return fmt.Sprintf("%s in the text; a card number has %d or more", digitsSaid(j.digits), c.Digits.Min)
		}
		return fmt.Sprintf("%s in the text, none a card number", digitsSaid(j.digits))
	case testAccount:
		return "no IBAN in the text"
	case testPayment:
		return "the text asks for no card or account data"
	case testHealthcare:
		return "not declared as healthcare content"
	case testLength:
		return j.length(c)
	default:
		return "nothing that it forbids"
	}
}

// refused says what check c compared and refuses.
func (j *judge) refused(c *check) string {
	switch c.test {
	case testFeature:
		return "withdrawn from the account: " + listed(j.s.RestrictedFeatures)
	case testUnregistered:
		return "the sender lacks " + c.Capability + ", and its number type is " + cmp.Or(j.s.NumberType, "not given")
	case testLength:
		return j.length(c)
	case testFlow:
		return fmt.Sprintf("a flow of type %s sends templates of kind %s; this is %s", j.flowType(), strings.Join(c.Kinds, ", "), j.templateKind())
	default:
		return j.found(c).says()
	}
}

// length is a text's length beside the limit, in the limit's unit.
func (j *judge) length(c *check) string {
	l := c.Lengths[j.s.Channel]
	n, unit := len(j.m.Text), "bytes of UTF-8"
	if l.Unit != "bytes" {
		n, unit = utf8.RuneCountInString(j.m.Text), "code points"
	}
	if l.Max == 0 {
		return fmt.Sprintf("%s %s, no limit", thousands(n), unit)
	}
	return fmt.Sprintf("%s of %s %s", thousands(n), thousands(l.Max), unit)
}

// disclosed says why a bot need not say that it is one.
func (j *judge) disclosed() string {
	switch {
	case !j.s.DisclosureRequired:
		return "not required of the sender"
	case j.m.Discloses:
		return "the text says that a bot writes"
	case j.origin() == "agent":
		return "a person writes"
	default:
		return "said " + FormatDuration(j.age(j.f.DisclosedAt)) + " before, and nobody handed over since"
	}
}

// flowFits says why the rule on flows lets the message pass.
func (j *judge) flowFits(c *check) string {
	switch {
	case j.m.Origin != "flow":
		return "origin " + j.origin() + ", no flow"
	case !contains(c.FlowTypes, j.flowType()):
		return "a flow of type " + j.flowType() + " may send free text"
	case contains(c.Kinds, j.templateKind()):
		return "a template of kind " + j.templateKind()
	default:
		return "the sender relaxes it"
	}
}

// says puts evidence into words: the fact, its age and its limit.
func (e Evidence) says() string {
	if e.Since.IsZero() {
		return cmp.Or(e.Note, "no more is known")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", e.Fact, formatTime(e.Since))
	switch {
	case e.Since.After(e.At):
		b.WriteString(", ahead, so age 0")
	case e.Age == 0:
		b.WriteString(", just now")
	default:
		fmt.Fprintf(&b, ", %s before", FormatDuration(e.Age))
	}
	switch {
	case e.Limit <= 0:
	case e.Age >= e.Limit:
		fmt.Fprintf(&b, "; limit %s, over by %s", FormatDuration(e.Limit), FormatDuration(e.Age-e.Limit))
	default:
		fmt.Fprintf(&b, "; limit %s, %s to go", FormatDuration(e.Limit), FormatDuration(e.Limit-e.Age))
	}
	if e.Note != "" {
		b.WriteString("; " + e.Note)
	}
	return b.String()
}

// tryHours compares the clock with the hours.
func (x *explainer) tryHours(h *hours) Tried {
	if !x.quietUnder(h) {
		return Tried{Outcome: "not_asked", Why: x.unasked(h)}
	}
	q := h.quiet
	if h.SendersOwn {
		q = x.s.QuietHours
	}
	now := clock(x.at, x.zone())
	why := fmt.Sprintf("%s in %s; quiet from %s to %s", x.at.In(x.zone()).Format("15:04:05"), x.zone(), clockTime(q.From), clockTime(q.To))
	if q.left(now) == 0 {
		return Tried{Outcome: "passed", Why: why}
	}
	return Tried{Outcome: "held", Reason: reason.QuietHours, Why: why}
}

// unasked says why hours h are not asked of the message.
func (x *explainer) unasked(h *hours) string {
	switch {
	case h.SendersOwn && !x.s.QuietHours.Set:
		return "the sender sets no quiet hours"
	case h.PromotionalOnly && !x.m.Promotional:
		return "asked of promotional messages only"
	default:
		return "answers are excepted"
	}
}

// clockTime is a time since midnight as a clock shows it.
func clockTime(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60)
}

// tryAdvice says whether a warns, as Evaluate does, and why: under the
// permission that allows the message; nil where none does.
func (x *explainer) tryAdvice(a *advice, under *permission) Tried {
	switch {
	case under == nil:
		return Tried{Outcome: "not_asked", Why: "nothing allows the message"}
	case !a.about(under.Permission):
		return Tried{Outcome: "not_asked", Why: "not asked under " + under.ID}
	case len(a.Tags) > 0 && !contains(a.Tags, x.m.Tag):
		return Tried{Outcome: "not_asked", Why: "asked under " + strings.Join(a.Tags, ", ") + " only"}
	case len(a.Authors) > 0 && !contains(a.Authors, x.origin()):
		return Tried{Outcome: "not_asked", Why: "asked of origin " + strings.Join(a.Authors, ", ") + "; this is " + x.origin()}
	case x.advises(a):
		return Tried{Outcome: "warned", Why: x.adviceFound(a)}
	case a.wordings.asked() && !a.wordings.in(x.m.Text):
		return Tried{Outcome: "passed", Why: "the text has no such wording"}
	default:
		return Tried{Outcome: "passed", Why: "the text has no link"}
	}
}

// adviceFound says what of the message a warns of.
func (x *explainer) adviceFound(a *advice) string {
	words := x.m.Text
	if a.wordings.asked() && !a.wordings.in(words) {
		words = x.m.Words
	}
	switch {
	case a.wordings.asked() && a.links.asked():
		return fmt.Sprintf("the text has %q and a link", a.wordings.find(words))
	case a.wordings.asked():
		return fmt.Sprintf("the text has %q", a.wordings.find(words))
	case a.links.asked():
		return "the text has a link"
	default:
		return "origin " + x.origin()
	}
}

// thousands is n with its digits in groups: 2,000.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// digitsSaid is how many digits a text has, in words.
func digitsSaid(n int) string {
	switch n {
	case 0:
		return "no digits"
	case 1:
		return "1 digit"
	default:
		return thousands(n) + " digits"
	}
}

// listed is names in one line, "none" without any.
func listed(names []string) string { return cmp.Or(strings.Join(names, ", "), "none") }
