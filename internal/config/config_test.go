package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestStrongestWins(t *testing.T) {
	t.Parallel()
	conf := file(t, "c.yaml", "# ours\nlisten: 127.0.0.1:3\nconcurrency: 7\nlog: json\n")
	for _, c := range []struct {
		name   string
		given  Given
		listen string
	}{
		{"nothing", Given{Getenv: env()}, DefaultListen},
		{"file", Given{Getenv: env(), File: conf}, "127.0.0.1:3"},
		{"file named by the environment", Given{Getenv: env(FileEnv, conf)}, "127.0.0.1:3"},
		{"environment", Given{Getenv: env("CARILLON_LISTEN", "127.0.0.1:2", FileEnv, conf)}, "127.0.0.1:2"},
		{"flag", Given{Flags: map[string]string{"listen": "127.0.0.1:1"}, Getenv: env("CARILLON_LISTEN", "127.0.0.1:2"), File: conf}, "127.0.0.1:1"},
	} {
		got, err := Load(Dev, c.given)
		if err != nil || got.Listen != c.listen {
			t.Errorf("%s: %q, %v, want %q", c.name, got.Listen, err, c.listen)
		}
	}
	got, err := Load(Dev, Given{Getenv: env(), File: conf})
	if err != nil || got.Concurrency != 7 || got.LogFormat != "json" || got.Drain != 30*time.Second {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	token := file(t, "token", "s3cret\n")
	conf := file(t, "c.yaml", "token-file: "+token+"\n")
	for name, g := range map[string]Given{
		"environment":        {Getenv: env("CARILLON_TOKEN", "s3cret")},
		"file of its own":    {Getenv: env("CARILLON_TOKEN_FILE", token)},
		"flag":               {Getenv: env(), Flags: map[string]string{"token-file": token}},
		"configuration file": {Getenv: env(), File: conf},
	} {
		c, err := Load(Dev, g)
		if err != nil || string(c.Token) != "s3cret" {
			t.Errorf("%s: %v", name, err)
		}
		if s := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(s, "s3cret") {
			t.Errorf("%s: printed: %s", name, s)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	conf := func(text string) Given { return Given{Getenv: env(), File: file(t, "c.yaml", text)} }
	flagged := func(name, v string) Given {
		return Given{Getenv: env(), Flags: map[string]string{name: v}}
	}
	for _, c := range []struct {
		name string
		of   Role
		g    Given
		want string
	}{
		{"unknown", Dev, conf("listen: 127.0.0.1:1\ncolour: red\n"), "c.yaml:2: colour: there is no such setting"},
		{"twice", Dev, conf("log: text\nlog: json\n"), "log"},
		{"a list", Dev, conf("log: [text]\n"), "c.yaml:1: log: want one value"},
		{"no mapping", Dev, conf("- a\n"), "c.yaml:1: want settings"},
		{"no yaml", Dev, conf("a: b: c\n"), "configuration: "},
		{"no file", Dev, Given{Getenv: env(), File: "/nowhere/c.yaml"}, "configuration: open /nowhere/c.yaml"},
		{"token in the file", Dev, conf("token: abc\n"), "c.yaml:1: token: a secret does not belong there; give it in CARILLON_TOKEN"},
		{"password in the file", Dev, conf("nats-url: nats://u:p@h:1\n"), "c.yaml:1: nats-url: a secret does not belong there"},
		{"password as a flag", Dev, flagged("redis-url", "redis://:p@h:1"), "--redis-url: a secret does not belong there"},
		{"password of the servers in the file", Dev, conf("redis-url: redis://h:26379?master_name=m&username=u&password=p\n"), "c.yaml:1: redis-url: a secret does not belong there"},
		{"password of the servers as a flag", Dev, flagged("redis-url", "redis://h:26379?master_name=m&password=p"), "--redis-url: a secret does not belong there"},
		{"password of Sentinel", Dev, flagged("redis-url", "redis://h:26379?master_name=m&Sentinel_Password=p"), "--redis-url: a secret does not belong there"},
		{"query that can't be read", Dev, flagged("redis-url", "redis://h:26379?a=%zz&password=p"), "--redis-url: a secret does not belong there"},
		{"password without a scheme", Dev, flagged("nats-url", "nats://h:1,u:p@h:1"), "--nats-url: a secret does not belong there"},
		{"token as a flag", Dev, flagged("token", "abc"), "--token: a secret does not belong there"},
		{"both", Dev, Given{Getenv: env("CARILLON_TOKEN", "a", "CARILLON_TOKEN_FILE", "b")}, "CARILLON_TOKEN and CARILLON_TOKEN_FILE are both set"},
		{"no secret file", Dev, Given{Getenv: env("CARILLON_TOKEN_FILE", "/nowhere/t")}, "CARILLON_TOKEN_FILE: open /nowhere/t"},
		{"empty secret file", Dev, Given{Getenv: env("CARILLON_TOKEN_FILE", file(t, "t", " \n"))}, "is empty"},
		{"concurrency 0", Dev, Given{Getenv: env("CARILLON_CONCURRENCY", "0")}, `CARILLON_CONCURRENCY "0": want 1 to 1000`},
		{"concurrency 1001", Dev, flagged("concurrency", "1001"), `--concurrency "1001": want 1 to 1000`},
		{"no number", Dev, Given{Getenv: env("CARILLON_API_RATE", "many")}, `CARILLON_API_RATE "many": want 1 to 100000`},
		{"drain", Dev, Given{Getenv: env("CARILLON_DRAIN", "24999ms")}, "CARILLON_DRAIN \"24999ms\": want 25s to 10m0s"},
		{"kill point", Dev, Given{Getenv: env("CARILLON_KILL", "at-noon:1")}, `CARILLON_KILL "at-noon": there is no such point; there are before-claim`},
		{"log", Dev, Given{Getenv: env("CARILLON_LOG", "xml")}, `CARILLON_LOG "xml": want text or json`},
		{"address", Dev, Given{Getenv: env("CARILLON_LISTEN", "8080")}, `CARILLON_LISTEN "8080": want host:port`},
		{"port", Dev, Given{Getenv: env("CARILLON_LISTEN", "h:99999")}, "want host:port"},
		{"proxies", Dev, Given{Getenv: env("CARILLON_TRUSTED_PROXIES", "10.0.0.1")}, "want networks such as"},
		{"half a certificate", Dev, Given{Getenv: env("CARILLON_TLS_CERT", "a")}, "CARILLON_TLS_CERT and CARILLON_TLS_KEY: want both or none"},
		{"two credentials", Dev, Given{Getenv: env("CARILLON_NATS_CREDENTIALS", "a", "CARILLON_NATS_NKEY", "b")}, "want one"},
		{"servers that are none", Restorer, flagged("nats-url", ":::"), "--nats-url is no list of servers: want URLs such as nats://10.0.0.1:4222, joined by commas"},
		{"one server that is none", Dev, Given{Getenv: env("CARILLON_NATS_URL", "nats://[::1]:4222,h,nats://u:p@:::")}, "CARILLON_NATS_URL is no list of servers"},
		{"scheduler without NATS", Scheduler, Given{Getenv: env("CARILLON_REDIS_URL", "redis://h")}, "CARILLON_NATS_URL is not set"},
		{"scheduler without Redis", Scheduler, Given{Getenv: env("CARILLON_NATS_URL", "h")}, "CARILLON_REDIS_URL is not set"},
		{"worker without a platform", Worker, Given{Getenv: env("CARILLON_NATS_URL", "h", "CARILLON_REDIS_URL", "redis://h")}, "CARILLON_META_URL is not set"},
	} {
		_, err := Load(c.of, c.g)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// What another role reads is no business of this one: a worker in a pod whose
// environment serves both must start.
func TestOfOtherRoles(t *testing.T) {
	t.Parallel()
	got, err := Load(Worker, Given{Getenv: env("CARILLON_NATS_URL", "nats://u:p@h:1", "CARILLON_REDIS_URL", "redis://h", "CARILLON_META_URL", "http://h", "CARILLON_LISTEN", "nonsense")})
	if err != nil || got.Listen != DefaultListen || string(got.NATSURL) != "nats://u:p@h:1" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Load(Scheduler, Given{Getenv: env("CARILLON_NATS_URL", "h", "CARILLON_REDIS_URL", "redis://h", "CARILLON_CONCURRENCY", "nonsense")}); err != nil {
		t.Error(err)
	}
}

func TestProxies(t *testing.T) {
	t.Parallel()
	c, err := Load(Dev, Given{Getenv: env("CARILLON_TRUSTED_PROXIES", "10.0.0.0/8, fd00::/8")})
	if err != nil || fmt.Sprint(c.TrustedProxies) != "[10.0.0.0/8 fd00::/8]" {
		t.Errorf("%v, %v", c.TrustedProxies, err)
	}
}

// TestTable holds the table together: every name once, and every setting
// really sets something.
func TestTable(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range Settings() {
		want := "CARILLON_" + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
		if s.Env != want || seen[s.Name] || s.Means == "" || s.Absent == "" || s.Of == 0 {
			t.Errorf("%+v: want %s, a meaning and a reader, once", s, want)
		}
		seen[s.Name] = true
		for _, v := range []string{"5", "25s", "127.0.0.1:5", "json", "always", "10.0.0.0/8", "after-claim:1"} {
			c := Default()
			if s.set(&c, v) == nil {
				if fmt.Sprintf("%#v", c) == fmt.Sprintf("%#v", Default()) && !s.Secret() {
					t.Errorf("%s=%s sets nothing", s.Name, v)
				}
				break
			}
		}
	}
}

var update = flag.Bool("update", false, "write the page anew")

func TestDocument(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "configuration.md")
	if *update {
		if err := os.WriteFile(path, []byte(Document()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != Document() {
		t.Errorf("docs/configuration.md is not current, run make generate (%v)", err)
	}
}

// FuzzFile reads any file without a panic, and takes nothing from one that it
// refuses.
func FuzzFile(f *testing.F) {
	for _, s := range []string{"", "listen: 127.0.0.1:1\n", "a: {b: c}\n", "? [a]\n: b\n", "- 1", "&a a: *a", "token-file: x\n", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		lines, err := readFile(path)
		if err != nil && (len(lines) > 0 || strings.Contains(err.Error(), "\n") && !strings.Contains(err.Error(), "yaml:")) {
			t.Errorf("%q: %v, %v", text, lines, err)
		}
	})
}
