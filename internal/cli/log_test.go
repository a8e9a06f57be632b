package cli

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

// TestFollowLog: every entry is shown once, in order, when it has its result
// or has waited a minute for it.
func TestFollowLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		entry := func(seq uint64, verb string, after time.Duration) client.LogEntry {
			return client.LogEntry{Seq: seq, At: start.Add(after), Verb: verb, Caller: client.LogCaller{ID: "root"}}
		}
		// What the log holds, with when the result of each comes; 0: never.
		log := []client.LogEntry{entry(1, "first", 0), entry(2, "crashed", 0), entry(4, "third", 2*time.Second)}
		ends := []time.Duration{5 * time.Second, 0, 3 * time.Second}
		shown := map[string]time.Duration{}
		var out bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		ask := func(_ context.Context, f client.LogFilter) iter.Seq2[client.LogEntry, error] {
			return func(yield func(client.LogEntry, error) bool) {
				now := time.Since(start)
				for i, e := range log {
					if e.Seq <= f.After || now < e.At.Sub(start) {
						continue
					}
					if ends[i] > 0 && now >= ends[i] {
						e.Status = 200
					}
					if !yield(e, nil) {
						return
					}
				}
			}
		}
		s := &session{out: console.Fixed(onEachWrite{func(line string) {
			out.WriteString(line)
			shown[strings.Fields(line)[3]] = time.Since(start)
			if strings.Contains(line, "third") {
				cancel()
			}
		}}, 60, false, false)}
		if err := s.followLog(ctx, ask, client.LogFilter{Limit: 5}); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if shown["first"] != 5*time.Second || shown["crashed"] != time.Minute || shown["third"] != time.Minute {
			t.Errorf("shown at %v", shown)
		}
		if n := strings.Count(out.String(), "\n"); n != 3 || !strings.Contains(out.String(), "crashed    no result\n") {
			t.Errorf("%d lines:\n%s", n, out.String())
		}
	})
}

type onEachWrite struct{ do func(string) }

func (w onEachWrite) Write(p []byte) (int, error) { w.do(string(p)); return len(p), nil }

func TestFollowLogEndsWithAnError(t *testing.T) {
	gone := errors.New("gone")
	ask := func(context.Context, client.LogFilter) iter.Seq2[client.LogEntry, error] {
		return func(yield func(client.LogEntry, error) bool) { yield(client.LogEntry{}, gone) }
	}
	if err := (&session{}).followLog(t.Context(), ask, client.LogFilter{}); !errors.Is(err, gone) {
		t.Error(err)
	}
}

func TestResult(t *testing.T) {
	for status, want := range map[int]string{0: "no result", 200: "done", 202: "done", 299: "done", 400: "refused 400", 499: "refused 499", 500: "failed 500"} {
		if got := result(status); got != want {
			t.Errorf("%d: %s, want %s", status, got, want)
		}
	}
}

// TestKeyGoesWithThePost: the flag reaches the server, and without it every
// request has a key of its own.
func TestKeyGoesWithThePost(t *testing.T) {
	srv, f := newTalkingFake()
	defer srv.Close()
	env := map[string]string{"CARILLON_API": srv.URL, "CARILLON_TOKEN": fakeToken}
	for _, args := range [][]string{
		{"broadcast", "launch", "bulk-menu", "--idempotency-key", "mine"}, // asks, then launches: two requests, one key
		{"broadcast", "launch", "spring-menu"},
	} {
		s := &session{in: strings.NewReader(""), out: console.Fixed(&bytes.Buffer{}, 80, false, false), err: console.Fixed(&bytes.Buffer{}, 80, false, false), getenv: func(k string) string { return env[k] }}
		root := newRoot(s)
		root.SetArgs(args)
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.keys) != 3 || f.keys[0] != "mine" || f.keys[1] != "mine" || f.keys[2] == "" || f.keys[2] == "mine" {
		t.Errorf("keys %q", f.keys)
	}
}
