package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// numbered is n names that differ.
func numbered(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return out
}

// TestParseRefusesLongLists tries both sides of the limits.
func TestParseRefusesLongLists(t *testing.T) {
	tags := func(n int) string { return "tags: [" + strings.Join(numbered("T", n), ", ") + "]" }
	sources := func(n int) string {
		return "sources:\n  " + strings.Join(numbered("S", n), ": {title: x}\n  ") + ": {title: x}\n"
	}
	notes := func(n int) string {
		return "notes:\n" + strings.Repeat("  - {id: more, says: x, source: [DESIGN]}\n", n)
	}
	base := book()
	for _, tt := range []struct {
		name, old, with, want string
	}{
		{"names", "tags: [HUMAN_AGENT]\n    uses:\n      HUMAN_AGENT:", tags(maxNames) + "\n    uses:\n      T1:", ""},
		{"a name more", "tags: [HUMAN_AGENT]", tags(maxNames + 1), "2001 names in one list: at most 2000"},
		{"fields", "sources:\n", sources(maxNames - len(base.Sources)), ""},
		{"a field more", "sources:\n", sources(maxNames - len(base.Sources) + 1), "2001 fields in one list: at most 2000"},
		{"entries", "\nnotes:\n", "\n" + notes(maxEntries-len(base.Notes)), ""},
		{"an entry more", "\nnotes:\n", "\n" + notes(maxEntries-len(base.Notes)+1), "301 entries in one list: at most 300"},
	} {
		_, err := Parse([]byte(edit(t, tt.old, tt.with)))
		r, _ := errors.AsType[*Refusal](err)
		if tt.want == "" && err != nil || tt.want != "" && (r == nil || r.Line == 0 || r.Err.Error() != tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestRulebookOfGreatSize would not end in the test's time if names were
// looked for from list to list: 300 permissions of 500 tags each, of which
// one half follows the other.
func TestRulebookOfGreatSize(t *testing.T) {
	rb, turn := &Rulebook{}, Date{date(t, "2027-01-01")}
	for i := range maxEntries {
		p := Permission{Clause: Clause{ID: "tag"}, By: "tag", Tags: numbered(fmt.Sprintf("T%d_", i), 500)}
		if p.To = turn; i%2 == 1 {
			p.From, p.To = turn, Date{}
		}
		rb.Permissions = append(rb.Permissions, p)
	}
	must(t, rb.validateVersions())
	changes := Diff(rb, turn.Add(-day), turn.Time)
	if n := len(changes); n != maxEntries {
		t.Errorf("%d changes", n)
	}
	_, tags := rb.permitted()
	if err := oneOf("tags", rb.Permissions[7].Tags, tags); err != nil || len(tags.list) != maxEntries*500 {
		t.Errorf("%d tags: %v", len(tags.list), err)
	}
	if err := oneOf("tags", []string{"X"}, tags); err == nil || len(err.Error()) > 1000 {
		t.Errorf("a tag that nobody has: %v", err)
	}
}

// TestFaultsAreToldInOneOrder asks for the same of two faults each time.
func TestFaultsAreToldInOneOrder(t *testing.T) {
	rb := Rulebook{Sources: map[string]Source{}}
	c := Check{IBAN: map[string]int{}, Lengths: map[Channel]Length{Messenger: {}, Instagram: {}, SMS: {}}}
	p := Permission{Uses: map[string]Use{}}
	for _, key := range numbered("k", 10) {
		rb.Sources[key], c.IBAN[key], p.Uses[key] = Source{}, 1, Use{}
	}
	withoutIBAN := c
	withoutIBAN.IBAN = nil
	for range 20 {
		for _, got := range []struct {
			err  error
			want string
		}{
			{rb.validateSources(), "sources[k0]"}, {c.numbers(), `iban "k0"`}, {withoutIBAN.numbers(), `"instagram"`}, {rb.words(&p), `uses "k0"`},
		} {
			if got.err == nil || !strings.Contains(got.err.Error(), got.want) {
				t.Fatalf("%v, want %s first", got.err, got.want)
			}
		}
	}
}

// TestConsentIsAskedWhereItCounts gives a permission by consent the channels
// of its check, however many those are.
func TestConsentIsAskedWhereItCounts(t *testing.T) {
	check := func(cs ...Channel) Check {
		return Check{Clause: Clause{ID: string(reason.ConsentMissing), Channels: cs}}
	}
	for i, tt := range []struct {
		checks []Check
		on     []Channel
		ok     bool
	}{
		{[]Check{check(SMS)}, []Channel{SMS}, true},
		{[]Check{check(SMS)}, nil, false},
		{[]Check{check(SMS)}, []Channel{SMS, Instagram}, false},
		{[]Check{check()}, nil, true},
		{[]Check{check(SMS, Messenger), check(SMS, Instagram)}, []Channel{Messenger, Instagram}, true},
		{[]Check{{Clause: Clause{ID: string(reason.OptedOut)}}}, []Channel{SMS}, false},
	} {
		rb := Rulebook{Checks: tt.checks}
		if err := rb.consented(&Permission{Clause: Clause{Channels: tt.on}, By: "consent"}); (err == nil) != tt.ok {
			t.Errorf("%d: %v", i, err)
		}
	}
	if err := new(Rulebook).consented(&Permission{By: "window"}); err != nil {
		t.Errorf("a window: %v", err)
	}
}

// TestAliasesAreReadAsWhatTheyStandFor refuses a field that only the list has
// in which the entry was written first.
func TestAliasesAreReadAsWhatTheyStandFor(t *testing.T) {
	for _, tt := range []struct{ old, with, more, want string }{
		{"\nnotes:\n", "\nnotes:\n  - &more {id: more, says: x, source: [DESIGN]}\n", "\ncontradictions:\n  - *more\n", `contradictions[0] "more": row`},
		{"\nadvice:\n", "\nadvice:\n  - &more {id: more, says: x, source: [DESIGN], under: [plus_one]}\n", "\nnotes:\n  - *more\n", "field under not found here: correct its name or remove it"},
		{"version: 1\n", "version: 1\n*x : 2\n", "\nnotes:\n", "unknown anchor 'x' referenced"},
		{"version: 1\n", "&version version: 1\n*version : 2\n", "\nnotes:\n", "field version not found here: correct its name or remove it"},
	} {
		list := tt.more[:strings.Index(tt.more, ":\n")+2]
		text := strings.Replace(edit(t, tt.old, tt.with), list, tt.more, 1)
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.with, err, tt.want)
		}
	}
}
