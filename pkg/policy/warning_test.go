package policy

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestWarning puts codes into words as of a day and a channel.
func TestWarning(t *testing.T) {
	text := edit(t, "    acknowledge: true\n", "    acknowledge: true\n    from: 2026-06-01\n    to: 2027-01-01\n")
	text = strings.Replace(text, "advice:\n", `advice:
  - id: bulk_discouraged
    channels: [messenger, sms]
    from: 2026-12-01
    says: Later words.
    source: [DESIGN]
`, 1)
	rb, err := Parse([]byte(text))
	must(t, err)
	const bulk = "Unwanted, impersonal or bulk messages violate the policy; avoid them over Facebook."
	for _, c := range []struct {
		code, at string
		on       Channel
		before   time.Duration // how long before at
		want     Warning
		ok       bool
	}{
		{"bulk_discouraged", "2026-06-01", Messenger, 0, Warning{"bulk_discouraged", bulk, true}, true},
		{code: "bulk_discouraged", at: "2026-06-01", on: Messenger, before: 1},
		{code: "bulk_discouraged", at: "2026-06-01", on: Instagram},
		{"bulk_discouraged", "2026-12-01", Messenger, 1, Warning{"bulk_discouraged", bulk, true}, true},
		{"bulk_discouraged", "2026-12-01", Messenger, 0, Warning{"bulk_discouraged", "Later words. " + bulk, true}, true},
		{"bulk_discouraged", "2026-12-01", SMS, 0, Warning{"bulk_discouraged", "Later words.", false}, true},
		{"bulk_discouraged", "2027-01-01", Messenger, 0, Warning{"bulk_discouraged", "Later words.", false}, true},
		{code: "bulk", at: "2026-12-01", on: Messenger},
		{code: "", at: "2026-12-01", on: Messenger},
		{"links_under_tag", "2026-12-01", Messenger, 0, Warning{"links_under_tag", "Links in tagged messages may be mistaken for advertising.", false}, true},
	} {
		got, ok := rb.Warning(c.code, date(t, c.at).Add(-c.before), c.on)
		if !c.ok {
			c.want.Code = c.code
		}
		if got != c.want || ok != c.ok {
			t.Errorf("%s on %s at %s - %s: %+v, %v, want %+v, %v", c.code, c.on, c.at, c.before, got, ok, c.want, c.ok)
		}
	}
}

// TestEveryWarningHasWords asks for the words of whatever a verdict may warn
// of, at the moment and on the channel that it was judged for.
func TestEveryWarningHasWords(t *testing.T) {
	rb := book()
	at, m, f, s := benchCase()
	m.Origin, m.Tag, m.Text = "broadcast", "", "A sale: 20 % off"
	v := Evaluate(rb, at, m, f, s)
	if len(v.Warnings) == 0 {
		t.Fatalf("no warning: %+v", v)
	}
	for _, code := range v.Warnings {
		if w, ok := rb.Warning(code, at, s.Channel); !ok || w.Says == "" {
			t.Errorf("%s has no words", code)
		}
	}
}

func TestAcknowledgeIsListed(t *testing.T) {
	asked := map[string]bool{}
	for _, l := range List(book(), date(t, "2026-11-22")) {
		if asked[l.Rule] = l.Acknowledge; l.Acknowledge && l.Group != "advice" {
			t.Errorf("%s is no advice", l.Rule)
		}
	}
	if !asked["bulk_discouraged"] || asked["links_under_tag"] {
		t.Errorf("asked for: %v", asked)
	}
}

// TestRefusalNamesTheLine finds the line at fault, whoever found the fault.
func TestRefusalNamesTheLine(t *testing.T) {
	line := func(text, of string) int {
		before, _, found := strings.Cut(text, of)
		if !found {
			t.Fatalf("no %q", of)
		}
		return strings.Count(before, "\n") + 1
	}
	for name, c := range map[string]struct{ old, with, at, want string }{
		"unknown field":      {"    acknowledge: true\n", "    acknowledges: true\n", "    acknowledges", "field acknowledges not found"},
		"neither yes nor no": {"    acknowledge: true\n", "    acknowledge: perhaps\n", "acknowledge: perhaps", "want true or false"},
		"acknowledged check": {"  - id: opted_out\n", "  - id: opted_out\n    acknowledge: true\n", "    acknowledge: true", "field acknowledge not found"},
		"a date":             {"to: 2026-04-27", "to: 2026-02-30", "to: 2026-02-30", "is not a date"},
		"no YAML":            {"version: 1\n", "version: 1\n\tx\n", "version: 1", "tab"}, // the decoder names the line before it,
		"a clause":           {"    says: Links in tagged messages may be mistaken for advertising.\n", "", "  - id: links_under_tag", `advice[1] "links_under_tag": says is missing`},
		"a version":          {"version: 1\n", "version: 2\n", "version: 2", "this program reads version 1"},
		"a whole list":       {"  - id: consent_missing\n", "  - id: blocked_by_contact\n", "checks:\n", "consent_missing is missing"},
		"keywords":           {"  source: [CTIA, GATEWAYS, FCC]\n", "", "keywords:\n", "source is missing"},
	} {
		text := edit(t, c.old, c.with)
		_, err := Parse([]byte(text))
		r, ok := errors.AsType[*Refusal](err)
		if !ok || r.Line != line(text, c.at) || !strings.Contains(r.Err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want line %d and %q", name, err, line(text, c.at), c.want)
		}
	}
	for text, want := range map[string]string{"": "rulebook: the file is empty", "# nothing\n": "rulebook: the file is empty"} {
		if _, err := Parse([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
