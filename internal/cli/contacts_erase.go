package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

func newEraseCommand(s *session) *cobra.Command {
	var at string
	var yes bool
	cmd := &cobra.Command{
		Use:   "erase SENDER/ID --yes",
		Short: "Forget a person: all that was told of them, but what forbids",
		Long: "Forget a person. What is known of the contact is removed, and the events that it was told by; opt-outs\n" +
			"and blocks stay, under a key that does not give the contact away. What was told before and comes\n" +
			"again restores nothing; what is told from now on counts anew. It can't be taken back. Where a\n" +
			"message is still on its way, the exit code is 1.",
		Example: "  carillon contacts erase bakery/7301 --yes",
		Args:    exactly("SENDER/ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			sender, id, err := parseContact(args[0])
			if err != nil {
				return err
			}
			r := client.EraseRequest{Contact: id}
			if r.At, err = parsePast("at", at, time.Now()); err != nil {
				return err
			}
			if !yes {
				return usageError{fmt.Errorf("%s: it can't be taken back; say --yes", cmd.CommandPath())}
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			got, err := c.EraseContact(cmd.Context(), sender, r)
			if err != nil {
				return err
			}
			return s.erased(args[0], got)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "it is meant; needed")
	cmd.Flags().StringVar(&at, "at", "", "forget what was told up to then: a time, or how long ago, such as 30d; now where absent")
	return withKeyFlag(cmd)
}

func (s *session) erased(contact string, r client.Erased) error {
	if s.json {
		if err := s.writeJSON(r); err != nil {
			return err
		}
	}
	switch {
	case r.InFlight > 0:
		return fmt.Errorf("%s: erased, but already on their way: %s", contact, console.Nouns(r.InFlight, "message"))
	case s.json:
		return nil
	case !r.Complete:
		fmt.Fprintln(s.err, "not all events could be looked at yet; the rest is forgotten within seconds")
	}
	_, err := fmt.Fprintf(s.out, "%s is erased, and %s about it\n", contact, console.Nouns(r.Events, "event"))
	return err
}
