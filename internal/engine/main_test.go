package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// parentEnv makes the test binary a parent of engines in the directory it
// names, to be killed from outside.
const parentEnv = "CARILLON_TEST_ENGINE_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentEnv); dir != "" {
		beParent(dir)
	}
	os.Exit(m.Run())
}

// beParent starts engines, prints the child's pid and waits to be killed, or
// for its stdin to end, lest it outlive the test.
func beParent(dir string) {
	e, err := Start(context.Background(), Config{Data: dir})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	text, err := e.Redis.Client.Info(context.Background(), "server").Result()
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println("pid:", parseInfo(text)["process_id"])
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = e.Stop()
	os.Exit(0)
}

// start starts engines that end with the test, and checks that they end well.
func start(t *testing.T, c Config) *Engines {
	t.Helper()
	e, err := Start(t.Context(), c)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	return e
}

// refused asserts that Start fails with one line that has all of wants.
func refused(t *testing.T, ctx context.Context, c Config, wants ...string) {
	t.Helper()
	e, err := Start(ctx, c)
	if err == nil {
		_ = e.Stop()
		t.Fatalf("Start: started, want an error with %q", wants)
	}
	if strings.ContainsAny(err.Error(), "\r\n") {
		t.Errorf("Start: error of several lines: %q", err)
	}
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("Start: a secret in %q", err)
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Start: %q lacks %q", err, want)
		}
	}
}

// eventually polls cond, for what offers nothing to wait on.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(60 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within 60 s: %s", what)
		}
	}
}

// received waits for a channel to be closed or to deliver.
func received[T any](t *testing.T, what string, ch <-chan T) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(60 * time.Second):
		t.Fatalf("not within 60 s: %s", what)
	}
}

// watch opens a handle on a process that stays meant for that process.
func watch(t *testing.T, pid int) (ended func() bool) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return func() bool { return true }
	}
	if err != nil {
		t.Fatalf("pidfd_open %d: %v", pid, err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return func() bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return err == nil && n == 1
	}
}

// syncBuffer collects a log that several goroutines write.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func logInto(b *syncBuffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
