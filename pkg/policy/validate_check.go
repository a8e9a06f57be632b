package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// mandatory are the checks without which Evaluate would send what nobody may
// send, or could not judge at all, each with the channels that it must hold
// on. They hold on every day.
func mandatory() map[reason.Code]channels {
	return map[reason.Code]channels{
		reason.SenderPaused: onAll, reason.OptedOut: onAll, reason.OptOutReview: onAll, reason.ConsentMissing: onSMS,
		reason.TemplateInvalid: onAll, reason.SenderUnresolved: onAll, reason.ChannelMismatch: onAll,
	}
}

func (rb *Rulebook) validateChecks() error {
	var seen []reason.Code
	for i := range rb.Checks {
		c := &rb.Checks[i]
		if err := rb.clause("checks", i, &c.Clause); err != nil {
			return err
		}
		at := place("checks", i, c.ID)
		if testOf(reason.Code(c.ID)) == testNone {
			return fmt.Errorf("%s: id: no check has this name; checks are built in: want one of %s", at, strings.Join(checkNames(), ", "))
		}
		if err := rb.parameters(c); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		seen = append(seen, reason.Code(c.ID))
	}
	for _, e := range reason.All() {
		if mandatory()[e.Code] != 0 && !slices.Contains(seen, e.Code) {
			return fmt.Errorf("checks: %s is missing: no rulebook can do without it", e.Code)
		}
	}
	return nil
}

// checkNames are the reasons that a check can give, in the order in which
// reasons are listed.
func checkNames() []string {
	var out []string
	for _, e := range reason.All() {
		if testOf(e.Code) != testNone {
			out = append(out, string(e.Code))
		}
	}
	return out
}

