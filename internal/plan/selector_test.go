package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
)

func anna() contact.Record {
	return contact.Record{
		Address: "4711", Name: "Anna", Timezone: "Europe/Oslo", Labels: []string{"regular", "vip"},
		Attributes: map[string]string{"city": "Oslo", "age": "30", "first name": "Anna"},
	}
}

func TestNewSelectorRefuses(t *testing.T) {
	t.Parallel()
	for where, want := range map[string]string{
		"true ||":                   "audience.where: Syntax error: mismatched input '<EOF>' expecting",
		"name ==\n== 'a'":           "audience.where: Syntax error: extraneous input '==' expecting",
		"nom == 'a'":                "audience.where: undeclared reference to 'nom' (line 1, column 1)",
		"name == 'a' &&\n  x":       "audience.where: undeclared reference to 'x' (line 2, column 3)",
		"address == '1'":            "audience.where: undeclared reference to 'address' (line 1, column 1)",
		"name == 1":                 "audience.where: found no matching overload for '_==_' applied to '(string, int)' (line 1, column 6)",
		"labels.city == 'a'":        "audience.where: type 'list(string)' does not support field selection (line 1, column 7)",
		"name":                      "audience.where: gives string, want true or false",
		"attributes.city":           "audience.where: gives string, want true or false",
		"1":                         "audience.where: gives int, want true or false",
		"labels":                    "audience.where: gives list(string), want true or false",
		"dyn(true)":                 "audience.where: gives dyn, want true or false",
		strings.Repeat("(", 10_000): "audience.where: ",
	} {
		_, err := NewSelector(broadcast.Audience{Where: where})
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 1000 {
			t.Errorf("%.40q: %v\nwant %s", where, err, want)
		}
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		audience broadcast.Audience
		want     bool
		why      string // what Why says where want is false
	}{
		{broadcast.Audience{}, true, ""},
		{broadcast.Audience{Labels: []string{"vip", "regular"}}, true, ""},
		{broadcast.Audience{Labels: []string{"vip", "new"}}, false, `it lacks the label "new"`},
		{broadcast.Audience{Labels: []string{"VIP"}}, false, `it lacks the label "VIP"`},
		{broadcast.Audience{ExcludeLabels: []string{"new"}}, true, ""},
		{broadcast.Audience{Labels: []string{"vip"}, ExcludeLabels: []string{"new", "regular"}}, false, `it has the excluded label "regular"`},
		{broadcast.Audience{ExcludeLabels: []string{"vip"}, Where: "true"}, false, `it has the excluded label "vip"`},
		{broadcast.Audience{Where: "true"}, true, ""},
		{broadcast.Audience{Where: "false"}, false, "audience.where is false for it: false"},
		{broadcast.Audience{Labels: []string{"new"}, Where: "true"}, false, `it lacks the label "new"`},
		{broadcast.Audience{Where: `attributes.city == "Oslo"`}, true, ""},
		{broadcast.Audience{Where: `attributes["first name"] == name`}, true, ""},
		{broadcast.Audience{Where: `timezone.startsWith("Europe/") && "vip" in labels && size(labels) == 2`}, true, ""},
		{broadcast.Audience{Where: `labels.exists(l, l == "vip")`}, true, ""},
		{broadcast.Audience{Where: `int(attributes.age) >= 30`}, true, ""},
		{broadcast.Audience{Where: `int(attributes.age) > 30`}, false, "audience.where is false for it: int(attributes.age) > 30"},

		// A contact without the attribute does not match, however it is asked,
		// unless the expression provides for it.
		{broadcast.Audience{Where: `attributes.nick == "A"`}, false, `audience.where is false for it: attributes.nick == "A"`},
		{broadcast.Audience{Where: `attributes.nick != "A"`}, false, `audience.where is false for it: attributes.nick != "A"`},
		{broadcast.Audience{Where: `!(attributes["nick"] == "A")`}, false, `audience.where is false for it: !(attributes["nick"] == "A")`},
		{broadcast.Audience{Where: `!has(attributes.nick) || attributes.nick == "A"`}, true, ""},
		{broadcast.Audience{Where: `attributes.nick == "A" || name == "Anna"`}, true, ""},
		{broadcast.Audience{Where: `"nick" in attributes`}, false, `audience.where is false for it: "nick" in attributes`},
	} {
		s, err := NewSelector(c.audience)
		if err != nil {
			t.Errorf("%+v: %v", c.audience, err)
			continue
		}
		if got, err := s.Match(anna()); err != nil || got != c.want {
			t.Errorf("%+v: %t, %v; want %t", c.audience, got, err, c.want)
		}
		if got := s.Why(anna()); got != c.why {
			t.Errorf("%+v: why %q, want %q", c.audience, got, c.why)
		}
	}
}

