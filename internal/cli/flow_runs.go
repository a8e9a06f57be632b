package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

func newFlowRunsCommand(s *session) *cobra.Command {
	var q client.RunQuery
	var contact string
	var limit int
	cmd := &cobra.Command{
		Use: "runs ID", Short: "Where contacts stand in a flow",
		Long:    "Where contacts stand in a flow: its runs, those that changed longest ago first.",
		Example: "  carillon flow runs order-shipped --state waiting\n  carillon flow runs order-shipped --contact bakery/7301",
		Args:    exactly("ID"), ValidArgsFunction: completion(s, flowIDs),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if q.Sender, q.Contact, err = contactFlag(cmd, contact); err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			list := runsOf(cmd.Context(), c, args[0], q, limit)
			return writeList(s, list, listRuns)
		},
	}
	cmd.Flags().StringVar(&q.State, "state", "", "only those in `STATE`: gathering, waiting, done, goal, exited, handed_over, stopped, failed")
	cmd.Flags().StringVar(&contact, "contact", "", "only those of `SENDER/ID`")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most `N`; 0 is all")
	return cmd
}

// contactFlag reads SENDER/ID; it may be absent.
func contactFlag(cmd *cobra.Command, v string) (sender, id string, err error) {
	if v == "" {
		return "", "", nil
	}
	sender, id, ok := strings.Cut(v, "/")
	if !ok || sender == "" || id == "" {
		return "", "", usageError{fmt.Errorf("%s: --contact %q: want SENDER/ID", cmd.CommandPath(), v)}
	}
	return sender, id, nil
}

// maxPage is how many runs the server answers at once.
const maxPage = 1000

// runsOf lists runs page by page, at most limit; 0: all.
func runsOf(ctx context.Context, c *client.Client, id string, q client.RunQuery, limit int) iter.Seq2[client.Run, error] {
	return func(yield func(client.Run, error) bool) {
		for n := 0; ; {
			if q.Limit = maxPage; limit > 0 {
				q.Limit = min(maxPage, limit-n)
			}
			page, err := c.Runs(ctx, id, q)
			if err != nil {
				yield(client.Run{}, err)
				return
			}
			for _, r := range page.Runs {
				if n++; !yield(r, nil) {
					return
				}
			}
			if q.After = page.Cursor; !page.More || limit > 0 && n >= limit {
				return
			}
		}
	}
}

func listRuns(t *console.Terminal, list iter.Seq2[client.Run, error]) error {
	tab := console.NewTable(t, console.Column{Title: "RUN", Whole: true}, console.Column{Title: "CONTACT", Whole: true}, console.Column{Title: "VERSION", Right: true},
		console.Column{Title: "STATE", Paint: stateColor}, console.Column{Title: "STARTED", Whole: true}, console.Column{Title: "NEXT", Whole: true}, console.Column{Title: "WHY"})
	return tabulate(tab, list, func(v client.Run) []string {
		return []string{v.ID, personOf(v), fmt.Sprint(v.Version), v.State, shortStamp(v.StartedAt), shortStamp(v.Due), oneLine(v.Why)}
	})
}

// personOf is the contact by the identity that names the run.
func personOf(v client.Run) string {
	if len(v.Contacts) == 0 {
		return ""
	}
	return oneLine(v.Contacts[0].Sender + "/" + v.Contacts[0].ID)
}

func newFlowExplainCommand(s *session) *cobra.Command {
	var mermaid bool
	cmd := &cobra.Command{
		Use: "explain RUN", Short: "The path that a run took, step by step",
		Long: "The path that a run took: each step with its time, what it did, and what became of it. With\n" +
			"--mermaid nothing but the flow as a Mermaid flowchart in which the path stands out.",
		Args: exactly("RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			r, err := c.Run(cmd.Context(), args[0])
			switch {
			case err != nil:
				return err
			case mermaid:
				_, err = fmt.Fprint(s.out, r.Drawing)
				return err
			case s.json:
				return s.writeJSON(r)
			}
			return buffered(s.out, func(t *console.Terminal) error { return writeRun(t, r) })
		},
	}
	cmd.Flags().BoolVar(&mermaid, "mermaid", false, "print a drawing, and nothing else")
	return cmd
}

