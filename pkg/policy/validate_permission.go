package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/carillon-dev/carillon/pkg/reason"
)

func (rb *Rulebook) validatePermissions() error {
	for i := range rb.Permissions {
		p := &rb.Permissions[i]
		if err := rb.clause("permissions", i, &p.Clause); err != nil {
			return err
		}
		for _, err := range []error{p.way(), p.idle(), p.bounds(), rb.words(p), rb.consented(p)} {
			if err != nil {
				return fmt.Errorf("%s: %w", place("permissions", i, p.ID), err)
			}
		}
	}
	return nil
}

func wayNames() []string { return []string{"window", "plus_one", "tag", "template", "via", "consent"} }

// way checks by what the permission is asked for, and since when it counts.
func (p *Permission) way() error {
	named := map[string]bool{"tag": len(p.Tags) > 0, "template": p.Kind != "", "via": p.Via != ""}
	since := map[string][]string{
		"window": {sinceInbound, sinceAd}, "plus_one": {sinceInbound}, "tag": {sinceInbound}, "template": {sinceInbound},
		"via": {"", sinceInbound, sinceComment, sinceToken, sinceNotification}, "consent": {""},
	}
	field := map[string]string{"tag": "tags", "template": "kind", "via": "via"}[p.By]
	switch ok, needed := named[p.By]; {
	case !slices.Contains(wayNames(), p.By):
		return fmt.Errorf("by: by %q: want %s", p.By, strings.Join(wayNames(), ", "))
	case needed && !ok:
		return fmt.Errorf("%s is missing: by %s, a message asks by it", field, p.By)
	case slices.Contains(since[p.By], p.Since):
		return nil
	case p.Since == "":
		return fmt.Errorf("since is missing: by %s it is %s", p.By, strings.Join(since[p.By], " or "))
	default:
		return fmt.Errorf("since: since %q: by %s it is %s", p.Since, p.By, strings.TrimPrefix(strings.Join(since[p.By], ", "), ", "))
	}
}

// idle refuses what would be passed over: a window, the extra message and
// consent have no conditions, and a limit needs a fact to be measured from.
func (p *Permission) idle() error {
	plain := p.By == "window" || p.By == "plus_one" || p.By == "consent"
	limited := p.Since == sinceComment || p.Since == sinceToken || p.Since == sinceInbound && p.By != "plus_one" || p.By == "window"
	const conditions = "has no conditions: remove it"
	for _, f := range []struct {
		field string
		given bool
		why   string
	}{
		{"tags", p.By != "tag" && len(p.Tags) > 0, "is not asked by tags: remove it"},
		{"kind", p.By != "tag" && p.By != "template" && p.Kind != "", "is not asked by a template: remove it"},
		{"via", p.By != "via" && p.Via != "", "is not asked by a via: remove it"},
		{"promotional", plain && !p.Promotional, "has no conditions, and takes promotion too: write promotional: true"},
		{"authors", plain && len(p.Authors) > 0, conditions},
		{"template", plain && p.Template != "", conditions},
		{"capability", plain && p.Capability != "", conditions},
		{"use_cases", plain && len(p.UseCases) > 0, conditions},
		{"excluded_countries", plain && len(p.Excluded) > 0, conditions},
		{"not_sendable", plain && p.NotSendable, conditions},
		{"limit", !limited && p.Limit > 0, "would not look at it: a limit needs since: last_inbound, comment or one_time_token"},
		{"max", p.Since != sinceAd && p.Max > 0, "would not look at it: only a window since ad_message has one"},
		{"opened_by", (p.By != "window" || p.Since != sinceInbound) && len(p.OpenedBy) > 0, "would not look at it: only a window since last_inbound has it"},
		{"cooldown", p.Since != sinceNotification && len(p.Cooldown) > 0, "would not look at it: it needs since: notification"},
		{"marketing", p.By != "via" && p.Marketing, "would not look at it: only a via has it"},
	} {
		if f.given {
			return fmt.Errorf("%s: a permission by %s %s", f.field, p.By, f.why)
		}
	}
	return nil
}

