package engine

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func childPID(t *testing.T, e *Engines) int {
	t.Helper()
	text, err := e.Redis.Client.Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(parseInfo(text)["process_id"], &pid); err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestKilledChildIsRestartedWithAnotherRunID(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	e := start(t, Config{Data: t.TempDir(), Log: logInto(&log)})
	if err := e.Redis.Client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	before, changed := e.Redis.Changed()
	if before == "" || before != e.Redis.RunID() {
		t.Fatalf("Changed() = %q, RunID() = %q", before, e.Redis.RunID())
	}
	ended := watch(t, childPID(t, e))
	if err := syscall.Kill(childPID(t, e), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the killed child has ended", ended)
	// No command is sent: the restart itself has to show.
	received(t, "a change of the run id", changed)
	if after := e.Redis.RunID(); after == before || after == "" {
		t.Errorf("run id %q after the restart, %q before", after, before)
	}
	if n, err := e.Redis.Client.Exists(t.Context(), "k").Result(); err != nil || n != 0 {
		t.Errorf("EXISTS after the restart = %d, %v; local Redis persists nothing", n, err)
	}
	if !strings.Contains(log.String(), "ended by itself") {
		t.Errorf("log has no line on the restart:\n%s", log.String())
	}
}

func TestStopWhileChildRestarts(t *testing.T) {
	t.Parallel()
	for range 3 {
		e := start(t, Config{Data: t.TempDir()})
		pid := childPID(t, e)
		ended := watch(t, pid)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the killed child has ended", ended)
		if err := e.Stop(); err != nil {
			t.Errorf("Stop: %v", err)
		}
	}
}

func TestChildEndsWithItsParent(t *testing.T) {
	t.Parallel()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"="+t.TempDir())
	stdin, err := parent.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	var pid int
	if _, scanErr := fmt.Sscanf(line, "pid: %d", &pid); scanErr != nil {
		t.Fatalf("parent said %q, %v", line, err)
	}
	ended := watch(t, pid)
	if ended() {
		t.Fatal("the child ended before its parent")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // says "killed"
	eventually(t, "the child has ended", ended)
}

func TestStartAfterKilledParent(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "lock"), []byte("999999\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "redis.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, Config{Data: data})
}

func TestLongDataPathUsesShortSocket(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	fits := filepath.Join(base, strings.Repeat("d", maxSocketPath-len(base)-len("//redis.sock")))
	e := start(t, Config{Data: fits})
	if got := strings.TrimPrefix(e.Redis.where, "unix:"); len(got) != maxSocketPath || filepath.Dir(got) != fits {
		t.Errorf("socket %s of %d bytes, want it in the data directory at %d", got, len(got), maxSocketPath)
	}
	e = start(t, Config{Data: fits + "d"})
	socket := strings.TrimPrefix(e.Redis.where, "unix:")
	if len(socket) > maxSocketPath {
		t.Errorf("socket %s is %d bytes", socket, len(socket))
	}
	info, err := os.Stat(filepath.Dir(socket))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory of the socket: %v, %v; want mode 0700", info, err)
	}
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(socket)); !os.IsNotExist(err) {
		t.Errorf("directory of the socket after Stop: %v, want it gone", err)
	}
}

func TestMissingBinaryIsOneLine(t *testing.T) {
	t.Setenv("PATH", "")
	refused(t, t.Context(), Config{Data: t.TempDir()}, "redis-server", "apt-get install redis-server", "CARILLON_REDIS_URL")
}

// script puts an executable of that name on an otherwise normal PATH.
func script(t *testing.T, name, body string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+body), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestChildThatEndsAtOnce(t *testing.T) {
	script(t, "redis-server", "echo first; echo Bad directive; exit 1\n")
	refused(t, t.Context(), Config{Data: t.TempDir()}, "ended while starting", "exit status 1", "Bad directive")
}

// A child that neither answers nor heeds SIGTERM is killed.
func TestChildThatHangs(t *testing.T) {
	script(t, "redis-server", "trap '' TERM; echo $$ > pid; echo stuck; exec sleep 600\n")
	began, data := time.Now(), t.TempDir()
	refused(t, t.Context(), Config{Data: data, StartTimeout: 3 * time.Second, StopTimeout: 2 * time.Second}, "doesn't answer", "stuck")
	text, err := os.ReadFile(filepath.Join(data, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if !watch(t, pid)() {
		t.Errorf("process %d still runs after a failed start", pid)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v, want no more than the limits", took)
	}
}

func TestChildGetsNoCredentials(t *testing.T) {
	t.Setenv("CARILLON_TOKEN", "secret")
	c := &child{binary: "redis-server"}
	if env := strings.Join(c.command().Env, " "); strings.Contains(env, "secret") {
		t.Errorf("environment %q", env)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	if !wait(ctx, time.Nanosecond) {
		t.Error("wait on a living context = false")
	}
	cancel()
	if wait(ctx, time.Hour) {
		t.Error("wait on an ended context = true")
	}
}

func TestLastLine(t *testing.T) {
	t.Parallel()
	var l lastLine
	for _, tc := range []struct{ in, want string }{
		{"", "nothing"}, {"a\n", "a"}, {"b\n\tc  d\n", "c d"}, {"\n\n", "c d"}, {"e", "e"},
	} {
		if n, err := l.Write([]byte(tc.in)); n != len(tc.in) || err != nil {
			t.Fatalf("Write(%q) = %d, %v", tc.in, n, err)
		}
		if got := l.text(); got != tc.want {
			t.Errorf("after %q: %q, want %q", tc.in, got, tc.want)
		}
	}
}