// TestMatchNothingKnown asserts that a contact of whom nothing is known has
// empty lists, not errors.
func TestMatchNothingKnown(t *testing.T) {
	t.Parallel()
	s, err := NewSelector(broadcast.Audience{Where: `size(labels) == 0 && size(attributes) == 0 && name == "" && timezone == ""`})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := s.Match(contact.Record{}); !ok || err != nil {
		t.Errorf("%t, %v", ok, err)
	}
}

// TestMatchErased asserts that whoever was erased is in no audience until
// something is heard of them.
func TestMatchErased(t *testing.T) {
	t.Parallel()
	s, err := NewSelector(broadcast.Audience{})
	if err != nil {
		t.Fatal(err)
	}
	gone := contact.Record{ErasedAt: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	if ok, err := s.Match(gone); ok || err != nil || s.Why(gone) == "" {
		t.Errorf("erased: %t, %v, %q", ok, err, s.Why(gone))
	}
	gone.Address = "1"
	if ok, err := s.Match(gone); !ok || err != nil || s.Why(gone) != "" {
		t.Errorf("heard of since: %t, %v, %q", ok, err, s.Why(gone))
	}
}

// TestMatchFails asserts that what can't be decided is an error, never a yes,
// and that no expression runs on without end.
func TestMatchFails(t *testing.T) {
	t.Parallel()
	for where, want := range map[string]string{
		"int(name) > 1":     "audience.where: ",
		"labels[99] == 'a'": "audience.where: index out of bounds: 99",
		"1 / 0 == 1":        "audience.where: division by zero",
		"labels.exists(a, labels.exists(b, labels.exists(c, labels.exists(d, false))))": "audience.where: operation cancelled: actual cost limit exceeded",
	} {
		s, err := NewSelector(broadcast.Audience{Where: where})
		if err != nil {
			t.Errorf("%s: %v", where, err)
			continue
		}
		r := anna()
		for range 20 {
			r.Labels = append(r.Labels, "x")
		}
		if got, err := s.Match(r); got || err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %t, %v; want %s", where, got, err, want)
		}
		if why := s.Why(r); !strings.HasPrefix(why, want) {
			t.Errorf("%s: why %q, want %s", where, why, want)
		}
	}
}

func FuzzNewSelector(f *testing.F) {
	for _, s := range []string{`attributes.city == "Oslo"`, "labels.exists(l, l == 'a')", "name ==", "1", "has(attributes.x)", "name.matches('a+')", "\xff", "((((", "labels.map(l, l + l).size() > 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, where string) {
		s, err := NewSelector(broadcast.Audience{Where: where})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "audience.where: ") {
				t.Errorf("%q: %v", where, err)
			}
			return
		}
		if ok, err := s.Match(anna()); ok && err != nil {
			t.Errorf("%q: matches, and %v", where, err)
		}
	})
}

// TestWherePermissionsAreOpen picks whom a private reply or a one-time
// notification may go to.
func TestWherePermissionsAreOpen(t *testing.T) {
	t.Parallel()
	open, used := contact.Permission{ID: "1"}, contact.Permission{ID: "2", Used: true}
	for where, list := range map[string]func(*contact.Record, ...contact.Permission){
		"comment_open": func(r *contact.Record, ps ...contact.Permission) { r.Comments = ps },
		"token_open":   func(r *contact.Record, ps ...contact.Permission) { r.Tokens = ps },
	} {
		s, err := NewSelector(broadcast.Audience{Where: where})
		if err != nil {
			t.Fatal(err)
		}
		for want, ps := range map[bool][][]contact.Permission{true: {{open}, {used, open}}, false: {nil, {used}}} {
			for _, p := range ps {
				var r contact.Record
				list(&r, p...)
				if got, err := s.Match(r); err != nil || got != want {
					t.Errorf("%s of %+v: %t, %v", where, p, got, err)
				}
			}
		}
	}
}
