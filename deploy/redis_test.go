package deploy

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
)

// redisStage are the Redis servers of an overlay, and its Sentinels.
type redisStage struct {
	*stage
	ca    authority
	procs map[string]*exec.Cmd
}

func newRedisStage(t *testing.T, overlay string) *redisStage {
	t.Helper()
	s := &redisStage{stage: newStage(t, render(t, overlay)), ca: newAuthority(t), procs: map[string]*exec.Cmd{}}
	for _, name := range []string{"redis", "sentinel"} {
		if p := s.layout.pods[name]; p != nil {
			for i := range int(*p.replicas) {
				s.address(fmt.Sprintf("%s-%d.%s", name, i, p.service))
			}
		}
	}
	s.secrets["redis-tls"] = s.ca.issue(t, certificateNames(t, "redis"), s.hosts)
	if s.layout.pods["sentinel"] != nil {
		s.hosts["sentinel"] = s.hosts["sentinel-0.sentinel"] // what DNS gives for the service
	}
	s.secrets["redis-passwords"] = map[string]string{"scheduler": "of-scheduler\n", "worker": "of-worker", "replication": "of-replication", "sentinel": "of-sentinel"}
	return s
}

// start runs a pod's own command by the files and variables of its pod.
func (s *redisStage) start(t *testing.T, of string, ordinal int) *node {
	t.Helper()
	n := s.place(t, of, ordinal)
	cmd := exec.Command(n.pod.main().Command[0], n.text.Replace(n.pod.main().Command[1]))
	cmd.Env = append(n.env, "PATH="+os.Getenv("PATH"))
	out, err := os.Create(filepath.Join(s.root, n.name+".log"))
	must(t, err)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	must(t, out.Close())
	s.procs[n.name] = cmd
	t.Cleanup(func() {
		s.kill(n.name)
		if t.Failed() {
			text, _ := os.ReadFile(out.Name())
			t.Logf("%s:\n%s", n.name, text)
		}
	})
	until(t, n.name+" is ready", func() bool { return s.ready(n) })
	return n
}

func (s *redisStage) kill(name string) {
	if cmd := s.procs[name]; cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		s.procs[name] = nil
	}
}

// ready asks as the kubelet does, except that the pod's own address is not
// the loopback's first.
func (s *redisStage) ready(n *node) bool {
	probe := n.pod.main().ReadinessProbe.Exec.Command
	text, err := os.ReadFile(n.text.Replace(probe[1]))
	if err != nil {
		return false
	}
	cmd := exec.Command(probe[0], "-c", strings.Replace(string(text), "redis-cli ", "redis-cli -h "+n.ip+" ", 1))
	cmd.Env = append(n.env, "PATH="+os.Getenv("PATH"))
	return cmd.Run() == nil
}

// client signs in at one server.
func (s *redisStage) client(t *testing.T, addr, user, password string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{
		Addr: addr, Username: user, Password: password, MaxRetries: -1,
		TLSConfig: &tls.Config{RootCAs: s.ca.pool(), ServerName: "redis", MinVersion: tls.VersionTLS12},
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// url is the one that docs/operations.md tells to put into the Secret, with
// the stage's addresses and password.
func (s *redisStage) url(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../docs/operations.md")
	must(t, err)
	for _, m := range regexp.MustCompile("rediss://scheduler:\\S+?[\"'`]").FindAllString(string(page), -1) {
		m = strings.Trim(m, "\"'`")
		if strings.Contains(m, "master_name") == (s.layout.pods["sentinel"] != nil) {
			return strings.ReplaceAll(m, "$scheduler", "of-scheduler")
		}
	}
	t.Fatal("docs/operations.md gives no URL of Redis for this overlay")
	return ""
}

// Redis alone runs by the files that its pod mounts: over TLS, for the users
// that it has, keeping nothing on disk and forgetting nothing by itself.
func TestRedisByItsManifests(t *testing.T) {
	t.Parallel()
	s := newRedisStage(t, "single")
	n := s.start(t, "redis", 0)
	ctx, addr := t.Context(), n.at(t, "redis")
	o, err := redis.ParseURL(s.url(t))
	must(t, err)
	if found := s.layout.noServer(s.url(t)); found != nil {
		t.Error(found)
	}
	o.Addr, o.TLSConfig.RootCAs, o.MaxRetries = addr, s.ca.pool(), -1
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.Set(ctx, "{carillon}:a", "b", 0).Err())
	must(t, c.Eval(ctx, "return redis.call('get', KEYS[1])", []string{"{carillon}:a"}).Err())
	info, err := c.Info(ctx, "memory", "persistence").Result()
	must(t, err)
	for _, want := range []string{"maxmemory_policy:noeviction", "aof_enabled:0"} {
		if !strings.Contains(info, want) {
			t.Errorf("%s is not in %s", want, info)
		}
	}
	s.keepsNothing(t, n)
	s.refuses(t, addr, c)
}

// keepsNothing sends the server away and looks at what it left.
func (s *redisStage) keepsNothing(t *testing.T, n *node) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(n.dir, "run/redis/redis.conf"))
	must(t, err)
	if !strings.Contains(string(text), "\nsave \"\"\n") || strings.Contains(string(text), "of-scheduler") {
		t.Error("it saves, or the password stands in what was written")
	}
	if _, err := os.Stat(filepath.Join(n.dir, "run/redis/dump.rdb")); err == nil {
		t.Error("something was saved")
	}
}

