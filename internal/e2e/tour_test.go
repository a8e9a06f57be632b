package e2e

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/carillon-dev/carillon/internal/sandbox"
)

// TestReadmeTour runs the README's tour, block by block, against the sample.
func TestReadmeTour(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh tour\n(.*?)```").FindAllSubmatch(readme, -1)
	if len(blocks) < 5 {
		t.Fatalf("%d blocks in the README's tour", len(blocks))
	}
	p := boot(t, nil)
	p.until("the sample is launched", func() bool {
		for _, id := range []string{"spring-menu", "weekend-bread", "insta-story"} {
			if b, err := p.api.Broadcast(t.Context(), id); err != nil || b.State == "draft" {
				return false
			}
		}
		return true
	})
	dir := t.TempDir() // as the tree is once it is built, for what the tour shows of it
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"bin": filepath.Dir(p.path), "examples": examples} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range blocks {
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", string(b[1]))
		cmd.Env, cmd.Dir = p.environ(), dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s\nsaid\n%s", err, b[1], out)
		}
	}
}

// TestFailedStarts says what each failed start says: one line, exit code 1.
func TestFailedStarts(t *testing.T) {
	path := built.path(t, "carillon")
	for name, env := range map[string]string{
		"no NATS there":  "CARILLON_NATS_URL=nats://127.0.0.1:1",
		"no Redis there": "CARILLON_REDIS_URL=redis://127.0.0.1:1",
		"no Redis URL":   "CARILLON_REDIS_URL=http://x",
		"no address":     "CARILLON_LISTEN=nowhere",
		"no redis":       "PATH=/nonexistent",
		"no number":      "CARILLON_CONCURRENCY=many",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), path, "dev", "--sample=false")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			cmd.Env = append(os.Environ(), "CARILLON_DATA="+t.TempDir(), "CARILLON_LISTEN=127.0.0.1:0", env)
			if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 {
				t.Errorf("%v", err)
			}
			if lines := strings.Count(strings.TrimSpace(stderr.String()), "\n") + 1; lines != 1 || stderr.Len() == 0 {
				t.Errorf("%d lines on stderr:\n%s", lines, stderr.String())
			}
		})
	}
}

// TestOneTrace follows one trace from the launch to the platform's answer: in
// the spans as exported, in the ledger and in a dead letter.
func TestOneTrace(t *testing.T) {
	var mu sync.Mutex
	spans := map[string][]string{} // by trace id
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req collector.ExportTraceServiceRequest
		if err != nil || proto.Unmarshal(body, &req) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rs := range req.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					spans[hex.EncodeToString(s.TraceId)] = append(spans[hex.EncodeToString(s.TraceId)], s.Name)
				}
			}
		}
	}))
	defer sink.Close()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000})
	p := boot(t, pl, "OTEL_EXPORTER_OTLP_ENDPOINT="+sink.URL)
	ps := people(60, time.Now())
	p.define(pl, "spring", batched, ps)
	p.launch("spring")
	p.ended("spring")
	traces := map[string]bool{}
	for m, err := range p.api.AuditMembers(t.Context(), "spring", "sent") {
		if err != nil {
			t.Fatal(err)
		}
		s, err := p.api.Job(t.Context(), m.Job)
		if err != nil {
			t.Fatal(err)
		}
		traces[s.Steps[len(s.Steps)-1].Record.Trace] = true
	}
	if len(traces) != 1 {
		t.Fatalf("the jobs of one launch belong to %d traces", len(traces))
	}
	p.stop(syscall.SIGTERM) // the last spans leave
	mu.Lock()
	defer mu.Unlock()
	for id := range traces {
		names := strings.Join(spans[id], ",")
		for _, want := range []string{"launch broadcast", "deliver envelope", "send batch"} {
			if !strings.Contains(names, want) {
				t.Errorf("trace %s has the spans %s, want %q among them", id, names, want)
			}
		}
	}
}
