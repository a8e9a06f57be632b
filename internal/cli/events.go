package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

func newEventsCommand(s *session) *cobra.Command {
	return group("events", "What a CRM tells", newSendCommand(s))
}

// eventsAtOnce is how many events one request takes.
const eventsAtOnce = 500

func newSendCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "send FILE",
		Short: "Hand in CRM events as CloudEvents JSON; - reads standard input",
		Long: "Hand in CRM events as CloudEvents 1.0 in JSON: one, an array, or one behind the other. What they say of\n" +
			"contacts, by the rules of hooks of type events, is in force when the command returns; an event of type\n" +
			"carillon.contact.changed needs no rule. An event is known by its source and id for 35 days, so that the\n" +
			"same file can be sent again.",
		Example: "  carillon events send examples/events.json",
		Args:    exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			events, err := s.readEvents(args[0])
			if err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			got, err := sendEvents(cmd.Context(), c, events)
			return errors.Join(err, s.sent(len(events), got, err == nil))
		},
	}
	return cmd
}

// readEvents reads the events of a file, each as it is.
func (s *session) readEvents(file string) ([]json.RawMessage, error) {
	var in io.Reader = s.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	var out []json.RawMessage
	d := json.NewDecoder(in)
	for {
		var one json.RawMessage
		err := d.Decode(&one)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: after %s: %w", shownName(file), console.Nouns(len(out), "event"), err)
		}
		var many []json.RawMessage
		if bytes.HasPrefix(one, []byte("[")) && json.Unmarshal(one, &many) == nil {
			out = append(out, many...)
			continue
		}
		out = append(out, one)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no event", shownName(file))
	}
	return out, nil
}

// sendEvents hands in events, some at once, and adds up what became of them.
func sendEvents(ctx context.Context, c *client.Client, events []json.RawMessage) (client.EventsTaken, error) {
	sum := client.EventsTaken{Nobody: []client.NobodyTold{}}
	for from := 0; from < len(events); from += eventsAtOnce {
		some := events[from:min(from+eventsAtOnce, len(events))]
		body, err := json.Marshal(some)
		if err != nil {
			return sum, err
		}
		got, err := c.SendEvents(ctx, body)
		if err != nil {
			return sum, fmt.Errorf("events %d to %d: %w", from+1, from+len(some), err)
		}
		sum.New, sum.Repeated, sum.Contacts, sum.InFlight = sum.New+got.New, sum.Repeated+got.Repeated, sum.Contacts+got.Contacts, sum.InFlight+got.InFlight
		sum.Nobody, sum.Unresolved = append(sum.Nobody, got.Nobody...), append(sum.Unresolved, got.Unresolved...)
	}
	return sum, nil
}

// maxNobody is how many events that name nobody a person is shown.
const maxNobody = 20

func (s *session) sent(n int, r client.EventsTaken, all bool) error {
	if s.json {
		return s.writeJSON(r)
	}
	s.unnamed(r.Nobody, "names no contact")
	s.unnamed(r.Unresolved, "does not name all whom it should")
	if !all { // what failed is said instead
		return nil
	}
	_, err := fmt.Fprintf(s.out, "%s: %s new, %s repeated, about %s\n", console.Nouns(n, "event"), console.Count(r.New), console.Count(r.Repeated), console.Nouns(r.Contacts, "contact"))
	return err
}

// unnamed tells a person which events could not be understood, and why.
func (s *session) unnamed(events []client.NobodyTold, what string) {
	for i, e := range events {
		if i == maxNobody {
			fmt.Fprintf(s.err, "and %s more\n", console.Count(len(events)-i))
			return
		}
		why := e.Why
		if why == "" {
			why = "no rule is for it, or it has none of what the rules read"
		}
		fmt.Fprintf(s.err, "%s %s: %s\n", oneLine(e.ID), what, oneLine(why))
	}
}
