package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// noon is a day on which the rules of the newest dates are in force.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// clock is a time that only a test moves.
type clock struct{ ns atomic.Int64 }

func newClock(t time.Time) *clock {
	c := &clock{}
	c.set(t)
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()).UTC() }
func (c *clock) set(t time.Time)         { c.ns.Store(t.UnixNano()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// bench is a sandbox with a clock at noon.
type bench struct {
	*Sandbox
	t     testing.TB
	clock *clock
}

func newBench(t testing.TB, o Options) *bench {
	t.Helper()
	b := &bench{t: t, clock: newClock(noon)}
	if o.Now == nil {
		o.Now = b.clock.now
	}
	if o.Seed == 0 {
		o.Seed = 7
	}
	b.Sandbox = New(o)
	return b
}

// answered is what came back.
type answered struct {
	status int
	header http.Header
	body   string
	cut    bool // the connection, in place of an answer
}

// do makes one request of the handler; cutting the connection is a panic that
// only net/http knows what to do with.
func (b *bench) do(r *http.Request) (a answered) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				panic(p)
			}
			a = answered{cut: true}
		}
	}()
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return answered{status: w.Code, header: w.Header(), body: w.Body.String()}
}

func (b *bench) post(path, contentType, body string) answered {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Authorization", "Bearer T")
	return b.do(r)
}

// send posts a JSON body to an account.
func (b *bench) send(account, body string) answered {
	return b.post("/v25.0/"+account+"/messages", "application/json", body)
}

// text sends a plain answer to a person.
func (b *bench) text(account, person string) answered {
	return b.send(account, textBody(person, "hi", ""))
}

func textBody(person, text, metadata string) string {
	return fmt.Sprintf(`{"recipient":{"id":%q},"messaging_type":"RESPONSE","message":{"text":%q,"metadata":%q}}`, person, text, metadata)
}

// admin makes one request of the tester's side and wants it to work.
func (b *bench) admin(method, path, body string) string {
	b.t.Helper()
	a := b.do(httptest.NewRequest(method, "/_sandbox/"+path, strings.NewReader(body)))
	if a.status != http.StatusOK {
		b.t.Fatalf("%s %s: status %d: %s", method, path, a.status, a.body)
	}
	return a.body
}

// code is the answer's error as counts name it; "" is success.
func (a answered) code(t testing.TB) string {
	t.Helper()
	if a.cut {
		return "cut"
	}
	if a.status == http.StatusOK {
		return ""
	}
	return errorKey(t, a.status, a.body)
}

func errorKey(t testing.TB, status int, body string) string {
	t.Helper()
	var e struct {
		Error *struct {
			Code    int `json:"code"`
			Subcode int `json:"error_subcode"`
		} `json:"error"`
	}
	if json.Unmarshal([]byte(body), &e) != nil || e.Error == nil {
		return fmt.Sprintf("status %d", status)
	}
	return (&graphError{code: e.Error.Code, subcode: e.Error.Subcode}).key()
}

// list reads NDJSON into records.
func list[T any](t testing.TB, body string) []T {
	t.Helper()
	var out []T
	for d := json.NewDecoder(strings.NewReader(body)); ; {
		var v T
		if err := d.Decode(&v); err == io.EOF {
			return out
		} else if err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		out = append(out, v)
	}
}

// acceptedLine and callLine are lines of the lists, as a reader of the
// documentation would write them.
type acceptedLine struct {
	Seq           uint64    `json:"seq"`
	Time          string    `json:"time"`
	Account       string    `json:"account"`
	Person        string    `json:"person"`
	MessageID     string    `json:"message_id"`
	Metadata      string    `json:"metadata"`
	MessagingType string    `json:"messaging_type"`
	Tag           string    `json:"tag"`
	Text          string    `json:"text"`
	TextHash      string    `json:"text_hash"`
	Batch         int       `json:"batch"`
	Position      int       `json:"position"`
	Echoed        bool      `json:"echoed"`
	Delivered     bool      `json:"delivered"`
	Read          bool      `json:"read"`
	ReadAt        time.Time `json:"read_at"`
}

type callLine struct {
	Seq        uint64   `json:"seq"`
	Time       string   `json:"time"`
	Account    string   `json:"account"`
	Person     string   `json:"person"`
	Outcome    string   `json:"outcome"`
	Answered   bool     `json:"answered"`
	Status     int      `json:"status"`
	Code       int      `json:"code"`
	Subcode    int      `json:"subcode"`
	Violations []string `json:"violations"`
	Fault      string   `json:"fault"`
	MessageID  string   `json:"message_id"`
}

