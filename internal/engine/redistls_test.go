package engine

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-dev/carillon/internal/authority"
)

// guard is how a Redis is locked in these tests: encrypted, with client
// certificates, and with one user beside the test's own.
type guard struct {
	ca                           *authority.Authority
	cert, key                    string // a client's
	serverCert, serverKey        string
	administrator, adminPassword string
}

func newGuard(t *testing.T) guard {
	t.Helper()
	g := guard{ca: authority.New(t), administrator: "admin", adminPassword: "4dmin"}
	g.cert, g.key = g.ca.Issue(t, "client")
	g.serverCert, g.serverKey = g.ca.Issue(t, "server")
	return g
}

// args are a server's, a Sentinel's too.
func (g guard) args(t *testing.T, addr string, more ...string) []string {
	return append([]string{
		"--port", "0", "--tls-port", port(t, addr), "--tls-cert-file", g.serverCert, "--tls-key-file", g.serverKey,
		"--tls-ca-cert-file", g.ca.File, "--tls-auth-clients", "yes", "--tls-replication", "yes",
		"--user", "default", "off", "--user", g.administrator, "on", ">" + g.adminPassword, "~*", "&*", "+@all",
		"--user", "carillon", "on", ">s3cret", "~*", "&*", "+@all", "-@admin",
	}, more...)
}

func (g guard) options(t *testing.T, addr string) *redis.Options {
	t.Helper()
	config, err := Config{RedisCA: g.ca.File, RedisCert: g.cert, RedisKey: g.key}.redisCertificates().config(&tls.Config{MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	return &redis.Options{Addr: addr, TLSConfig: config, Username: g.administrator, Password: g.adminPassword}
}

// sentinelUser is what a client of Sentinel may do, as docs/permissions.md
// has it.
func sentinelUser() []any {
	var out []any
	for _, rule := range strings.Fields(SentinelUser) {
		out = append(out, rule)
	}
	return out
}

func TestRedisEncrypted(t *testing.T) {
	t.Parallel()
	g, others, addr := newGuard(t), authority.New(t), closedPort(t)
	redisProcessAs(t, g.options(t, addr), g.args(t, addr, "--save", "")...)
	nats := natsServer(t, nil).ClientURL()
	right := Config{NATSURL: nats, RedisURL: "rediss://carillon:s3cret@" + addr + "/0", RedisCA: g.ca.File, RedisCert: g.cert, RedisKey: g.key}
	e := start(t, right)
	for _, c := range []redis.UniversalClient{e.Redis.Client, e.Redis.Queue} {
		if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
			t.Error(err)
		}
	}
	strange, strangeKey := others.Issue(t, "client")
	for name, c := range map[string]struct {
		alter func(*Config)
		want  string
	}{
		"no authority":        {func(c *Config) { c.RedisCA = "" }, "CARILLON_REDIS_CA"},
		"another authority":   {func(c *Config) { c.RedisCA = others.File }, "CARILLON_REDIS_CA"},
		"no certificate":      {func(c *Config) { c.RedisCert, c.RedisKey = "", "" }, "CARILLON_REDIS_CERT"},
		"another certificate": {func(c *Config) { c.RedisCert, c.RedisKey = strange, strangeKey }, "CARILLON_REDIS_CERT"},
		"password":            {func(c *Config) { c.RedisURL = "rediss://carillon:s3cret0@" + addr + "/0" }, "credentials refused"},
		"no user":             {func(c *Config) { c.RedisURL = "rediss://" + addr + "/0" }, "credentials refused"},
		"not encrypted":       {func(c *Config) { c.RedisURL = "redis://carillon:s3cret@" + addr + "/0" }, "make it rediss://"},
		"junk authority":      {func(c *Config) { c.RedisCA = g.key }, "CARILLON_REDIS_CA: " + g.key + ": no certificate"},
		"missing certificate": {func(c *Config) { c.RedisCert = "/nonexistent/a" }, "CARILLON_REDIS_CERT: /nonexistent/a: no such file"},
		"key alone":           {func(c *Config) { c.RedisCert = "" }, "CARILLON_REDIS_CERT and CARILLON_REDIS_KEY go together"},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := right
			c.alter(&wrong)
			refused(t, t.Context(), wrong, c.want)
		})
	}
}