// parameters checks what check c looks at, by its name.
func (rb *Rulebook) parameters(c *Check) error {
	if err := c.whole(); err != nil {
		return err
	}
	for _, err := range []error{
		c.idle(), c.missing(),
		oneOf("except", c.Except, newVocabulary(numberTypeNames())), oneOf("kinds", c.Kinds, newVocabulary(rb.kindNames())),
		oneOf("flow_types", c.FlowTypes, newVocabulary(flowTypeNames())),
		c.numbers(), noneEmpty("phrases", c.Phrases), noneEmpty("objects", c.Objects), noneEmpty("unless", c.Unless),
		noneEmpty("between", c.Between), noneEmpty("until", c.Until), noneEmpty("harmless", c.Harmless),
		deniable("unless", c.Unless, longestDenial, "one to three words"), deniable("between", c.Between, 1, "a single word"),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// whole refuses to narrow a check that no rulebook can do without.
func (c *Check) whole() error {
	on, ok := mandatory()[reason.Code(c.ID)]
	switch {
	case !ok:
		return nil
	case !c.From.IsZero():
		return errors.New("from: this check holds on every day: remove it")
	case !c.To.IsZero():
		return errors.New("to: this check holds on every day: remove it")
	case setOf(c.Channels)&on != on && on == onSMS:
		return errors.New("channels: this check holds on sms: add it")
	case setOf(c.Channels)&on != on:
		return errors.New("channels: this check holds on every channel: remove the line")
	default:
		return nil
	}
}

// checkField is one field of a check: whether it is given, and whose it is.
type checkField struct {
	name  string
	given bool
	of    []reason.Code
}

func (c *Check) fields() []checkField {
	one := func(name string, given bool, of ...reason.Code) checkField { return checkField{name, given, of} }
	return []checkField{
		one("capability", c.Capability != "", reason.SenderUnregistered),
		one("kinds", len(c.Kinds) > 0, reason.TemplateNotApproved, reason.FlowTemplateRequired),
		one("flow_types", len(c.FlowTypes) > 0, reason.FlowTemplateRequired),
		one("limit", c.Limit > 0, reason.DisclosureMissing),
		one("digits", c.Digits != Range{}, reason.CardNumber),
		one("iban", len(c.IBAN) > 0, reason.AccountNumber),
		one("lengths", len(c.Lengths) > 0, reason.TextTooLong),
		one("phrases", len(c.Phrases) > 0, reason.PaymentDataRequested),
		one("objects", len(c.Objects) > 0, reason.PaymentDataRequested),
		one("within", c.Within != 0, reason.PaymentDataRequested),
	}
}

// idle refuses a parameter that this check would pass over.
func (c *Check) idle() error {
	payment := []reason.Code{reason.PaymentDataRequested}
	optional := []checkField{
		{"except", len(c.Except) > 0, []reason.Code{reason.SenderUnregistered}},
		{"unless", len(c.Unless) > 0, payment}, {"between", len(c.Between) > 0, payment}, {"until", len(c.Until) > 0, payment}, {"harmless", len(c.Harmless) > 0, payment},
	}
	for _, p := range append(c.fields(), optional...) {
		if p.given && !slices.Contains(p.of, reason.Code(c.ID)) {
			return fmt.Errorf("%s: this check does not look at it: remove it", p.name)
		}
	}
	return nil
}

// missing refuses a check without what it looks for: it would never apply,
// or always.
func (c *Check) missing() error {
	for _, p := range c.fields() {
		if !p.given && slices.Contains(p.of, reason.Code(c.ID)) {
			return fmt.Errorf("%s is missing: this check looks for it", p.name)
		}
	}
	return nil
}

// The work of looking at a text grows with both, so that no rulebook may set
// them as high as it likes. ISO/IEC 7812 has up to 19 digits.
const (
	maxCardDigits = 34
	maxWithin     = 50
)

func (c *Check) numbers() error {
	switch d := c.Digits; {
	case reason.Code(c.ID) == reason.CardNumber && (d.Min < 1 || d.Max < d.Min || d.Max > maxCardDigits):
		return fmt.Errorf("digits: %d to %d: min must be at least 1, and max not below it nor above %d", d.Min, d.Max, maxCardDigits)
	case c.Within < 0 || c.Within > maxWithin:
		return fmt.Errorf("within: %d: want 1 to %d words", c.Within, maxWithin)
	}
	for _, country := range slices.Sorted(maps.Keys(c.IBAN)) {
		if n := c.IBAN[country]; !isCountry(country) || n < 5 || n > ibanMax {
			return fmt.Errorf("iban: iban %q: %d: want two capitals and a length of 5 to %d", country, n, ibanMax)
		}
	}
	for _, ch := range slices.Sorted(maps.Keys(c.Lengths)) {
		if l := c.Lengths[ch]; channelSet(ch) == 0 || l.Max < 1 || l.Unit != "bytes" && l.Unit != "code_points" {
			return fmt.Errorf("lengths: %q: want a channel, max from 1 and unit bytes or code_points", ch)
		}
	}
	return c.everyLength()
}

// everyLength wants a length for each channel that the check holds on: a
// channel left out would take a text of any length.
func (c *Check) everyLength() error {
	if reason.Code(c.ID) != reason.TextTooLong {
		return nil
	}
	for _, ch := range []Channel{Messenger, Instagram, SMS} {
		if _, ok := c.Lengths[ch]; !ok && setOf(c.Channels)&channelSet(ch) != 0 {
			return fmt.Errorf("lengths: %s is missing: give it a length, or name the other channels under channels", ch)
		}
	}
	return nil
}

func isCountry(s string) bool {
	return len(s) == 2 && 'A' <= s[0] && s[0] <= 'Z' && 'A' <= s[1] && s[1] <= 'Z'
}

func noneEmpty(field string, list []string) error {
	for _, s := range list {
		if strings.TrimSpace(s) != s || s == "" {
			return fmt.Errorf("%s: %q: an empty phrase would be found everywhere, and one with spaces around it nowhere", field, s)
		}
	}
	return nil
}

// deniable refuses what denied would pass over: it goes back over so many
// words at most, with nothing but spaces between them.
func deniable(field string, list []string, most int, want string) error {
	for _, s := range list {
		if !readBack(s, most) {
			return fmt.Errorf("%s: %q: want %s: it would not be found before a request", field, s, want)
		}
	}
	return nil
}

// readBack says whether s, read from its end, is up to most words.
func readBack(s string, most int) bool {
	i := len(s)
	if lastWordEnd(s, i) != i {
		return false
	}
	for range most {
		if i = wordStart(s, i); i == 0 {
			return true
		}
		i = len(strings.TrimRight(s[:i], " "))
	}
	return false
}
