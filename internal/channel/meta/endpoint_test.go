package meta

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/secret"
)

// appsecretProof is HMAC-SHA256("app-secret", "EAAG-token"), computed by
// openssl dgst -sha256 -hmac.
const appsecretProof = "d402b447efc46005b36c8e1f71fb619235c471fc7a8348fa3529923d2f42f4d4"

func TestEndpoints(t *testing.T) {
	t.Parallel()
	const query = "?appsecret_proof=" + appsecretProof
	for _, c := range []struct{ base, version, single, batch, relative string }{
		{"https://graph.facebook.com", "v25.0", "https://graph.facebook.com/v25.0/1234567890/messages", "https://graph.facebook.com/", "v25.0/1234567890/messages"},
		{"https://graph.facebook.com/", "v26.0", "https://graph.facebook.com/v26.0/1234567890/messages", "https://graph.facebook.com/", "v26.0/1234567890/messages"},
		{"https://graph.facebook.com/v24.0", "v25.0", "https://graph.facebook.com/v24.0/1234567890/messages", "https://graph.facebook.com/v24.0/", "v24.0/1234567890/messages"},
		{"http://127.0.0.1:9/meta//", "v25.0", "http://127.0.0.1:9/meta/v25.0/1234567890/messages", "http://127.0.0.1:9/meta/", "v25.0/1234567890/messages"},
		{"http://127.0.0.1:9/meta/v1.10/", "v25.0", "http://127.0.0.1:9/meta/v1.10/1234567890/messages", "http://127.0.0.1:9/meta/v1.10/", "v1.10/1234567890/messages"},
		{"http://h/v25", "v25.0", "http://h/v25/v25.0/1234567890/messages", "http://h/v25/", "v25.0/1234567890/messages"},
	} {
		b, err := parseBase(c.base, c.version)
		if err != nil {
			t.Errorf("%s: %v", c.base, err)
			continue
		}
		e, err := newEndpoint(b, account())
		if err != nil {
			t.Errorf("%s: %v", c.base, err)
			continue
		}
		if got := e.single.URL.String(); got != c.single+query {
			t.Errorf("%s: single is %s, want %s", c.base, got, c.single+query)
		}
		if got := e.batch.URL.String(); got != c.batch {
			t.Errorf("%s: batch is %s, want %s", c.base, got, c.batch)
		}
		if e.relative != c.relative {
			t.Errorf("%s: items go to %s, want %s", c.base, e.relative, c.relative)
		}
	}
}

func TestNothingMakesNetHTTPReplay(t *testing.T) {
	t.Parallel()
	b, err := parseBase("https://graph.example", DefaultVersion)
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEndpoint(b, account())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*http.Request{e.single, e.batch} {
		for name := range r.Header {
			if strings.Contains(name, "Idempotency") {
				t.Errorf("header %s lets net/http send a POST twice", name)
			}
		}
	}
	if e.single.GetBody != nil || e.batch.GetBody != nil {
		t.Error("GetBody lets net/http send a POST twice")
	}
}

func TestAccountsWithoutSecretSendNoProof(t *testing.T) {
	t.Parallel()
	b, err := parseBase("https://graph.example", DefaultVersion)
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEndpoint(b, channel.Account{ID: "1", Token: "a&b"})
	if err != nil {
		t.Fatal(err)
	}
	if e.single.URL.RawQuery != "" || e.form != "access_token=a%26b&include_headers=false&batch=" {
		t.Errorf("query %q, form %q", e.single.URL.RawQuery, e.form)
	}
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "want http(s)://host"},
		{Options{BaseURL: "graph.facebook.com"}, "want http(s)://host"},
		{Options{BaseURL: "ftp://graph.facebook.com"}, "want http(s)://host"},
		{Options{BaseURL: "https:///v25.0"}, "want http(s)://host"},
		{Options{BaseURL: "https://u:hidden@h"}, "no user"},
		{Options{BaseURL: "https://h?access_token=hidden"}, "no user, query"},
		{Options{BaseURL: "https://h#hidden"}, "no user, query"},
		{Options{BaseURL: "https://h", Version: "25"}, "want vN.N"},
		{Options{BaseURL: "https://h", Timeout: -1}, "negative"},
		{Options{BaseURL: "https://h", IdleTimeout: -1}, "negative"},
		{Options{BaseURL: "https://h", MaxConnsPerHost: -1}, "negative"},
	} {
		_, err := New(c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q in it", c.o, err, c.want)
		} else if strings.Contains(err.Error(), "hidden") {
			t.Errorf("%v names a secret", err)
		}
	}
}

func TestBadAccounts(t *testing.T) {
	t.Parallel()
	c := open(t, Options{BaseURL: "https://graph.example"})
	for _, a := range []channel.Account{
		{Token: "hidden"}, {ID: "..", Token: "hidden"}, {ID: "a/b", Token: "hidden"}, {ID: "1?x", Token: "hidden"},
		{ID: "1"}, {ID: "1", Token: "hidden\r\nX: y"}, {ID: "1", Token: "hidden token"}, {ID: "1", Token: "hidden\u00e9"},
	} {
		results := append(c.SendBatch(t.Context(), a, make([]channel.Message, 2)), c.Send(t.Context(), a, channel.Message{}))
		for _, r := range results {
			if r.Outcome != channel.NotSent || r.Action != channel.PauseSender || strings.Contains(r.Detail, "hidden") {
				t.Errorf("%q: %+v", a.ID, r)
			}
		}
	}
}

func TestRotatedTokensDoNotPileUp(t *testing.T) {
	t.Parallel()
	b, err := parseBase("https://graph.example", DefaultVersion)
	if err != nil {
		t.Fatal(err)
	}
	s := endpoints{base: b, by: map[channel.Account]*endpoint{}}
	for i := range maxEndpoints + 1 {
		if _, err := s.of(channel.Account{ID: "1", Token: secret.Text(strconv.Itoa(i))}); err != nil {
			t.Fatal(err)
		}
		if i+1 == maxEndpoints && len(s.by) != maxEndpoints {
			t.Errorf("%d accounts are kept, want %d", len(s.by), maxEndpoints)
		}
	}
	if len(s.by) != 1 {
		t.Errorf("%d accounts are kept past the limit, want 1", len(s.by))
	}
}
