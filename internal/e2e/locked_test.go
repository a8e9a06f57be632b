package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/redis/go-redis/v9"

	"github.com/carillon-dev/carillon/internal/authority"
	"github.com/carillon-dev/carillon/internal/role"
	"github.com/carillon-dev/carillon/internal/sandbox"
	"github.com/carillon-dev/carillon/internal/subject"
	"github.com/carillon-dev/carillon/pkg/client"
)

// safe is where an installation keeps its secrets: files that only their
// owner may read.
type safe struct {
	*authority.Authority
	t       *testing.T
	dir     string
	secrets []string // none of them may be seen anywhere
}

// keep makes a secret and leaves it in a file, in the form given.
func (s *safe) keep(name, form string) (file, secret string) {
	s.t.Helper()
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	secret = hex.EncodeToString(b)
	s.secrets = append(s.secrets, secret)
	return write(s.t, filepath.Join(s.dir, name), fmt.Sprintf(form, secret)+"\n"), secret
}

// lockedNATS runs a NATS on which the scheduler shows an nkey, the worker a
// password, both a certificate, and may do what the table of roles says. It
// returns what each is told to get in.
func (s *safe) lockedNATS(data string) (server *engine, of map[string][]string) {
	s.t.Helper()
	addr := freeAddr(s.t)
	kp, err := nkeys.CreateUser()
	if err != nil {
		s.t.Fatal(err)
	}
	seed, err := kp.Seed()
	if err != nil {
		s.t.Fatal(err)
	}
	public, err := kp.PublicKey()
	if err != nil {
		s.t.Fatal(err)
	}
	s.secrets = append(s.secrets, string(seed))
	url, password := s.keep("worker.nats", "tls://worker:%s@"+addr)
	restorer, restores := s.keep("restorer.nats", "tls://restorer:%s@"+addr)
	cert, key := s.Issue(s.t, "nats")
	conf := map[string]any{
		"listen": addr, "server_name": "one", "jetstream": map[string]any{"store_dir": filepath.Join(data, "js"), "sync_interval": "always"},
		"tls": map[string]any{"cert_file": cert, "key_file": key, "ca_file": s.File, "verify": true},
		"accounts": map[string]any{"SHOP": map[string]any{"jetstream": "enabled", "users": []map[string]any{
			{"nkey": public, "permissions": granted(role.Scheduler)},
			{"user": "worker", "password": password, "permissions": granted(role.Worker)},
			{"user": "restorer", "password": restores, "permissions": granted(role.Restorer)},
		}}},
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // the server's reader knows no \u003e
	if err := enc.Encode(conf); err != nil {
		s.t.Fatal(err)
	}
	server = run(s.t, "nats", addr, built.path(s.t, "nats-server"), "-c", write(s.t, filepath.Join(data, "nats.conf"), text.String()))
	return server, map[string][]string{
		"scheduler": {"CARILLON_NATS_URL=tls://" + addr, "CARILLON_NATS_NKEY=" + write(s.t, filepath.Join(s.dir, "scheduler.nk"), string(seed)+"\n")},
		"worker":    {"CARILLON_NATS_URL_FILE=" + url},
		"restorer":  {"CARILLON_NATS_URL_FILE=" + restorer},
	}
}

func granted(r role.Role) map[string]any {
	g := r.NATS(subject.Names{})
	return map[string]any{"publish": map[string]any{"allow": role.List(g.Publish)}, "subscribe": map[string]any{"allow": role.List(g.Subscribe)}}
}

// lockedRedis runs a Redis with a user for each kind of process, and returns
// an owner's client and the files with the others' URLs.
func (s *safe) lockedRedis(data string) (owner *redis.Client, of map[string]string) {
	s.t.Helper()
	addr := freeAddr(s.t)
	cert, key := s.Issue(s.t, "redis")
	of = map[string]string{}
	_, password := s.keep("owner.redis", "%s")
	conf := fmt.Sprintf("port 0\ntls-port %s\nbind 127.0.0.1\ntls-cert-file %q\ntls-key-file %q\ntls-ca-cert-file %q\ntls-auth-clients yes\n"+
		"save \"\"\nappendonly no\nmaxmemory-policy noeviction\ndir %q\nuser default off\nuser owner on >%s ~* &* +@all\n",
		portOf(s.t, addr), cert, key, s.File, data, password)
	for _, r := range []role.Role{role.Scheduler, role.Worker} {
		file, p := s.keep(string(r)+".redis", "rediss://"+string(r)+":%s@"+addr+"/0")
		conf += fmt.Sprintf("user %s %s on >%s\n", r, role.Line(r.Redis("")), p)
		of[string(r)] = file
	}
	run(s.t, "redis", addr, "redis-server", write(s.t, filepath.Join(data, "redis.conf"), conf))
	return ask(s.t, &redis.Options{Addr: addr, Username: "owner", Password: password, TLSConfig: s.TLS(s.t, "owner")}), of
}

// carillon runs the command by a person who has a token, and returns what it
// said and its exit code.
func (l *layout) carillon(tokenFile, ca string, args ...string) (stdout, stderr string, code int) {
	l.t.Helper()
	cmd := exec.CommandContext(l.t.Context(), built.path(l.t, "carillon"), args...)
	cmd.Env = append(os.Environ(), "CARILLON_DATA="+l.t.TempDir(), "CARILLON_API="+l.api.Base(), "CARILLON_CA="+ca, "CARILLON_TOKEN=", "CARILLON_TOKEN_FILE="+tokenFile)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			l.t.Fatal(err)
		}
	}
	return out.String(), said.String(), cmd.ProcessState.ExitCode()
}

