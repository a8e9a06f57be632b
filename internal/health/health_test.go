package health

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon-dev/carillon/internal/telemetry"
)

// serve starts a server with one figure and returns its base URL.
func serve(t *testing.T, ready func(context.Context) error) string {
	t.Helper()
	m, err := telemetry.OpenMetrics()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Gauge("carillon_example", "s", "an example", func(context.Context) (float64, bool) { return 1.5, true }); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	s := &Server{Ready: ready, Metrics: m.Handler()}
	go func() { ended <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + ln.Addr().String()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	var closed atomic.Bool
	url := serve(t, func(context.Context) error {
		if closed.Load() {
			return errors.New("the gate is closed")
		}
		return nil
	})
	want := func(path string, status int, text string) {
		t.Helper()
		if got, body := get(t, url+path); got != status || !strings.Contains(body, text) {
			t.Errorf("%s: %d %q, want %d and %q", path, got, body, status, text)
		}
	}
	want("/healthz", 200, "ok\n")
	want("/readyz", 200, "ready\n")
	closed.Store(true)
	want("/readyz", 503, "the gate is closed\n")
	want("/healthz", 200, "ok\n") // it lives all the same
	want("/metrics", 200, "carillon_example_seconds 1.5\n")
	want("/v1/senders", 404, "")
}

// A readiness that hangs is no readiness, and does not hang the probe.
func TestReadyIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Ready: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		rec, begun := &recorder{}, time.Now()
		s.ready(rec, (&http.Request{}).WithContext(t.Context()))
		if rec.status != 503 || time.Since(begun) != readyTimeout {
			t.Errorf("%d after %v, want 503 after %v", rec.status, time.Since(begun), readyTimeout)
		}
	})
}

type recorder struct {
	header http.Header
	status int
}

func (r *recorder) Header() http.Header {
	if r.header == nil {
		r.header = http.Header{}
	}
	return r.header
}
func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }
func (r *recorder) WriteHeader(status int)      { r.status = status }
