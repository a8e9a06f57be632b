package endpoint

import (
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/reason"
)

func crm(edit func(*Spec)) *Spec {
	s := &Spec{Kind: "Endpoint", ID: "crm", URL: "https://crm.example/outcomes", Secrets: []string{"env:CRM_SECRET"}}
	edit(s)
	return s
}

func TestValidate(t *testing.T) {
	t.Parallel()
	many := func(n int) []string { return strings.Split(strings.TrimSuffix(strings.Repeat("env:A,", n), ","), ",") }
	for name, c := range map[string]struct {
		edit func(*Spec)
		want string // "": valid
	}{
		"as little as possible": {func(*Spec) {}, ""},
		"everything": {func(s *Spec) {
			s.Events = Filter{States: []job.State{job.Sent, job.Expired}, Reasons: []reason.Code{reason.WindowClosed}, Senders: []string{"bakery"}}
			s.Attributes, s.Batch, s.AllowPrivate = []string{"crm_id"}, MaxBatch, true
		}, ""},
		"no id":             {func(s *Spec) { s.ID = "" }, `id "": want 1 to 63 characters out of a-z, 0-9 and '-'`},
		"no secret":         {func(s *Spec) { s.Secrets = nil }, "secrets: want 1 to 5"},
		"five secrets":      {func(s *Spec) { s.Secrets = many(5) }, ""},
		"six secrets":       {func(s *Spec) { s.Secrets = many(6) }, "secrets: want 1 to 5"},
		"the secret itself": {func(s *Spec) { s.Secrets = []string{"whsec_c2VjcmV0"} }, "never the secret itself"},
		"one in a push":     {func(s *Spec) { s.Batch = 1 }, ""},
		"less than none":    {func(s *Spec) { s.Batch = -1 }, "batch -1: want 1 to 1000"},
		"more than a batch": {func(s *Spec) { s.Batch = MaxBatch + 1 }, "batch 1001: want 1 to 1000"},
		"20 attributes":     {func(s *Spec) { s.Attributes = many(20) }, ""},
		"21 attributes":     {func(s *Spec) { s.Attributes = many(21) }, "attributes: want at most 20"},
		"no name":           {func(s *Spec) { s.Attributes = []string{""} }, "attributes: want names, one is empty"},
		"no address":        {func(s *Spec) { s.URL = "" }, "url: want a whole address"},
		"a path":            {func(s *Spec) { s.URL = "/outcomes" }, "url: want a whole address"},
		"a port alone":      {func(s *Spec) { s.URL = "https://:443/" }, "url: want a whole address"},
		"not to be read":    {func(s *Spec) { s.URL = "https://crm.example/%zz" }, "url: want a whole address"},
		"too long":          {func(s *Spec) { s.URL = "https://crm.example/" + strings.Repeat("x", maxURL) }, "url: want a whole address"},
		"a password":        {func(s *Spec) { s.URL = "https://ann:pass@crm.example/" }, "url: want none with a password in it"},
		"a fragment":        {func(s *Spec) { s.URL = "https://crm.example/#x" }, "url: want none with a fragment"},
		"another scheme":    {func(s *Spec) { s.URL, s.AllowPrivate = "ftp://crm.example/", true }, "url: want https"},
		"in the clear":      {func(s *Spec) { s.URL = "http://crm.example/" }, "http takes allow_private"},
		"in the clear at home": {func(s *Spec) {
			s.URL, s.AllowPrivate = "http://127.0.0.1:8000/", true
		}, ""},
		"no outcome":     {func(s *Spec) { s.Events.States = []job.State{job.Held} }, `events.states: "held" is no outcome: want sent, delivered, read, blocked, failed, unknown, cancelled, expired`},
		"no reason":      {func(s *Spec) { s.Events.Reasons = []reason.Code{"because"} }, `events.reasons: no reason "because"`},
		"no sender's id": {func(s *Spec) { s.Events.Senders = []string{"The Bakery"} }, `events.senders: "The Bakery": want the id of a sender`},
	} {
		err := crm(c.edit).Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "pass@") || strings.Contains(err.Error(), "c2VjcmV0")) {
			t.Errorf("%s: a secret is in %q", name, err)
		}
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		f    Filter
		want bool
	}{
		{"all", Filter{}, true},
		{"its state", Filter{States: []job.State{job.Sent, job.Blocked}}, true},
		{"another state", Filter{States: []job.State{job.Sent}}, false},
		{"its reason", Filter{Reasons: []reason.Code{reason.WindowClosed}}, true},
		{"another reason", Filter{Reasons: []reason.Code{reason.OptedOut}}, false},
		{"its sender", Filter{Senders: []string{"bakery"}}, true},
		{"another sender", Filter{Senders: []string{"florist"}}, false},
		{"all but one", Filter{States: []job.State{job.Blocked}, Reasons: []reason.Code{reason.WindowClosed}, Senders: []string{"florist"}}, false},
	} {
		if got := c.f.Match("bakery", job.Blocked, reason.WindowClosed); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestSizeAndHost(t *testing.T) {
	t.Parallel()
	if got := crm(func(*Spec) {}).Size(); got != DefaultBatch {
		t.Errorf("size %d where none is named", got)
	}
	if got := crm(func(s *Spec) { s.Batch = 7 }).Size(); got != 7 {
		t.Errorf("size %d, want 7", got)
	}
	if got := crm(func(s *Spec) { s.URL = "https://crm.example:8443/in?token=x" }).Host(); got != "crm.example:8443" {
		t.Errorf("host %q", got)
	}
}