// TestLockedEngines runs an installation as an operator should: every process
// comes with its own user, who may do what docs/permissions.md lists and no
// more, over TLS with certificates on both sides, and learns all secrets from
// files. What processes do in their lives must need nothing beyond that, and
// no secret may show.
func TestLockedEngines(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000})
	l := ground(t, pl)
	s := &safe{Authority: authority.New(t), t: t, dir: t.TempDir(), secrets: []string{"secret-token"}}
	nats, urls := s.lockedNATS(l.dir)
	redis, queues := s.lockedRedis(l.dir)
	for kind, env := range urls {
		cert, key := s.Issue(s.t, kind)
		l.of[kind] = append(env, "CARILLON_REDIS_URL_FILE="+queues[kind], "CARILLON_NATS_CERT="+cert, "CARILLON_NATS_KEY="+key, "CARILLON_REDIS_CERT="+cert, "CARILLON_REDIS_KEY="+key)
	}
	root, _ := s.keep("root", "%s")
	token, err := os.ReadFile(root)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(l.dir, "token"), string(token))
	_, first := s.keep("half", "%s")
	installation, _ := s.keep("installation.key", first+"%s")
	cert, key := s.Issue(s.t, "api")
	l.env = append(l.env, "CARILLON_TOKEN_FILE="+root, "CARILLON_CONFIG="+write(t, filepath.Join(l.dir, "carillon.yaml"), fmt.Sprintf(
		"nats-ca: %s\nredis-ca: %[1]s\ntls-cert: %s\ntls-key: %s\nkey-file: %s\n", s.File, cert, key, installation)))
	l.trust = s.TLS(s.t, "somebody")
	l.run(2, 2)
	l.lockedLife(s, root)
	for _, p := range slices.Concat(l.schedulers, l.workers) {
		if p.end(t, syscall.SIGTERM); p.cmd.ProcessState.ExitCode() != 0 {
			t.Errorf("exit code %d of a %s that was told to end", p.cmd.ProcessState.ExitCode(), p.kind)
		}
		s.nothingShows(p.kind, p.log.String(), "violation", "asynchronous error", "NOPERM")
	}
	s.nothingShows("nats", nats.log.String(), "violation")
	entries, err := redis.ACLLog(t.Context(), 100).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("redis refused the %s: %s of %s (%s)", e.Username, e.Reason, e.Object, e.Context)
	}
}

// TestRestoredOntoALockedServer restores the backup of one process' own store on a
// NATS server, as a user who may do what docs/permissions.md grants a restorer
// and no more. Everything is there, and stands paused.
func TestRestoredOntoALockedServer(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000})
	p := boot(t, pl)
	p.define(pl, "spring", single, people(60, time.Now()))
	p.launch("spring")
	before := p.ended("spring")
	file := filepath.Join(t.TempDir(), "copy.tar")
	must(t, p.environ(), "backup", file)
	p.stop(syscall.SIGTERM)

	l := ground(t, pl)
	s := &safe{Authority: authority.New(t), t: t, dir: t.TempDir()}
	nats, urls := s.lockedNATS(l.dir)
	_, queues := s.lockedRedis(l.dir)
	for kind, env := range urls {
		cert, key := s.Issue(t, kind)
		l.of[kind] = append(env, "CARILLON_REDIS_URL_FILE="+queues[kind], "CARILLON_NATS_CERT="+cert, "CARILLON_NATS_KEY="+key, "CARILLON_REDIS_CERT="+cert, "CARILLON_REDIS_KEY="+key)
	}
	l.env = append(l.env, "CARILLON_CONFIG="+write(t, filepath.Join(l.dir, "carillon.yaml"), fmt.Sprintf(
		"nats-ca: %s\nredis-ca: %[1]s\nkey-file: %s\n", s.File, filepath.Join(p.dir, "installation.key"))))
	token, err := os.ReadFile(filepath.Join(p.dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(l.dir, "token"), string(token))
	must(t, l.environ("restorer"), "restore", file)
	if _, said, err := command(t, l.environ("restorer"), "restore", file); err == nil || !strings.Contains(said, "the store is not empty") {
		t.Errorf("a second time: %v %s", err, said)
	}
	l.run(1, 0)
	if a, err := l.api.Audit(t.Context(), "spring"); err != nil || !a.Balanced || a.Sent != before.Sent || a.Audience != before.Audience {
		t.Errorf("the audit after the restore: %+v, %v; before: %+v", a, err, before)
	}
	if v, err := l.api.Sender(t.Context(), "spring"); err != nil || v.State != "paused" {
		t.Errorf("the sender is %s, %v", v.State, err)
	}
	s.nothingShows("nats", nats.log.String(), "violation")
}