// refuses tries what strangers, and what the scheduler, may not do.
func (s *redisStage) refuses(t *testing.T, addr string, c *redis.Client) {
	t.Helper()
	for name, stranger := range map[string]*redis.Client{
		"nobody":         s.client(t, addr, "", ""),
		"wrong password": s.client(t, addr, "scheduler", "wrong"),
		"no TLS":         redis.NewClient(&redis.Options{Addr: addr, Username: "scheduler", Password: "of-scheduler", MaxRetries: -1}),
	} {
		if err := stranger.Get(t.Context(), "{carillon}:a").Err(); err == nil {
			t.Errorf("%s is let in", name)
		}
	}
	for _, command := range [][]any{{"CONFIG", "GET", "*"}, {"FLUSHALL"}, {"KEYS", "*"}, {"SHUTDOWN"}, {"REPLICAOF", "NO", "ONE"}, {"ACL", "LIST"}, {"GET", "another:a"}} {
		if err := c.Do(t.Context(), command...).Err(); err == nil || !strings.Contains(err.Error(), "NOPERM") {
			t.Errorf("%v: %v, want a refusal", command, err)
		}
	}
}

// Three servers and three Sentinels by the files that their pods mount: they
// find each other whatever starts first, replace a primary that is gone, and
// take it back as a replica.
func TestSentinelByItsManifests(t *testing.T) {
	t.Parallel()
	s := newRedisStage(t, "cluster")
	nodes := map[string]*node{}
	for i := range 3 {
		for _, of := range []string{"sentinel", "redis"} {
			n := s.start(t, of, i)
			nodes[n.ip] = n
		}
	}
	o, err := redis.ParseURL(strings.Split(s.url(t), "?")[0])
	must(t, err)
	f := s.failover(t)
	if f.TLSConfig.ServerName != "sentinel" || o.TLSConfig.ServerName != "sentinel" {
		t.Errorf("certificates are checked against %s", f.TLSConfig.ServerName)
	}
	ask := redis.NewSentinelClient(&redis.Options{Addr: nodes[s.hosts["sentinel-1.sentinel"]].at(t, "sentinel"), Username: f.SentinelUsername, Password: f.SentinelPassword, TLSConfig: f.TLSConfig})
	t.Cleanup(func() { _ = ask.Close() })
	until(t, "the sentinels know each other and both replicas", func() bool {
		replicas, err := ask.Replicas(t.Context(), f.MasterName).Result()
		if err != nil || len(replicas) != 2 || replicas[0]["master-link-status"] != "ok" || replicas[1]["master-link-status"] != "ok" {
			return false
		}
		return ask.CkQuorum(t.Context(), f.MasterName).Err() == nil && s.peers(ask, f.MasterName) == 2
	})

	c := redis.NewFailoverClient(f)
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.Set(t.Context(), "{carillon}:a", "b", 0).Err())
	first := nodes[s.primary(t, ask, f.MasterName)]
	if first == nil || first.name != "redis-0" {
		t.Fatalf("the first primary is %+v", first)
	}
	s.kill(first.name)
	until(t, "another is primary", func() bool {
		next := nodes[s.primary(t, ask, f.MasterName)]
		return next != nil && next != first && c.Set(t.Context(), "{carillon}:a", "b", 0).Err() == nil
	})
	again := s.start(t, "redis", 0)
	old := s.client(t, again.at(t, "redis"), "scheduler", "of-scheduler")
	until(t, "the first is a replica of the new one", func() bool {
		info, err := old.Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "role:slave") && strings.Contains(info, "master_link_status:up")
	})
}

// failover reads the URL as the binaries do, and puts the stage's addresses
// into it.
func (s *redisStage) failover(t *testing.T) *redis.FailoverOptions {
	t.Helper()
	f, err := redis.ParseFailoverURL(s.url(t))
	must(t, err)
	for i, a := range f.SentinelAddrs {
		host, port, _ := strings.Cut(a, ":")
		if s.layout.servicePort(host, port) != "sentinel" {
			t.Errorf("%s is no port of the Sentinels' service", a)
		}
		f.SentinelAddrs[i] = s.hosts[host] + ":" + port
	}
	f.TLSConfig.RootCAs = s.ca.pool()
	return f
}

func (s *redisStage) peers(ask *redis.SentinelClient, master string) int {
	others, err := ask.Sentinels(context.Background(), master).Result()
	if err != nil {
		return 0
	}
	return len(others)
}

// primary is the address of the server that a Sentinel calls primary.
func (s *redisStage) primary(t *testing.T, ask *redis.SentinelClient, master string) string {
	t.Helper()
	addr, err := ask.GetMasterAddrByName(t.Context(), master).Result()
	if err != nil {
		return ""
	}
	return addr[0]
}
