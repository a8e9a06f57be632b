package hook

import (
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

func make5() []string { return []string{"env:A", "env:B", "env:C", "env:D", "env:E"} }
