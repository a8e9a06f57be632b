package client

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// server answers everything with one handler.
func server(t *testing.T, handle http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(handle)
	c := New(s.URL+"/", "secret")
	t.Cleanup(func() { c.Close(); s.Close() })
	return c
}

func answers(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestProblem(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		kind, body string
		want       string // HOST stands for the server's address
	}{
		"a problem":           {409, "application/problem+json", `{"type":"about:blank","title":"Conflict","status":409,"detail":"can't","trace_id":"ab"}`, "can't"},
		"without a detail":    {409, "application/problem+json", `{"title":"Conflict"}`, "409 Conflict"},
		"a proxy's page":      {502, "text/html", "<html>\n<body>bad gateway", `HOST answered 502 Bad Gateway, not as Carillon would: "<html>"`},
		"nothing":             {503, "", "", "HOST answered 503 Service Unavailable"},
		"other JSON":          {400, "application/json", `{"error":"x"}`, `HOST answered 400 Bad Request, not as Carillon would: "{\"error\":\"x\"}"`},
		"a status of its own": {404, "application/problem+json", `{"title":"x","detail":"gone","status":200}`, "gone"},
	} {
		t.Run(name, func(t *testing.T) {
			c2 := server(t, answers(c.status, c.kind, c.body))
			_, err := c2.Sender(t.Context(), "x")
			p, ok := errors.AsType[*Problem](err)
			if !ok || p.Status != c.status || IsNotFound(err) != (c.status == 404) {
				t.Fatalf("%#v", err)
			}
			if want := strings.ReplaceAll(c.want, "HOST", strings.TrimPrefix(c2.Base(), "http://")); err.Error() != want {
				t.Errorf("got  %s\nwant %s", err, want)
			}
		})
	}
	if got := (&Problem{Status: 418}).Error(); got != "418 I'm a teapot" {
		t.Error(got)
	}
}

// TestRequests pins what leaves: path, query, token and body.
func TestRequests(t *testing.T) {
	var method, uri, auth, kind, body string
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		method, uri, auth, kind, body = r.Method, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Content-Type"), string(b)
		_, _ = io.WriteString(w, "{}\n")
	})
	ctx := t.Context()
	at := time.Date(2026, 11, 22, 11, 0, 0, 1, time.FixedZone("", 3600))
	for want, call := range map[string]func() error{
		"POST /v1/apply?dry_run=true&file=a.yaml application/yaml kind: x": func() error { _, err := c.TryApply(ctx, "a.yaml", strings.NewReader("kind: x")); return err },
		"POST /v1/apply?file=a+b.yaml application/yaml kind: x":            func() error { _, err := c.Apply(ctx, "a b.yaml", strings.NewReader("kind: x")); return err },
		"GET /v1/senders/a%2Fb  ":                                          func() error { _, err := c.Sender(ctx, "a/b"); return err },
		"GET /v1/contacts?id=%2B47&sender=s  ":                             func() error { _, err := c.Contact(ctx, "s", "+47"); return err },
		`POST /v1/senders/s/optouts application/json {"contact":"1","source":"x"}`: func() error {
			_, err := c.OptOut(ctx, "s", OptOutRequest{Contact: "1", Source: "x"})
			return err
		},
		`POST /v1/senders/s/contacts/changes application/json {"contacts":[{"contact":"1","name":"","labels":{"vip":false},"attributes":{"city":null}}]}`: func() error {
			_, err := c.ChangeContacts(ctx, "s", ContactChange{Contact: "1", Name: new(""), Labels: map[string]bool{"vip": false}, Attributes: map[string]*string{"city": nil}})
			return err
		},
		`POST /v1/events application/cloudevents-batch+json [{}]`: func() error { _, err := c.SendEvents(ctx, []byte("[{}]")); return err },
		`POST /v1/events application/cloudevents+json {}`:         func() error { _, err := c.SendEvents(ctx, []byte("{}")); return err },
		"GET /v1/senders/s/reviews  ":                             func() error { return drain(c.Reviews(ctx, "s")) },
		`POST /v1/senders/s/reviews application/json {"contact":"1","decision":"keep"}`: func() error {
			_, err := c.DecideReview(ctx, "s", ReviewRequest{Contact: "1", Decision: ReviewKeep})
			return err
		},
		`POST /v1/senders/s/contacts/erase application/json {"contact":"1"}`: func() error {
			_, err := c.EraseContact(ctx, "s", EraseRequest{Contact: "1"})
			return err
		},
		"POST /v1/senders/s/labels/pull  ": func() error { _, err := c.PullLabels(ctx, "s"); return err },
		`POST /v1/dead/redrive application/json {"filter":{}}`: func() error {
			_, err := c.Redrive(ctx, HandleRequest{Filter: &DeadFilter{}})
			return err
		},
		"GET /v1/dead?limit=3&reason=opted_out&sender=s&since=2026-11-22T10%3A00%3A00.000000001Z&source=b&state=blocked  ": func() error {
			return drain(c.Dead(ctx, DeadFilter{Reason: "opted_out", Sender: "s", Since: at, Source: "b", State: "blocked"}, 3))
		},
		"GET /v1/broadcasts/b/audit?bucket=sent  ":                                func() error { return drain(c.AuditMembers(ctx, "b", "sent")) },
		`POST /v1/broadcasts/b/launch application/json {"acknowledge":["a","b"]}`: func() error { _, err := c.Launch(ctx, "b", "a", "b"); return err },
		"GET /v1/policy  ": func() error { _, err := c.Policy(ctx); return err },
		`POST /v1/policy/diff application/json {"from":"2026-04-26","to":"2026-04-27","rulebook":"x"}`: func() error {
			return drain(c.PolicyDiff(ctx, PolicyDiffRequest{From: "2026-04-26", To: "2026-04-27", Rulebook: "x"}))
		},
		"POST /v1/broadcasts/b/launch  ": func() error { _, err := c.Launch(ctx, "b"); return err },
	} {
		if err := call(); err != nil {
			t.Error(want, err)
		}
		if got := strings.Join([]string{method, uri, kind, body}, " "); got != want || auth != "Bearer secret" {
			t.Errorf("got  %q, %q\nwant %q", got, auth, want)
		}
	}
}

