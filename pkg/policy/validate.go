package policy

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// validate refuses what could never be judged, and what would be passed over
// in judging and so permit what it was written to refuse. Its errors begin
// with the place, as in `permissions[4] "human_agent": limit: …`: the list,
// the entry and the field, from which located finds the line.
func (rb *Rulebook) validate() error {
	if rb.Version != 1 {
		return fmt.Errorf("version %d: this program reads version 1", rb.Version)
	}
	steps := []func() error{
		rb.validateSections, rb.validateSources, rb.validateKinds, rb.validateChecks, rb.validateActions, rb.validateConditions,
		rb.validatePermissions, rb.validateVersions, rb.validateHours, rb.validateAdvice, rb.validateKeywords, rb.validatePapers,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// validateSections asks for the lists whose absence would permit something:
// a list meant to be empty is written as [].
func (rb *Rulebook) validateSections() error {
	switch {
	case rb.Checks == nil:
		return errors.New("checks is missing: without it nothing is forbidden")
	case rb.Permissions == nil:
		return errors.New("permissions is missing: without it nothing is allowed")
	case rb.Hours == nil:
		return errors.New("hours is missing: without it no hour is quiet; write hours: [] if that is meant")
	case rb.Advice == nil:
		return errors.New("advice is missing: without it nobody is warned; write advice: [] if that is meant")
	default:
		return nil
	}
}

func (rb *Rulebook) validateSources() error {
	for _, key := range slices.Sorted(maps.Keys(rb.Sources)) { // of two faults always the same is told
		s := rb.Sources[key]
		at := fmt.Sprintf("sources[%s]", key)
		switch {
		case s.Title == "":
			return fmt.Errorf("%s: title is missing: say what it is", at)
		case s.URL != "" && !strings.HasPrefix(s.URL, "https://"):
			return fmt.Errorf("%s: url: %q: want an address that begins with https://", at, s.URL)
		}
	}
	return nil
}

var name = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// clause checks what every rule has.
func (rb *Rulebook) clause(list string, i int, c *Clause) error {
	at := place(list, i, c.ID)
	if !name.MatchString(c.ID) {
		return fmt.Errorf("%s: id: id must be a-z 0-9 _ and begin with a letter", at)
	}
	if err := channelsKnown(at, c.Channels); err != nil {
		return err
	}
	if !c.To.IsZero() && !c.From.Before(c.To.Time) {
		return fmt.Errorf("%s: to: from %s is not before to %s: to is the first day without it", at, c.From, c.To)
	}
	if c.Says == "" {
		return fmt.Errorf("%s: says is missing: put the clause in a sentence", at)
	}
	return rb.sources(at, c.Source)
}

func place(list string, i int, id string) string { return fmt.Sprintf("%s[%d] %q", list, i, id) }

func (rb *Rulebook) sources(at string, keys []string) error {
	if len(keys) == 0 {
		return fmt.Errorf("%s: source is missing: name a key of sources", at)
	}
	for _, key := range keys {
		if _, ok := rb.Sources[key]; !ok {
			return fmt.Errorf("%s: source: source %q is not listed under sources", at, key)
		}
	}
	return nil
}

func channelsKnown(at string, cs []Channel) error {
	for _, ch := range cs {
		if channelSet(ch) == 0 {
			return fmt.Errorf("%s: channels: channel %q: want messenger, instagram or sms", at, ch)
		}
	}
	return nil
}

// vocabulary is words that are known, in their order and for looking up.
type vocabulary struct {
	list []string
	set  map[string]bool
}

func newVocabulary(list []string) vocabulary {
	v := vocabulary{set: make(map[string]bool, len(list))}
	for _, s := range list {
		if !v.set[s] {
			v.list, v.set[s] = append(v.list, s), true
		}
	}
	return v
}

func (v vocabulary) has(s string) bool { return v.set[s] }

// String is the words in one line, of very many the first.
func (v vocabulary) String() string {
	const most = 40
	if len(v.list) > most {
		return fmt.Sprintf("%s or one of %d more", strings.Join(v.list[:most], ", "), len(v.list)-most)
	}
	return strings.Join(v.list, ", ")
}

// oneOf checks every word of a field against the words that are known.
func oneOf(field string, words []string, known vocabulary) error {
	return unique(field, words, known.has, known.String())
}

// The words that a case may use, and so a rule.
func originNames() []string   { return []string{"broadcast", "flow", "agent"} }
func flowTypeNames() []string { return []string{"auto_reply", "automation", "notification"} }
func numberTypeNames() []string {
	return []string{"long_code", "toll_free", "short_code", "outside_us"}
}
func openerNames() []string {
	return []string{"message", "postback", "referral", "optin", "reaction", "ad_message", "comment"}
}

func (rb *Rulebook) kindNames() []string {
	var out []string
	for _, k := range rb.TemplateKinds {
		out = append(out, k.Kind)
	}
	return out
}

func (rb *Rulebook) validateKinds() error {
	var seen []string
	for i, k := range rb.TemplateKinds {
		at := place("template_kinds", i, k.Kind)
		if !name.MatchString(k.Kind) || slices.Contains(seen, k.Kind) {
			return fmt.Errorf("%s: kind: kind must be a-z 0-9 _ and be listed once", at)
		}
		if err := channelsKnown(at, k.Channels); err != nil {
			return err
		}
		seen = append(seen, k.Kind)
	}
	if !slices.Contains(seen, "standard") {
		return errors.New("template_kinds: standard is missing: a message without a template counts as that")
	}
	return nil
}

// validateActions keeps the two lists of actions apart, and the openers to
// what a contact's facts can name.
func (rb *Rulebook) validateActions() error {
	var seen []string
	lists := map[string][]Action{"openers": rb.Openers, "not_opened_by": rb.NotOpenedBy}
	for _, list := range []string{"openers", "not_opened_by"} {
		for i := range lists[list] {
			a := &lists[list][i]
			if err := rb.clause(list, i, &a.Clause); err != nil {
				return err
			}
			at := place(list, i, a.ID)
			if slices.Contains(seen, a.ID) {
				return fmt.Errorf("%s: id: listed twice: an action opens a window or does not", at)
			}
			if list == "openers" && !slices.Contains(openerNames(), a.ID) {
				return fmt.Errorf("%s: id: facts can't name this action: want one of %s", at, strings.Join(openerNames(), ", "))
			}
			seen = append(seen, a.ID)
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
			return fmt.Errorf("conditions[%d] %q: unknown or listed twice: conditions are built in, and each is listed once", i, code)
		}
	}
	for _, code := range want {
		if !slices.Contains(rb.Conditions, code) {
			return fmt.Errorf("conditions: %s is missing: without it nothing would be refused for it", code)
		}
	}
	return nil
}
