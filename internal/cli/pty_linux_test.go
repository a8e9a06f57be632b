package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudo-terminal: what is written to its keyboard is typed.
func terminal(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	return keyboard, screen
}

// TestLaunchOnATerminal asks only where both ends are a terminal, and takes
// Ctrl-D for a no.
func TestLaunchOnATerminal(t *testing.T) {
	for name, c := range map[string]struct {
		typed     string
		pipe      string // the end that is no terminal: in, out or ""
		code      int
		questions int
	}{
		"yes":                        {"y\n", "", exitOK, 1},
		"no":                         {"n\n", "", exitFailed, 1},
		"the end of the input":       {"\x04", "", exitFailed, 1},
		"standard input is a pipe":   {"n\n", "in", exitOK, 0},
		"standard output is a pipe":  {"n\n", "out", exitOK, 0},
		"neither asked nor answered": {"n\n", "flag", exitOK, 0},
	} {
		t.Run(name, func(t *testing.T) {
			srv, f := newTalkingFake()
			defer srv.Close()
			keyboard, screen := terminal(t)
			if _, err := io.WriteString(keyboard, c.typed); err != nil {
				t.Fatal(err)
			}
			var stderr bytes.Buffer
			st := Streams{In: screen, Out: screen, Err: &stderr, Getenv: func(name string) string {
				return map[string]string{"CARILLON_API": srv.URL, "CARILLON_TOKEN": fakeToken}[name]
			}}
			args := []string{"broadcast", "launch", "bulk-menu"}
			switch c.pipe {
			case "in":
				st.In = strings.NewReader(c.typed)
			case "out":
				st.Out = io.Discard
			case "flag":
				args = append(args, "--acknowledge", "bulk_discouraged,promotional_wording")
			}
			code := Run(t.Context(), args, st)
			last := f.launches[len(f.launches)-1]
			if n := strings.Count(stderr.String(), launchQuestion); code != c.code || n != c.questions || (last != "") != (c.code == exitOK) {
				t.Errorf("code %d, %d questions, last launched with %q: %s", code, n, last, stderr.String())
			}
			if c.code == exitFailed && !strings.HasSuffix(stderr.String(), "carillon: bulk-menu was not launched: the answer was no\n") {
				t.Error(stderr.String())
			}
		})
	}
}
