package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/internal/flow/schema"
	"github.com/carillon-dev/carillon/pkg/client"
)

func newFlowCommand(s *session) *cobra.Command {
	return group("flow", "Automations, and their runs",
		newFlowListCommand(s),
		newFlowShowCommand(s),
		newFlowRunsCommand(s),
		newFlowExplainCommand(s),
		newSteerCommand(s, "pause", "Let a flow stand still: nothing begins, and what has not left waits", "let %s stand still", false, (*client.Client).PauseFlow),
		newSteerCommand(s, "resume", "Let a paused flow go on; its runs hear what came meanwhile", "let %s go on", false, (*client.Client).ResumeFlow),
		newSteerCommand(s, "delete", "End a flow for good: its runs are stopped, what has not left is cancelled", "stop %s, and cancel what has not left", true, (*client.Client).DeleteFlow),
		newStopCommand(s),
		newSchemaCommand(s),
		newRehearseCommand(s),
	)
}

func newFlowListCommand(s *session) *cobra.Command {
	return listAll(s, "All flows, what begins their runs, and how they stand", (*client.Client).Flows, listFlows)
}

func listFlows(t *console.Terminal, list iter.Seq2[client.Flow, error]) error {
	tab := console.NewTable(t, console.Column{Title: "FLOW", Whole: true}, console.Column{Title: "STATE", Paint: stateColor}, console.Column{Title: "VERSION", Right: true},
		console.Column{Title: "TYPE"}, console.Column{Title: "SENDER"}, console.Column{Title: "CHANGED"}, console.Column{Title: "BEGINS BY"})
	return tabulate(tab, list, func(v client.Flow) []string {
		return []string{v.ID, v.State, strconv.Itoa(v.Version), v.Type, v.Sender, stamp(v.At), oneLine(v.Trigger)}
	})
}

func flowIDs(ctx context.Context, c *client.Client) ([]string, error) {
	return collect(c.Flows(ctx), func(v client.Flow) string { return v.ID + "\t" + v.State })
}

func newFlowShowCommand(s *session) *cobra.Command {
	var version int
	var mermaid bool
	cmd := &cobra.Command{
		Use: "show ID", Short: "A flow, how many runs it has, and its document or a drawing of it",
		Long: "A flow, how many runs of which version it has, and its document as it is kept. With --mermaid\n" +
			"nothing but a drawing of it, as a Mermaid flowchart.",
		Example: "  carillon flow show order-shipped --mermaid > order-shipped.mmd",
		Args:    exactly("ID"), ValidArgsFunction: completion(s, flowIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			f, err := c.Flow(cmd.Context(), args[0], version)
			switch {
			case err != nil:
				return err
			case mermaid:
				_, err = fmt.Fprint(s.out, f.Drawing)
				return err
			case s.json:
				return s.writeJSON(f)
			}
			return buffered(s.out, func(t *console.Terminal) error { return writeFlow(t, f) })
		},
	}
	cmd.Flags().IntVar(&version, "version", 0, "of the document, as `N`; 0 is the newest")
	cmd.Flags().BoolVar(&mermaid, "mermaid", false, "print a drawing, and nothing else")
	return cmd
}

func writeFlow(t *console.Terminal, f client.FlowDetail) error {
	fmt.Fprintf(t, "%s  %s\n\n", t.Paint(console.Bold, f.ID), t.Paint(stateColor(f.State), f.State))
	if err := writeFields(t, []field{
		{"type", f.Type}, {"sender", f.Sender}, {"begins by", oneLine(f.Trigger)}, {"version", strconv.Itoa(f.Version)}, {"changed", stamp(f.At)},
	}); err != nil {
		return err
	}
	if len(f.Runs) > 0 {
		fmt.Fprintln(t)
		tab := console.NewTable(t, console.Column{Title: "VERSION", Right: true}, console.Column{Title: "STATE", Paint: stateColor}, console.Column{Title: "RUNS", Right: true})
		for _, r := range f.Runs {
			tab.Row(strconv.Itoa(r.Version), r.State, console.Count(r.Count))
		}
		if err := tab.Flush(); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(f.Document, "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(t, "\nversion %d:\n%s\n", f.Shown, b)
	}
	return err
}

// newSteerCommand is a command that changes how a flow stands. What cannot be
// undone is said and asked first.
func newSteerCommand(s *session, use, short, does string, final bool, do func(*client.Client, context.Context, string, client.SteerRequest) (client.SteeredFlow, error)) *cobra.Command {
	var dryRun, yes bool
	cmd := &cobra.Command{
		Use: use + " ID", Short: short, Args: exactly("ID"), ValidArgsFunction: completion(s, flowIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			v, err := do(c, cmd.Context(), args[0], client.SteerRequest{DryRun: true})
			if err != nil {
				return err
			}
			if !dryRun {
				said := fmt.Sprintf("this will "+does, console.Nouns(v.Going, "run"))
				if err := s.sure(cmd, said, final && !yes); err != nil {
					return fmt.Errorf("%s stays as it is: %w", args[0], err)
				}
				if v, err = do(c, cmd.Context(), args[0], client.SteerRequest{}); err != nil {
					return err
				}
			}
			if s.json {
				return s.writeJSON(v)
			}
			return s.steered(v, fmt.Sprintf(does, console.Nouns(v.Going, "run")))
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be done")
	if final {
		cmd.Flags().BoolVar(&yes, "yes", false, "do it without being asked")
	}
	return cmd
}

// sure says what is about to be done, and asks a person at a terminal where
// that is needed; whoever else has to say --yes.
func (s *session) sure(cmd *cobra.Command, said string, ask bool) error {
	fmt.Fprintln(s.err, said)
	switch {
	case !ask:
		return nil
	case s.interactive:
		return s.confirm(cmd.Context(), "Go on?")
	}
	return usageError{errors.New("want --yes, or --dry-run to see what it would do")}
}

func (s *session) steered(v client.SteeredFlow, does string) error {
	if v.DryRun {
		_, err := fmt.Fprintf(s.out, "%s is %s; this would %s\n", v.ID, s.out.Paint(stateColor(v.State), v.State), does)
		return err
	}
	if !v.InForce {
		s.notInForce()
	}
	_, err := fmt.Fprintf(s.out, "%s is %s\n", v.ID, s.out.Paint(stateColor(v.State), v.State))
	return err
}

func newSchemaCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "The JSON Schema of Flow documents, for editors",
		Long: "The JSON Schema of Flow documents. An editor with the YAML language server uses it where the\n" +
			"file begins with this line:\n\n  # yaml-language-server: $schema=flow.schema.json",
		Example: "  carillon flow schema > flow.schema.json",
		Args:    usageArgs(cobra.NoArgs),
		RunE:    func(*cobra.Command, []string) error { _, err := s.out.Write(schema.Flow()); return err },
	}
}
