package api

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon-dev/carillon/internal/idempotency"
	"github.com/carillon-dev/carillon/internal/journal"
	"github.com/carillon-dev/carillon/pkg/client"
)

// TestKeeps: an answer is kept once anything may have been done, and only
// then.
func TestKeeps(t *testing.T) {
	begun := &journal.Begun{}
	for name, c := range map[string]struct {
		a      answer
		status int
		want   bool
	}{
		"done":                       {answer{begun: begun}, 200, true},
		"recorded":                   {answer{begun: begun}, 202, true},
		"it only read":               {answer{}, 200, false},
		"refused before it began":    {answer{}, 422, false},
		"failed before it began":     {answer{}, 503, false},
		"refused, nothing changed":   {answer{begun: begun}, 409, false},
		"the last refusal":           {answer{begun: begun}, 499, false},
		"refused, something changed": {answer{begun: begun, partly: true}, 404, true},
		"hung up half way":           {answer{begun: begun, partly: true}, statusGone, true},
		"failed, who knows":          {answer{begun: begun}, 500, true},
		"unavailable, who knows":     {answer{begun: begun}, 503, true},
		"failed, harmless":           {answer{begun: begun, again: true}, 503, false},
	} {
		if got := c.a.keeps(c.status); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestAnswered: what is kept is the answer as the caller had it, or would have
// had it.
func TestAnswered(t *testing.T) {
	had := &answer{ResponseWriter: httptest.NewRecorder(), kept: &bytes.Buffer{}}
	had.Header().Set("Content-Type", "application/json")
	had.WriteHeader(202)
	if _, err := had.Write([]byte("{}\n")); err != nil {
		t.Fatal(err)
	}
	if got := had.answered(202); got.Status != 202 || got.Type != "application/json" || string(got.Body) != "{}\n" {
		t.Errorf("%+v", got)
	}
	for name, a := range map[string]*answer{
		"nobody heard it": {ResponseWriter: httptest.NewRecorder(), kept: &bytes.Buffer{}},
		"it was cut":      had,
	} {
		a.failed = &client.Problem{Status: 500, Title: "x", Detail: "lost it"}
		if got := a.answered(500); got.Status != 500 || got.Type != problemType || !strings.Contains(string(got.Body), `"detail":"lost it"`) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestLongAnswerIsNotHeld: memory for an answer is bounded, and what is too
// long is known to be.
func TestLongAnswerIsNotHeld(t *testing.T) {
	a := &answer{ResponseWriter: httptest.NewRecorder(), kept: &bytes.Buffer{}}
	piece := make([]byte, idempotency.MaxBody/4)
	for range 100 {
		if _, err := a.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if n := a.kept.Len(); n <= idempotency.MaxBody || n > 2*idempotency.MaxBody {
		t.Errorf("%d bytes are held", n)
	}
}

func TestTidy(t *testing.T) {
	got := tidy(map[string]string{"a": "", "b": "one\ntwo", "c": strings.Repeat("é", maxDetail), "d": strings.Repeat("x", maxDetail)})
	if len(got) != 3 || got["b"] != "one two" || got["c"] != strings.Repeat("é", maxDetail/2)+"…" || len(got["d"]) != maxDetail {
		t.Errorf("%v", got)
	}
}

func TestTail(t *testing.T) {
	for most, want := range map[int][]uint64{0: {1, 2, 3, 4, 5}, 1: {5}, 2: {4, 5}, 3: {3, 4, 5}, 5: {1, 2, 3, 4, 5}, 6: {1, 2, 3, 4, 5}} {
		var got []uint64
		l := &tail{most: most, emit: func(v any) error { got = append(got, v.(client.LogEntry).Seq); return nil }}
		for seq := range uint64(5) {
			if err := l.add(client.LogEntry{Seq: seq + 1}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.end(); err != nil || !slices.Equal(got, want) {
			t.Errorf("the last %d: %v, %v", most, got, err)
		}
	}
}

// TestInTurn: so many heavy requests are worked on and no more, the next one
// waits for its turn, and not for ever; light ones don't wait.
func TestInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits(1)
		heavy := route{path: "/v1/dead"}
		ask := func(ctx context.Context, rt route, work func() error) error {
			return l.inTurn(rt, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil), work)
		}
		leave := make(chan struct{})
		for range maxHeavy {
			go func() { _ = ask(t.Context(), heavy, func() error { <-leave; return nil }) }()
		}
		synctest.Wait()
		if err := ask(t.Context(), route{path: "/v1/policy"}, func() error { return errGone }); !errors.Is(err, errGone) {
			t.Errorf("a light one: %v", err)
		}
		begun := time.Now()
		err := ask(t.Context(), heavy, func() error { t.Error("one too many"); return nil })
		if late, ok := errors.AsType[*later](err); !ok || late.wait != time.Second || statusOf(err) != http.StatusTooManyRequests || time.Since(begun) != heavyWait {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
		gone, hangUp := context.WithCancel(t.Context())
		hangUp()
		if err := ask(gone, heavy, func() error { t.Error("for nobody"); return nil }); !errors.Is(err, errGone) {
			t.Error(err)
		}
		done := make(chan error)
		go func() { done <- ask(t.Context(), heavy, func() error { return nil }) }()
		time.Sleep(heavyWait - 1)
		leave <- struct{}{}
		if err := <-done; err != nil {
			t.Errorf("whose turn came: %v", err)
		}
		close(leave)
	})
}

// TestEveryVerb: every POST that changes something has a verb of its own, and
// so has the copy of everything.
func TestEveryVerb(t *testing.T) {
	seen := map[string]bool{}
	left := verbs()
	for _, rt := range (&Server{}).routes() {
		v := rt.verb()
		if delete(left, rt.path); rt.path != backupPath && rt.method != http.MethodPost || rt.path == "/v1/policy/diff" {
			if v != "read" {
				t.Errorf("%s %s: %s", rt.method, rt.path, v)
			}
			continue
		}
		if v == "read" || seen[v] {
			t.Errorf("%s %s: verb %q; give it one of its own in verbs()", rt.method, rt.path, v)
		}
		seen[v] = true
	}
	if len(left) > 0 {
		t.Errorf("no route has %v", left)
	}
}
