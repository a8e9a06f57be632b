package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

// steps lets every broadcast of n contacts send one for each poll, to its
// end.
func steps(n int) func(context.Context, string) (client.Progress, error) {
	polls := map[string]int{}
	return func(_ context.Context, id string) (client.Progress, error) {
		polls[id]++
		done := min(n, polls[id]-1)
		p := client.Progress{ID: id, State: "running", Frozen: true, Audience: n, Counts: client.Counts{Sent: done, Pending: n - done}, At: time.Now()}
		if done == n {
			p.State = "done"
		}
		return p, nil
	}
}

func TestWatchPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		w := &watcher{ask: steps(100), view: &plainWatch{t: console.Fixed(&b, 100, false, false), last: map[string]plainLine{}}}
		start := time.Now()
		if err := w.run(t.Context(), []string{"a"}); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != 25*time.Second {
			t.Errorf("100 polls took %v, want 25s", d)
		}
		// One at the start, one for each tenth, the last of which is the end.
		if n := strings.Count(b.String(), "\n"); n != 11 {
			t.Errorf("%d lines, want 11:\n%s", n, b.String())
		}
		if !strings.Contains(b.String(), "50 %") && !strings.Contains(b.String(), "50.0 %") {
			t.Errorf("no half:\n%s", b.String())
		}
	})
}

// TestWatchPlainIsNotSilent writes though nothing changes.
func TestWatchPlainIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), 11*time.Second)
		defer cancel()
		stuck := func(context.Context, string) (client.Progress, error) {
			return client.Progress{State: "running", Frozen: true, Audience: 1, Counts: client.Counts{Pending: 1}}, nil
		}
		w := &watcher{ask: stuck, view: &plainWatch{t: console.Fixed(&b, 100, false, false), last: map[string]plainLine{}}}
		if err := w.run(ctx, []string{"a"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if n := strings.Count(b.String(), "\n"); n != 3 {
			t.Errorf("%d lines in 11 s, want 3", n)
		}
	})
}

func TestWatchJSONWritesChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		slow, asked := steps(2), 0
		w := &watcher{view: &jsonWatch{enc: json.NewEncoder(&b), last: map[string]client.Progress{}}}
		var last client.Progress
		w.ask = func(ctx context.Context, id string) (p client.Progress, err error) {
			if asked++; asked%3 == 1 {
				last, err = slow(ctx, id)
			}
			last.At = time.Now()
			return last, err
		}
		if err := w.run(t.Context(), []string{"a"}); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(b.String(), "\n"); n != 3 {
			t.Errorf("%d lines for 3 states:\n%s", n, b.String())
		}
	})
}

// TestWatchScreen redraws two broadcasts and leaves what ended.
func TestWatchScreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		term := console.Fixed(&b, 60, true, false)
		w := &watcher{ask: steps(3), view: &screenWatch{t: term, live: console.NewLive(term)}}
		if err := w.run(t.Context(), []string{"a", "b"}); err != nil {
			t.Fatal(err)
		}
		golden(t, "watch_screen", strings.ReplaceAll(b.String(), "\x1b", "^"))
	})
}

// TestWatchSurvivesARestart goes on while the server is away for less than
// the patience lasts, and not a moment longer.
func TestWatchSurvivesARestart(t *testing.T) {
	away := errors.New("connection refused")
	for _, c := range []struct {
		gone time.Duration
		want error
	}{{watchPatience - watchEvery, nil}, {watchPatience + watchEvery, away}} {
		synctest.Test(t, func(t *testing.T) {
			start, next := time.Now(), steps(2)
			w := &watcher{view: &jsonWatch{enc: json.NewEncoder(&bytes.Buffer{}), last: map[string]client.Progress{}}}
			w.ask = func(ctx context.Context, id string) (client.Progress, error) {
				if since := time.Since(start); since > 0 && since <= c.gone {
					return client.Progress{}, away
				}
				return next(ctx, id)
			}
			if err := w.run(t.Context(), []string{"a"}); !errors.Is(err, c.want) {
				t.Errorf("away for %v: %v, want %v", c.gone, err, c.want)
			}
		})
	}
}

func TestWatchEndsAtOnce(t *testing.T) {
	problem := &client.Problem{Status: 404, Detail: "broadcast a is not defined"}
	for name, c := range map[string]struct {
		p    client.Progress
		err  error
		want string
	}{
		"refused":     {client.Progress{}, problem, "not defined"},
		"away":        {client.Progress{}, errors.New("connection refused"), "connection refused"},
		"nobody's":    {client.Progress{State: "draft"}, nil, "launch it with"},
		"interrupted": {client.Progress{State: "running"}, nil, "interrupt"},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			if name == "interrupted" {
				cancel(interrupted{syscall.SIGINT})
			}
			defer cancel(nil)
			start := time.Now()
			w := &watcher{view: &jsonWatch{enc: json.NewEncoder(&bytes.Buffer{}), last: map[string]client.Progress{}}}
			w.ask = func(context.Context, string) (client.Progress, error) { return c.p, c.err }
			err := w.run(ctx, []string{"a"})
			if err == nil || !strings.Contains(err.Error(), c.want) || time.Since(start) != 0 {
				t.Errorf("%s: %v after %v", name, err, time.Since(start))
			}
		})
	}
}

// TestImportMeter draws at most ten times a second on a screen, and a line
// every five seconds elsewhere.
func TestImportMeter(t *testing.T) {
	for screen, want := range map[bool]int{true: 50, false: 1} {
		synctest.Test(t, func(t *testing.T) {
			var b bytes.Buffer
			m := newImportMeter(console.Fixed(&b, 60, screen, false), "importing contacts.csv", 1000)
			drawn := 0
			for i := range 501 {
				before := b.Len()
				m.show(client.ImportProgress{Rows: i, Bad: i / 100}, int64(i))
				if b.Len() > before {
					drawn++
				}
				time.Sleep(10 * time.Millisecond) // of the bubble's own time
			}
			m.clear()
			if drawn != want && drawn != want+1 {
				t.Errorf("screen %v: drawn %d times in 5 s, want %d", screen, drawn, want)
			}
			last := client.ImportProgress{Rows: 500, Bad: 5}
			lines := strings.Join(m.lines(last, 500), "|")
			if w := "importing contacts.csv|" + strings.Repeat("█", 30) + strings.Repeat("·", 30) + "|50.0 %  500 rows, 100/s, 5 bad"; lines != w {
				t.Errorf("got  %s\nwant %s", lines, w)
			}
			if all := m.lines(last, 1000)[2]; strings.HasPrefix(all, "100 %") {
				t.Errorf("says that it has ended: %s", all)
			}
		})
	}
}
