package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
)

// The exit codes. What a signal ended gives signalBase and its number, as
// shells do: 130 for Ctrl-C.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	signalBase = 128
)

// Main runs the command that the process was called as and returns its exit
// code.
func Main() int { return runMain(newRoot) }

func runMain(program func(*session) *cobra.Command) int {
	ctx, stop := untilSignal(context.Background())
	defer stop()
	return execute(ctx, program, os.Args[1:], Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv})
}

// Streams is what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
}

// Run runs one command of carillon and returns its exit code.
func Run(ctx context.Context, args []string, st Streams) int {
	return execute(ctx, newRoot, args, st)
}

// execute runs one command of a program and returns its exit code.
func execute(ctx context.Context, program func(*session) *cobra.Command, args []string, st Streams) int {
	s := &session{
		in: st.In, getenv: st.Getenv,
		out: console.Open(st.Out, st.Getenv), err: console.Open(st.Err, st.Getenv),
		interactive: isInteractive(st.In, st.Out),
	}
	root := program(s)
	root.SetArgs(args)
	root.SetIn(st.In)
	root.SetOut(st.Out)
	root.SetErr(st.Err)
	cmd, err := root.ExecuteContextC(ctx)
	return s.exit(ctx, cmd, err)
}

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string { return i.signal.String() }

// untilSignal ends the context at the first signal; a second one ends the
// process at once.
func untilSignal(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		select {
		case sig := <-ch:
			signal.Stop(ch)
			if s, ok := sig.(syscall.Signal); ok {
				cancel(interrupted{s})
			}
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(ch)
		cancel(nil)
	}
}

// exit writes the one line that an error is worth and returns the code.
func (s *session) exit(ctx context.Context, cmd *cobra.Command, err error) int {
	if err == nil {
		return exitOK
	}
	if i, ok := errors.AsType[interrupted](context.Cause(ctx)); ok {
		return signalBase + int(i.signal)
	}
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(s.err, "%s: %s; see: %s --help\n", cmd.Root().Name(), oneLine(err.Error()), cmd.CommandPath())
		return exitUsage
	}
	fmt.Fprintf(s.err, "%s: %s\n", cmd.Root().Name(), oneLine(s.explain(err)))
	return exitFailed
}

func oneLine(text string) string {
	return console.Clean(strings.Join(strings.Fields(text), " "))
}
