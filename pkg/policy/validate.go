package policy

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// validate refuses what could never be judged, with the place in the message.
func (rb *Rulebook) validate() error {
	if rb.Version != 1 {
		return fmt.Errorf("version %d: this program reads version 1", rb.Version)
	}
	steps := []func() error{rb.validateKinds, rb.validateChecks, rb.validateConditions, rb.validatePermissions, rb.validateHours, rb.validateAdvice}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	for i := range rb.Notes {
		if err := rb.clause("notes", i, &rb.Notes[i].Clause); err != nil {
			return err
		}
	}
	return rb.sources("keywords", rb.Keywords.Source)
}

var name = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// clause checks what every rule has.
func (rb *Rulebook) clause(list string, i int, c *Clause) error {
	at := fmt.Sprintf("%s[%d] %q", list, i, c.ID)
	if !name.MatchString(c.ID) {
		return fmt.Errorf("%s: id must be a-z 0-9 _", at)
	}
	for _, ch := range c.Channels {
		if channelSet(ch) == 0 {
			return fmt.Errorf("%s: channel %q: want messenger, instagram or sms", at, ch)
		}
	}
	if !c.To.IsZero() && !c.From.Before(c.To.Time) {
		return fmt.Errorf("%s: from %s is not before to %s", at, c.From, c.To)
	}
	if c.Says == "" {
		return fmt.Errorf("%s: says is missing", at)
	}
	return rb.sources(at, c.Source)
}

func (rb *Rulebook) sources(at string, keys []string) error {
	if len(keys) == 0 {
		return fmt.Errorf("%s: source is missing", at)
	}
	for _, key := range keys {
		if rb.Sources[key] == "" {
			return fmt.Errorf("%s: source %q is not listed under sources", at, key)
		}
	}
	return nil
}

func (rb *Rulebook) validateKinds() error {
	var seen []string
	for i, k := range rb.TemplateKinds {
		at := fmt.Sprintf("template_kinds[%d] %q", i, k.Kind)
		if !name.MatchString(k.Kind) || slices.Contains(seen, k.Kind) {
			return fmt.Errorf("%s: kind must be a-z 0-9 _ and be listed once", at)
		}
		for _, ch := range k.Channels {
			if channelSet(ch) == 0 {
				return fmt.Errorf("%s: channel %q: want messenger, instagram or sms", at, ch)
			}
		}
		seen = append(seen, k.Kind)
	}
	if !slices.Contains(seen, "standard") {
		return fmt.Errorf("template_kinds: standard is missing: a message without a template counts as that")
	}
	return nil
}

// mandatory are the checks without which Evaluate would send what nobody may
// send, or could not judge at all.
func mandatory() []reason.Code {
	return []reason.Code{reason.OptedOut, reason.ConsentMissing, reason.TemplateInvalid, reason.SenderUnresolved, reason.ChannelMismatch}
}

func (rb *Rulebook) validateChecks() error {
	var seen []reason.Code
	for i := range rb.Checks {
		c := &rb.Checks[i]
		if err := rb.clause("checks", i, &c.Clause); err != nil {
			return err
		}
		if testOf(reason.Code(c.ID)) == testNone {
			return fmt.Errorf("checks[%d] %q: no check has this name", i, c.ID)
		}
		if err := c.parameters(); err != nil {
			return fmt.Errorf("checks[%d] %q: %w", i, c.ID, err)
		}
		seen = append(seen, reason.Code(c.ID))
	}
	for _, code := range mandatory() {
		if !slices.Contains(seen, code) {
			return fmt.Errorf("checks: %s is missing", code)
		}
	}
	return nil
}

func (c *Check) parameters() error {
	switch reason.Code(c.ID) {
	case reason.CardNumber:
		if c.Digits.Min < 1 || c.Digits.Max < c.Digits.Min {
			return fmt.Errorf("digits %d to %d: min must be at least 1 and max not below it", c.Digits.Min, c.Digits.Max)
		}
	case reason.DisclosureMissing:
		if c.Limit == 0 {
			return fmt.Errorf("limit is missing")
		}
	}
	for country, n := range c.IBAN {
		if len(country) != 2 || country[0]-'A' > 25 || country[1]-'A' > 25 || n < 5 || n > ibanMax {
			return fmt.Errorf("iban %q: %d: want two capitals and a length of 5 to %d", country, n, ibanMax)
		}
	}
	for ch, l := range c.Lengths {
		if channelSet(ch) == 0 || l.Max < 1 || l.Unit != "bytes" && l.Unit != "code_points" {
			return fmt.Errorf("lengths %q: want a channel, max from 1 and unit bytes or code_points", ch)
		}
	}
	return noneEmpty(c.Phrases, c.Objects, c.Unless)
}

