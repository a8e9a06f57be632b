package engine

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestRedisChecks(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	e := start(t, Config{Data: t.TempDir()})
	c := e.Redis.Client
	if err := e.Redis.check(t.Context(), logInto(&log)); err != nil || log.String() != "" {
		t.Errorf("check of a sound server: %v, %s", err, log.String())
	}
	if err := c.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	if err := e.Redis.check(t.Context(), logInto(&log)); err != nil || !strings.Contains(log.String(), "allkeys-lru") {
		t.Errorf("check of an evicting server: %v, log %q; want a warning", err, log.String())
	}
	if err := c.Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := e.Redis.check(t.Context(), logInto(&log)); err == nil || !strings.Contains(err.Error(), "replica") {
		t.Errorf("check of a replica: %v", err)
	}
}

func TestRedisPasswordRefused(t *testing.T) {
	t.Parallel()
	e := start(t, Config{Data: t.TempDir()})
	if err := e.Redis.Client.ConfigSet(t.Context(), "requirepass", "right").Err(); err != nil {
		t.Fatal(err)
	}
	socket := strings.TrimPrefix(e.Redis.where, "unix:")
	refused(t, t.Context(), Config{NATSURL: natsServer(t, nil).ClientURL(), RedisURL: "unix://:s3cret@" + socket}, "credentials refused")
}

func TestClientNeverRetries(t *testing.T) {
	t.Parallel()
	e := start(t, Config{Data: t.TempDir()})
	c, ok := e.Redis.Client.(*redis.Client)
	if !ok {
		t.Fatalf("Client is a %T", e.Redis.Client)
	}
	if o := c.Options(); o.MaxRetries != 0 || o.DialerRetries != 1 || !o.ContextTimeoutEnabled || o.ReadTimeout != redisTimeout {
		t.Errorf("options %+v", o) // the library turns -1 into 0 retries
	}
	q := e.Redis.Queue.(*redis.Client)
	if q.Options().MaxRetries == 0 {
		t.Error("Queue doesn't retry")
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ version, role, want string }{
		{"6.2.0", "master", ""}, {"7.0.15", "master", ""},
		{"6.1.99", "master", "is version 6.1.99; 6.2.0"}, {"", "master", "version"}, {"7.0.15", "slave", "replica"}, {"7.0.15", "", "replica"},
	} {
		err := judge(map[string]string{"redis_version": tc.version, "role": tc.role})
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}

// A connection that can't tell which Redis it reached is not used.
func TestUnidentifiedConnectionIsNotUsed(t *testing.T) {
	t.Parallel()
	e := start(t, Config{Data: t.TempDir()})
	ctx := t.Context()
	if err := e.Redis.Client.Do(ctx, "ACL", "SETUSER", "blind", "on", ">p", "~*", "+@all", "-info").Err(); err != nil {
		t.Fatal(err)
	}
	r, err := openRedis("unix://blind:p@"+strings.TrimPrefix(e.Redis.where, "unix:"), certificates{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.close(ctx)
	if err := r.Client.Ping(ctx).Err(); err == nil {
		t.Error("PING through a connection without a run id = nil")
	}
	if err := r.Queue.Ping(ctx).Err(); err != nil {
		t.Errorf("the queue's client needs no run id: %v", err)
	}
}

// Two connections to two servers: the newest decides, and whoever waits for a
// change is woken.
func TestRunIDFollowsTheNewestConnection(t *testing.T) {
	t.Parallel()
	a, b := start(t, Config{Data: t.TempDir()}), start(t, Config{Data: t.TempDir()})
	id, changed := a.Redis.Changed()
	if id == b.Redis.RunID() {
		t.Fatal("two servers with one run id")
	}
	other := b.Redis.Client.(*redis.Client).Conn()
	defer other.Close()
	if err := a.Redis.identify(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	received(t, "the change", changed)
	next, unchanged := a.Redis.Changed()
	if next != b.Redis.RunID() {
		t.Errorf("run id %s, want that of the newest connection, %s", next, b.Redis.RunID())
	}
	if err := a.Redis.identify(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	select {
	case <-unchanged:
		t.Error("woken although the run id is the same")
	default:
	}
}

func TestParseInfo(t *testing.T) {
	t.Parallel()
	got := parseInfo("# Server\r\nredis_version:7.0.15\r\nconfig_file:\r\n\r\nexecutable:/a:b\r\n")
	want := map[string]string{"redis_version": "7.0.15", "config_file": "", "executable": "/a:b"}
	if len(got) != len(want) {
		t.Errorf("parseInfo = %v", got)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s = %q, want %q", k, got[k], v)
		}
	}
}