// consented wants consent asked for wherever a permission by consent holds:
// it looks at no fact itself, and leaves the asking to the check.
func (rb *Rulebook) consented(p *Permission) error {
	if p.By != "consent" {
		return nil
	}
	var asked channels
	for i := range rb.Checks {
		if c := &rb.Checks[i]; reason.Code(c.ID) == reason.ConsentMissing { // on every day, as whole wants it
			asked |= setOf(c.Channels)
		}
	}
	for _, ch := range []Channel{Messenger, Instagram, SMS} {
		if setOf(p.Channels)&^asked&channelSet(ch) != 0 {
			return fmt.Errorf("channels: by consent on %s, where no check consent_missing asks for it: everybody would be sent to; name the channels of that check", ch)
		}
	}
	return nil
}

// bounds checks the limits.
func (p *Permission) bounds() error {
	needed := p.By == "window" || p.Since == sinceComment || p.Since == sinceToken
	switch {
	case needed && p.Limit == 0:
		return errors.New("limit is missing: how long after since it lasts")
	case p.Max > 0 && p.Max < p.Limit:
		return fmt.Errorf("max: %s is below the limit of %s", p.Max, p.Limit)
	}
	for i, l := range p.Cooldown {
		if i == 0 && !l.From.IsZero() {
			return errors.New("cooldown: the first one holds from the beginning: remove its from")
		}
		if i > 0 && !p.Cooldown[i-1].From.Before(l.From.Time) {
			return fmt.Errorf("cooldown: from %q is not after the one before it: list them by day", l.From)
		}
	}
	return nil
}

// words checks the lists of a permission against what a case can have.
func (rb *Rulebook) words(p *Permission) error {
	var openers []string
	for _, a := range rb.Openers {
		openers = append(openers, a.ID)
	}
	kinds := newVocabulary(rb.kindNames())
	for _, err := range []error{
		oneOf("authors", p.Authors, newVocabulary(originNames())), oneOf("opened_by", p.OpenedBy, newVocabulary(openers)), oneOf("template", given(p.Template), kinds),
		oneOf("kind", given(p.Kind), kinds), unique("tags", p.Tags, func(s string) bool { return s != "" && !strings.ContainsAny(s, " \t\n") }, "a tag without spaces"),
		unique("use_cases", p.UseCases, name.MatchString, "a name of a-z 0-9 _"), unique("excluded_countries", p.Excluded, isCountry, "two capitals, as in NO"),
		unique("via", given(p.Via), name.MatchString, "a name of a-z 0-9 _"), unique("capability", given(p.Capability), name.MatchString, "a name of a-z 0-9 _"),
	} {
		if err != nil {
			return err
		}
	}
	tags := newVocabulary(p.Tags)
	for _, tag := range slices.Sorted(maps.Keys(p.Uses)) {
		if !tags.has(tag) {
			return fmt.Errorf("uses: uses %q: not one of its tags", tag)
		}
	}
	return nil
}

func given(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// unique wants each word of a field once, and as ok wants it.
func unique(field string, words []string, ok func(string) bool, want string) error {
	seen := map[string]bool{}
	for _, w := range words {
		if !ok(w) {
			return fmt.Errorf("%s: %q: want %s", field, w, want)
		}
		if seen[w] {
			return fmt.Errorf("%s: %q is listed twice", field, w)
		}
		seen[w] = true
	}
	return nil
}

// validateVersions refuses two permissions that a message asks for by the
// same name, on one channel and day: only the first would be looked at.
func (rb *Rulebook) validateVersions() error {
	by := map[string][]int{} // permissions by what is written to ask for them
	for i := range rb.Permissions {
		b := &rb.Permissions[i]
		for _, w := range b.written() {
			for _, k := range by[w] {
				if a := &rb.Permissions[k]; a.term().meets(b.term()) {
					field, word, _ := strings.Cut(w, " ")
					return fmt.Errorf("%s: %s: %s is asked for under permissions[%d] %q too, at the same time and place: end one before the other begins",
						place("permissions", i, b.ID), field, word, k, a.ID)
				}
			}
			by[w] = append(by[w], i)
		}
	}
	return nil
}

// written is what a message writes to ask for p, each with its field.
func (p *Permission) written() []string {
	var out []string
	for _, tag := range p.Tags {
		out = append(out, "tags "+tag)
	}
	if p.Via != "" {
		out = append(out, "via "+p.Via)
	}
	if p.Kind != "" {
		out = append(out, "kind "+p.Kind)
	}
	return out
}

// meets says whether two terms hold on one channel at one moment.
func (t term) meets(u term) bool {
	return t.channels&u.channels != 0 && t.from < u.to && u.from < t.to
}
