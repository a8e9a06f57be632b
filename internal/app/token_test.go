package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/internal/config"
	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/secret"
	"github.com/carillon-dev/carillon/internal/stream"
)

// TestOneRootToken: schedulers on one installation have one root token, or
// don't start; what somebody set is taken, and holds from then on.
func TestOneRootToken(t *testing.T) {
	e, err := engine.Start(t.Context(), engine.Config{Data: t.TempDir()})
	rig.Must(t, err)
	t.Cleanup(func() { rig.Must(t, e.Stop()) })
	defs := rig.OpenAs(t, e, "", stream.Provider{JS: e.JetStream, Create: true}).Defs
	find := func(dir, set string) (string, error) {
		cfg := config.Local(dir)
		cfg.NATSURL, cfg.Token = "nats://shared", secret.Text(set)
		c := &core{cfg: Config{Config: cfg}, defs: defs, keyed: func(s string) string { return keyed([]byte("key"), s) }}
		err := c.findToken(t.Context())
		return string(c.token), err
	}
	dir, other := t.TempDir(), t.TempDir()
	made, err := find(dir, "")
	if err != nil || len(made) != 64 {
		t.Fatalf("the first: %d characters, %v", len(made), err)
	}
	is := func(what, dir, set, want, fault string) {
		t.Helper()
		got, err := find(dir, set)
		if got != want || (err == nil) != (fault == "") || err != nil && !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: %q, %v; want %q, %q", what, got, err, want, fault)
		}
	}
	is("again, or beside it on one directory", dir, "", made, "")
	is("with another directory", other, "", "", "token is not there, and this installation has a root token: set CARILLON_TOKEN or CARILLON_TOKEN_FILE")
	if _, err := os.Stat(filepath.Join(other, "token")); !os.IsNotExist(err) {
		t.Errorf("it left a token: %v", err)
	}
	is("with the same token", other, made, made, "")
	rig.Must(t, os.WriteFile(filepath.Join(other, "token"), []byte(strings.Repeat("ab", 32)), 0o600))
	is("with a file of its own", other, "", "", "token is not this installation's root token: set CARILLON_TOKEN")
	is("rotated", other, "new", "new", "")
	is("with the old file", dir, "", "", "token is not this installation's root token")
	is("the file's set", dir, made, made, "")
	is("from then on", dir, "", made, "")
	bound, err := defs.Bound(t.Context(), "token")
	if err != nil || bound == "" || strings.Contains(bound, made) {
		t.Errorf("bound: %q, %v", bound, err)
	}
}

// TestDevMakesItsTokenAnew: a process that has the installation for itself
// starts whatever became of its token.
func TestDevMakesItsTokenAnew(t *testing.T) {
	cfg := config.Local(t.TempDir())
	cfg.Listen = "127.0.0.1:0"
	path := filepath.Join(cfg.Data, "token")
	run := func(set string) string {
		t.Helper()
		cfg.Token = secret.Text(set)
		d, err := StartDev(t.Context(), Config{Config: cfg})
		rig.Must(t, err)
		c, err := d.Client()
		rig.Must(t, err)
		defer c.Close()
		if _, err := c.Policy(t.Context()); err != nil {
			t.Error(err)
		}
		rig.Must(t, d.Stop())
		return d.Token()
	}
	first := run("")
	rig.Must(t, os.Remove(path))
	if second := run(""); second == first {
		t.Error("the token that was removed is good")
	}
	run("mine")
	rig.Must(t, os.Remove(path))
	run("")
}
