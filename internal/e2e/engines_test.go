package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
)

// engine is a server of others that is started again as it was.
type engine struct {
	*child
	t    *testing.T
	name string
	addr string
	path string
	args []string
}

// run runs a server until the test ends, once it listens.
func run(t *testing.T, name, addr, path string, args ...string) *engine {
	t.Helper()
	e := &engine{t: t, name: name, addr: addr, path: path, args: args}
	e.start()
	e.listens()
	return e
}

func (e *engine) start() {
	e.t.Helper()
	c := spawn(e.t, os.Environ(), e.path, e.args...)
	e.child = c
	e.t.Cleanup(func() {
		if c.running() {
			c.end(e.t, syscall.SIGTERM)
		}
		if e.t.Failed() {
			e.t.Logf("%s said:\n%s", e.name, tail(c.log.String(), 2000))
		}
	})
}

// listens waits until the server lets somebody in.
func (e *engine) listens() {
	e.t.Helper()
	o := office{t: e.t}
	o.until(e.name+" listens", func() bool {
		if !e.running() {
			e.t.Fatalf("%s ended:\n%s", e.name, e.log)
		}
		conn, err := net.Dial("tcp", e.addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

func portOf(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// write writes a file that only its owner may read.
func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const streams = "jetstream { store_dir: %q, sync_interval: always }\n"

// natsServer runs a server that syncs always and returns its URL.
func natsServer(t *testing.T, dir string) string {
	t.Helper()
	return "nats://" + natsOne(t, dir).addr
}

func natsOne(t *testing.T, dir string) *engine {
	t.Helper()
	addr := freeAddr(t)
	conf := fmt.Sprintf("listen: %q\nserver_name: one\n"+streams, addr, filepath.Join(dir, "js"))
	return run(t, "nats", addr, built.path(t, "nats-server"), "-c", write(t, filepath.Join(dir, "nats.conf"), conf))
}

// operator is somebody with a tool of his own, who may ask NATS everything.
func operator(t *testing.T, url string, o ...nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, append(o, nats.MaxReconnects(-1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func redisServer(t *testing.T, dir string) string {
	t.Helper()
	addr := freeAddr(t)
	redisAt(t, "redis", addr, dir)
	return "redis://" + addr
}

// redisAt runs a Redis that holds what is hot and nothing else.
func redisAt(t *testing.T, name, addr, dir string, more ...string) *engine {
	t.Helper()
	args := append([]string{"--port", portOf(t, addr), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction", "--dir", dir}, more...)
	return run(t, name, addr, "redis-server", args...)
}

// ask returns a client of one Redis or Sentinel.
func ask(t *testing.T, o *redis.Options) *redis.Client {
	t.Helper()
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}
