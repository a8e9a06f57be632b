package hubspot

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/secret"
)

var update = flag.Bool("update", false, "write the golden files anew") //nolint:gochecknoglobals // a flag of the test binary

const address = "https://example.com/hooks/hubspot/crm?a=b%3Ac&d=%40e%20f"

// call is a call at a moment, signed at another by a secret.
func call(key string, body []byte, at time.Time, age time.Duration) hook.Call {
	stamp := fmt.Sprint(at.Add(-age).UnixMilli())
	return hook.Call{
		Hook: &hook.Spec{ID: "crm", Type: hook.HubSpot}, Secrets: []secret.Text{"old", "new"}, Method: "POST", URL: address, Body: body, At: at,
		Header: textproto.MIMEHeader{
			"X-Hubspot-Signature-V3":      {base64.StdEncoding.EncodeToString(sign(secret.Text(key), "POST", address, body, stamp))},
			"X-Hubspot-Request-Timestamp": {stamp},
		},
	}
}

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// The page on validating requests shows no worked example, so the string that
// is signed is spelled out here once, and its HMAC comes from openssl.
func TestSign(t *testing.T) {
	t.Parallel()
	c := hook.Call{
		Method: "POST", URL: "https://www.example.com/webhook?to=%2Fa%3Fb%20c", Body: []byte(`[{"eventId":1}]`), At: time.UnixMilli(1795348800000),
		Secrets: []secret.Text{"yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"},
		Header:  textproto.MIMEHeader{"X-Hubspot-Signature-V3": {"24pe89Qx+914VPE11CZK8/+qgvtBdI9Wf7EjO3yn75w="}, "X-Hubspot-Request-Timestamp": {"1795348800000"}},
	}
	if !Signed(c.Secrets, c) {
		t.Errorf("want %s", base64.StdEncoding.EncodeToString(sign(c.Secrets[0], c.Method, c.URL, c.Body, "1795348800000")))
	}
	if got := plain("https://e.com/%3a%3A%2f%3f%40%21%24%27%28%29%2a%2c%3b%20%25%26%c3%a5?x=1"); got != "https://e.com/::/?@!$'()*,;%20%25%26%c3%a5?x=1" {
		t.Errorf("signed as %s", got)
	}
}

// TestSigned: both secrets sign, for five minutes, over all of the call, and
// nothing else does.
func TestSigned(t *testing.T) {
	t.Parallel()
	body := []byte(`[{"eventId":1,"subscriptionType":"deal.creation"}]`)
	edited := func(edit func(*hook.Call)) hook.Call {
		c := call("new", body, noon(), 0)
		edit(&c)
		return c
	}
	set := func(name, v string) func(*hook.Call) {
		return func(c *hook.Call) { c.Header[name] = []string{v} }
	}
	for name, c := range map[string]struct {
		call hook.Call
		ok   bool
	}{
		"by the new secret":     {call("new", body, noon(), 0), true},
		"by the old one":        {call("old", body, noon(), 0), true},
		"by another":            {call("other", body, noon(), 0), false},
		"by none":               {call("", body, noon(), 0), false},
		"five minutes ago":      {call("new", body, noon(), MaxAge), true},
		"1 ns longer ago":       {call("new", body, noon().Add(1), MaxAge+time.Nanosecond), false},
		"1 ms longer ago":       {call("new", body, noon(), MaxAge+time.Millisecond), false},
		"in five minutes":       {call("new", body, noon(), -MaxAge), true},
		"in 1 ms more":          {call("new", body, noon(), -MaxAge-time.Millisecond), false},
		"another body":          {edited(func(c *hook.Call) { c.Body = append(bytes.Clone(body), ' ') }), false},
		"another address":       {edited(func(c *hook.Call) { c.URL += "x" }), false},
		"an unescaped address":  {edited(func(c *hook.Call) { c.URL = strings.Replace(address, "%3A", ":", 1) }), true},
		"another moment":        {edited(set("X-Hubspot-Request-Timestamp", fmt.Sprint(noon().Add(-1000000).UnixMilli()))), false},
		"no moment":             {edited(set("X-Hubspot-Request-Timestamp", "")), false},
		"no number of a moment": {edited(set("X-Hubspot-Request-Timestamp", "1e9")), false},
		"no signature":          {edited(set("X-Hubspot-Signature-V3", "")), false},
		"no base64":             {edited(set("X-Hubspot-Signature-V3", "%%%")), false},
		"no secrets":            {edited(func(c *hook.Call) { c.Secrets = nil }), false},
	} {
		told, err := Reader{}.Read(c.call)
		if c.ok && (err != nil || len(told.Events) != 1) || !c.ok && (!errors.Is(err, hook.ErrRefused) || told.Events != nil) {
			t.Errorf("%s: %+v, %v", name, told, err)
		}
	}
	good := call("new", body, noon(), 0)
	raw, err := base64.StdEncoding.DecodeString(good.Header.Get("X-Hubspot-Signature-V3"))
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(raw) * 8 {
		raw[bit/8] ^= 1 << (bit % 8)
		c := edited(set("X-Hubspot-Signature-V3", base64.StdEncoding.EncodeToString(raw)))
		if _, err := (Reader{}).Read(c); !errors.Is(err, hook.ErrRefused) {
			t.Fatalf("bit %d of the signature does not count: %v", bit, err)
		}
		raw[bit/8] ^= 1 << (bit % 8)
	}
	c := call("new", body, noon(), 0)
	c.Method = "GET"
	if _, err := (Reader{}).Read(c); !isWrongMethod(err) {
		t.Errorf("a GET: %v", err)
	}
}

