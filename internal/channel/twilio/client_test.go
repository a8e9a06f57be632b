package twilio

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/channel/channeltest"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/pkg/reason"
)

const sid = "0123456789abcdef0123456789abcdef"

func account() channel.Account {
	return channel.Account{ID: "+14155550100", Owner: "AC" + sid, Token: "auth-token"}
}

var hello = channel.Message{Job: "202611.0.shop.k.spring~1", Recipient: "+14155550199", Text: "Hello Ann, your table is ready"}

// noon is a fixed moment for a client's clock: 12:00 UTC, 4:00 in Los Angeles.
func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// open returns a client that closes with the test.
func open(t testing.TB, o Options) *Client {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = channeltest.Patience
	}
	if o.Now == nil {
		o.Now = noon
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// api speaks Twilio's side of the wire.
type api struct{}

func (api) Recipients(r *http.Request) ([]string, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	f, err := url.ParseQuery(string(body))
	if err == nil && (f.Get("To") == "" || f.Get("Body") == "") {
		err = errors.New("a send without To or Body")
	}
	return []string{f.Get("To")}, err
}

func (api) Accept(w http.ResponseWriter, recipients []string, accepted int) {
	if accepted == 0 {
		return // an answer that says nothing
	}
	w.WriteHeader(http.StatusCreated)
	io.WriteString(w, message("SM"+strings.TrimPrefix(recipients[0], "+"), "queued", "null"))
}

func (api) Refuse(w http.ResponseWriter, recipients []string) {
	w.WriteHeader(http.StatusBadRequest)
	io.WriteString(w, problem(21211, "The 'To' number "+recipients[0]+" is not a valid phone number.", 400))
}

func message(sid, status, code string) string {
	return `{"sid":"` + sid + `","status":"` + status + `","error_code":` + code + `,"num_segments":"1","to":"+14155550199"}`
}

func problem(code int, words string, status int) string {
	b, _ := json.Marshal(map[string]any{"code": code, "message": words, "more_info": "https://www.twilio.com/docs/errors", "status": status})
	return string(b)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	channeltest.Run(t, func(t *testing.T) channeltest.Subject {
		s := channeltest.NewServer(t, api{})
		return channeltest.Subject{Platform: open(t, Options{BaseURL: s.URL}), Account: account(), Server: s}
	})
}

// serve answers every call alike and keeps the last.
func serve(t *testing.T, status int, body string) (s *httptest.Server, got *http.Request, form url.Values) {
	t.Helper()
	got, form = &http.Request{}, url.Values{}
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		*got = *r
		clear(form)
		for k, v := range r.PostForm {
			form[k] = v
		}
		w.Header().Set("Twilio-Request-Id", "RQ1")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s, got, form
}

func TestSendOnTheWire(t *testing.T) {
	t.Parallel()
	s, got, form := serve(t, http.StatusCreated, message("SM1", "queued", "null"))
	c := open(t, Options{BaseURL: s.URL + "/x/"})
	a := account()
	a.Callback = "https://example.com/hooks/twilio/shop?a=b"
	m := hello
	m.Expires = noon().Add(90*time.Second + 999*time.Millisecond)
	if r, want := c.Send(t.Context(), a, m), (channel.Result{Outcome: channel.Accepted, MessageID: "SM1", Status: 201, TraceID: "RQ1"}); r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
	if want := "/x/2010-04-01/Accounts/AC" + sid + "/Messages.json"; got.Method != "POST" || got.RequestURI != want {
		t.Errorf("%s %s, want POST %s", got.Method, got.RequestURI, want)
	}
	if user, password, _ := got.BasicAuth(); user != "AC"+sid || password != "auth-token" || got.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Errorf("as %s, with %v", user, got.Header)
	}
	want := url.Values{
		"To": {"+14155550199"}, "From": {"+14155550100"}, "Body": {hello.Text}, "ValidityPeriod": {"90"},
		"StatusCallback": {"https://example.com/hooks/twilio/shop?a=b&job=202611.0.shop.k.spring~1"},
	}
	if diff := cmp.Diff(want, form); diff != "" {
		t.Error(diff)
	}
	a = account()
	a.ID = "MG" + sid
	c.Send(t.Context(), a, hello)
	want = url.Values{"To": {"+14155550199"}, "MessagingServiceSid": {"MG" + sid}, "Body": {hello.Text}}
	if diff := cmp.Diff(want, form); diff != "" {
		t.Error(diff)
	}
}

