package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
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
