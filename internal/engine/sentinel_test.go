package engine

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// redisProcess runs a redis-server on a loopback port until the test ends.
func redisProcess(t *testing.T, addr string, args ...string) *redis.Client {
	t.Helper()
	return redisProcessAs(t, &redis.Options{Addr: addr}, append(args, "--port", port(t, addr))...)
}

func port(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// redisProcessAs is redisProcess with what its arguments say of the port, and
// with the options by which to talk to it.
func redisProcessAs(t *testing.T, as *redis.Options, args ...string) *redis.Client {
	t.Helper()
	cmd := exec.Command("redis-server", append(args, "--bind", "127.0.0.1")...)
	cmd.Dir = t.TempDir()
	cmd.SysProcAttr = childAttributes()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	as.PoolSize = 1000 // never stops trying
	c := redis.NewClient(as)
	t.Cleanup(func() { c.Close() })
	eventually(t, "redis-server on "+as.Addr, func() bool { return c.Ping(t.Context()).Err() == nil })
	return c
}

// A failover is noticed: by the client through Sentinel, with the run id of
// the new primary, and never with that of the Sentinel it asked.
func TestSentinelFailoverChangesRunID(t *testing.T) {
	t.Parallel()
	primaryAddr, replicaAddr, sentinelAddr := closedPort(t), closedPort(t), closedPort(t)
	primary := redisProcess(t, primaryAddr, "--save", "")
	_, primaryPort, _ := net.SplitHostPort(primaryAddr)
	replica := redisProcess(t, replicaAddr, "--save", "", "--replicaof", "127.0.0.1 "+primaryPort, "--repl-diskless-sync-delay", "0")
	runID := func(c *redis.Client) string { return parseInfo(c.Info(t.Context(), "server").Val())["run_id"] }
	eventually(t, "the replica is linked", func() bool {
		return parseInfo(replica.Info(t.Context(), "replication").Val())["master_link_status"] == "up"
	})
	config := filepath.Join(t.TempDir(), "sentinel.conf")
	if err := os.WriteFile(config, []byte(fmt.Sprintf("sentinel monitor m 127.0.0.1 %s 1\n", primaryPort)), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := redisProcess(t, sentinelAddr, config, "--sentinel")
	eventually(t, "the sentinel knows the replica", func() bool {
		return strings.Contains(sentinel.Info(t.Context(), "sentinel").Val(), "slaves=1")
	})

	e := start(t, Config{NATSURL: natsServer(t, nil).ClientURL(), RedisURL: "redis://" + sentinelAddr + "/0?master_name=m"})
	if got := e.Redis.RunID(); got != runID(primary) {
		t.Fatalf("run id %q, want the primary's, %q; the sentinel's is %q", got, runID(primary), runID(sentinel))
	}
	toSentinel := sentinel.Conn()
	defer toSentinel.Close()
	if err := e.Redis.identify(t.Context(), toSentinel); err != nil || e.Redis.RunID() != runID(primary) {
		t.Errorf("a connection to the sentinel: %v, run id %q; want the primary's still", err, e.Redis.RunID())
	}
	eventually(t, "the sentinel agrees to fail over", func() bool {
		return sentinel.Do(t.Context(), "SENTINEL", "FAILOVER", "m").Err() == nil
	})
	eventually(t, "the new primary's run id", func() bool {
		_ = e.Redis.Client.Ping(t.Context()).Err() // fails meanwhile
		return e.Redis.RunID() == runID(replica)
	})
}
