package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-dev/carillon/internal/sandbox"
	"github.com/carillon-dev/carillon/pkg/client"
)

// binary is built once for all tests of this package.
type binary struct {
	once sync.Once
	path string
	err  error
}

func (b *binary) build() (string, error) {
	b.once.Do(func() {
		dir, err := os.MkdirTemp("", "carillon-e2e-")
		if err != nil {
			b.err = err
			return
		}
		b.path = filepath.Join(dir, "bin", "carillon")
		out, err := exec.Command("go", "build", "-o", b.path, "github.com/carillon-dev/carillon/cmd/carillon").CombinedOutput()
		if err != nil {
			b.err = fmt.Errorf("build: %w\n%s", err, out)
		}
	})
	return b.path, b.err
}

var carillon binary

func TestMain(m *testing.M) {
	code := m.Run()
	if carillon.path != "" {
		_ = os.RemoveAll(filepath.Dir(filepath.Dir(carillon.path)))
	}
	os.Exit(code)
}

// platform is a sandbox that outlives the process under test.
type platform struct {
	*sandbox.Sandbox
	url string
}

func newPlatform(t *testing.T, o sandbox.Options) *platform {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{sandbox.New(o), "http://" + ln.Addr().String()}
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
	Time     time.Time `json:"time"`
	Person   string    `json:"person"`
	Metadata string    `json:"metadata"`
	Text     string    `json:"text"`
}

// books returns everything that the platform accepted, asked for over HTTP as
// anybody would.
func (p *platform) books(t *testing.T) []accepted {
	t.Helper()
	var out []accepted
	resp, err := http.Get(p.url + "/_sandbox/accepted?limit=1000000")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for dec.More() {
		var a accepted
		if err := dec.Decode(&a); err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

func (p *platform) count() int { return int(p.Summary("").Accepted) }

// process is a running `carillon dev`.
type process struct {
	t    *testing.T
	path string // of the binary
	dir  string
	addr string
	meta string
	env  []string
	cmd  *exec.Cmd
	log  *bytes.Buffer
	done chan struct{}
	api  *client.Client
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
	pr := &process{t: t, dir: t.TempDir(), addr: freeAddr(t), env: env}
	if p != nil {
		pr.meta = p.url
	}
	pr.start()
	t.Cleanup(func() {
		if pr.cmd.ProcessState == nil {
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
	path, err := carillon.build()
	if err != nil {
		p.t.Fatal(err)
	}
	p.log = &bytes.Buffer{}
	p.path = path
	p.cmd = exec.Command(path, "dev", "--verbose", fmt.Sprintf("--sample=%t", p.meta == ""))
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = p.environ(), p.log, p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) { _ = cmd.Wait(); close(done) }(p.cmd, p.done)
	p.until("the process is ready", func() bool {
		select {
		case <-p.done:
			p.t.Fatalf("the process ended: %v\n%s", p.cmd.ProcessState, p.log)
		default:
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
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	select {
	case <-p.done:
	case <-time.After(40 * time.Second):
		p.t.Error("the process does not end; killing it")
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// patience bounds every wait of this package.
const patience = 90 * time.Second

// until asks again and again until a condition holds.
func (p *process) until(what string, ok func() bool) {
	p.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-limit:
			p.t.Fatalf("waited %s in vain until %s", patience, what)
		case <-tick.C:
		}
	}
}

// redis returns a client of the process's own Redis.
func (p *process) redis() *redis.Client {
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: filepath.Join(p.dir, "redis.sock")})
	p.t.Cleanup(func() { _ = c.Close() })
	return c
}

// person is one contact as the test made it.
type person struct {
	id, name, out string
	inbound       time.Time // zero: never wrote
}

// people invents n contacts: most may be written to, some may not.
func people(n int, now time.Time) []person {
	out := make([]person, n)
	for i := range out {
		p := person{id: fmt.Sprintf("4521529%09d", i), name: fmt.Sprintf("Person %d", i), inbound: now.Add(-time.Duration(i%600) * time.Minute)}
		switch {
		case i%23 == 0:
			p.out = "all"
		case i%19 == 0:
			p.inbound = now.Add(-30 * time.Hour)
		case i%29 == 0:
			p.inbound = time.Time{}
		case i%31 == 0:
			p.name = ""
		}
		out[i] = p
	}
	return out
}

// sendable tells whether the contact may get the test's message.
func (p person) sendable(now time.Time) bool {
	return p.out == "" && p.name != "" && now.Sub(p.inbound) < 24*time.Hour && !p.inbound.IsZero()
}

func csv(ps []person) string {
	var b strings.Builder
	b.WriteString("id,name,last_inbound,opted_out,labels,city\n")
	for _, p := range ps {
		in := ""
		if !p.inbound.IsZero() {
			in = p.inbound.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(&b, "%s,%s,%s,%s,regular,Oslo\n", p.id, p.name, in, p.out)
	}
	return b.String()
}

const account = "1062540011223344"

// define applies a sender and a broadcast, and imports contacts into Carillon
// and, by its own door, into the platform's books.
func (p *process) define(pl *platform, id, sender string, ps []person) {
	p.t.Helper()
	doc := fmt.Sprintf(`kind: Sender
id: %[1]s
channel: messenger
account: "%[2]s"
credential: env:BAKERY_TOKEN
%[3]s
---
kind: Broadcast
id: %[1]s
sender: %[1]s
audience: {labels: [regular]}
message: {text: "Hello {{.name}}, the spring menu is here."}
`, id, account, sender)
	if _, err := p.api.Apply(p.t.Context(), "test.yaml", strings.NewReader(doc)); err != nil {
		p.t.Fatal(err)
	}
	if _, err := pl.LoadPeople(account, strings.NewReader(csv(ps))); err != nil {
		p.t.Fatal(err)
	}
	done, err := p.api.ImportContacts(p.t.Context(), id, strings.NewReader(csv(ps)), false, func(client.ImportEvent) {})
	if err != nil {
		p.t.Fatal(err)
	}
	if done.Rows != len(ps) || done.Bad != 0 || !done.InForce {
		p.t.Fatalf("import: %+v", done)
	}
}

func (p *process) launch(id string) {
	p.t.Helper()
	if _, err := p.api.Launch(p.t.Context(), id, "bulk_discouraged"); err != nil {
		p.t.Fatal(err)
	}
}

// ended waits until a broadcast is over.
func (p *process) ended(id string) client.Audit {
	p.t.Helper()
	p.until(id+" has ended", func() bool {
		b, err := p.api.Broadcast(p.t.Context(), id)
		return err == nil && b.Over()
	})
	a, err := p.api.Audit(p.t.Context(), id)
	if err != nil {
		p.t.Fatal(err)
	}
	return a
}

// still waits until nothing moves in a stopped broadcast: an envelope that
// was waiting for its slot may yet claim a job, see the stop in the recheck,
// and settle it.
func (p *process) still(id string) {
	p.t.Helper()
	var seq uint64
	same := 0
	p.until(id+" is still", func() bool {
		a, err := p.api.Audit(p.t.Context(), id)
		if err != nil {
			p.t.Fatal(err)
		}
		if same++; a.LedgerSeq != seq || a.Claimed > 0 {
			seq, same = a.LedgerSeq, 0
		}
		return same >= 60 // looks, 20 ms apart: longer than a worker waits for a slot
	})
}

// some waits until the platform has accepted at least n messages.
func (p *process) some(pl *platform, n int) {
	p.t.Helper()
	p.until(fmt.Sprintf("the platform accepted %d messages", n), func() bool { return pl.count() >= n })
}
