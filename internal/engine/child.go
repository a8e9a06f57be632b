package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// maxSocketPath is the longest path of a unix socket, in bytes, that every
// supported system takes: macOS has 104 with the final NUL, Linux 108.
const maxSocketPath = 103

// Backoff between restarts of a child that died: doubled from the first to
// the last value, from the start again once a run has lasted longer than that.
const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// readyEvery is how often a child that starts is asked whether it is up. It
// is up after some 10 ms.
const readyEvery = 5 * time.Millisecond

// The life of a child up to the point from which it is restarted by itself.
const (
	starting int32 = iota
	ready
	failed
)

// child is a redis-server of our own on a unix socket. It persists nothing
// and ends with this process. One goroutine owns the process, see supervise.
type child struct {
	binary    string
	dir       string // where it runs
	socket    string
	temp      string        // a directory to remove at the end; "" is none
	grace     time.Duration // between SIGTERM and SIGKILL
	log       *slog.Logger
	onRestart func(context.Context) // called after each restart, set before start

	life     context.Context // ends when the child is to end
	end      context.CancelFunc
	done     chan struct{} // closed when supervise has returned
	state    atomic.Int32
	startErr error // why it failed to start; set before done is closed
	pid      atomic.Int64
	output   lastLine
}

// newChild finds the binary and a place for the socket.
func newChild(data string, grace time.Duration, log *slog.Logger) (*child, error) {
	binary, err := findRedis()
	if err != nil {
		return nil, err
	}
	c := &child{binary: binary, dir: data, grace: grace, log: log.With("engine", "redis"), done: make(chan struct{})}
	c.life, c.end = context.WithCancel(context.Background())
	c.socket = filepath.Join(data, "redis.sock")
	if len(c.socket) > maxSocketPath {
		if c.temp, err = os.MkdirTemp("", "carillon-"); err != nil {
			return nil, fmt.Errorf("a directory for the redis socket, since %s is too long a path for one: %w", c.socket, err)
		}
		c.socket = filepath.Join(c.temp, "redis.sock")
	}
	return c, nil
}

func findRedis() (string, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", errors.New("no redis-server or valkey-server on the PATH; install one (apt-get install redis-server), or set CARILLON_REDIS_URL")
}

// start returns when the child answers, has ended, or ctx has.
func (c *child) start(ctx context.Context) error {
	go c.supervise()
	if err := c.await(ctx); err != nil {
		return err
	}
	if !c.state.CompareAndSwap(starting, ready) {
		<-c.done
		return c.startErr
	}
	return nil
}

// await returns nil once the child answers PING.
func (c *child) await(ctx context.Context) error {
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for ping(ctx, c.socket) != nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s on %s doesn't answer: %w; it last said: %s", c.binary, c.socket, ctx.Err(), c.output.text())
		case <-c.done:
			return c.startErr
		case <-tick.C:
		}
	}
	return nil
}

// stop ends the child: SIGTERM, then SIGKILL after the grace.
func (c *child) stop(ctx context.Context) error {
	c.end()
	select {
	case <-c.done:
	case <-ctx.Done():
		return fmt.Errorf("process %d still runs", c.pid.Load())
	}
	if c.temp != "" {
		return os.RemoveAll(c.temp)
	}
	return nil
}

// supervise runs the child until its life ends. It keeps its thread for all
// that time, because the kernel sends the parent-death signal when the thread
// that forked ends, not the process.
func (c *child) supervise() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var notices sync.WaitGroup
	defer close(c.done)
	defer notices.Wait()
	backoff := firstBackoff
	for restart := false; ; restart = true {
		began := time.Now()
		err := c.run(restart, &notices)
		if c.life.Err() != nil {
			return
		}
		if c.state.CompareAndSwap(starting, failed) {
			c.startErr = fmt.Errorf("%s ended while starting: %w; it last said: %s", c.binary, err, c.output.text())
			return
		}
		if time.Since(began) > lastBackoff {
			backoff = firstBackoff
		}
		c.log.Warn("redis-server ended by itself; what it held is rebuilt from the log", "error", err, "last_output", c.output.text(), "restart_in", backoff)
		if !wait(c.life, backoff) {
			return
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// run runs the child once and returns how it ended, never nil unless life has
// ended.
func (c *child) run(restart bool, notices *sync.WaitGroup) error {
	// A socket left by a killed run belongs to nobody: the data directory is
	// locked by this process.
	if err := os.Remove(c.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	cmd := c.command()
	if err := cmd.Start(); err != nil {
		return err
	}
	c.pid.Store(int64(cmd.Process.Pid))
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	runEnds, cancel := context.WithCancel(c.life)
	defer cancel()
	if restart && c.onRestart != nil {
		notices.Go(func() {
			if c.await(runEnds) == nil {
				c.log.Info("redis-server is up again", "pid", c.pid.Load())
				c.onRestart(runEnds)
			}
		})
	}
	select {
	case err := <-exited:
		if err == nil {
			err = errors.New("exit status 0")
		}
		return err
	case <-c.life.Done():
		return terminate(cmd.Process, exited, c.grace)
	}
}

// command gives the child nothing of this process's environment, where
// credentials may be.
func (c *child) command() *exec.Cmd {
	cmd := exec.Command(c.binary,
		"--port", "0",
		"--unixsocket", c.socket, "--unixsocketperm", "600",
		"--dir", c.dir,
		"--daemonize", "no", "--supervised", "no",
		"--save", "", "--appendonly", "no",
		"--maxmemory", "0", "--maxmemory-policy", "noeviction",
		"--loglevel", "warning", "--logfile", "",
	)
	cmd.Dir = c.dir
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = childAttributes()
	cmd.Stdout, cmd.Stderr = &c.output, &c.output
	cmd.WaitDelay = time.Second // for output held open by something else
	return cmd
}

func terminate(p *os.Process, exited <-chan error, grace time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-exited:
		return nil
	case <-late.C:
	}
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-exited
	return nil
}

// wait waits for d and reports whether ctx still lives.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