// nothingShows reads what a process said.
func (s *safe) nothingShows(who, log string, refusals ...string) {
	s.t.Helper()
	for line := range strings.Lines(log) {
		for _, secret := range s.secrets {
			if strings.Contains(line, secret) {
				s.t.Errorf("the %s shows a secret: %s", who, line)
			}
		}
		for _, word := range refusals {
			if strings.Contains(strings.ToLower(line), strings.ToLower(word)) {
				s.t.Errorf("the %s was refused something: %s", who, line)
			}
		}
	}
}

// lockedLife is what happens to an installation: tokens, a broadcast with its
// stops and failures, another leader, dead letters, and who did it.
func (l *layout) lockedLife(s *safe, root string) {
	t := l.t
	t.Helper()
	tokens := map[string]string{} // files, by role
	for _, r := range []string{client.RoleOperator, client.RoleViewer} {
		text, said, code := l.carillon(root, s.File, "token", "create", "--name", "ann the "+r, "--role", r)
		if code != 0 {
			t.Fatalf("token create: %d %s", code, said)
		}
		s.secrets = append(s.secrets, strings.TrimSpace(text))
		tokens[r] = write(t, filepath.Join(s.dir, r), text)
	}
	ps := people(2500, time.Now())
	l.define(l.platform, "spring", single, ps)
	if out, said, code := l.carillon(tokens["viewer"], s.File, "broadcast", "launch", "spring"); code != 1 || out != "" || !strings.Contains(said, "operator") {
		t.Errorf("a viewer launches: %d %s%s", code, out, said)
	}
	if _, said, code := l.carillon(tokens["operator"], s.File, "broadcast", "launch", "spring"); code != 0 {
		t.Fatalf("an operator launches: %d %s", code, said)
	}
	l.some(l.platform, 300)
	l.lockedTrouble(ps)
	l.ended("spring")
	a := l.reconcile(l.platform, "spring", ps)
	if a.Sent+a.Unknown+a.Blocked+a.Failed != len(ps) || a.Sent == 0 {
		t.Errorf("%+v", a)
	}
	for _, call := range []func() error{
		func() error {
			_, err := l.api.Redrive(t.Context(), client.HandleRequest{Filter: &client.DeadFilter{Source: "spring"}})
			return err
		},
		func() error {
			_, err := l.api.Discard(t.Context(), client.HandleRequest{Filter: &client.DeadFilter{Source: "spring"}, By: "test"})
			return err
		},
	} {
		if err := call(); err != nil {
			t.Error(err)
		}
	}
	out, said, code := l.carillon(root, s.File, "log", "--verb", "launch", "--json")
	var who []string
	for line := range strings.Lines(out) {
		var e client.LogEntry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		who = append(who, fmt.Sprintf("%s %d", e.Caller.Name, e.Status))
	}
	// Launching by command is answered first by what has to be acknowledged.
	if want := []string{"ann the viewer 403", "ann the operator 409", "ann the operator 200"}; code != 0 || !slices.Equal(who, want) {
		t.Errorf("the log tells of %q, want %q; %d %s", who, want, code, said)
	}
}

// lockedTrouble stops a broadcast that runs in every way there is, and lets it
// go on.
func (l *layout) lockedTrouble(ps []person) {
	t := l.t
	t.Helper()
	if _, err := l.platform.AddFault(sandbox.Fault{Kind: sandbox.FaultTokenExpired, Count: 1}); err != nil {
		t.Fatal(err)
	}
	l.until("a worker has paused the sender", func() bool {
		s, err := l.api.Sender(t.Context(), "spring")
		return err == nil && s.State == "paused"
	})
	first := l.leader()
	l.open(l.other(first))
	for _, call := range []func() error{
		func() error { _, err := l.api.ResumeSender(t.Context(), "spring"); return err },
		func() error { _, err := l.api.Pause(t.Context(), "spring"); return err },
		func() error {
			_, err := l.api.OptOut(t.Context(), "spring", client.OptOutRequest{Contact: ps[len(ps)-1].id, Scope: "all", Source: "test"})
			return err
		},
		func() error { _, err := l.api.Forecast(t.Context(), "spring"); return err },
		func() error { _, err := l.api.Contact(t.Context(), "spring", ps[1].id); return err },
		func() error { _, err := l.api.Resume(t.Context(), "spring"); return err },
	} {
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
	first.end(t, syscall.SIGKILL)
	l.some(l.platform, l.platform.count()+300)
	l.start(first)
	l.until("it answers again", func() bool { return first.get("/readyz") == "ready" })
}
