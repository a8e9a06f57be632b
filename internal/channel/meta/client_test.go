package meta

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/channel/wire"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// serve starts a server that closes with the test.
func serve(t testing.TB, handler http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

func TestSendOnTheWire(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("X-App-Usage", `{"call_count":28,"total_time":25,"total_cputime":25}`)
		io.WriteString(w, `{"recipient_id":"998877665544","message_id":"m_1"}`)
	})
	r := open(t, Options{BaseURL: s.URL}).Send(t.Context(), account(), hello[0])
	if want := (channel.Result{Outcome: channel.Accepted, MessageID: "m_1", Status: 200, AppUsage: 28}); r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
	if got.Method != "POST" || got.Proto != "HTTP/1.1" || got.RequestURI != "/v25.0/1234567890/messages?appsecret_proof="+appsecretProof {
		t.Errorf("%s %s %s", got.Method, got.RequestURI, got.Proto)
	}
	wantHeader := http.Header{"Authorization": {"Bearer EAAG-token"}, "Content-Type": {"application/json"}, "Accept": {"application/json"},
		"User-Agent": {"carillon"}, "Content-Length": {fmt.Sprint(len(body))}}
	if diff := cmp.Diff(wantHeader, got.Header); diff != "" {
		t.Error(diff)
	}
	if want := string(appendMessage(nil, &hello[0])); string(body) != want {
		t.Errorf("body %s, want %s", body, want)
	}
}

func TestBatchOnTheWire(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("X-Business-Use-Case-Usage", `{"1":[{"call_count":100,"estimated_time_to_regain_access":19}]}`)
		io.WriteString(w, `[{"code":200,"body":"{\"message_id\":\"m_1\"}"},{"code":400,"body":"{\"error\":{\"code\":80006}}"}]`)
	})
	ms := []channel.Message{hello[0], {Job: "j2", Recipient: "2", Type: "UPDATE", Text: "Yo"}}
	results := open(t, Options{BaseURL: s.URL + "/v24.0"}).SendBatch(t.Context(), account(), ms)
	want := []channel.Result{
		{Outcome: channel.Accepted, MessageID: "m_1", Status: 200, Usage: 100},
		{Outcome: channel.Refused, Action: channel.SlowSender, Reason: reason.RateCapped, After: 19 * time.Minute, Code: 80006, Status: 400, Usage: 100},
	}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Error(diff)
	}
	if got.Method != "POST" || got.RequestURI != "/v24.0/" || got.Header.Get("Authorization") != "Bearer EAAG-token" ||
		got.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Errorf("%s %s %v", got.Method, got.RequestURI, got.Header)
	}
	form, items, _, err := readForm(string(body))
	if err != nil || len(items) != 2 || items[1].RelativeURL != "v24.0/1234567890/messages" || form.Get("access_token") != "EAAG-token" {
		t.Errorf("form %v, items %v, %v", form, items, err)
	}
}

