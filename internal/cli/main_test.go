package cli

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write testdata/*.golden, testdata/script and docs/cli.md")

// TestMain lets scripts run this test binary as the command carillon.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"carillon": func() { os.Exit(Main()) }})
}

// raceExit keeps each command of a script from sleeping for a second at its
// end, as the race detector does to let reports of other threads out.
const raceExit = "atexit_sleep_ms=0"

// TestScripts runs the real command tree in processes of its own against a
// server that speaks the API.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			srv := newFake()
			env.Defer(srv.Close)
			env.Setenv("CARILLON_API", srv.URL)
			env.Setenv("CARILLON_TOKEN", fakeToken)
			env.Setenv("GORACE", raceExit)
			env.Setenv("TZ", "Asia/Tokyo") // what is shown is UTC all the same
			return nil
		},
	})
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	goldenFile(t, filepath.Join("testdata", name+".golden"), got)
}

func goldenFile(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not current (run go test ./internal/cli -update if it should change); got:\n%s\nwant:\n%s", path, got, want)
	}
}
