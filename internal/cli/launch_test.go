package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

const (
	bulkLines = "bulk-menu: warning: bulk_discouraged: Unwanted, impersonal or bulk messages violate the policy\n" +
		"bulk-menu: warning: promotional_wording: Tags carry no deals\n"
	launchQuestion = "Launch it anyway? [y/N] "
)

// TestLaunchAsks asks whoever sits at a terminal, and launches only on a yes.
func TestLaunchAsks(t *testing.T) {
	for name, c := range map[string]struct {
		typed    string
		launched bool
		more     string // on standard error, behind the question
	}{
		"y":                    {"y\n", true, ""},
		"YES with spaces":      {"  YES \r\n", true, ""},
		"no":                   {"n\n", false, ""},
		"just the return key":  {"\n", false, ""},
		"something else":       {"yesterday\n", false, ""},
		"a yes that is second": {"no\ny\n", false, ""},
		"the end":              {"", false, "\n"},
		"a yes cut short":      {"y", false, "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			srv, f := newTalkingFake()
			defer srv.Close()
			var stderr bytes.Buffer
			s := &session{in: strings.NewReader(c.typed), err: console.Fixed(&stderr, 80, false, false), interactive: true}
			b, err := s.launchBroadcast(t.Context(), client.New(srv.URL, fakeToken), "bulk-menu")
			want := []string{""} // a launch that acknowledges nothing finds out what is asked
			if c.launched {
				want = append(want, "bulk_discouraged,promotional_wording")
			}
			if (err == nil) != c.launched || (b.State == "scheduled") != c.launched || !slices.Equal(f.launches, want) {
				t.Errorf("%s, %v, asked the server with %q", b.State, err, f.launches)
			}
			if !c.launched && err.Error() != "bulk-menu was not launched: the answer was no" {
				t.Error(err)
			}
			if got := stderr.String(); got != bulkLines+launchQuestion+c.more {
				t.Errorf("standard error: %q", got)
			}
		})
	}
}

// TestLaunchAsksNothing where no warning is to be acknowledged, or where the
// refusal is about something else.
func TestLaunchAsksNothing(t *testing.T) {
	srv, f := newTalkingFake()
	defer srv.Close()
	var stderr bytes.Buffer
	s := &session{in: failing{}, err: console.Fixed(&stderr, 80, false, false), interactive: true}
	c := client.New(srv.URL, fakeToken)
	if b, err := s.launchBroadcast(t.Context(), c, "spring-menu"); err != nil || b.State != "scheduled" {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := s.launchBroadcast(t.Context(), c, "old"); err == nil || !strings.Contains(err.Error(), "that is done") {
		t.Error(err)
	}
	if stderr.Len() > 0 || !slices.Equal(f.launches, []string{""}) {
		t.Errorf("%q, asked the server with %q", stderr.String(), f.launches)
	}
}

// TestInterruptedWhileAsked ends at a signal, with nothing launched.
func TestInterruptedWhileAsked(t *testing.T) {
	srv, f := newTalkingFake()
	defer srv.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	in, typing := io.Pipe() // nobody types
	defer typing.Close()
	asked := onWrite{[]byte(launchQuestion), func() { cancel(interrupted{syscall.SIGINT}) }}
	s := &session{in: in, err: console.Fixed(asked, 80, false, false), interactive: true}
	_, err := s.launchBroadcast(ctx, client.New(srv.URL, fakeToken), "bulk-menu")
	if i, ok := errors.AsType[interrupted](err); !ok || i.signal != syscall.SIGINT || len(f.launches) != 1 {
		t.Errorf("%v, asked the server with %q", err, f.launches)
	}
}

// onWrite does something once it is written what it waits for.
type onWrite struct {
	awaited []byte
	do      func()
}

func (w onWrite) Write(p []byte) (int, error) {
	if bytes.Equal(p, w.awaited) {
		w.do()
	}
	return len(p), nil
}