func TestBatchSizes(t *testing.T) {
	t.Parallel()
	calls := make(chan string, 100)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls <- r.URL.Path
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{"message_id":"m_1"}`)
	})
	c := open(t, Options{BaseURL: s.URL})
	for _, test := range []struct {
		n    int
		path string
		want channel.Outcome
	}{{0, "", 0}, {1, "/v25.0/1234567890/messages", channel.Accepted}, {2, "/", channel.Unknown}, {50, "/", channel.Unknown}, {51, "", channel.NotSent}} {
		results := c.SendBatch(t.Context(), account(), make([]channel.Message, test.n))
		path := ""
		if len(calls) > 0 {
			path = <-calls
		}
		if len(results) != test.n || path != test.path || len(calls) != 0 {
			t.Errorf("%d messages: %d results, a call to %q", test.n, len(results), path)
		}
		for _, r := range results {
			if r.Outcome != test.want {
				t.Errorf("%d messages: %+v", test.n, r)
			}
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size int
		want channel.Outcome
	}{{wire.MaxAnswer, channel.Accepted}, {wire.MaxAnswer + 1, channel.Unknown}, {4 * wire.MaxAnswer, channel.Unknown}} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			const start = `{"message_id":"m_1"}`
			io.WriteString(w, start+strings.Repeat(" ", c.size-len(start)))
		})
		if r := open(t, Options{BaseURL: s.URL}).Send(t.Context(), account(), hello[0]); r.Outcome != c.want || r.Status != 200 {
			t.Errorf("%d bytes: %+v, want %v", c.size, r, c.want)
		}
	}
}

func TestLongIDsAreCut(t *testing.T) {
	t.Parallel()
	body := `{"message_id":"` + strings.Repeat("m", wire.MaxID+1) + `"}`
	if r := newRulebook().judge(200, []byte(body), hello); len(r.MessageID) != wire.MaxID {
		t.Errorf("an id of %d bytes is kept, want %d", len(r.MessageID), wire.MaxID)
	}
}

// TestNothingOfAPersonIsKept has the platform say back all that it was told.
func TestNothingOfAPersonIsKept(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(400)
		_, items, _, err := readForm(string(body))
		if err != nil || len(items) == 0 {
			io.WriteString(w, graphErrorBody(424242, 0, string(body)))
			return
		}
		io.WriteString(w, graphErrorBody(424243, 0, items[1].Body))
	})
	var logged bytes.Buffer
	c := open(t, Options{BaseURL: s.URL, Log: slog.New(slog.NewJSONHandler(&logged, nil))})
	results := c.SendBatch(t.Context(), account(), []channel.Message{hello[0], hello[0]})
	results = append(results, c.Send(t.Context(), account(), hello[0]), c.Send(t.Context(), account(), hello[0]))
	if marks(results) != "RRRR" {
		t.Fatalf("results %s", marks(results))
	}
	text, err := json.Marshal(results)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{hello[0].Recipient, "Hello", "EAAG", "app-secret", appsecretProof} {
		if strings.Contains(string(text), secret) || strings.Contains(logged.String(), secret) {
			t.Errorf("%q is in\n%s\n%s", secret, text, logged.String())
		}
	}
	if n := strings.Count(logged.String(), "\n"); n != 2 {
		t.Errorf("%d lines logged for two errors outside the table, want 2:\n%s", n, logged.String())
	}
}

func TestMalformedAnswersAreNotQuoted(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, "to "+hello[0].Recipient+": "+hello[0].Text+"\r\n\r\n")
		conn.Close()
	})
	r := open(t, Options{BaseURL: s.URL}).Send(t.Context(), account(), hello[0])
	if r.Outcome != channel.Unknown || strings.Contains(r.Detail, "Hello") || strings.Contains(r.Detail, hello[0].Recipient) {
		t.Errorf("%+v", r)
	}
}

func TestTimeoutBoundsTheWholeCall(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	for name, handler := range map[string]http.HandlerFunc{
		"no answer": func(w http.ResponseWriter, r *http.Request) { <-release },
		"half an answer": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"message_id":`)
			w.(http.Flusher).Flush()
			<-release
		},
	} {
		s := serve(t, handler)
		c := open(t, Options{BaseURL: s.URL, Timeout: time.Second})
		start := time.Now()
		r := c.Send(t.Context(), account(), hello[0])
		if took := time.Since(start); r.Outcome != channel.Unknown || r.Reason != reason.OutcomeUnknown || took < time.Second || took >= wire.DefaultTimeout {
			t.Errorf("%s: %+v after %v", name, r, took)
		}
	}
	close(release)
}

func TestWaitingForAConnectionIsNotSending(t *testing.T) {
	t.Parallel()
	reached, release := make(chan struct{}), make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		reached <- struct{}{}
		<-release
		io.WriteString(w, `{"message_id":"m_1"}`)
	})
	c := open(t, Options{BaseURL: s.URL, MaxConnsPerHost: 1, Timeout: 10 * time.Second})
	first := make(chan channel.Result)
	go func() { first <- c.Send(context.Background(), account(), hello[0]) }()
	<-reached
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if r := c.Send(ctx, account(), hello[0]); r.Outcome != channel.NotSent || r.Action != channel.Retry || r.Reason != reason.PlatformUnreachable {
		t.Errorf("the second call: %+v", r)
	}
	close(release)
	if r := <-first; r.Outcome != channel.Accepted {
		t.Errorf("the first call: %+v", r)
	}
}
