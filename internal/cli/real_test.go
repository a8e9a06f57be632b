package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/carillon-dev/carillon/examples"
	"github.com/carillon-dev/carillon/internal/app"
	"github.com/carillon-dev/carillon/internal/config"
)

// TestScriptsOnTheRealThing runs scripts against all of Carillon with the
// sandbox as the platform. The token is found in the data directory.
func TestScriptsOnTheRealThing(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/real",
		Setup: func(env *testscript.Env) error {
			data := filepath.Join(env.WorkDir, "data")
			d, err := app.StartDev(context.Background(), app.Config{Config: config.Local(data)})
			if err != nil {
				return err
			}
			env.Defer(func() {
				if err := d.Stop(); err != nil {
					t.Error(err)
				}
			})
			env.Setenv("GORACE", raceExit)
			env.Setenv("CARILLON_API", d.API())
			env.Setenv("CARILLON_DATA", data)
			return inboundNow(filepath.Join(env.WorkDir, "contacts.csv"))
		},
	})
}

// inboundNow lets the contacts of a script have written an hour ago.
func inboundNow(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	at := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	return os.WriteFile(path, bytes.ReplaceAll(b, []byte("INBOUND"), []byte(at)), 0o600)
}

// TestInterrupted tells what a signal ended apart from what failed.
func TestInterrupted(t *testing.T) {
	for sig, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		srv := newFake()
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(interrupted{sig})
		var out, errs bytes.Buffer
		getenv := func(name string) string {
			return map[string]string{"CARILLON_API": srv.URL, "CARILLON_TOKEN": fakeToken}[name]
		}
		code := Run(ctx, []string{"broadcast", "watch", "spring-menu"}, Streams{In: strings.NewReader(""), Out: &out, Err: &errs, Getenv: getenv})
		if code != want || errs.Len() > 0 {
			t.Errorf("%v: code %d, stderr %q", sig, code, errs.String())
		}
		srv.Close()
	}
}

// TestUntilSignal ends the context at a signal, with the signal as its cause.
func TestUntilSignal(t *testing.T) {
	ctx, stop := untilSignal(t.Context())
	defer stop()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); cause != (interrupted{syscall.SIGTERM}) {
		t.Errorf("cause %v", cause)
	}
}

// TestSandboxEndsWell says where it answers, and to be interrupted is how it
// ends: exit code 0.
func TestSandboxEndsWell(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- Run(ctx, []string{"sandbox", "--listen", "127.0.0.1:0", "--json"}, Streams{In: strings.NewReader(""), Out: w, Err: io.Discard, Getenv: func(string) string { return "" }})
	}()
	line := make([]byte, 100)
	n, err := r.Read(line)
	if err != nil || !strings.HasPrefix(string(line[:n]), `{"url":"http://127.0.0.1:`) {
		t.Errorf("first line %q, %v", line[:n], err)
	}
	cancel(interrupted{syscall.SIGINT})
	if got := <-code; got != exitOK {
		t.Errorf("code %d", got)
	}
}

// TestRowsOf gives the sandbox a sender's people and nobody else's.
func TestRowsOf(t *testing.T) {
	all := examples.Contacts(examples.Moment())
	total := 0
	for _, sender := range []string{"bakery-oslo", "bakery-berlin", "bakery-insta"} {
		rows, err := rowsOf(sender, all)
		if err != nil {
			t.Fatal(err)
		}
		body := strings.SplitAfterN(string(rows), "\n", 2)[1]
		n := strings.Count(body, "\n")
		if n < 900 || strings.Count(body, ","+sender+",") != n {
			t.Errorf("%s: %d rows, not all of them its own", sender, n)
		}
		total += n
	}
	if total < 6000 {
		t.Errorf("%d rows of all senders, want the 6,000 good ones at least", total)
	}
	if _, err := rowsOf("x", []byte("id,name\n1,Ada\n")); err == nil {
		t.Error("no column sender, and no error")
	}
}
