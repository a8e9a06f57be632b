package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

func newOptOutCommand(s *session) *cobra.Command {
	var r client.OptOutRequest
	cmd := &cobra.Command{
		Use:   "optout SENDER/ID --source TEXT",
		Short: "Record an opt-out that was made anywhere",
		Long: "Record an opt-out that was made anywhere. Exit code 0 means that the line is drawn: it is durable\n" +
			"and in force, and nothing is on its way to the contact. Where it is recorded but something may\n" +
			"still arrive, the jobs are named and the exit code is 1; running it again does no harm.",
		Example: `  carillon optout bakery/7301 --source "phone call"`,
		Args:    exactly("SENDER/ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			sender, id, err := parseContact(args[0])
			if err != nil {
				return err
			}
			if err := needed(cmd, "source", r.Source); err != nil {
				return err
			}
			if err := oneOf("scope", r.Scope, "all", "marketing"); err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			r.Contact = id
			got, err := c.OptOut(cmd.Context(), sender, r)
			if err != nil {
				return err
			}
			return s.optedOut(args[0], r.Scope, got)
		},
	}
	cmd.Flags().StringVar(&r.Scope, "scope", "all", "what it covers: `all` or marketing")
	cmd.Flags().StringVar(&r.Source, "source", "", "where it was made, in words; needed")
	_ = cmd.RegisterFlagCompletionFunc("scope", cobra.FixedCompletions([]string{"all", "marketing"}, cobra.ShellCompDirectiveNoFileComp))
	return withKeyFlag(cmd)
}

func (s *session) optedOut(contact, scope string, r client.OptOutResult) error {
	if s.json {
		if err := s.writeJSON(r); err != nil {
			return err
		}
	}
	switch {
	case !r.InForce:
		return fmt.Errorf("%s: recorded, but not in force yet: the facts could not be seen to have caught up", contact)
	case len(r.InFlight) > 0:
		for _, job := range r.InFlight {
			fmt.Fprintf(s.err, "may still arrive: %s\n", oneLine(job))
		}
		return fmt.Errorf("%s: recorded and in force, but already on their way: %s", contact, console.Nouns(len(r.InFlight), "message"))
	case s.json:
		return nil
	}
	what := "nothing more is sent"
	if scope == "marketing" {
		what = "no marketing is sent any more"
	}
	_, err := fmt.Fprintf(s.out, "%s has opted out: %s\n", contact, what)
	return err
}
