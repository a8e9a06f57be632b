package cli

import (
	"context"
	"fmt"
	"iter"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/reason"
)

func newDeadCommand(s *session) *cobra.Command {
	return group("dead", "What was not sent: list it, send it again, or put it aside",
		newDeadListCommand(s),
		newDeadShowCommand(s),
		newHandleCommand(s, "redrive", "Send dead letters through every check again", "redriven", (*client.Client).Redrive),
		newHandleCommand(s, "discard", "Take dead letters off the list; their outcome stays", "discarded", (*client.Client).Discard),
	)
}

// deadFlags are the filters as flags.
type deadFlags struct {
	reason, state, sender, source, since, until string
	likely                                      bool
}

func (f *deadFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.reason, "reason", "", "only those with this reason `CODE`")
	fs.StringVar(&f.state, "state", "", "only `STATE`: blocked, failed or unknown")
	fs.StringVar(&f.sender, "sender", "", "only those of sender `ID`")
	fs.StringVar(&f.source, "source", "", "only those of a broadcast's `ID`, or of one occurrence, such as spring-menu~1")
	fs.StringVar(&f.since, "since", "", "only those from `TIME` on: a day, RFC 3339, or how long ago, such as 90m or 7d")
	fs.StringVar(&f.until, "until", "", "only those before `TIME`")
	fs.BoolVar(&f.likely, "likely-not-sent", false, "only unknown outcomes of which no echo came, though those of later messages did")
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions([]string{"blocked", "failed", "unknown"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("reason", completeReason)
}

func completeReason(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var out []string
	for _, e := range reason.All() {
		if e.Ending == reason.Final {
			out = append(out, string(e.Code)+"\t"+e.Meaning)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// filter checks the flags; now is what "ago" counts from.
func (f *deadFlags) filter(now time.Time) (client.DeadFilter, error) {
	out := client.DeadFilter{Reason: reason.Code(f.reason), State: f.state, Sender: f.sender, Source: f.source, LikelyNotSent: f.likely}
	if _, ok := reason.Lookup(out.Reason); !ok && f.reason != "" {
		return out, usageError{fmt.Errorf("--reason %q is no reason: docs/reasons.md lists them", f.reason)}
	}
	if f.state != "" {
		if err := oneOf("state", f.state, "blocked", "failed", "unknown"); err != nil {
			return out, err
		}
	}
	var err error
	if out.Since, err = parsePast("since", f.since, now); err != nil {
		return out, err
	}
	out.Until, err = parsePast("until", f.until, now)
	return out, err
}

func newDeadListCommand(s *session) *cobra.Command {
	var f deadFlags
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List dead letters, oldest first", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.filter(time.Now())
			if err != nil {
				return err
			}
			if limit < 0 {
				return usageError{fmt.Errorf("--limit %d: want 1 or more, or 0 for all", limit)}
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			list := c.Dead(cmd.Context(), filter, limit)
			return writeList(s, list, listLetters)
		},
	}
	f.add(cmd)
	cmd.Flags().IntVar(&limit, "limit", 0, "at most this many; 0: all")
	return cmd
}

func listLetters(t *console.Terminal, list iter.Seq2[client.Letter, error]) error {
	tab := console.NewTable(t, console.Column{Title: "AT", Whole: true}, console.Column{Title: "STATE", Paint: stateColor},
		console.Column{Title: "REASON", Whole: true}, console.Column{Title: "CONTACT", Whole: true}, console.Column{Title: "JOB", Whole: true})
	return tabulate(tab, list, func(l client.Letter) []string {
		why := string(l.Reason)
		if l.Doubt != nil && l.Doubt.LikelyNotSent {
			why += ", likely not sent"
		}
		return []string{shortStamp(l.At), l.State, why, l.Contact, l.Job}
	})
}

func newDeadShowCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "show JOB", Short: "One dead letter, and what to do about it", Args: exactly("JOB"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			l, err := c.Letter(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if s.json {
				return s.writeJSON(l)
			}
			return buffered(s.out, func(t *console.Terminal) error { return writeLetter(t, l) })
		},
	}
}

func writeLetter(t *console.Terminal, l client.Letter) error {
	fmt.Fprintf(t, "%s\n%s  %s\n\n", t.Paint(console.Bold, l.Job), t.Paint(stateColor(l.State), l.State), l.Reason)
	answer := ""
	if l.Code != 0 {
		answer = fmt.Sprintf("error %d/%d %s", l.Code, l.Subcode, l.Detail)
	}
	attempts := ""
	if l.Attempt > 0 {
		attempts = fmt.Sprint(l.Attempt)
	}
	e, _ := reason.Lookup(l.Reason)
	known := ""
	if l.Doubt != nil {
		known = l.Doubt.Text
	}
	fs := []field{
		{"at", stamp(l.At)}, {"sender", l.Sender}, {"contact", l.Contact}, {"source", l.Source}, {"rule", l.Rule}, {"evidence", l.Evidence},
		{"platform", answer}, {"attempts", attempts}, {"trace", l.Trace}, {"what it means", e.Meaning}, {"what is known", known}, {"what to do", e.Action},
	}
	if e.Redrive {
		fs = append(fs, field{commandField, "carillon dead redrive " + l.Job}, field{"but first", e.After})
	}
	return writeFields(t, append(fs, field{"story", "carillon why " + l.Job}))
}

// handle is client.Redrive or client.Discard.
type handle func(*client.Client, context.Context, client.HandleRequest) (client.HandleResult, error)

func newHandleCommand(s *session, use, short, done string, do handle) *cobra.Command {
	var f deadFlags
	var all, dryRun bool
	cmd := &cobra.Command{
		Use:   use + " [JOB…]",
		Short: short,
		Long: short + ". Pick them by job, or by filter; --all is needed to\n" +
			"pick every one without a filter. Where one is refused, the exit code is 1.",
		RunE: func(cmd *cobra.Command, jobs []string) error {
			r, err := f.request(use, jobs, all)
			if err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			r.DryRun, r.By = dryRun, operator()
			got, err := do(c, cmd.Context(), r)
			if err != nil {
				return err
			}
			return s.handled(done, r, got)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "every dead letter")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be done")
	return withKeyFlag(cmd)
}

// request says which letters are meant, or why that is not clear.
func (f *deadFlags) request(use string, jobs []string, all bool) (client.HandleRequest, error) {
	filter, err := f.filter(time.Now())
	if err != nil {
		return client.HandleRequest{}, err
	}
	filtered := *f != deadFlags{}
	switch {
	case len(jobs) > 0 && (filtered || all):
		return client.HandleRequest{}, usageError{fmt.Errorf("dead %s: name jobs, or a filter, or --all, not two of them", use)}
	case len(jobs) > 0:
		return client.HandleRequest{Jobs: jobs}, nil
	case !filtered && !all:
		return client.HandleRequest{}, usageError{fmt.Errorf("dead %s: name jobs or a filter, or --all for every dead letter", use)}
	}
	return client.HandleRequest{Filter: &filter}, nil
}

// operator is who asks, for the job's story.
func operator() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "cli"
}

func (s *session) handled(done string, r client.HandleRequest, got client.HandleResult) error {
	if s.json {
		if err := s.writeJSON(got); err != nil {
			return err
		}
	} else if err := s.writeHandled(done, r.DryRun, got); err != nil {
		return err
	}
	if got.RefusedCount > 0 && !r.DryRun {
		return fmt.Errorf("%s of %s could not be %s", console.Count(got.RefusedCount), console.Nouns(got.Matched, "dead letter"), done)
	}
	return nil
}

func (s *session) writeHandled(done string, dryRun bool, got client.HandleResult) error {
	verb := done
	if dryRun {
		verb = "would be " + done
	}
	_, err := fmt.Fprintf(s.out, "%s of %s %s\n", console.Count(got.Done), console.Nouns(got.Matched, "dead letter"), verb)
	if err != nil || len(got.Refused) == 0 {
		return err
	}
	tab := console.NewTable(s.out, console.Column{Title: "REFUSED", Whole: true}, console.Column{Title: "WHY", Whole: true})
	for _, r := range got.Refused {
		tab.Row(r.Job, r.Why)
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	if more := got.RefusedCount - len(got.Refused); more > 0 {
		_, err = fmt.Fprintf(s.out, "and %s more\n", console.Count(more))
	}
	return err
}
