package hook

import (
	"slices"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	good := func() Spec {
		return Spec{ID: "shop", Type: Meta, Secrets: []string{"env:NEW", "file:/old"}, VerifyToken: "env:VERIFY", AppID: "15", URL: "https://example.com/hooks/meta/shop"}
	}
	for _, c := range []struct {
		name string
		edit func(*Spec)
		want string // part of the error; "": none
	}{
		{"as it is", func(*Spec) {}, ""},
		{"no id", func(s *Spec) { s.ID = "" }, "id"},
		{"another id", func(s *Spec) { s.ID = "Shop" }, "id"},
		{"no type", func(s *Spec) { s.Type = "" }, "type"},
		{"another type", func(s *Spec) { s.Type = "viber" }, "want one of"},
		{"no secret", func(s *Spec) { s.Secrets = nil }, "secrets"},
		{"most secrets", func(s *Spec) { s.Secrets = make5() }, ""},
		{"too many secrets", func(s *Spec) { s.Secrets = append(make5(), "env:F") }, "secrets"},
		{"the secret itself", func(s *Spec) { s.Secrets = []string{"hunter2"} }, "never the secret itself"},
		{"the token itself", func(s *Spec) { s.VerifyToken = "hunter2" }, "never the secret itself"},
		{"no verify token", func(s *Spec) { s.VerifyToken = "" }, "verify_token"},
		{"twilio", func(s *Spec) { s.Type, s.VerifyToken, s.AppID = Twilio, "", "" }, ""},
		{"twilio with a verify token", func(s *Spec) { s.Type, s.AppID = Twilio, "" }, "belong to type meta"},
		{"no url", func(s *Spec) { s.URL = "" }, ""},
		{"a path", func(s *Spec) { s.URL = "/hooks/meta/shop" }, "url"},
		{"ftp", func(s *Spec) { s.URL = "ftp://example.com/" }, "url"},
		{"no url at all", func(s *Spec) { s.URL = "http://[" }, "url"},
	} {
		s := good()
		c.edit(&s)
		err := s.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows a secret: %v", c.name, err)
		}
	}
	s := good()
	if got := strings.Join(s.References(), " "); got != "env:NEW file:/old env:VERIFY" || s.Path() != "/hooks/meta/shop" {
		t.Errorf("references %s, path %s", got, s.Path())
	}
}

// TestValidateCRM: what only CRM systems have, and where it belongs.
func TestValidateCRM(t *testing.T) {
	t.Parallel()
	const organization = "00D300000000Xyz"
	rule := Rule{Sender: "shop", Contact: "event.data.psid"}
	many := make([]Rule, maxRules)
	for i := range many {
		many[i] = rule
	}
	sf := func(edit func(*Spec)) Spec {
		s := Spec{ID: "crm", Type: Salesforce, Secrets: []string{"env:A"}, Organization: organization, Map: []Rule{rule}}
		edit(&s)
		return s
	}
	for _, c := range []struct {
		name string
		s    Spec
		want string // part of the error; "": none
	}{
		{"hubspot", Spec{ID: "crm", Type: HubSpot, Secrets: []string{"env:A"}, URL: "https://example.com/x?y=z", Map: many}, ""},
		{"hubspot without a secret", Spec{ID: "crm", Type: HubSpot}, "secrets"},
		{"salesforce", sf(func(*Spec) {}), ""},
		{"18 characters", sf(func(s *Spec) { s.Organization += "EAE" }), ""},
		{"16 characters", sf(func(s *Spec) { s.Organization += "E" }), "organization"},
		{"another id", sf(func(s *Spec) { s.Organization = "001300000000Xyz" }), "organization"},
		{"signs in an id", sf(func(s *Spec) { s.Organization = "00D300000000Xy-" }), "organization"},
		{"no organization", sf(func(s *Spec) { s.Organization = "" }), "organization"},
		{"no secret", sf(func(s *Spec) { s.Secrets = nil }), "secrets"},
		{"a url with a query", sf(func(s *Spec) { s.URL = "https://example.com/?secret=x" }), "without a query"},
		{"a url", sf(func(s *Spec) { s.URL = "https://example.com/" }), ""},
		{"sources", sf(func(s *Spec) { s.Sources = []string{"x"} }), "sources belong to type events"},
		{"too many rules", sf(func(s *Spec) { s.Map = slices.Concat(many, []Rule{rule}) }), "at most 50"},
		{"a rule without a sender", sf(func(s *Spec) { s.Map = []Rule{rule, {Contact: "x"}} }), "map[1].sender"},
		{"a rule without a contact", sf(func(s *Spec) { s.Map = []Rule{{Sender: "shop"}} }), "map[0].contact"},
		{"an empty type", sf(func(s *Spec) { s.Map[0].Types = []string{""} }), "map[0].types"},
		{"events", Spec{ID: "crm", Type: Events, Sources: []string{"https://crm.example"}, Map: []Rule{rule}}, ""},
		{"events with a secret", Spec{ID: "crm", Type: Events, Secrets: []string{"env:A"}}, "don't belong to type events"},
		{"events with a url", Spec{ID: "crm", Type: Events, URL: "https://example.com/"}, "don't belong to type events"},
		{"an empty source", Spec{ID: "crm", Type: Events, Sources: []string{""}}, "sources[0]"},
		{"too many sources", Spec{ID: "crm", Type: Events, Sources: make([]string, maxSources+1)}, "sources"},
		{"twilio with a map", Spec{ID: "crm", Type: Twilio, Secrets: []string{"env:A"}, Map: []Rule{rule}}, "map belongs"},
		{"twilio with an organization", Spec{ID: "crm", Type: Twilio, Secrets: []string{"env:A"}, Organization: organization}, "organization belongs"},
	} {
		if err := c.s.Validate(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	s := sf(func(s *Spec) { s.Map = []Rule{{Sender: "b"}, {Sender: "a"}, {Sender: "b"}} })
	if got := strings.Join(s.Senders(), " "); got != "a b" {
		t.Errorf("senders %s", got)
	}
}

func make5() []string { return []string{"env:A", "env:B", "env:C", "env:D", "env:E"} }