func TestValidity(t *testing.T) {
	t.Parallel()
	c := open(t, Options{BaseURL: "http://h"})
	for left, want := range map[time.Duration]string{
		-time.Second: "1", 0: "1", 1999 * time.Millisecond: "1", 2 * time.Second: "2", 10 * time.Hour: "36000", 10*time.Hour + time.Second: "36000", 7 * 24 * time.Hour: "36000",
	} {
		m := hello
		m.Expires = noon().Add(left)
		if got := c.form(account(), m).Get("ValidityPeriod"); got != want {
			t.Errorf("%v left: %s, want %s", left, got, want)
		}
	}
}

func TestCredentialsThatCannotBe(t *testing.T) {
	t.Parallel()
	s, got, _ := serve(t, http.StatusCreated, message("SM1", "queued", "null"))
	c := open(t, Options{BaseURL: s.URL})
	for name, edit := range map[string]func(*channel.Account){
		"no owner": func(a *channel.Account) { a.Owner = "" }, "a path": func(a *channel.Account) { a.Owner = "AC/../" + sid[4:] },
		"no number": func(a *channel.Account) { a.ID = "shop" }, "no token": func(a *channel.Account) { a.Token = "" },
		"a line in the token": func(a *channel.Account) { a.Token = "x\r\ny" },
	} {
		a := account()
		edit(&a)
		r := c.Send(t.Context(), a, hello)
		if r.Outcome != channel.NotSent || r.Action != channel.PauseSender || r.Reason != reason.CredentialInvalid || got.Method != "" {
			t.Errorf("%s: %+v", name, r)
		}
		if a.Token != "" && strings.Contains(r.Detail, string(a.Token)) {
			t.Errorf("%s: %q tells the token", name, r.Detail)
		}
	}
}

// TestNothingOfAPersonIsKept has the platform say back all that it was told.
func TestNothingOfAPersonIsKept(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(400)
		io.WriteString(w, problem(424242, string(body), 400))
	}))
	t.Cleanup(s.Close)
	var logged bytes.Buffer
	c := open(t, Options{BaseURL: s.URL, Log: slog.New(slog.NewJSONHandler(&logged, nil))})
	for range 2 {
		r := c.Send(t.Context(), account(), hello)
		for _, secret := range []string{hello.Recipient[1:], "Hello", "auth-token"} {
			if strings.Contains(r.Detail, secret) || strings.Contains(logged.String(), secret) {
				t.Errorf("%q is in %+v or %s", secret, r, logged.String())
			}
		}
	}
	if n := strings.Count(logged.String(), "\n"); n != 1 {
		t.Errorf("%d lines logged for one error outside the table", n)
	}
}

// TestReasonsFromTheWire gives each reason about the platform from the bytes
// that stand for it.
func TestReasonsFromTheWire(t *testing.T) {
	t.Parallel()
	answered := func(status int, body string) reason.Code {
		s, _, _ := serve(t, status, body)
		return open(t, Options{BaseURL: s.URL}).Send(t.Context(), account(), hello).Reason
	}
	rig.Reason(t, answered(400, problem(21610, "Attempt to send to unsubscribed recipient", 400)), reason.OptedOut)
	rig.Reason(t, answered(400, problem(21211, "invalid", 400)), reason.RecipientNotFound)
	rig.Reason(t, answered(400, problem(21612, "unreachable", 400)), reason.RecipientUnavailable)
	rig.Reason(t, answered(429, problem(20429, "Too Many Requests", 429)), reason.RateCapped)
	rig.Reason(t, answered(400, problem(30023, "daily cap", 400)), reason.BudgetSpent)
	rig.Reason(t, answered(400, problem(30034, "unregistered", 400)), reason.SenderUnregistered)
	rig.Reason(t, answered(401, problem(20003, "Authenticate", 401)), reason.CredentialInvalid)
	rig.Reason(t, answered(400, problem(21408, "region", 400)), reason.PlatformRejected)
	rig.Reason(t, answered(500, problem(20500, "Internal Server Error", 500)), reason.OutcomeUnknown)
	why, _ := Later(30007)
	rig.Reason(t, why, reason.CarrierFiltered)
}

func TestNew(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{}, {BaseURL: "api.twilio.com"}, {BaseURL: "https://h", Timeout: -1}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
