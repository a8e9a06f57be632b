package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

const (
	// followEvery is how often the log is asked for what is new.
	followEvery = time.Second
	// resultPatience is how long an entry waits for its result before it is
	// shown without: longer than anything but an import takes.
	resultPatience = time.Minute
)

// logFlags are the filters as flags.
type logFlags struct {
	since, until, by, sender, verb string
	limit                          int
}

func newLogCommand(s *session) *cobra.Command {
	var f logFlags
	var follow bool
	cmd := &cobra.Command{
		Use: "log", Short: "Who did what: the audit log", Args: usageArgs(cobra.NoArgs),
		Long: "Who did what, and what came of it, oldest first: every request that changes something, and every\n" +
			"one that a token's role did not allow. \"no result\" means that the server ended in the middle, or\n" +
			"is still at it. It takes a token with the role admin.",
		Example: "  carillon log --since 24h --by ann\n  carillon log --verb launch --sender bakery",
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.filter(time.Now())
			if err != nil {
				return err
			}
			if follow && f.until != "" {
				return usageError{fmt.Errorf("--follow has no end: leave out --until")}
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			if follow {
				return s.followLog(cmd.Context(), c.Log, filter)
			}
			return writeList(s, c.Log(cmd.Context(), filter), writeLog)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.since, "since", "7d", "only from `TIME` on: a day, RFC 3339, or how long ago, such as 90m or 7d")
	fs.StringVar(&f.until, "until", "", "only before `TIME`")
	fs.StringVar(&f.by, "by", "", "only what a token did, by its `NAME` or id")
	fs.StringVar(&f.sender, "sender", "", "only what concerns sender `ID`")
	fs.StringVar(&f.verb, "verb", "", "only this `VERB`, such as launch")
	fs.IntVar(&f.limit, "limit", 0, "only the newest so many, up to 10,000; 0: all")
	fs.BoolVar(&follow, "follow", false, "then show what is new, until Ctrl-C")
	_ = cmd.RegisterFlagCompletionFunc("sender", completion(s, senderIDs))
	return cmd
}

func (f *logFlags) filter(now time.Time) (client.LogFilter, error) {
	out := client.LogFilter{Caller: f.by, Sender: f.sender, Verb: f.verb, Limit: f.limit}
	if f.limit < 0 || f.limit > 10_000 {
		return out, usageError{fmt.Errorf("--limit %d: want 1 to 10,000, or 0 for all", f.limit)}
	}
	var err error
	if out.Since, err = parsePast("since", f.since, now); err != nil {
		return out, err
	}
	out.Until, err = parsePast("until", f.until, now)
	return out, err
}

func writeLog(t *console.Terminal, list iter.Seq2[client.LogEntry, error]) error {
	tab := console.NewTable(t, console.Column{Title: "AT", Whole: true}, console.Column{Title: "WHO"}, console.Column{Title: "DID", Whole: true},
		console.Column{Title: "TO"}, console.Column{Title: "RESULT", Whole: true, Paint: resultColor})
	return tabulate(tab, list, logCells)
}

func logCells(e client.LogEntry) []string {
	who := e.Caller.Name
	if who == "" {
		who = e.Caller.ID
	}
	return []string{shortStamp(e.At), oneLine(who), e.Verb, oneLine(target(e)), result(e.Status)}
}

// target is what an entry was done to, with what else it says.
func target(e client.LogEntry) string {
	var words []string
	if e.Sender != "" && e.Sender != e.Object {
		words = append(words, e.Sender)
	}
	if e.Object != "" {
		words = append(words, e.Object)
	}
	for _, about := range []map[string]string{e.Details, e.Outcome} {
		for _, name := range slices.Sorted(maps.Keys(about)) {
			words = append(words, name+"="+about[name])
		}
	}
	return strings.Join(words, " ")
}

// result is a status in a word.
func result(status int) string {
	switch {
	case status == 0:
		return "no result"
	case status < 300:
		return "done"
	case status < 500:
		return fmt.Sprintf("refused %d", status)
	}
	return fmt.Sprintf("failed %d", status)
}

func resultColor(cell string) console.Color {
	word, _, _ := strings.Cut(cell, " ")
	return map[string]console.Color{"done": console.Green, "refused": console.Yellow, "failed": console.Red, "no": console.Magenta}[word]
}

// askLog is client.Log.
type askLog func(context.Context, client.LogFilter) iter.Seq2[client.LogEntry, error]

// followLog shows the log and what comes to it until ctx ends.
func (s *session) followLog(ctx context.Context, ask askLog, f client.LogFilter) error {
	t := time.NewTicker(followEvery)
	defer t.Stop()
	for {
		for e, err := range ask(ctx, f) {
			if err != nil {
				return err
			}
			if !ripe(e, time.Now()) {
				break // nor what stands behind it, so that the order stays
			}
			if err := s.writeLogLine(e); err != nil {
				return err
			}
			f.After = e.Seq
		}
		f.Limit = 0 // it was about the beginning
		select {
		case <-t.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ripe tells whether an entry can be shown: it has its result, or won't have
// one soon.
func ripe(e client.LogEntry, now time.Time) bool {
	return e.Status != 0 || now.Sub(e.At) >= resultPatience
}

func (s *session) writeLogLine(e client.LogEntry) error {
	if s.json {
		return json.NewEncoder(s.out).Encode(e)
	}
	cells := logCells(e)
	line := fmt.Sprintf("%s  %s  %s  %s", cells[0], cells[1], cells[2], cells[3])
	status := s.out.Paint(resultColor(cells[4]), cells[4])
	_, err := fmt.Fprintf(s.out, "%s  %s\n", console.Cut(line, max(s.out.Width()-len(cells[4])-2, len(cells[0]))), status)
	return err
}
