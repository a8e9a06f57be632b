package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-dev/carillon/internal/sandbox"
	"github.com/carillon-dev/carillon/pkg/client"
)

// programs are built once for all tests of this package: our own, and the
// server that an installation of processes stands on.
type programs struct {
	once sync.Once
	dir  string
	err  error
}

func (b *programs) path(t *testing.T, name string) string {
	t.Helper()
	b.once.Do(func() {
		if b.dir, b.err = os.MkdirTemp("", "carillon-e2e-"); b.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", b.dir, "github.com/carillon-dev/carillon/cmd/...", "github.com/nats-io/nats-server/v2").CombinedOutput()
		if err != nil {
			b.err = fmt.Errorf("build: %w\n%s", err, out)
		}
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return filepath.Join(b.dir, name)
}

var built programs

// atATime is how many tests run side by side at least where nothing else does:
// most of what they do is wait.
const atATime = 3

func TestMain(m *testing.M) {
	flag.Parse()
	if alone() {
		if err := flag.Set("test.parallel", strconv.Itoa(max(runtime.GOMAXPROCS(0), atATime))); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if err := faults.report(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// platform is a sandbox that outlives the process under test.
type platform struct {
	*sandbox.Sandbox
	url  string
	only string // account; "": all
}

// of is the platform as one account sees it.
func (p *platform) of(account string) *platform { return &platform{p.Sandbox, p.url, account} }

func newPlatform(t *testing.T, o sandbox.Options) *platform {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{Sandbox: sandbox.New(o), url: "http://" + ln.Addr().String()}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error("sandbox:", err)
		}
	})
	return p
}

// accepted is one message that the platform took.
type accepted struct {
	Time      time.Time `json:"time"`
	Account   string    `json:"account"`
	Person    string    `json:"person"`
	Metadata  string    `json:"metadata"`
	Text      string    `json:"text"`
	Echoed    bool      `json:"echoed"` // told, and answered 200; the same for the next two
	Delivered bool      `json:"delivered"`
	Read      bool      `json:"read"`
	ReadAt    time.Time `json:"read_at"`
}

// books returns everything that the platform accepted.
func (p *platform) books(t *testing.T) []accepted {
	t.Helper()
	return lines[accepted](t, p, "accepted")
}

// lines reads one of the platform's lists, asked for over HTTP as anybody
// would.
func lines[T any](t *testing.T, p *platform, list string) []T {
	t.Helper()
	var out []T
	resp, err := http.Get(p.url + "/_sandbox/" + list + "?limit=1000000&account=" + p.only)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for dec.More() {
		var a T
		if err := dec.Decode(&a); err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

func (p *platform) count() int { return int(p.Summary(p.only).Accepted) }

// process is a running `carillon dev`.
type process struct {
	office
	path string // of the binary
	dir  string
	addr string
	meta string
	env  []string
	*child
}

// child is a running program.
type child struct {
	cmd  *exec.Cmd
	log  *transcript
	done chan struct{}
}

// transcript is what a program says, to be read while it does.
type transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// spawn starts a program. Whoever does ends it.
func spawn(t *testing.T, env []string, path string, args ...string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(path, args...), log: &transcript{}, done: make(chan struct{})}
	c.cmd.Env, c.cmd.Stdout, c.cmd.Stderr = env, c.log, c.log
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = c.cmd.Wait(); close(c.done) }()
	return c
}

// end ends a child by a signal and waits for it.
func (c *child) end(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	select {
	case <-c.done:
	case <-time.After(40 * time.Second):
		t.Errorf("%s does not end; killing it", c.cmd.Path)
		_ = c.cmd.Process.Kill()
		<-c.done
	}
}

// running tells whether a child has not ended.
func (c *child) running() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// freeAddr returns an address where nobody listens. Its port is below those
// that systems give away by themselves, lest somebody get it before the
// process does, or while that is stopped.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(5_000)))
		if err != nil {
			continue // somebody listens there
		}
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		return ln.Addr().String()
	}
	t.Fatal("no free port")
	panic("unreachable")
}

// boot starts `carillon dev` on a new data directory against a platform, or
// with the sample and its own sandbox where there is none.
func boot(t *testing.T, p *platform, env ...string) *process {
	t.Helper()
	pr := &process{office: office{t: t}, dir: t.TempDir(), addr: freeAddr(t), env: env}
	if p != nil {
		pr.meta = p.url
	}
	pr.start()
	t.Cleanup(func() {
		if pr.running() {
			pr.stop(syscall.SIGTERM)
		}
		if t.Failed() || testing.Verbose() {
			t.Logf("the process said:\n%s", tail(pr.log.String(), 4000))
		}
	})
	return pr
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

func (p *process) environ() []string {
	return append(append(os.Environ(), "CARILLON_DATA="+p.dir, "CARILLON_LISTEN="+p.addr, "CARILLON_API=http://"+p.addr,
		"CARILLON_META_URL="+p.meta, "CARILLON_TOKEN=", "BAKERY_TOKEN=secret-token"), p.env...)
}

// start starts the process, again after it was stopped, and waits until it is
// ready.
func (p *process) start() {
	p.t.Helper()
	p.path = built.path(p.t, "carillon")
	p.child = spawn(p.t, p.environ(), p.path, "dev", "--verbose", fmt.Sprintf("--sample=%t", p.meta == ""))
	p.until("the process is ready", func() bool {
		if !p.running() {
			p.t.Fatalf("the process ended: %v\n%s", p.cmd.ProcessState, p.log)
		}
		token, err := os.ReadFile(filepath.Join(p.dir, "token"))
		if err != nil {
			return false
		}
		p.api = client.New("http://"+p.addr, strings.TrimSpace(string(token)))
		return p.api.Ready(p.t.Context()) == nil
	})
}

// stop ends the process by a signal and waits for it.
func (p *process) stop(sig syscall.Signal) {
	p.t.Helper()
	p.end(p.t, sig)
}

// redis returns a client of the process's own Redis.
func (p *process) redis() *redis.Client {
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: filepath.Join(p.dir, "redis.sock")})
	p.t.Cleanup(func() { _ = c.Close() })
	return c
}