func isWrongMethod(err error) bool { _, ok := errors.AsType[*hook.WrongMethod](err); return ok }

// shown is an event as the golden files have it.
type shown struct {
	Source, ID, Type string
	Time             time.Time
	Event            event.Event
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"batch", "single"} {
		body, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		told, err := Reader{}.Read(call("new", body, noon(), 0))
		if err != nil {
			t.Fatal(name, err)
		}
		var b bytes.Buffer
		for _, e := range told.Events {
			line, err := json.Marshal(shown{e.Source, e.ID, string(e.Type), e.Time, e})
			if err != nil {
				t.Fatal(err)
			}
			b.Write(append(line, '\n'))
		}
		file := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil { //nolint:gosec // a file of the tree
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(file); err != nil || !bytes.Equal(b.Bytes(), want) {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, b.Bytes(), want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	many := "[" + strings.Repeat(`{},`, maxEvents-1) + "{}"
	for body, want := range map[string]string{
		"":                       "want a JSON array",
		"7":                      "want a JSON array",
		"[":                      "does not end",
		"[{}":                    "does not end",
		"[{]":                    "event 0 is no JSON",
		"[{},{\"a\":]":           "event 1 is no JSON",
		"[{}] x":                 "something follows",
		"[\"\xff\"]":             "not UTF-8",
		many + ",{}]":            "more than 1000 events",
		strings.Repeat("[", 1e5): "event 0 is no JSON",
	} {
		_, err := Reader{}.Read(call("new", []byte(body), noon(), 0))
		if m, ok := errors.AsType[*hook.Malformed](err); !ok || !strings.Contains(m.Why, want) {
			t.Errorf("%.40s: %v, want %q", body, err, want)
		}
	}
	if told, err := (Reader{}).Read(call("new", []byte(many+"]"), noon(), 0)); err != nil || len(told.Events) != maxEvents {
		t.Errorf("as many as may be: %d, %v", len(told.Events), err)
	}
	if told, err := (Reader{}).Read(call("new", []byte("[]"), noon(), 0)); err != nil || len(told.Events) != 0 {
		t.Errorf("none: %v", err)
	}
}

// A repeat differs by its attemptNumber alone, and is the same event.
func TestRepeat(t *testing.T) {
	t.Parallel()
	ids := map[string]bool{}
	for n := range 3 {
		body := fmt.Sprintf(`[{"eventId":1,"subscriptionId":2,"objectId":3,"occurredAt":4,"subscriptionType":"deal.creation","attemptNumber":%d}]`, n)
		told, err := Reader{}.Read(call("new", []byte(body), noon(), 0))
		if err != nil {
			t.Fatal(err)
		}
		ids[told.Events[0].ID] = true
	}
	if len(ids) != 1 {
		t.Errorf("ids %v", ids)
	}
}

func FuzzDecode(f *testing.F) {
	for _, name := range []string{"batch", "single"} {
		b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`[{"eventId":"1","occurredAt":9e99,"subscriptionType":"x"}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		events, err := decode("crm", b)
		if err != nil {
			return
		}
		for i := range events {
			if _, err := events[i].Encode(); err != nil {
				t.Errorf("%s can't be kept: %v", b, err)
			}
		}
	})
}
