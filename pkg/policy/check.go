package policy

import (
	"time"
	"unicode/utf8"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// test is what a check looks at, as a number: comparing reason codes for
// every check would cost more than the checks.
type test uint8

const (
	testNone test = iota
	testRestricted
	testFeature
	testUnregistered
	testPaused
	testCredential
	testOptedOut
	testBlocked
	testConsent
	testReview
	testTemplate
	testApproval
	testCard
	testAccount
	testPayment
	testHealthcare
	testLength
	testDisclosure
	testUnresolved
	testMismatch
	testFlow
)

// testOf is the test that a check with this id makes, testNone for no check.
func testOf(code reason.Code) test {
	return map[reason.Code]test{
		reason.SenderRestricted:     testRestricted,
		reason.FeatureRestricted:    testFeature,
		reason.SenderUnregistered:   testUnregistered,
		reason.SenderPaused:         testPaused,
		reason.CredentialInvalid:    testCredential,
		reason.OptedOut:             testOptedOut,
		reason.BlockedByContact:     testBlocked,
		reason.ConsentMissing:       testConsent,
		reason.OptOutReview:         testReview,
		reason.TemplateInvalid:      testTemplate,
		reason.TemplateNotApproved:  testApproval,
		reason.CardNumber:           testCard,
		reason.AccountNumber:        testAccount,
		reason.PaymentDataRequested: testPayment,
		reason.HealthcareContent:    testHealthcare,
		reason.TextTooLong:          testLength,
		reason.DisclosureMissing:    testDisclosure,
		reason.SenderUnresolved:     testUnresolved,
		reason.ChannelMismatch:      testMismatch,
		reason.FlowTemplateRequired: testFlow,
	}[code]
}

// forbids says whether check c refuses the message.
func (j *judge) forbids(c *check) bool {
	switch c.test {
	case testRestricted:
		return j.s.Restricted
	case testFeature:
		return len(j.s.RestrictedFeatures) > 0 && j.restricted()
	case testUnregistered:
		return !contains(c.Except, j.s.NumberType) && !contains(j.s.Capabilities, c.Capability)
	case testPaused:
		return j.s.Paused
	case testCredential:
		return j.s.CredentialInvalid
	case testOptedOut:
		return j.f.OptedOutAll || j.f.OptedOutMarket && j.marketing()
	case testBlocked:
		return j.f.Blocked
	case testConsent:
		return !j.f.SMSConsent
	case testReview:
		return j.f.OptOutReview
	case testDisclosure:
		return j.s.DisclosureRequired && j.undisclosed(c)
	case testUnresolved: // a channel that no rule knows can't be judged either
		return j.s.Unresolved || j.channel == 0
	case testMismatch:
		return j.mismatch() != ""
	case testFlow:
		return j.m.Origin == "flow" && !j.s.RelaxFlowTemplates && contains(c.FlowTypes, j.flowType()) && !contains(c.Kinds, j.templateKind())
	default:
		return j.contentForbids(c)
	}
}

func (j *judge) contentForbids(c *check) bool {
	text := j.m.Text
	switch c.test {
	case testTemplate:
		return j.invalid() != ""
	case testApproval:
		return j.m.HasTemplate && j.m.Template.Unapproved && contains(c.Kinds, j.templateKind())
	case testCard:
		return j.digits >= c.Digits.Min && (hasCard(text, c.Digits, j.ibans) || hasCard(j.m.Words, c.Digits, j.ibans))
	case testAccount:
		return j.digits > 1 && (hasIBAN(text, c.iban) || hasIBAN(j.m.Words, c.iban))
	case testPayment:
		return j.words&c.objects != 0 && (c.request.in(text) || c.request.in(j.m.Words))
	case testHealthcare:
		return j.m.Healthcare
	case testLength:
		return len(text) > c.shortest && tooLong(text, c.Lengths[j.s.Channel])
	default:
		return false
	}
}

// found is the evidence of check c, which refused the message.
func (j *judge) found(c *check) Evidence {
	switch c.test {
	case testOptedOut:
		if j.f.OptedOutAll {
			return Evidence{Note: "opted out of all messages"}
		}
		return Evidence{Note: "opted out of marketing"}
	case testTemplate:
		return Evidence{Note: j.invalid()}
	case testMismatch:
		return Evidence{Note: j.mismatch()}
	case testDisclosure:
		return j.measureIf("last disclosure", j.f.DisclosedAt, time.Duration(c.Limit), "no bot has said yet that it is one")
	default:
		return Evidence{Note: c.note}
	}
}

// noteOf is the evidence of the checks that need no numbers.
func noteOf(t test) string {
	return map[test]string{
		testRestricted:   "the platform restricts the account",
		testFeature:      "the platform withdrew the feature from the account",
		testUnregistered: "the number is not registered",
		testPaused:       "the sender is paused",
		testCredential:   "the credential was refused or can't be read",
		testBlocked:      "the contact blocked the sender",
		testConsent:      "no consent is recorded",
		testReview:       "words that may have meant stop wait for a person",
		testApproval:     "the platform has not approved the template",
		testCard:         "the text has a payment card number",
		testAccount:      "the text has an IBAN",
		testPayment:      "the text asks for card or account data",
		testHealthcare:   "declared as healthcare content",
		testLength:       "the text is longer than the channel takes",
		testUnresolved:   "no sender, or one of an unknown channel",
		testFlow:         "a flow of this type sends only templates mapped to a tag",
	}[t]
}

// restricted says whether the message uses a feature that was withdrawn. A
// tag counts only where it would go out: not inside the window, not with via.
func (j *judge) restricted() bool {
	features := j.s.RestrictedFeatures
	if j.m.Via != "" && contains(features, j.m.Via) || j.m.HasTemplate && contains(features, j.templateKind()) {
		return true
	}
	_, inside := j.window()
	return j.m.Tag != "" && j.m.Via == "" && inside == nil && contains(features, j.m.Tag)
}

// marketing says whether an opt-out of marketing covers the message: it is
// declared promotional, or uses a permission that exists for marketing.
func (j *judge) marketing() bool {
	if j.m.Promotional {
		return true
	}
	for _, p := range j.byVia[j.m.Via] {
		if p.Marketing {
			return true
		}
	}
	return false
}

// mismatch says what of the message belongs to another channel, or "".
func (j *judge) mismatch() string {
	switch {
	case j.m.HasTemplate && len(j.m.Template.Channels) > 0 && !contains(j.m.Template.Channels, string(j.s.Channel)):
		return "the template is for other channels"
	case j.m.FieldChannel != "" && j.m.FieldChannel != j.s.Channel:
		return "the address field is of another channel"
	case j.channel != onSMS && j.m.SenderChoice == "record_owner":
		return "record owner sends by SMS"
	case j.channel == onSMS && (j.m.Tag != "" || j.m.Via != "" || j.offChannel()):
		return "a tag, via or template kind that SMS does not have"
	default:
		return ""
	}
}

// invalid says what is wrong with the message's template, or "".
func (j *judge) invalid() string {
	switch {
	case !j.m.HasTemplate && j.m.Text == "":
		return "neither text nor template"
	case j.kind == nil:
		return "a template kind that the rulebook does not know"
	case j.kind.needsTag && j.m.Tag == "":
		return "a template of this kind needs a tag"
	default:
		return ""
	}
}

// undisclosed says whether a bot's message must say that a bot writes and
// does not: where the last such message is missing, long ago, or no newer
// than the moment a person handed over.
func (j *judge) undisclosed(c *check) bool {
	if j.m.Discloses || j.origin() == "agent" {
		return false
	}
	last, handed := j.f.DisclosedAt, j.f.HandedOverAt
	return last.IsZero() || j.age(last) >= time.Duration(c.Limit) || !handed.IsZero() && !handed.Before(last)
}

// tooLong counts only what could be too long: a text has at least as many
// bytes as code points.
func tooLong(text string, l Length) bool {
	if l.Max == 0 || len(text) <= l.Max {
		return false
	}
	return l.Unit == "bytes" || utf8.RuneCountInString(text) > l.Max
}
