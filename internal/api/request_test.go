package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace/noop"
	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// bare is a server with one route outside of /v1 and no rooms.
func bare(t *testing.T, handle func(*answer, *http.Request) error) (*httptest.Server, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	s := &Server{
		Config: Config{Tracer: noop.NewTracerProvider().Tracer(""), Log: slog.New(slog.NewTextHandler(&log, nil))},
		mux:    http.NewServeMux(),
	}
	s.mux.HandleFunc("GET /x/{who}", func(w http.ResponseWriter, r *http.Request) { s.run(route{handle: handle, query: []string{"q"}}, w, r) })
	front := httptest.NewServer(s)
	t.Cleanup(front.Close)
	return front, &log
}

func fetch(t *testing.T, url string) (int, []byte, error) {
	t.Helper()
	resp, err := http.Get(url) //nolint:noctx // of a test's own server
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(resp.Body)
	return resp.StatusCode, b.Bytes(), err
}

func TestPanic(t *testing.T) {
	front, log := bare(t, func(*answer, *http.Request) error { panic("lost it") })
	status, body, err := fetch(t, front.URL+"/x/y?q=psid-secret")
	var p client.Problem
	if err != nil || status != 500 || json.Unmarshal(body, &p) != nil || p.Detail != "a fault in Carillon; its log has more under this trace id" {
		t.Errorf("%d %s %v", status, body, err)
	}
	front.Close()
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), `panic="lost it"`) || strings.Contains(log.String(), "psid-secret") {
		t.Errorf("%d lines: %s", n, log)
	}
}

// TestPanicTooLate: an answer that has begun is cut, so that half of it can't
// pass for the whole.
func TestPanicTooLate(t *testing.T) {
	front, log := bare(t, func(a *answer, _ *http.Request) error {
		if _, err := a.Write([]byte("half")); err != nil {
			return err
		}
		if err := http.NewResponseController(a).Flush(); err != nil {
			return err
		}
		panic("lost it")
	})
	if _, body, err := fetch(t, front.URL+"/x/y"); err == nil {
		t.Errorf("the answer %q seems whole", body)
	}
	front.Close()
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines: %s", n, log)
	}
}

func TestFailure(t *testing.T) {
	front, log := bare(t, func(*answer, *http.Request) error { return errors.New("disk full") })
	status, body, err := fetch(t, front.URL+"/x/y")
	if err != nil || status != 500 || !strings.Contains(string(body), `"detail":"disk full"`) {
		t.Errorf("%d %s %v", status, body, err)
	}
	front.Close()
	if !strings.Contains(log.String(), `error="disk full"`) || !strings.Contains(log.String(), `route="GET /x/{who}"`) {
		t.Error(log)
	}
}

// TestListFailsLate: a list that fails after its first lines have left ends
// with the problem and is cut; one that fails before is a problem alone.
func TestListFailsLate(t *testing.T) {
	s := &Server{}
	for _, n := range []int{0, 1, 5000} {
		front, _ := bare(t, func(a *answer, r *http.Request) error {
			return s.list(a, r, func(emit func(any) error) error {
				for range n {
					if err := emit(client.Missed{Broadcast: "menu", Why: "it is a line"}); err != nil {
						return err
					}
				}
				return errors.New("lost the ledger")
			})
		})
		status, body, err := fetch(t, front.URL+"/x/y")
		late := n > 1
		if late != (err != nil) || late != (status == 200) {
			t.Errorf("%d lines: %d %v", n, status, err)
		}
		last := body[bytes.LastIndexByte(bytes.TrimSpace(body), '\n')+1:]
		if late && !bytes.HasPrefix(last, []byte(`{"error":{"type":"about:blank","title":"Internal Server Error","status":500,"detail":"lost the ledger"`)) {
			t.Errorf("%d lines, the last one %s", n, last)
		}
	}
}

// TestCount: the buckets of a progress hold everybody exactly once, whatever
// the tally says and however the broadcast closed.
func TestCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := ledger.NewCounts()
		total, reasons := 0, 0
		for _, st := range job.States() {
			n := rapid.IntRange(0, 1000).Draw(t, string(st))
			total += n
			c.States[st] = n
			if st.Dead() {
				c.Reasons[string(st)] = map[reason.Code]int{reason.OptedOut: n}
				reasons += n
			}
		}
		closing := rapid.SampledFrom([]job.State{"", job.Cancelled, job.Expired}).Draw(t, "closing")
		p := client.Progress{Audience: total + rapid.IntRange(0, 1000).Draw(t, "untried"), ByReason: map[reason.Code]int{}}
		count(&p, c, closing)
		n := p.Counts
		if sum := n.Sent + n.Blocked + n.Failed + n.Unknown + n.Cancelled + n.Expired + n.Pending; sum != p.Audience {
			t.Fatalf("the buckets hold %d of %d: %+v", sum, p.Audience, n)
		}
		if n.Claimed+n.Held > n.Pending || n.Claimed != c.States[job.Claimed] {
			t.Fatalf("claimed %d and held %d of pending %d", n.Claimed, n.Held, n.Pending)
		}
		if p.ByReason[reason.OptedOut] != reasons || p.ByReason[reason.Cancelled] != n.Cancelled || p.ByReason[reason.Expired] != n.Expired {
			t.Fatalf("reasons %v of %+v", p.ByReason, n)
		}
		if closing != "" && n.Pending != n.Claimed {
			t.Fatalf("%d are pending after the end, %d of them claimed", n.Pending, n.Claimed)
		}
	})
}

func TestStatusIf(t *testing.T) {
	if statusIf(true) != http.StatusOK || statusIf(false) != http.StatusAccepted {
		t.Error("a record that is not in force is no 200")
	}
}

// TestRefusedIsBounded: an answer names a thousand refusals and counts all.
func TestRefusedIsBounded(t *testing.T) {
	h := &handling{out: client.HandleResult{}}
	h.do = func(_ context.Context, ids []job.ID, _ string, _ bool) ([]scheduler.Handled, error) {
		out := make([]scheduler.Handled, len(ids))
		for i := range out {
			out[i] = scheduler.Handled{Job: ids[i], Refused: "no"}
		}
		return out, nil
	}
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	for range 3 {
		if err := h.chunk(r, make([]job.ID, chunk)); err != nil {
			t.Fatal(err)
		}
	}
	if len(h.out.Refused) != maxRefused || h.out.RefusedCount != 3*chunk || h.out.Matched != 3*chunk || h.out.Done != 0 {
		t.Errorf("%d named, %d counted", len(h.out.Refused), h.out.RefusedCount)
	}
	if err := h.after(errors.New("x")); err.Error() != "x; 0 had been dealt with before" {
		t.Error(err)
	}
}
