package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-dev/carillon/internal/sandbox"
)

// sentinels runs a primary, a replica, and three Sentinels of which two must
// agree. It returns the primary, a client of the replica, and the URL.
func sentinels(t *testing.T, l *layout) (*engine, *redis.Client, string) {
	t.Helper()
	first, second := freeAddr(t), freeAddr(t)
	primary := redisAt(t, "primary", first, l.dir)
	redisAt(t, "replica", second, l.dir, "--replicaof", "127.0.0.1 "+portOf(t, first), "--repl-diskless-sync-delay", "0")
	replica := ask(t, &redis.Options{Addr: second})
	l.until("the replica follows", func() bool {
		return strings.Contains(replica.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	var addrs []string
	var all []*redis.Client
	for i := range 3 {
		addr := freeAddr(t)
		conf := write(t, filepath.Join(l.dir, fmt.Sprintf("sentinel%d.conf", i)), fmt.Sprintf(
			"port %s\nbind 127.0.0.1\ndir %q\nsentinel monitor shop 127.0.0.1 %s 2\nsentinel down-after-milliseconds shop 1000\nsentinel failover-timeout shop 5000\n",
			portOf(t, addr), l.dir, portOf(t, first)))
		run(t, fmt.Sprintf("sentinel %d", i), addr, "redis-server", conf, "--sentinel")
		addrs, all = append(addrs, addr), append(all, ask(t, &redis.Options{Addr: addr}))
	}
	for _, s := range all {
		l.until("the sentinels know each other and the replica", func() bool {
			return strings.Contains(s.Info(t.Context(), "sentinel").Val(), "slaves=1,sentinels=3")
		})
	}
	return primary, replica, fmt.Sprintf("redis://%s/0?master_name=shop&addr=%s&addr=%s", addrs[0], addrs[1], addrs[2])
}

// TestPrimaryKilledUnderSentinel kills the primary in the middle of a
// broadcast. The gate is closed until facts are projected to the replica that
// took over; then it goes on by itself, at the rate it is allowed.
func TestPrimaryKilledUnderSentinel(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 450})
	l := ground(t, pl)
	primary, replica, url := sentinels(t, l)
	l.env = append(l.env, "CARILLON_NATS_URL="+natsServer(t, l.dir), "CARILLON_REDIS_URL="+url)
	l.run(2, 2)
	ps := people(3000, time.Now())
	l.define(pl, "spring", single, ps)
	l.launch("spring")
	l.some(pl, 600)
	at := time.Now()
	primary.end(t, syscall.SIGKILL)
	l.until("the gate closes", func() bool {
		return strings.Contains(l.workers[0].get("/readyz"), "gate")
	})
	n := pl.count()
	l.until("the replica is promoted", func() bool { return strings.Contains(replica.Info(t.Context(), "replication").Val(), "role:master") })
	took := time.Since(at)
	l.some(pl, n+400)
	t.Logf("promoted after %v, 400 more after %v", took.Round(time.Millisecond), time.Since(at).Round(time.Millisecond))
	primary.start() // empty, and for a moment a primary that nobody should believe
	l.ended("spring")
	a := l.reconcile(pl, "spring", ps)
	if a.Sent != sendables(t, ps) || a.Unknown != 0 || a.Pending != 0 {
		t.Errorf("%d sent of %d, %d unknown, %d pending", a.Sent, sendables(t, ps), a.Unknown, a.Pending)
	}
	if v := pl.Summary("").Violations; v["opted_out"]+v["outside_window"]+v["rate"] != 0 {
		t.Errorf("violations: %v", v)
	}
}
