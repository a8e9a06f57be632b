package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestAckedMessagesSurviveStopAndStart(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	const rounds = 3
	for round := range rounds {
		e := start(t, Config{Data: data})
		s, err := e.JetStream.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Storage: jetstream.FileStorage})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.CachedInfo().State.Msgs; got != uint64(round) {
			t.Fatalf("round %d: %d messages, want as many as were acked", round, got)
		}
		if _, err := e.JetStream.Publish(t.Context(), "s", []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := e.Stop(); err != nil {
			t.Fatalf("Stop: %v", err)
		}
	}
	index, err := filepath.Glob(filepath.Join(data, "nats", "jetstream", "*", "streams", "S", "msgs", "index.db"))
	if err != nil || len(index) != 1 {
		t.Errorf("index.db after Stop: %v, %v; want it written, so that the next start scans nothing", index, err)
	}
}

func TestEmbeddedServerSyncsAlways(t *testing.T) {
	t.Parallel()
	e := start(t, Config{Data: t.TempDir()})
	if !e.SyncAlways() {
		t.Error("SyncAlways() = false")
	}
	v, err := e.embedded.now().Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	if v.JetStream.Config == nil || !v.JetStream.Config.SyncAlways {
		t.Errorf("varz: %+v, want sync_always", v.JetStream.Config)
	}
	if e.embedded.now().Addr() != nil {
		t.Errorf("embedded server listens on %v, want nowhere", e.embedded.now().Addr())
	}
}

func TestDataDirectoryIsPrivate(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "a", "b")
	start(t, Config{Data: data})
	for _, name := range []string{"", "nats", "lock", "redis.sock"} {
		info, err := os.Stat(filepath.Join(data, name))
		if err != nil {
			t.Fatal(err)
		}
		if p := info.Mode().Perm(); p&0o077 != 0 {
			t.Errorf("%s has mode %v, want none for others", filepath.Join("data", name), p)
		}
	}
}

func TestSecondStartIsRefused(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	first := start(t, Config{Data: data})
	refused(t, t.Context(), Config{Data: data}, data, "in use", fmt.Sprintf("process %d", os.Getpid()))
	if err := first.Redis.Client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("the first, after the second was refused: %v", err)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	start(t, Config{Data: data})
}

func TestUnusableDataDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, t.Context(), Config{Data: file}, file, "not a directory", "CARILLON_DATA")
	refused(t, t.Context(), Config{}, "CARILLON_DATA")
}

// A broken store must come back as an error: the server's own logger would
// have ended the process.
func TestBrokenStoreIsOneLine(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	if err := os.Mkdir(filepath.Join(data, "nats"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "nats", "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, t.Context(), Config{Data: data}, "embedded nats", filepath.Join(data, "nats"))
}

func TestStopIsIdempotentAndConcurrent(t *testing.T) {
	t.Parallel()
	e := start(t, Config{Data: t.TempDir()})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := e.Stop(); err != nil {
				t.Errorf("Stop: %v", err)
			}
			if !e.embedded.ended() {
				t.Error("Stop returned while the server still ran")
			}
		})
	}
	wg.Wait()
}

func TestStopUndoesInReverseAndNamesWhatFailed(t *testing.T) {
	t.Parallel()
	var e Engines
	var order []string
	for _, name := range []string{"a", "b", "c"} {
		e.onStop(name, func(context.Context) error {
			order = append(order, name)
			if name == "c" {
				return nil
			}
			return errors.New("no")
		})
	}
	err := e.unwind(time.Minute)
	if got := strings.Join(order, ""); got != "cba" {
		t.Errorf("order %q, want cba", got)
	}
	if err == nil || err.Error() != "stop engines: b: no; a: no" {
		t.Errorf("error %v, want both in one line", err)
	}
}

// What outlasts the limit keeps the directory locked.
func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	e := &Engines{}
	if err := e.lock(t.Context(), Config{Data: data}); err != nil {
		t.Fatal(err)
	}
	e.embedded = &embeddedNATS{down: make(chan struct{})}
	e.onStop("embedded nats", func(ctx context.Context) error { <-ctx.Done(); return errors.New("still shutting down") })
	err := e.unwind(time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "still shutting down") || !strings.Contains(err.Error(), "stays locked") {
		t.Errorf("unwind: %v", err)
	}
	if l, err := lockDir(data); err == nil {
		_ = l.release()
		t.Error("the directory was given up while a server still wrote to it")
	}
}

func TestCancelledStart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	untouched := filepath.Join(t.TempDir(), "data")
	refused(t, ctx, Config{Data: untouched}, "canceled")
	if _, err := os.Stat(untouched); !os.IsNotExist(err) {
		t.Errorf("data directory after a start cancelled before it began: %v, want none", err)
	}

	// Cancelled at some point of the way, whichever it is: either it came up
	// whole, or nothing of it is left and the directory is free.
	data := t.TempDir()
	for i := range 8 {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(time.Duration(i)*7*time.Millisecond, cancel)
		e, err := Start(ctx, Config{Data: data})
		timer.Stop()
		cancel()
		if err != nil {
			continue
		}
		if err := e.Redis.Client.Ping(t.Context()).Err(); err != nil {
			t.Errorf("after a start that outran its cancel: %v", err)
		}
		if err := e.Stop(); err != nil {
			t.Errorf("Stop: %v", err)
		}
	}
	start(t, Config{Data: data})
}

func TestNothingLeaks(t *testing.T) {
	data := t.TempDir()
	cycle := func() {
		e, err := Start(t.Context(), Config{Data: data})
		if err != nil {
			t.Fatalf("Start: %v", err)
		}
		if err := e.Redis.Client.Ping(t.Context()).Err(); err != nil {
			t.Error(err)
		}
		if err := e.Redis.Queue.Ping(t.Context()).Err(); err != nil {
			t.Error(err)
		}
		if err := e.Stop(); err != nil {
			t.Fatalf("Stop: %v", err)
		}
	}
	cycle() // what is made once per process is made now
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for range 10 {
		cycle()
	}
	eventually(t, "goroutines back to what they were", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "open files back to what they were", func() bool { return openFiles(t) <= files })
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