func writeRun(t *console.Terminal, r client.Run) error {
	fmt.Fprintf(t, "%s  %s\n\n", t.Paint(console.Bold, r.ID), t.Paint(stateColor(r.State), r.State))
	var also []string
	for _, c := range r.Contacts[min(1, len(r.Contacts)):] {
		also = append(also, oneLine(c.Sender+"/"+c.ID))
	}
	if err := writeFields(t, []field{
		{"why", oneLine(r.Why)}, {"contact", personOf(r)}, {"also", strings.Join(also, ", ")}, {"sender", r.Sender}, {"version", fmt.Sprint(r.Version)},
		{"event", oneLine(strings.TrimSpace(r.Event.Type + " " + r.Event.ID))}, {"started", stamp(r.StartedAt)}, {"ended", stamp(r.EndedAt)}, {"next", stamp(r.Due)}, {"trace", r.Trace},
	}); err != nil {
		return err
	}
	fmt.Fprintln(t)
	if r.Cut > 0 {
		fmt.Fprintf(t, "%s before this are not kept\n", console.Nouns(r.Cut, "visit"))
	}
	tab := console.NewTable(t, console.Column{Title: "TIME", Whole: true}, console.Column{Title: "STEP", Whole: true}, console.Column{Title: "DID"}, console.Column{Title: "OUTCOME", Paint: stateColor}, console.Column{Title: "WHAT"}, console.Column{Title: "JOB", Whole: true})
	for _, v := range r.Path {
		what := []string{v.What, string(v.Reason)}
		if !v.Until.IsZero() {
			what = append(what, "until "+stamp(v.Until))
		}
		tab.Row(stamp(v.At), v.Step, v.Did, v.State, oneLine(strings.TrimSpace(strings.Join(what, " "))), v.Job)
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	if slices.ContainsFunc(r.Path, func(v client.RunVisit) bool { return v.Job != "" }) {
		fmt.Fprintf(t, "\nits messages  carillon why --contact %s\n", personOf(r))
	}
	return nil
}

func newStopCommand(s *session) *cobra.Command {
	var r client.StopRunsRequest
	var contact string
	var yes bool
	cmd := &cobra.Command{
		Use: "stop ID --run RUN | --contact SENDER/ID | --all", Short: "Stop runs of a flow: one, those of a contact, or all",
		Long: "Stop runs of a flow: one, those of a contact, or all. Messages of theirs that have not left are\n" +
			"cancelled. It is said first how many that concerns.",
		Example: "  carillon flow stop order-shipped --contact bakery/7301\n  carillon flow stop order-shipped --all --yes",
		Args:    exactly("ID"), ValidArgsFunction: completion(s, flowIDs),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if r.Sender, r.Contact, err = contactFlag(cmd, contact); err != nil {
				return err
			}
			if picked(r.Run != "", contact != "", r.All) != 1 {
				return usageError{errors.New("flow stop: want one of --run, --contact and --all")}
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			dry := r
			dry.DryRun = true
			v, err := c.StopRuns(cmd.Context(), args[0], dry)
			if err != nil {
				return err
			}
			if !r.DryRun {
				if err := s.sure(cmd, "this will stop "+console.Nouns(v.Matched, "run"), !yes); err != nil {
					return fmt.Errorf("nothing was stopped: %w", err)
				}
				if v, err = c.StopRuns(cmd.Context(), args[0], r); err != nil {
					return err
				}
			}
			if s.json {
				return s.writeJSON(v)
			}
			return s.stoppedRuns(v)
		},
	}
	cmd.Flags().StringVar(&r.Run, "run", "", "one `RUN`, as flow runs prints it")
	cmd.Flags().StringVar(&contact, "contact", "", "those of `SENDER/ID`")
	cmd.Flags().BoolVar(&r.All, "all", false, "every run")
	cmd.Flags().BoolVar(&r.DryRun, "dry-run", false, "only say what would be done")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it without being asked")
	return cmd
}

func picked(given ...bool) (n int) {
	for _, g := range given {
		if g {
			n++
		}
	}
	return n
}

func (s *session) stoppedRuns(v client.StoppedRuns) error {
	if v.DryRun {
		_, err := fmt.Fprintf(s.out, "%s of %s would be stopped\n", console.Nouns(v.Matched, "run"), v.Flow)
		return err
	}
	_, err := fmt.Fprintf(s.out, "%s of %s stopped\n", console.Nouns(v.Stopped, "run"), v.Flow)
	if v.Over > 0 {
		fmt.Fprintf(s.err, "%s ended meanwhile\n", console.Nouns(v.Over, "run"))
	}
	return err
}