func TestRoute(t *testing.T) {
	for _, c := range []struct {
		path, account string
		ok            bool
	}{
		{"/", "", true},
		{"", "", true},
		{"/v25.0", "", true},
		{"/v25.0/", "", true},
		{"/v2.12/77/messages", "77", true},
		{"/77/messages", "77", true},
		{"/me/messages/", "me", true},
		{"/v25.0/77", "77", false},
		{"/v25.0/messages", "messages", false},
		{"/v25/77/messages", "v25", false},
		{"/x25.0/77/messages", "x25.0", false},
		{"/v25.x/77/messages", "v25.x", false},
		{"/77/messages/extra", "77", false},
	} {
		if account, ok := route(c.path); ok != c.ok || ok && account != c.account {
			t.Errorf("route(%q) = %q, %v; want %q, %v", c.path, account, ok, c.account, c.ok)
		}
	}
}

func TestCredentials(t *testing.T) {
	const body = `{"recipient":{"id":"1"},"messaging_type":"RESPONSE","message":{"text":"hi"}`
	proof := proofOf("S", "T")
	for _, c := range []struct {
		name, declared, path, header, body, want string
	}{
		{"no token at all", ``, "/77/messages", "", body + "}", "104"},
		{"any token of an undeclared account", ``, "/77/messages", "Bearer x", body + "}", ""},
		{"lower-case scheme", ``, "/77/messages", "bearer x", body + "}", ""},
		{"another scheme", ``, "/77/messages", "Basic x", body + "}", "104"},
		{"query", `{"account":"77","token":"T"}`, "/77/messages?access_token=T", "", body + "}", ""},
		{"JSON body", `{"account":"77","token":"T"}`, "/77/messages", "", body + `,"access_token":"T"}`, ""},
		{"another token", `{"account":"77","token":"T"}`, "/77/messages", "Bearer U", body + "}", "190/463"},
		{"expired", `{"account":"77","token":"T","expired":true}`, "/77/messages", "Bearer T", body + "}", "190/463"},
		{"me, bound", `{"account":"77","token":"T"}`, "/me/messages", "Bearer T", body + "}", ""},
		{"me, not bound", `{"account":"77","token":"T"}`, "/me/messages", "Bearer U", body + "}", "190/463"},
		{"me, no token", `{"account":"77","token":"T"}`, "/me/messages", "", body + "}", "104"},
		{"proof missing", `{"account":"77","app_secret":"S"}`, "/77/messages", "Bearer T", body + "}", "100"},
		{"proof wrong", `{"account":"77","app_secret":"S"}`, "/77/messages?appsecret_proof=00", "Bearer T", body + "}", "100"},
		{"proof of another token", `{"account":"77","app_secret":"S"}`, "/77/messages?appsecret_proof=" + proof, "Bearer U", body + "}", "100"},
		{"proof in query", `{"account":"77","app_secret":"S"}`, "/77/messages?appsecret_proof=" + proof, "Bearer T", body + "}", ""},
		{"proof in body", `{"account":"77","app_secret":"S"}`, "/77/messages", "Bearer T", body + `,"appsecret_proof":"` + proof + `"}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, Options{})
			if c.declared != "" {
				b.admin("POST", "accounts", c.declared)
			}
			r := httptest.NewRequest("POST", c.path, strings.NewReader(c.body))
			r.Header.Set("Content-Type", "application/json")
			if c.header != "" {
				r.Header.Set("Authorization", c.header)
			}
			if got := b.do(r).code(t); got != c.want {
				t.Errorf("code %q, want %q", got, c.want)
			}
		})
	}
}

// TestProof holds the proof against a value computed with openssl.
func TestProof(t *testing.T) {
	const want = "e941110e3d2bfe82621f0e3e1434730d7305d106c5f68c87165d0b27a4611a4a"
	if got := proofOf("secret", "token"); got != want {
		t.Errorf("proof %s, want %s", got, want)
	}
}

func TestDeclaredAgain(t *testing.T) {
	b := newBench(t, Options{})
	b.admin("POST", "accounts", `{"account":"77","token":"T"}`)
	b.admin("POST", "accounts", `{"account":"77","token":"U"}`)
	if got := b.text("me", "1").code(t); got != "190/463" {
		t.Errorf("the old token is answered %q, want 190/463", got)
	}
}

func TestOtherRequests(t *testing.T) {
	b := newBench(t, Options{})
	for _, c := range []struct{ method, path, want string }{
		{"GET", "/v25.0/77/messages", "100/33"},
		{"POST", "/v25.0/77/feed", "2500"},
		{"POST", "/v25.0/77", "2500"},
		{"POST", "/", "100"},
	} {
		if got := b.do(httptest.NewRequest(c.method, c.path, nil)).code(t); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.method, c.path, got, c.want)
		}
	}
	if got := b.Summary("").Calls; got != 0 {
		t.Errorf("%d calls counted of requests that send nothing", got)
	}
	if got := b.post("/77/messages", "application/json", strings.Repeat(" ", maxBody+1)).code(t); got != "100" {
		t.Errorf("an endless body is answered %q, want 100", got)
	}
}