// With Sentinel both it and the servers behind it are locked, each with a
// user of its own, and all of them know each other by certificates.
func TestSentinelEncrypted(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	primaryAddr, replicaAddr, sentinelAddr := closedPort(t), closedPort(t), closedPort(t)
	replication := []string{"--save", "", "--masteruser", g.administrator, "--masterauth", g.adminPassword}
	primary := redisProcessAs(t, g.options(t, primaryAddr), g.args(t, primaryAddr, replication...)...)
	replica := redisProcessAs(t, g.options(t, replicaAddr), g.args(t, replicaAddr, append(replication, "--replicaof", "127.0.0.1 "+port(t, primaryAddr), "--repl-diskless-sync-delay", "0")...)...)
	eventually(t, "the replica is linked", func() bool {
		return parseInfo(replica.Info(t.Context(), "replication").Val())["master_link_status"] == "up"
	})
	config := writeFile(t, t.TempDir(), "sentinel.conf", 0o600, []byte(fmt.Sprintf("sentinel monitor m 127.0.0.1 %s 1\nsentinel auth-user m %s\nsentinel auth-pass m %s\n", port(t, primaryAddr), g.administrator, g.adminPassword)))
	sentinel := redisProcessAs(t, g.options(t, sentinelAddr), append([]string{config, "--sentinel"}, g.args(t, sentinelAddr)...)...)
	eventually(t, "the sentinel knows the replica", func() bool {
		return strings.Contains(sentinel.Info(t.Context(), "sentinel").Val(), "slaves=1")
	})
	if err := sentinel.Do(t.Context(), append([]any{"ACL", "SETUSER", "watcher", "on", ">w4tch"}, sentinelUser()...)...).Err(); err != nil {
		t.Fatal(err)
	}

	who := url.Values{"master_name": {"m"}, "username": {"carillon"}, "password": {"s3cret"}}
	right := Config{
		NATSURL: natsServer(t, nil).ClientURL(), RedisURL: "rediss://watcher:w4tch@" + sentinelAddr + "/0?" + who.Encode(),
		RedisCA: g.ca.File, RedisCert: g.cert, RedisKey: g.key,
	}
	e := start(t, right)
	runID := func(c *redis.Client) string { return parseInfo(c.Info(t.Context(), "server").Val())["run_id"] }
	if got := e.Redis.RunID(); got != runID(primary) {
		t.Fatalf("run id %q, want the primary's, %q", got, runID(primary))
	}
	for name, alter := range map[string]func(*Config){
		"sentinel's password": func(c *Config) { c.RedisURL = strings.Replace(c.RedisURL, "w4tch", "s3cret0", 1) },
		"redis' password":     func(c *Config) { c.RedisURL = strings.Replace(c.RedisURL, "password=s3cret", "password=s3cret0", 1) },
		"no authority":        func(c *Config) { c.RedisCA = "" },
		"not encrypted":       func(c *Config) { c.RedisURL = strings.Replace(c.RedisURL, "rediss:", "redis:", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			wrong := right
			alter(&wrong)
			refused(t, t.Context(), wrong, "CARILLON_REDIS_")
		})
	}
	eventually(t, "the sentinel agrees to fail over", func() bool {
		return sentinel.Do(t.Context(), "SENTINEL", "FAILOVER", "m").Err() == nil
	})
	eventually(t, "the new primary's run id", func() bool {
		_ = e.Redis.Client.Ping(t.Context()).Err() // fails meanwhile
		return e.Redis.RunID() == runID(replica)
	})
}
