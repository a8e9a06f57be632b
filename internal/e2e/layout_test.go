package e2e

import (
	"bufio"
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/pkg/client"
)

// layout is an installation of processes: NATS and Redis as others run them,
// schedulers and workers beside them.
type layout struct {
	office
	dir        string
	platform   *platform
	env        []string            // of every process of ours, the engines' URLs among it
	of         map[string][]string // of one kind of process, over env
	trust      *tls.Config         // what the API's certificate is checked by; nil: it speaks plain HTTP
	schedulers []*sideProcess
	workers    []*sideProcess
}

// sideProcess is a scheduler or a worker.
type sideProcess struct {
	*child
	t      *testing.T
	kind   string
	args   []string
	health string // host:port
	listen string // of a scheduler
}

// lay starts one NATS and one Redis, and what is asked for on them.
func lay(t *testing.T, p *platform, schedulers, workers int) *layout {
	t.Helper()
	l := ground(t, p)
	l.env = append(l.env, "CARILLON_NATS_URL="+natsServer(t, l.dir), "CARILLON_REDIS_URL="+redisServer(t, l.dir))
	l.run(schedulers, workers)
	return l
}

// ground is a layout on which nothing runs. Whoever asks for it says in env
// where the engines are.
func ground(t *testing.T, p *platform) *layout {
	t.Helper()
	l := &layout{office: office{t: t}, dir: t.TempDir(), platform: p, of: map[string][]string{}}
	l.env = []string{"CARILLON_META_URL=" + p.url, "CARILLON_NATS_SYNC=always"}
	return l
}

// run starts processes, and waits until they are ready.
func (l *layout) run(schedulers, workers int) {
	l.t.Helper()
	for range schedulers {
		l.scheduler()
	}
	for range workers {
		l.worker()
	}
	l.ready()
}

// ready waits until everything that runs says so, and opens the API.
func (l *layout) ready() {
	l.t.Helper()
	for _, s := range append(l.schedulers[:len(l.schedulers):len(l.schedulers)], l.workers...) {
		l.until("the "+s.kind+" is ready", func() bool { return s.up() && s.get("/readyz") == "ready" })
	}
	l.open(l.schedulers[0])
}

// open makes a scheduler the one that is asked, as root.
func (l *layout) open(s *sideProcess) {
	l.t.Helper()
	token, err := os.ReadFile(filepath.Join(l.dir, "token"))
	if err != nil {
		l.t.Fatal(err)
	}
	l.openAs(s, strings.TrimSpace(string(token)))
}

func (l *layout) openAs(s *sideProcess, token string) {
	if l.trust == nil {
		l.api = client.New(l.base(s), token)
	} else {
		l.api = client.New(l.base(s), token, client.WithTLS(l.trust))
	}
}

func (l *layout) base(s *sideProcess) string {
	if l.trust == nil {
		return "http://" + s.listen
	}
	return "https://" + s.listen
}

func (l *layout) environ(kind string) []string {
	env := append(os.Environ(), "CARILLON_DATA="+l.dir, "CARILLON_TOKEN=", "BAKERY_TOKEN=secret-token")
	return append(append(env, l.env...), l.of[kind]...)
}

func (l *layout) scheduler() *sideProcess {
	s := &sideProcess{t: l.t, kind: "scheduler", health: freeAddr(l.t), listen: freeAddr(l.t)}
	s.args = []string{"--verbose", "--health", s.health, "--listen", s.listen}
	l.schedulers = append(l.schedulers, s)
	l.start(s)
	return s
}

func (l *layout) worker() *sideProcess {
	s := &sideProcess{t: l.t, kind: "worker", health: freeAddr(l.t)}
	s.args = []string{"--verbose", "--health", s.health}
	l.workers = append(l.workers, s)
	l.start(s)
	return s
}

// start starts a process, again after it ended.
func (l *layout) start(s *sideProcess) {
	l.t.Helper()
	l.tend(s, spawn(l.t, l.environ(s.kind), built.path(l.t, s.kind), s.args...))
}

// tend ends a process with the test, which tells what it said.
func (l *layout) tend(s *sideProcess, c *child) {
	s.child = c
	l.t.Cleanup(func() {
		if c.running() {
			_ = c.cmd.Process.Signal(syscall.SIGCONT) // it may have been paused
			c.end(l.t, syscall.SIGTERM)
		}
		if l.t.Failed() || testing.Verbose() {
			l.t.Logf("the %s said:\n%s", s.kind, tail(c.log.String(), 6000))
		}
	})
}

// up fails the test where the process has ended by itself.
func (s *sideProcess) up() bool {
	s.t.Helper()
	if !s.running() {
		s.t.Fatalf("the %s ended: %v\n%s", s.kind, s.cmd.ProcessState, s.log)
	}
	return true
}

// signal sends a signal that does not end the process.
func (s *sideProcess) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// get returns what a probe says, in one line; "" where nothing answers.
func (s *sideProcess) get(path string) string {
	c := http.Client{Timeout: 10 * time.Second} // a process whose engines say nothing takes two to say so
	resp, err := c.Get("http://" + s.health + path)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	line, _ := bufio.NewReader(resp.Body).ReadString('\n')
	return strings.TrimSpace(line)
}

// figure reads one metric; false where there is none.
func (s *sideProcess) figure(name string) (float64, bool) {
	c := http.Client{Timeout: 2 * time.Second}
	resp, err := c.Get("http://" + s.health + "/metrics")
	if err != nil {
		return 0, false
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			f, err := strconv.ParseFloat(v, 64)
			return f, err == nil
		}
	}
	return 0, false
}

// leader waits until exactly one of the schedulers that answer leads.
func (l *layout) leader() *sideProcess {
	l.t.Helper()
	var leads *sideProcess
	l.until("one scheduler leads", func() bool {
		leads = nil
		for _, s := range l.schedulers {
			if v, ok := s.figure("carillon_leading"); ok && v == 1 {
				if leads != nil {
					return false
				}
				leads = s
			}
		}
		return leads != nil
	})
	return leads
}

// other returns a scheduler that is not the given one.
func (l *layout) other(s *sideProcess) *sideProcess {
	for _, o := range l.schedulers {
		if o != s {
			return o
		}
	}
	return nil
}
