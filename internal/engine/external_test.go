package engine

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/redis/go-redis/v9"
)

// natsServer runs a server of its own on a free loopback port.
func natsServer(t *testing.T, change func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()}
	if change != nil {
		change(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats server is not ready")
	}
	return s
}

// silentServer accepts connections and never says a word.
func silentServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// ports counts the ports that this process has tried.
var ports atomic.Int32 //nolint:gochecknoglobals // no test may be given another's

// closedPort is a loopback address where nobody listens. Its port is below
// those that systems give away by themselves, lest a test beside this one get
// it meanwhile.
func closedPort(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 25_000+(7*os.Getpid()+int(ports.Add(1)))%5_000))
		if err != nil {
			continue // somebody listens there
		}
		defer l.Close()
		return l.Addr().String()
	}
	t.Fatal("no free port")
	panic("unreachable")
}

func TestExternalEngines(t *testing.T) {
	t.Parallel()
	nats := natsServer(t, nil)
	owner := start(t, Config{Data: t.TempDir()}) // only its Redis is used
	url := "unix://" + strings.TrimPrefix(owner.Redis.where, "unix:")

	e := start(t, Config{NATSURL: nats.ClientURL(), RedisURL: url})
	if got := e.NATS.ConnectedServerId(); got != nats.ID() {
		t.Errorf("connected to nats %s, want %s", got, nats.ID())
	}
	if e.SyncAlways() {
		t.Error("SyncAlways() = true of a server elsewhere")
	}
	if e.Redis.RunID() == "" || e.Redis.RunID() != owner.Redis.RunID() {
		t.Errorf("run ids %q and %q of one server", e.Redis.RunID(), owner.Redis.RunID())
	}
	for _, c := range []redis.UniversalClient{e.Redis.Client, e.Redis.Queue} {
		if err := c.Ping(t.Context()).Err(); err != nil {
			t.Error(err)
		}
	}
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := owner.Redis.Client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("external redis after Stop: %v, want it left running", err)
	}
	if !nats.Running() {
		t.Error("external nats was stopped")
	}
}

func TestUnreachableEngines(t *testing.T) {
	t.Parallel()
	silent, closed := silentServer(t), closedPort(t)
	up := natsServer(t, nil).ClientURL()
	noJetStream := natsServer(t, func(o *server.Options) { o.JetStream = false }).ClientURL()
	locked := natsServer(t, func(o *server.Options) { o.Username, o.Password = "u", "right" })
	lockedURL := fmt.Sprintf("nats://u:s3cret@%s", locked.Addr())

	for _, tc := range []struct {
		name  string
		c     Config
		wants []string
	}{
		{"nats refuses", Config{NATSURL: "nats://u:s3cret@" + closed, RedisURL: "redis://x"}, []string{"nats at nats://" + closed, "is it running", "CARILLON_NATS_URL"}},
		{"nats is silent", Config{NATSURL: "nats://u:s3cret@" + silent, RedisURL: "redis://x"}, []string{"nats at nats://" + silent}},
		{"nats without jetstream", Config{NATSURL: noJetStream, RedisURL: "redis://x"}, []string{"JetStream is not enabled", "-js"}},
		{"nats password", Config{NATSURL: lockedURL, RedisURL: "redis://x"}, []string{"credentials refused"}},
		{"nats url", Config{NATSURL: "nats://u:s3cret@a:b:c", RedisURL: "redis://x"}, []string{"malformed URL"}},
		{"redis refuses", Config{NATSURL: up, RedisURL: "redis://:s3cret@" + closed + "/0"}, []string{"redis at redis://" + closed, "connection refused", "is it running", "CARILLON_REDIS_URL"}},
		{"redis is silent", Config{NATSURL: up, RedisURL: "redis://:s3cret@" + silent + "/0"}, []string{"redis at redis://" + silent, "no answer in time"}},
		{"redis socket", Config{NATSURL: up, RedisURL: "unix:///nonexistent/redis.sock"}, []string{"redis at unix:/nonexistent/redis.sock", "no such socket"}},
		{"redis url", Config{NATSURL: up, RedisURL: "redis://u:s3cret/0"}, []string{"CARILLON_REDIS_URL", "unix://"}},
		{"redis scheme", Config{NATSURL: up, RedisURL: "s3cret:6379"}, []string{"CARILLON_REDIS_URL"}},
		{"sentinel refuses", Config{NATSURL: up, RedisURL: "redis://:s3cret@" + closed + "/0?master_name=m"}, []string{"redis at sentinel " + closed}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			// Who is silent is waited for until the limit, the others not at all.
			limit := 10 * time.Second
			switch tc.name {
			case "nats is silent":
				tc.c.StartTimeout, limit = time.Second, 4*time.Second
			case "redis is silent":
				tc.c.StartTimeout, limit = 3*time.Second, 10*time.Second
			}
			began := time.Now()
			_, err := Start(t.Context(), tc.c)
			if took := time.Since(began); took > limit {
				t.Errorf("took %v, want at most %v", took, limit)
			}
			if err == nil {
				t.Fatal("started")
			}
			if strings.ContainsAny(err.Error(), "\r\n") || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("error %q: want one line without credentials", err)
			}
			for _, want := range tc.wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

func TestConnectEndsWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	began := time.Now()
	refused(t, ctx, Config{NATSURL: "nats://" + silentServer(t), RedisURL: "redis://x"}, "canceled")
	if took := time.Since(began); took > 4*time.Second { // the dial alone would wait for five
		t.Errorf("took %v after the cancel", took)
	}
}
