package cli

import (
	"fmt"
	"iter"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

func newReviewCommand(s *session) *cobra.Command {
	var sender string
	var optOut, keep bool
	cmd := &cobra.Command{
		Use:   "review --sender ID, or review SENDER/ID --optout|--keep",
		Short: "Read words that may have meant stop, and say what they meant",
		Long: "List whose words may have meant stop, with what they wrote: everything to these contacts is held\n" +
			"until somebody has read it. --optout records an opt-out made then, and the exit code is as that of\n" +
			"carillon optout; --keep lets messages go on.",
		Example: "  carillon contacts review --sender bakery\n  carillon contacts review bakery/7301 --keep",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				if err := needed(cmd, "sender", sender); err != nil {
					return err
				}
				return s.listReviews(cmd, sender)
			}
			if optOut == keep {
				return usageError{fmt.Errorf("%s: say either --optout or --keep", cmd.CommandPath())}
			}
			from, id, err := parseContact(args[0])
			if err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			r := client.ReviewRequest{Contact: id, Decision: client.ReviewKeep}
			if optOut {
				r.Decision = client.ReviewOptOut
			}
			got, err := c.DecideReview(cmd.Context(), from, r)
			if err != nil {
				return err
			}
			if optOut {
				return s.optedOut(args[0], "all", client.OptOutResult{InForce: got.InForce, InFlight: got.InFlight})
			}
			if s.json {
				return s.writeJSON(got)
			}
			_, err = fmt.Fprintf(s.out, "%s: messages go on\n", args[0])
			return err
		},
	}
	cmd.Flags().StringVar(&sender, "sender", "", "`ID` of the sender whose contacts are listed")
	cmd.Flags().BoolVar(&optOut, "optout", false, "they meant stop")
	cmd.Flags().BoolVar(&keep, "keep", false, "they did not")
	_ = cmd.RegisterFlagCompletionFunc("sender", completion(s, senderIDs))
	return withKeyFlag(cmd)
}

func (s *session) listReviews(cmd *cobra.Command, sender string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	list := c.Reviews(cmd.Context(), sender)
	return writeList(s, list, func(t *console.Terminal, list iter.Seq2[client.Review, error]) error {
		return writeReviews(t, sender, list)
	})
}

func writeReviews(t *console.Terminal, sender string, list iter.Seq2[client.Review, error]) error {
	tab := console.NewTable(t, console.Column{Title: "CONTACT", Whole: true}, console.Column{Title: "WROTE"}, console.Column{Title: "WORDS"})
	return tabulate(tab, list, func(v client.Review) []string {
		words := oneLine(v.Text)
		if words == "" {
			words = "(not kept)"
		}
		return []string{sender + "/" + v.Contact, stamp(v.At), words}
	})
}
