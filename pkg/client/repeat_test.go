package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// seen notes the requests that a handler had.
type seen struct {
	mu     sync.Mutex
	keys   []string
	bodies []string
}

// note reads a request and returns how many there have been.
func (s *seen) note(r *http.Request) int {
	b, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.bodies = append(s.keys, r.Header.Get("Idempotency-Key")), append(s.bodies, string(b))
	return len(s.keys)
}

// cut ends a connection without an answer.
func cut(http.ResponseWriter) { panic(http.ErrAbortHandler) }

// TestSentAgain: what fails in passing is sent again with the same key and
// the same body; what would not help, or could do harm, is not.
func TestSentAgain(t *testing.T) {
	wait := func(status int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.Header().Set("Retry-After", "0"); w.WriteHeader(status) }
	}
	plain := func(status int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(status) }
	}
	get := func(ctx context.Context, c *Client) error { _, err := c.Sender(ctx, "s"); return err }
	post := func(ctx context.Context, c *Client) error {
		_, err := c.OptOut(ctx, "s", OptOutRequest{Contact: "1", Source: "x"})
		return err
	}
	upload := func(ctx context.Context, c *Client) error {
		_, err := c.ImportContacts(ctx, "s", strings.NewReader("id\n"), false, nil)
		return err
	}
	for name, c := range map[string]struct {
		call  func(context.Context, *Client) error
		first func(http.ResponseWriter)
		want  int // requests
	}{
		"too many, GET":         {get, wait(429), 2},
		"too many, POST":        {post, wait(429), 2},
		"at work":               {post, wait(409), 2},
		"cut, GET":              {get, cut, 2},
		"cut, POST":             {post, cut, 2},
		"a conflict":            {post, plain(409), 1},
		"a conflict of a GET":   {get, wait(409), 1},
		"too many, no end":      {post, plain(429), 1},
		"unavailable":           {post, wait(503), 1},
		"an upload is not held": {upload, cut, 1},
		"an upload, too many":   {upload, wait(429), 1},
	} {
		t.Run(name, func(t *testing.T) {
			var s seen
			client := server(t, func(w http.ResponseWriter, r *http.Request) {
				if s.note(r) == 1 {
					c.first(w)
					return
				}
				_, _ = io.WriteString(w, "{}\n")
			})
			err := c.call(t.Context(), client)
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.keys) != c.want || (err == nil) != (c.want == 2) {
				t.Fatalf("%d requests, want %d; %v", len(s.keys), c.want, err)
			}
			for i := range s.keys {
				if s.keys[i] != s.keys[0] || s.bodies[i] != s.bodies[0] {
					t.Errorf("request %d: key %q, body %q; the first had %q, %q", i+1, s.keys[i], s.bodies[i], s.keys[0], s.bodies[0])
				}
			}
		})
	}
}

// TestTriesAreBounded: a server that never lets anybody through is given up.
func TestTriesAreBounded(t *testing.T) {
	var s seen
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		s.note(r)
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(429)
	})
	_, err := c.Launch(t.Context(), "menu")
	if p, ok := errors.AsType[*Problem](err); !ok || p.Status != 429 || len(s.keys) != maxTries {
		t.Errorf("%d requests, %v", len(s.keys), err)
	}
}

// TestLongWaitIsTheCallers: whoever is told to wait longer than a person would
// is told so.
func TestLongWaitIsTheCallers(t *testing.T) {
	for seconds, want := range map[string]bool{"10": true, "11": false, "-1": false, "soon": false} {
		resp := &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {seconds}}}
		if wait, ok := again(request{}, "", resp, nil, 1); ok != want || ok && wait != 10*time.Second {
			t.Errorf("%s: %s, %t", seconds, wait, ok)
		}
	}
}

func TestKeys(t *testing.T) {
	var s seen
	c := server(t, func(w http.ResponseWriter, r *http.Request) { s.note(r); _, _ = io.WriteString(w, "{\"done\":{}}\n") })
	own := WithIdempotencyKey(t.Context(), "mine")
	for _, call := range []func() error{
		func() error { _, err := c.Pause(t.Context(), "b"); return err },
		func() error { _, err := c.Pause(t.Context(), "b"); return err },
		func() error { _, err := c.Pause(own, "b"); return err },
		func() error { _, err := c.Broadcast(own, "b"); return err },
		func() error {
			_, err := c.ImportContacts(t.Context(), "s", strings.NewReader("id\n"), false, nil)
			return err
		},
		func() error {
			_, err := c.ImportContacts(own, "s", strings.NewReader("id\n"), false, nil)
			return err
		},
	} {
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
	if s.keys[0] == "" || s.keys[0] == s.keys[1] || len(s.keys[0]) > 255 {
		t.Errorf("two calls have keys %q and %q", s.keys[0], s.keys[1])
	}
	if got := strings.Join(s.keys[2:], ","); got != "mine,,,mine" {
		t.Errorf("keys %q", got)
	}
}

// TestWaitEnds: a context that ends while we wait ends the call.
func TestWaitEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "10")
		w.WriteHeader(429)
		cancel()
	})
	if _, err := c.Sender(ctx, "s"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestCheckIdempotencyKey(t *testing.T) {
	for key, ok := range map[string]bool{
		"": false, "a": true, strings.Repeat("k", 255): true, strings.Repeat("k", 256): false,
		"a b": false, "a\tb": false, "é": false, "\x7f": false, "~!": true, "3f2c9c1e-0d4b-4f0e-9a53-5f2f1c1d2e3f": true,
	} {
		if err := CheckIdempotencyKey(key); (err == nil) != ok {
			t.Errorf("%q: %v", key, err)
		}
	}
}

// TestSentAgainOnTheSameConnection: what was told to wait comes back by the
// connection that it had.
func TestSentAgainOnTheSameConnection(t *testing.T) {
	var from []string // one request at a time
	client := server(t, func(w http.ResponseWriter, r *http.Request) {
		from = append(from, r.RemoteAddr)
		if len(from) < 4 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, strings.Repeat(" ", maxRest-1))
			return
		}
		_, _ = io.WriteString(w, "{}\n")
	})
	if _, err := client.Sender(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	for _, addr := range from[1:] {
		if addr != from[0] {
			t.Errorf("from %q", from)
		}
	}
}

// TestNoSendersAreNotAll: a scope that came out empty is sent, to be refused;
// one that is left out is for all.
func TestNoSendersAreNotAll(t *testing.T) {
	var body string
	client := server(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body = string(b)
		_, _ = io.WriteString(w, "{}\n")
	})
	for want, senders := range map[string][]string{
		`{"name":"x","role":"viewer"}`: nil, `{"name":"x","role":"viewer","senders":[]}`: {}, `{"name":"x","role":"viewer","senders":["s"]}`: {"s"},
	} {
		if _, err := client.CreateToken(t.Context(), TokenRequest{Name: "x", Role: RoleViewer, Senders: senders}); err != nil || body != want {
			t.Errorf("sent %s, want %s; %v", body, want, err)
		}
	}
}
