package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/carillon-dev/carillon/pkg/client"
)

const launchHelp = `Make a broadcast due, now or at its time. Some warnings of the rulebook must be
acknowledged here. On a terminal they are shown and you are asked; --acknowledge
names those that you have read, and nothing is asked. Where standard input or
output is no terminal, as in a script, launching by command acknowledges them: a
line on standard error says which.`

func newLaunchCommand(s *session) *cobra.Command {
	var watch bool
	var codes []string
	var cmd *cobra.Command
	cmd = s.onBroadcast("launch", "Make a broadcast due, now or at its time", func(ctx context.Context, s *session, c *client.Client, id string) error {
		launch := s.launchBroadcast
		if cmd.Flags().Changed("acknowledge") {
			launch = func(ctx context.Context, c *client.Client, id string) (client.Broadcast, error) {
				return c.Launch(ctx, id, codes...)
			}
		}
		b, err := launch(ctx, c, id)
		if err != nil {
			return err
		}
		if watch {
			return s.watch(ctx, c, id)
		}
		return s.moved(b)
	})
	cmd.Long = launchHelp
	cmd.Flags().BoolVar(&watch, "watch", false, "then watch it until it has ended")
	cmd.Flags().StringSliceVar(&codes, "acknowledge", nil, "the warnings that you have read, as `CODES` with commas between")
	return withKeyFlag(cmd)
}

// launchBroadcast launches a broadcast and sees to the warnings that this
// waits for: a person at a terminal is asked, whoever else launches by command
// has read them.
func (s *session) launchBroadcast(ctx context.Context, c *client.Client, id string) (client.Broadcast, error) {
	b, err := c.Launch(ctx, id)
	missing := client.Unacknowledged(err)
	if len(missing) == 0 {
		return b, err
	}
	codes, more := make([]string, len(missing)), "; launching by command acknowledges it"
	if s.interactive {
		more = ""
	}
	for i, w := range missing {
		codes[i] = w.Code
		fmt.Fprintf(s.err, "%s: warning: %s%s\n", id, oneLine(warningText(w)), more)
	}
	if s.interactive {
		if err := s.confirm(ctx, "Launch it anyway?"); err != nil {
			return b, fmt.Errorf("%s was not launched: %w", id, err)
		}
	}
	return c.Launch(ctx, id, codes...)
}

// warningText is a warning with its clause, which ends without a full stop so
// that more can follow.
func warningText(w client.Warning) string {
	return w.Code + ": " + strings.TrimSuffix(w.Says, ".")
}

// errNo says that whoever was asked did not say yes.
type errNo struct{}

func (errNo) Error() string { return "the answer was no" }

// confirm asks a question, whose answer is no unless it is y or yes. The end
// of the input is no too.
func (s *session) confirm(ctx context.Context, question string) error {
	fmt.Fprintf(s.err, "%s [y/N] ", question)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(s.in).ReadString('\n') // what came before an end or a failure is looked at, and it is no yes
		answer <- line
	}()
	select {
	case line := <-answer:
		if !strings.HasSuffix(line, "\n") {
			fmt.Fprintln(s.err) // the cursor still stands behind the question
			return errNo{}
		}
		switch strings.ToLower(strings.TrimSpace(line)) {
		case "y", "yes":
			return nil
		}
		return errNo{}
	case <-ctx.Done():
		fmt.Fprintln(s.err)
		return context.Cause(ctx)
	}
}

// isInteractive tells whether a person sits at both ends.
func isInteractive(in io.Reader, out io.Writer) bool {
	i, reads := in.(*os.File)
	o, writes := out.(*os.File)
	return reads && writes && term.IsTerminal(int(i.Fd())) && term.IsTerminal(int(o.Fd()))
}
