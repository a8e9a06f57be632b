package twilio

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/secret"
	"github.com/carillon-dev/carillon/pkg/reason"
)

const (
	token   = "12345"
	address = "https://mycompany.com/myapp.php?foo=1&bar=2"
	body    = `{"property": "value", "boolean": true}`
	bodySum = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
)

// documented are the fields of Twilio's own example, and of the tests of its
// libraries.
func documented() url.Values {
	return url.Values{"CallSid": {"CA1234567890ABCDE"}, "Caller": {"+14158675309"}, "Digits": {"1234"}, "From": {"+14158675309"}, "To": {"+18005551212"}}
}

// TestSigned has the signatures that Twilio's libraries are tested with.
func TestSigned(t *testing.T) {
	t.Parallel()
	twice := url.Values{"Sid": {"CA123"}, "SidAccount": {"AC123"}, "Digits": {"5678", "1234", "1234"}}
	at := func(from, to string) string { return strings.Replace(address, from, to, 1) }
	for _, c := range []struct {
		name, address, signature string
		fields                   url.Values
		want                     bool
	}{
		{"the example", address, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", documented(), true},
		{"a port that was not signed", at(".com", ".com:1234"), "RSOYDt4T1cUTdK1PDd93/VVr8B8=", documented(), true},
		{"a port that was", address, "kvajT1Ptam85bY51eRf/AJRuM3w=", documented(), true},
		{"plain HTTP, its port signed", at("https", "http"), "0ZXoZLH/DfblKGATFgpif+LLRf4=", documented(), true},
		{"plain HTTP, another port signed", strings.Replace(at("https", "http"), ".com", ".com:1234", 1), "Zmvh+3yNM1Phv2jhDCwEM3q5ebU=", documented(), true},
		{"names, then values", address, "IK+Dwps556ElfBT0I3Rgjkr1wJU=", twice, true},
		{"no form", address + "&bodySHA256=" + bodySum, "a9nBmqA0ju/hNViExpshrM61xv4=", nil, true},
		{"no form, and no other query", "https://mycompany.com/myapp.php?bodySHA256=" + bodySum, "y77kIzt2vzLz71DgmJGsen2scGs=", nil, true},

		{"one bit off", address, "RSOYDt4T1cUTdK1PDd93/VVr8B9=", documented(), false},
		{"another bit", address, "RSOYDt4T1cUTdK1PDd93/VVr8Bw=", documented(), false},
		{"nothing", address, "", documented(), false},
		{"no Base64", address, "WRONG SIGNATURE", documented(), false},
		{"another address", at("foo=1", "foo=2"), "RSOYDt4T1cUTdK1PDd93/VVr8B8=", documented(), false},
		{"a field more", address, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", func() url.Values { v := documented(); v.Set("X", ""); return v }(), false},
		{"other fields", address, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", twice, false},
	} {
		if got := signed([]secret.Text{"other", token}, c.address, c.signature, c.fields); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
		if signed([]secret.Text{"other"}, c.address, c.signature, c.fields) || signed(nil, c.address, c.signature, c.fields) {
			t.Errorf("%s: signed by nobody's secret", c.name)
		}
	}
	if !hashed(address+"&bodySHA256="+bodySum, []byte(body)) || hashed(address+"&bodySHA256="+bodySum, []byte(body+" ")) || hashed(address, []byte(body)) {
		t.Error("a body's hash is not held against the body")
	}
}

func TestSpellings(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://h/p?q": "https://h:443/p?q", "http://h/p": "http://h:80/p", "https://h:8443/p": "https://h/p", "https://h?q=:1": "https://h:443?q=:1",
		"https://[::1]/p": "https://[::1]:443/p", "https://[::1]:8443/p": "https://[::1]/p", "https://h": "https://h:443",
	} {
		if got := spellings(in); len(got) != 2 || got[0] != in || got[1] != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	if got := spellings("h/p"); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

// at is when the calls of these tests come.
func at() time.Time { return time.Date(2026, 11, 22, 12, 30, 0, 0, time.UTC) }

// sign is Twilio's side, for one spelling.
func sign(address string, fields url.Values) string {
	mac := hmac.New(sha1.New, []byte(token))
	mac.Write([]byte(address))
	mac.Write(flat(fields))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// call is a call that is well signed.
func call(address string, fields url.Values) hook.Call {
	return hook.Call{
		Hook: &hook.Spec{ID: "shop", Type: hook.Twilio}, Secrets: []secret.Text{"old", token}, Method: "POST", URL: address, At: at(),
		Header: textproto.MIMEHeader{"Content-Type": {form + "; charset=UTF-8"}, "X-Twilio-Signature": {sign(address, fields)}},
		Body:   []byte(fields.Encode()),
	}
}

func read(t *testing.T, address, fields string) hook.Told {
	t.Helper()
	v, err := url.ParseQuery(fields)
	if err != nil {
		t.Fatal(err)
	}
	told, err := Reader{}.Read(call(address, v))
	if err != nil {
		t.Fatal(err)
	}
	return told
}

const here = "https://example.com/hooks/twilio/shop"

func TestMessages(t *testing.T) {
	t.Parallel()
	const from = "ToCountry=US&SmsMessageSid=SM1&NumMedia=0&SmsSid=SM1&SmsStatus=received&MessageSid=SM1&AccountSid=AC1&From=%2B14155550199&To=%2B14155550100&ApiVersion=2010-04-01&NumSegments=1"
	base := event.Event{Source: "twilio/shop", ID: "SM1", Type: event.Message, Time: at(), Channel: "sms", Account: "+14155550100", Person: "+14155550199", MessageID: "SM1"}
	with := func(edit func(*event.Event)) event.Event { e := base; edit(&e); return e }
	for _, c := range []struct {
		name, fields string
		want         event.Event
	}{
		{"a message", from + "&Body=Hello+there", with(func(e *event.Event) { e.Text = "Hello there" })},
		{"of a messaging service", from + "&Body=Hi&MessagingServiceSid=MG1", with(func(e *event.Event) { e.Text, e.Service = "Hi", "MG1" })},
		{"without words", from, base},
		{"no UTF-8", from + "&Body=%ff", with(func(e *event.Event) { e.Text = "\ufffd" })},
		{"Twilio took it for STOP", from + "&Body=basta&OptOutType=STOP", with(func(e *event.Event) { e.Text = "STOP" })},
		{"and for START", from + "&Body=si&OptOutType=START", with(func(e *event.Event) { e.Text = "START" })},
		{"HELP stays what it was", from + "&Body=info&OptOutType=HELP", with(func(e *event.Event) { e.Text = "info" })},
		{"a long one is cut", from + "&Body=" + strings.Repeat("x", maxText+1), with(func(e *event.Event) { e.Text = strings.Repeat("x", maxText) })},
	} {
		told := read(t, here, c.fields)
		if diff := cmp.Diff([]event.Event{c.want}, told.Events); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		if !strings.HasPrefix(told.Answer.Type, "text/xml") || !strings.HasSuffix(string(told.Answer.Body), "<Response/>") {
			t.Errorf("%s: answered %q", c.name, told.Answer.Body)
		}
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	job := here + "?job=" + url.QueryEscape("202611.0.shop.k.spring~1")
	base := event.Event{
		Source: "twilio/shop", Time: at(), Channel: "sms", Account: "+14155550100", Person: "+14155550199", MessageID: "SM1", Job: "202611.0.shop.k.spring~1", Ours: true,
	}
	for status, want := range map[string]event.Type{
		"accepted": event.Echo, "scheduled": event.Echo, "queued": event.Echo, "sending": event.Echo, "sent": event.Echo, "delivered": event.Delivered, "read": event.Read,
		"undelivered": event.Failed, "failed": event.Failed, "canceled": event.Failed,
	} {
		e := base
		e.Type, e.ID = want, "SM1:"+status
		if want == event.Failed {
			e.Reason = reason.PlatformRejected
		}
		told := read(t, job, "SmsSid=SM1&SmsStatus="+status+"&MessageStatus="+status+"&To=%2B14155550199&MessageSid=SM1&AccountSid=AC1&From=%2B14155550100&ApiVersion=2010-04-01")
		if diff := cmp.Diff([]event.Event{e}, told.Events); diff != "" {
			t.Errorf("%s: %s", status, diff)
		}
		if len(told.Answer.Body) != 0 || !told.Events[0].Receipt() {
			t.Errorf("%s: answered %q", status, told.Answer.Body)
		}
	}
	if e := read(t, here, "MessageStatus=sent&To=%2B14155550199&MessageSid=SM1&From=%2B14155550100").Events[0]; e.Job != "" || e.Ours {
		t.Errorf("a callback that names no job: %+v", e)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]reason.Code{
		"30003": reason.RecipientUnavailable, "30005": reason.RecipientNotFound, "30023": reason.BudgetSpent, "30027": reason.BudgetSpent, "21610": reason.OptedOut,
		"99999": reason.PlatformRejected, "": reason.PlatformRejected, "-1": reason.PlatformRejected, "x": reason.PlatformRejected,
	} {
		told := read(t, here, "MessageStatus=undelivered&ErrorCode="+code+"&To=%2B14155550199&MessageSid=SM1&From=%2B14155550100")
		if len(told.Events) != 1 || told.Events[0].Reason != want {
			t.Errorf("code %q: %+v, want %s", code, told.Events, want)
		}
	}
	filtered := read(t, here, "MessageStatus=undelivered&ErrorCode=30007&To=%2B14155550199&MessageSid=SM1&From=%2B14155550100").Events
	rig.Reason(t, filtered[0].Reason, reason.CarrierFiltered)
	told := read(t, here, "MessageStatus=failed&ErrorCode=30034&To=%2B14155550199&MessageSid=SM1&From=%2B14155550100&MessagingServiceSid=MG1").Events
	if len(told) != 2 || told[0].Reason != reason.SenderUnregistered || told[1].Type != event.Enforced || told[1].Action != "block" || told[1].Why != "Twilio error 30034" ||
		told[1].Account != "+14155550100" || told[1].Service != "MG1" || told[1].Person != "" || told[1].ID == told[0].ID {
		t.Errorf("an unregistered number: %+v", told)
	}
}

func TestWhatHasNoMeaning(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string]string{
		"nothing":            "",
		"no id":              "Body=x&From=%2B14155550199",
		"a long id":          "MessageSid=" + strings.Repeat("S", maxID+1),
		"another channel":    "MessageSid=SM1&From=whatsapp%3A%2B14155550199&To=whatsapp%3A%2B14155550100&Body=secret",
		"a status of theirs": "MessageSid=SM1&MessageStatus=pondered&To=%2B14155550199",
		"to no number":       "MessageSid=SM1&MessageStatus=sent&To=messenger%3A1",
	} {
		told := read(t, here, fields)
		if len(told.Events) != 1 || told.Events[0].Type != event.Other || told.Events[0].ID == "" || strings.Contains(string(told.Events[0].Data), "secret") {
			t.Errorf("%s: %+v", name, told.Events)
		}
		if _, err := told.Events[0].Encode(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	good := url.Values{"MessageSid": {"SM1"}, "From": {"+14155550199"}, "Body": {"STOP"}}
	for name, edit := range map[string]func(*hook.Call){
		"no signature":        func(c *hook.Call) { c.Header.Del("X-Twilio-Signature") },
		"no secret":           func(c *hook.Call) { c.Secrets = nil },
		"another secret":      func(c *hook.Call) { c.Secrets = []secret.Text{"x"} },
		"another job":         func(c *hook.Call) { c.URL += "?job=x" },
		"a byte more":         func(c *hook.Call) { c.Body = append(c.Body, '!') },
		"no form":             func(c *hook.Call) { c.Body = []byte("a=%zz") },
		"said to be JSON":     func(c *hook.Call) { c.Header.Set("Content-Type", "application/json") },
		"a body of no type":   func(c *hook.Call) { c.Header.Del("Content-Type") },
		"a million fields":    func(c *hook.Call) { c.Body = []byte(strings.Repeat("a&", 1_000_000)) },
		"ten million letters": func(c *hook.Call) { c.Body = []byte(strings.Repeat("a", 10_000_000)) },
	} {
		c := call(here, good)
		edit(&c)
		if told, err := (Reader{}).Read(c); !errors.Is(err, hook.ErrRefused) || len(told.Events) != 0 {
			t.Errorf("%s: %+v, %v", name, told, err)
		}
	}
	c := call(here, good)
	c.Method = "GET"
	if _, err := (Reader{}).Read(c); fmt.Sprint(err) != "this hook takes POST, not GET" {
		t.Errorf("a GET: %v", err)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	c := call(here+"?bodySHA256="+bodySum, nil)
	c.Header.Set("Content-Type", "application/json")
	c.Body = []byte(body)
	told, err := Reader{}.Read(c)
	if err != nil || len(told.Events) != 1 || told.Events[0].Type != event.Other || string(told.Events[0].Data) != body || told.Events[0].ID != "body:"+bodySum {
		t.Fatalf("%+v, %v", told, err)
	}
	c.Body = []byte(body + " ")
	if _, err := (Reader{}).Read(c); !errors.Is(err, hook.ErrRefused) {
		t.Errorf("another body: %v", err)
	}
	const nonsense = "{"
	c = call(here+"?bodySHA256=021fb596db81e6d02bf3d2586ee3981fe519f275c0ac9ca76bbcf2ebb4097d96", nil)
	c.Header.Set("Content-Type", "application/json")
	c.Body = []byte(nonsense)
	var bad *hook.Malformed
	if _, err := (Reader{}).Read(c); !errors.As(err, &bad) {
		t.Errorf("signed, and no JSON: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("MessageSid=SM1&From=%2B14155550199&To=%2B14155550100&Body=Hi", "?job=a")
	f.Add("MessageSid=SM1&MessageStatus=undelivered&ErrorCode=30007&To=%2B14155550199", "")
	f.Add("MessageSid=%ff&From=%2B1", "?job=%ff")
	f.Fuzz(func(t *testing.T, fields, query string) {
		v, err := url.ParseQuery(fields)
		if err != nil {
			return
		}
		told, err := Reader{}.Read(call(here+query, v))
		if err != nil {
			t.Fatalf("well signed, and refused: %v", err)
		}
		for _, e := range told.Events {
			if _, err := e.Encode(); err != nil {
				t.Errorf("%+v: %v", e, err)
			}
		}
	})
}
