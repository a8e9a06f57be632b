package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/sandbox"
)

// TestWorkerWaitsForScheduler starts the worker first: it says what it waits
// for, and goes on by itself once a scheduler has made it.
func TestWorkerWaitsForScheduler(t *testing.T) {
	l := ground(t, newPlatform(t, sandbox.Options{}))
	l.env = append(l.env, "CARILLON_NATS_URL="+natsServer(t, l.dir), "CARILLON_REDIS_URL="+redisServer(t, l.dir))
	w := l.worker()
	l.until("the worker says that it waits", func() bool {
		return w.up() && strings.Contains(w.log.String(), "waiting for a scheduler to make what this process needs")
	})
	l.scheduler()
	l.ready()
}

// TestRefusedStarts says of each start that can't succeed what is wrong, in
// one line, and that nothing was begun.
func TestRefusedStarts(t *testing.T) {
	l := ground(t, newPlatform(t, sandbox.Options{}))
	dir := t.TempDir()
	addr := freeAddr(t)
	conf := fmt.Sprintf("listen: %q\nserver_name: one\n"+streams+"authorization { user: shop, password: right }\n", addr, filepath.Join(dir, "js"))
	run(t, "nats", addr, built.path(t, "nats-server"), "-c", write(t, filepath.Join(dir, "nats.conf"), conf))
	queue := redisServer(t, dir)
	l.env = append(l.env, "CARILLON_NATS_URL=nats://shop:right@"+addr, "CARILLON_REDIS_URL="+queue)
	l.run(1, 1)
	js := operator(t, "nats://"+addr, nats.UserInfo("shop", "right"))
	changed(t, js, "FACTS", func(c *jetstream.StreamConfig) {
		c.Name, c.Subjects, c.MaxMsgsPerSubject = "a_FACTS", renamed("a", c.Subjects), 2
	})
	changed(t, js, "KV_DEFS", func(c *jetstream.StreamConfig) { c.Name, c.Subjects = "KV_a_DEFS", []string{"$KV.a_DEFS.>"} })
	half := strings.Repeat("0123456789abcdef", 4)
	both := []string{"scheduler", "worker"}
	for name, c := range map[string]struct {
		kinds []string
		env   []string
		args  []string
		code  int
		want  []string
	}{
		"no NATS URL":        {both, []string{"CARILLON_NATS_URL="}, nil, 1, []string{"CARILLON_NATS_URL is not set"}},
		"no Redis URL":       {both, []string{"CARILLON_REDIS_URL="}, nil, 1, []string{"CARILLON_REDIS_URL is not set"}},
		"no NATS there":      {both, []string{"CARILLON_NATS_URL=nats://127.0.0.1:1"}, nil, 1, []string{"no server answers", "CARILLON_NATS_URL"}},
		"no Redis there":     {both, []string{"CARILLON_REDIS_URL=redis://127.0.0.1:1"}, nil, 1, []string{"connection refused", "CARILLON_REDIS_URL"}},
		"wrong credentials":  {both, []string{"CARILLON_NATS_URL=nats://shop:wrong@" + addr}, nil, 1, []string{"credentials refused", "CARILLON_NATS_CREDENTIALS"}},
		"wrong nkey":         {both, []string{"CARILLON_NATS_NKEY=" + write(t, filepath.Join(dir, "nk"), "SUA\n")}, nil, 1, []string{"CARILLON_NATS_NKEY", "no user's seed"}},
		"Redis password":     {both, []string{"CARILLON_REDIS_URL=redis://worker:wrong@" + strings.TrimPrefix(queue, "redis://")}, nil, 1, []string{"credentials refused", "CARILLON_REDIS_URL"}},
		"a changed stream":   {both, []string{"CARILLON_PREFIX=a"}, nil, 1, []string{"stream a_FACTS: its settings were changed: max_msgs_per_subject is 2, want 1", "nats request"}},
		"another key":        {both, []string{"CARILLON_KEY_FILE=" + write(t, filepath.Join(dir, "other"), half)}, nil, 1, []string{"is not the key that this installation's contacts are known by"}},
		"no key":             {both, []string{"CARILLON_KEY_FILE=" + filepath.Join(dir, "none")}, nil, 1, []string{"is not there, and this installation has a key"}},
		"an open door":       {both[:1], []string{}, []string{"--listen", "0.0.0.0:0"}, 1, []string{"won't listen on 0.0.0.0:0 in plain HTTP"}},
		"an unknown setting": {both, nil, []string{"--config", write(t, filepath.Join(dir, "c.yaml"), "log: text\ncolour: red\n")}, 1, []string{filepath.Join(dir, "c.yaml") + ":2: colour: there is no such setting"}},
		"an unknown flag":    {both, nil, []string{"--colour", "red"}, 2, []string{"unknown flag: --colour", "--help"}},
		"an unknown word":    {both, nil, []string{"now"}, 2, []string{"--help"}},
		"no platform":        {both[1:], []string{"CARILLON_META_URL="}, nil, 1, []string{"CARILLON_META_URL is not set"}},
	} {
		for _, kind := range c.kinds {
			t.Run(kind+" "+name, func(t *testing.T) {
				p := spawn(t, append(l.environ(kind), append([]string{"CARILLON_LISTEN=127.0.0.1:0"}, c.env...)...), built.path(t, kind), c.args...)
				t.Cleanup(func() {
					if p.running() {
						p.end(t, syscall.SIGKILL)
					}
				})
				o := office{t: t}
				o.until("it ends", func() bool { return !p.running() })
				said := strings.TrimSpace(p.log.String())
				if code := p.cmd.ProcessState.ExitCode(); code != c.code || strings.Contains(said, "\n") || !strings.HasPrefix(said, kind+": ") {
					t.Errorf("exit code %d, want %d and one line:\n%s", code, c.code, said)
				}
				for _, want := range c.want {
					if !strings.Contains(said, want) {
						t.Errorf("no %q in: %s", want, said)
					}
				}
				if strings.Contains(said, "wrong@") || strings.Contains(said, half) {
					t.Errorf("it shows a secret: %s", said)
				}
			})
		}
	}
}

// changed makes another stream after the example of one, with other settings.
func changed(t *testing.T, js jetstream.JetStream, name string, change func(*jetstream.StreamConfig)) {
	t.Helper()
	s, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	change(&c)
	if _, err := js.CreateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// renamed puts subjects under a prefix.
func renamed(prefix string, subjects []string) []string {
	out := make([]string, len(subjects))
	for i, s := range subjects {
		out[i] = prefix + "." + s
	}
	return out
}