func noneEmpty(lists ...[]string) error {
	for _, list := range lists {
		if slices.Contains(list, "") {
			return fmt.Errorf("an empty phrase would be found everywhere")
		}
	}
	return nil
}

// conditionCodes are the conditions that fails knows.
func conditionCodes() []reason.Code {
	return []reason.Code{
		reason.NotOnChannel, reason.SponsoredNotSendable, reason.TagPromotional, reason.TagNeedsHuman, reason.TagNeedsTemplate,
		reason.UseCaseMissing, reason.CapabilityMissing, reason.RegionExcluded, reason.PrivateReplyMissing, reason.PrivateReplyExpired,
		reason.PrivateReplyUsed, reason.TokenMissing, reason.TokenUsed, reason.TokenExpired, reason.TopicStopped, reason.TokenCooldown,
		reason.NeverWrote, reason.TagWindowClosed,
	}
}

// validateConditions wants every condition once: one left out would permit
// what it refuses.
func (rb *Rulebook) validateConditions() error {
	want := conditionCodes()
	for i, code := range rb.Conditions {
		if !slices.Contains(want, code) || slices.Contains(rb.Conditions[:i], code) {
			return fmt.Errorf("conditions[%d] %q: unknown or listed twice", i, code)
		}
	}
	for _, code := range want {
		if !slices.Contains(rb.Conditions, code) {
			return fmt.Errorf("conditions: %s is missing", code)
		}
	}
	return nil
}

func (rb *Rulebook) validatePermissions() error {
	for i := range rb.Permissions {
		p := &rb.Permissions[i]
		if err := rb.clause("permissions", i, &p.Clause); err != nil {
			return err
		}
		if err := p.parameters(); err != nil {
			return fmt.Errorf("permissions[%d] %q: %w", i, p.ID, err)
		}
	}
	return nil
}

func (p *Permission) parameters() error {
	asked := map[string]bool{
		"window": p.Limit > 0 && (p.Since == sinceInbound || p.Since == sinceAd), "plus_one": true, "consent": true,
		"tag": len(p.Tags) > 0 && p.Since == sinceInbound, "template": p.Kind != "", "via": p.Via != "",
	}
	ok, known := asked[p.By]
	switch {
	case !known:
		return fmt.Errorf("by %q: want window, plus_one, tag, template, via or consent", p.By)
	case !ok:
		return fmt.Errorf("by %s: needs what it is asked by: tags, kind or via; a window since and limit, a tag since last_inbound", p.By)
	case !slices.Contains([]string{"", sinceInbound, sinceAd, sinceComment, sinceToken, sinceNotification}, p.Since):
		return fmt.Errorf("since %q: want last_inbound, ad_message, comment, one_time_token or notification", p.Since)
	case (p.Since == sinceComment || p.Since == sinceToken) && p.Limit == 0:
		return fmt.Errorf("limit is missing")
	case len(p.Authors) > 0 && !slices.Equal(p.Authors, []string{"agent"}):
		return fmt.Errorf("authors: only [agent] or all")
	case slices.Contains(p.Tags, ""):
		return fmt.Errorf("tags: an empty tag")
	}
	for tag := range p.Uses {
		if !slices.Contains(p.Tags, tag) {
			return fmt.Errorf("uses %q: not one of its tags", tag)
		}
	}
	return nil
}

// maxHours is how many quiet spans wait can look at together.
const maxHours = 8

func (rb *Rulebook) validateHours() error {
	if len(rb.Hours) > maxHours {
		return fmt.Errorf("hours: at most %d entries", maxHours)
	}
	for i := range rb.Hours {
		h := &rb.Hours[i]
		if err := rb.clause("hours", i, &h.Clause); err != nil {
			return err
		}
		if h.SendersOwn {
			continue
		}
		if _, err := ParseQuietHours(h.Quiet.From, h.Quiet.To); err != nil {
			return fmt.Errorf("hours[%d] %q: quiet %w", i, h.ID, err)
		}
	}
	return nil
}

// maxAdvice keeps the table of warning sets small.
const maxAdvice = 8

func (rb *Rulebook) validateAdvice() error {
	names := map[string]bool{}
	for i := range rb.Advice {
		a := &rb.Advice[i]
		if err := rb.clause("advice", i, &a.Clause); err != nil {
			return err
		}
		if err := noneEmpty(a.Phrases, a.Links.Prefixes, a.Links.Domains); err != nil {
			return fmt.Errorf("advice[%d] %q: %w", i, a.ID, err)
		}
		for _, id := range a.Under {
			if !slices.ContainsFunc(rb.Permissions, func(p Permission) bool { return p.ID == id }) {
				return fmt.Errorf("advice[%d] %q: under %q: no permission has this id", i, a.ID, id)
			}
		}
		names[a.ID] = true
	}
	if len(names) > maxAdvice {
		return fmt.Errorf("advice: at most %d names", maxAdvice)
	}
	return nil
}
