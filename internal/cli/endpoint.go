package cli

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

func newEndpointCommand(s *session) *cobra.Command {
	return group("endpoint", "The webhooks that outcomes are pushed to",
		listAll(s, "All endpoints, how far behind they are, and what is wrong", (*client.Client).Endpoints, listEndpoints),
		onEndpoint(s, "show", "An endpoint, the pushes that wait, and those that were given up", (*client.Client).Endpoint, s.showEndpoint),
		withKeyFlag(onEndpoint(s, "enable", "Let pushes to an endpoint go on where they stopped", (*client.Client).EnableEndpoint, s.endpointMoved)),
		withKeyFlag(onEndpoint(s, "disable", "Push nothing more to an endpoint; nothing is lost meanwhile", (*client.Client).DisableEndpoint, s.endpointMoved)),
		newReplayCommand(s),
	)
}

// onEndpoint is a command about one endpoint.
func onEndpoint(s *session, use, short string, do func(*client.Client, context.Context, string) (client.Endpoint, error), write func(client.Endpoint) error) *cobra.Command {
	cmd := onSender(s, use, short, do, write)
	cmd.ValidArgsFunction = completion(s, endpointIDs)
	return cmd
}

func endpointIDs(ctx context.Context, c *client.Client) ([]string, error) {
	return collect(c.Endpoints(ctx), func(v client.Endpoint) string { return v.ID + "\t" + v.State })
}

func newReplayCommand(s *session) *cobra.Command {
	var r client.ReplayRequest
	var from string
	cmd := &cobra.Command{
		Use:   "replay ID --from TIME | --dead",
		Short: "Push outcomes again, under the ids that they had",
		Long: "Push outcomes again, under the ids that they had: all that were recorded since a moment, or those\n" +
			"of the pushes that were given up. A receiver that keeps ids passes over what it has.",
		Example: "  carillon endpoint replay crm --from 2d\n  carillon endpoint replay crm --dead",
		Args:    exactly("ID"), ValidArgsFunction: completion(s, endpointIDs),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if (from == "") != r.Dead {
				return usageError{fmt.Errorf("%s: want either --from or --dead", cmd.CommandPath())}
			}
			if r.Since, err = parsePast("from", from, time.Now()); err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			v, err := c.ReplayEndpoint(cmd.Context(), args[0], r)
			if err != nil {
				return err
			}
			if s.json {
				return s.writeJSON(v)
			}
			return s.endpointMoved(v)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "all since `TIME`: a day, RFC 3339, or how long ago, such as 12h or 2d")
	cmd.Flags().BoolVar(&r.Dead, "dead", false, "what was given up")
	return withKeyFlag(cmd)
}

func (s *session) endpointMoved(v client.Endpoint) error {
	_, err := fmt.Fprintf(s.out, "%s is %s\n", v.ID, v.State)
	if v.State == client.EndpointOff {
		fmt.Fprintf(s.err, "nothing is pushed to it until it is enabled: %s\n", oneLine(v.Why))
	}
	return err
}

func listEndpoints(t *console.Terminal, list iter.Seq2[client.Endpoint, error]) error {
	tab := console.NewTable(t, console.Column{Title: "ENDPOINT", Whole: true}, console.Column{Title: "HOST"}, console.Column{Title: "STATE", Paint: stateColor},
		console.Column{Title: "BEHIND", Right: true}, console.Column{Title: "WAITING", Right: true}, console.Column{Title: "TAKEN"}, console.Column{Title: "WHY"})
	return tabulate(tab, list, func(v client.Endpoint) []string {
		return []string{v.ID, v.Host, v.State, console.Count(v.Behind), console.Count(len(v.Waiting)), stamp(v.Taken), endpointTrouble(v)}
	})
}

// endpointTrouble is what is wrong with an endpoint, "" where nothing is.
func endpointTrouble(v client.Endpoint) string {
	if v.Why != "" {
		return v.Why
	}
	return v.Error
}

func (s *session) showEndpoint(v client.Endpoint) error {
	return buffered(s.out, func(t *console.Terminal) error { return writeEndpoint(t, v) })
}

func writeEndpoint(t *console.Terminal, v client.Endpoint) error {
	fmt.Fprintf(t, "%s  %s\n\n", t.Paint(console.Bold, v.ID), t.Paint(stateColor(v.State), v.State))
	failures := ""
	if v.Failures > 0 {
		failures = console.Count(v.Failures) + " in a row"
	}
	err := writeFields(t, []field{
		{"why", endpointTrouble(v)}, {"since", stamp(v.Since)}, {"host", v.Host}, {"behind", console.Count(v.Behind) + " records of the ledger"},
		{"last taken", stamp(v.Taken)}, {"failures", failures}, {"cursor", v.Cursor},
	})
	for _, l := range []struct {
		title  string
		pushes []client.EndpointPush
	}{{"PUSH THAT WAITS", v.Waiting}, {"PUSH GIVEN UP", v.Dead}} {
		if err != nil || len(l.pushes) == 0 {
			continue
		}
		fmt.Fprintln(t)
		tab := console.NewTable(t, console.Column{Title: l.title, Whole: true}, console.Column{Title: "OUTCOMES", Right: true}, console.Column{Title: "TRIES", Right: true},
			console.Column{Title: "FIRST"}, console.Column{Title: "NEXT"}, console.Column{Title: "ERROR"})
		for _, p := range l.pushes {
			tab.Row(p.ID, console.Count(p.Outcomes), console.Count(p.Attempts), stamp(p.First), stamp(p.Next), p.Error)
		}
		err = tab.Flush()
	}
	return err
}