func drain[T any](seq func(func(T, error) bool)) error {
	var last error
	seq(func(_ T, err error) bool { last = err; return true })
	return last
}

// TestList: whole lists end without an error, all others with one.
func TestList(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		n    int
		want string
	}{
		"empty":            {"", 0, ""},
		"two":              {"{\"job\":\"a\"}\n{\"job\":\"b\"}\n", 2, ""},
		"with empty lines": {"\n{\"job\":\"a\"}\r\n\n", 1, ""},
		"no last end":      {"{\"job\":\"a\"}\n{\"job\":\"b\"}", 1, "answer to GET /v1/dead: the server stopped in the middle of it"},
		"an error last":    {"{\"job\":\"a\"}\n{\"error\":{\"status\":503,\"detail\":\"no ledger\"}}\n", 1, "no ledger"},
		"not JSON":         {"{\"job\":\"a\"}\nhello\n", 1, "answer to GET /v1/dead: invalid character 'h' looking for beginning of value"},
		"a line too long":  {"{\"job\":\"a\"}\n" + strings.Repeat(" ", maxLine+1) + "\n", 1, "answer to GET /v1/dead: a line is longer than 4194304 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			cl := server(t, answers(http.StatusOK, "application/x-ndjson", c.body))
			n, got := 0, ""
			for _, err := range cl.Dead(t.Context(), DeadFilter{}, 0) {
				if err != nil {
					got = err.Error()
					continue
				}
				n++
			}
			if n != c.n || got != c.want {
				t.Errorf("%d letters, %q; want %d, %q", n, got, c.n, c.want)
			}
		})
	}
}

// TestListCut: a connection that breaks is no end of a list.
func TestListCut(t *testing.T) {
	c := server(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "{\"job\":\"a\"}\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	if err := drain(c.Dead(t.Context(), DeadFilter{}, 0)); err == nil || err.Error() != "answer to GET /v1/dead: the server stopped in the middle of it" {
		t.Error(err)
	}
}

// endless is a list that goes on until its caller has gone.
func endless(gone chan<- struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		_, _ = io.WriteString(w, "{\"job\":\"a\"}\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

func TestListStoppedEarly(t *testing.T) {
	gone := make(chan struct{})
	c := server(t, endless(gone))
	for l, err := range c.Dead(t.Context(), DeadFilter{}, 0) {
		if err != nil || l.Job != "a" {
			t.Error(l, err)
		}
		break
	}
	<-gone
}

func TestListCancelled(t *testing.T) {
	gone := make(chan struct{})
	c := server(t, endless(gone))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range c.Dead(ctx, DeadFilter{}, 0) {
		if last = err; err == nil {
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Error(last)
	}
	<-gone
}

func TestImport(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want ImportDone
		err  string
		n    int
	}{
		"done":  {"{\"bad\":{\"line\":2,\"reason\":\"x\"}}\n{\"progress\":{\"rows\":1,\"bad\":1}}\n{\"done\":{\"rows\":3,\"written\":2,\"bad\":1,\"in_force\":true}}\n", ImportDone{ImportProgress{Rows: 3, Written: 2, Bad: 1}, true, false}, "", 2},
		"error": {"{\"progress\":{\"rows\":7,\"written\":7}}\n{\"error\":{\"status\":422,\"detail\":\"after 7 rows: x\"}}\n", ImportDone{ImportProgress: ImportProgress{Rows: 7, Written: 7}}, "after 7 rows: x", 1},
		"cut":   {"{\"progress\":{\"rows\":7,\"written\":7}}\n", ImportDone{ImportProgress: ImportProgress{Rows: 7, Written: 7}}, "answer to POST /v1/senders/s/contacts: the server stopped in the middle of it", 1},
	} {
		t.Run(name, func(t *testing.T) {
			cl := server(t, answers(http.StatusOK, "application/x-ndjson", c.body))
			n := 0
			got, err := cl.ImportContacts(t.Context(), "s", strings.NewReader("id\n"), false, func(ImportEvent) { n++ })
			said := ""
			if err != nil {
				said = err.Error()
			}
			if got != c.want || said != c.err || n != c.n {
				t.Errorf("%+v, %q, %d events", got, said, n)
			}
		})
	}
}

// TestUnreachable: an error of the connection names the server, and never the
// query, which may hold a contact's address.
func TestUnreachable(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	c := New(s.URL, "secret")
	s.Close()
	_, err := c.Contact(t.Context(), "s", "psid-900001")
	if err == nil || !strings.HasPrefix(err.Error(), "can't reach Carillon at "+s.URL+": dial tcp") || strings.Contains(err.Error(), "psid") {
		t.Error(err)
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		t.Error("the error holds the whole address of the request")
	}
	if _, err := New("::", "x").Sender(t.Context(), "x"); err == nil || err.Error() != `address "::" of Carillon: want one such as http://127.0.0.1:8080` {
		t.Error(err)
	}
}

func TestAnswerThatIsNone(t *testing.T) {
	c := server(t, answers(http.StatusOK, "application/json", "hello"))
	if _, err := c.Audit(t.Context(), "b"); err == nil || !strings.HasPrefix(err.Error(), "answer to GET /v1/broadcasts/b/audit: invalid character") {
		t.Error(err)
	}
}

func TestOver(t *testing.T) {
	for state, want := range map[string]bool{"draft": false, "scheduled": false, "running": false, "paused": false, "done": true, "cancelled": true, "expired": true} {
		if (Broadcast{State: state}).Over() != want {
			t.Error(state)
		}
	}
}

// FuzzLines: whatever a server sends, every line comes out as it is, and only
// an answer without its last end is an error.
func FuzzLines(f *testing.F) {
	for _, s := range []string{"", "\n", "{}\n{}\n", "{}\n{", "{\"error\":{}}\n", "a\r\nb\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var out []string
		var last error
		for line, err := range lines(strings.NewReader(s)) {
			if err != nil {
				last = err
				continue
			}
			out = append(out, string(line))
			var e ImportEvent
			if err := decodeLine(line, &e); err == nil && e.Error != nil && strings.Contains(string(line), `"error"`) {
				t.Errorf("%q is an error that was not seen", line)
			}
		}
		whole := s == "" || strings.HasSuffix(s, "\n")
		if whole != (last == nil) {
			t.Errorf("%q: %v", s, last)
		}
		var want []string
		for part := range strings.SplitAfterSeq(s, "\n") {
			if body, ended := strings.CutSuffix(part, "\n"); ended && strings.TrimSuffix(body, "\r") != "" {
				want = append(want, strings.TrimSuffix(body, "\r"))
			}
		}
		if got, _ := json.Marshal(out); string(got) != string(mustJSON(want)) {
			t.Errorf("%q became %q", s, out)
		}
	})
}

func mustJSON(v any) []byte {
	b, _ := json.Marshal(v)
	return b
}

// TestUnacknowledged tells the launch that waits for something from others
// that were refused.
func TestUnacknowledged(t *testing.T) {
	for body, want := range map[string]int{
		`{"title":"Conflict","detail":"not launched","missing":[{"code":"a","says":"A.","acknowledge":true},{"code":"b","says":"B."}]}`: 2,
		`{"title":"Conflict","detail":"it is done"}`: 0,
		`no JSON`: 0,
	} {
		c := server(t, answers(409, "application/problem+json", body))
		_, err := c.Launch(t.Context(), "b")
		if got := Unacknowledged(err); err == nil || len(got) != want || want > 0 && got[0] != (Warning{"a", "A.", true}) {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
	if got := Unacknowledged(nil); got != nil {
		t.Errorf("no error: %+v", got)
	}
}

func TestSpan(t *testing.T) {
	day, noon := time.Date(2026, 4, 27, 0, 0, 0, 0, time.UTC), time.Date(2026, 4, 27, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		from, to string
		a, b     time.Time
		err      string
	}{
		{from: "2026-04-27", to: "2026-04-27", a: day, b: day},
		{from: "2026-04-27", to: "2026-04-27T12:00:00+02:00", a: day, b: noon},
		{from: "2026-04-27T00:00:00.000000001Z", to: "2026-04-27", err: "to 2026-04-27 is before from 2026-04-27T00:00:00.000000001Z"},
		{to: "2026-04-27", err: `from "": want a day such as 2026-04-27, or a time in RFC 3339`},
		{from: "2026-04-27", to: "2026-02-30", err: `to "2026-02-30": want a day such as 2026-04-27, or a time in RFC 3339`},
		{from: strings.Repeat("x", 41), to: "2026-04-27", err: `from "` + strings.Repeat("x", 40) + `": want a day`},
	} {
		a, b, err := PolicyDiffRequest{From: c.from, To: c.to}.Span()
		if c.err == "" && (err != nil || !a.Equal(c.a) || !b.Equal(c.b)) || c.err != "" && (err == nil || !strings.HasPrefix(err.Error(), c.err)) {
			t.Errorf("%q to %q: %s, %s, %v, want %s", c.from, c.to, a, b, err, c.err)
		}
	}
}

// TestNothingPrintsAToken: neither a client nor a new token shows it, however
// they are printed; JSON and a conversion do.
func TestNothingPrintsAToken(t *testing.T) {
	const text = "carillon_0a1b_very-secret"
	c := New("http://127.0.0.1:1", text)
	made := CreatedToken{Token: Token{ID: "0a1b"}, Text: text}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+verb+"\n", c, *c, made, made.Text)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "client", c, "made", made, "text", made.Text)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "client", c, "made", made, "text", made.Text)
	if strings.Contains(out.String(), "very-secret") || strings.Contains(out.String(), hex.EncodeToString([]byte("very-secret"))) {
		t.Errorf("a token was printed:\n%s", &out)
	}
	b, err := json.Marshal(made)
	if err != nil || !strings.Contains(string(b), `"token":"`+text+`"`) || string(made.Text) != text {
		t.Errorf("%s %v", b, err)
	}
}
