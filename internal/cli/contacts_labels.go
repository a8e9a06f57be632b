package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

func newLabelsCommand(s *session) *cobra.Command {
	var sender string
	var noWait bool
	cmd := &cobra.Command{
		Use:   "labels --sender ID",
		Short: "Pull the custom labels of a sender's Page, as labels fb:NAME of its contacts",
		Long: "Pull the custom labels of a sender's Page, as labels fb:NAME of its contacts, and say what it came to.\n" +
			"Labels of other names stay as they are. Two calls are made a second, one for each contact, so that many\n" +
			"contacts take long: to stop waiting stops nothing, and carillon sender show has the result. Where it\n" +
			"failed, the exit code is 1.",
		Example: "  carillon contacts labels --sender bakery",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needed(cmd, "sender", sender); err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			l, err := c.PullLabels(cmd.Context(), sender)
			if err == nil && !noWait {
				l, err = pulled(cmd.Context(), c, sender)
			}
			if err != nil {
				return err
			}
			return s.labelsPulled(sender, l)
		},
	}
	cmd.Flags().StringVar(&sender, "sender", "", "`ID` of the sender; needed")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "order it and return")
	_ = cmd.RegisterFlagCompletionFunc("sender", completion(s, senderIDs))
	return withKeyFlag(cmd)
}

// askEvery is how often a pull is asked for its result.
const askEvery = time.Second

// pulled waits for the end of a pull that was ordered.
func pulled(ctx context.Context, c *client.Client, sender string) (client.Labels, error) {
	t := time.NewTicker(askEvery)
	defer t.Stop()
	for {
		v, err := c.Sender(ctx, sender)
		if err != nil {
			return client.Labels{}, err
		}
		if l := v.Labels; l != nil && !l.Waiting && !l.Ended.IsZero() {
			return *l, nil
		}
		select {
		case <-ctx.Done():
			return client.Labels{}, context.Cause(ctx)
		case <-t.C:
		}
	}
}

func (s *session) labelsPulled(sender string, l client.Labels) error {
	var err error
	if s.json {
		err = s.writeJSON(l)
	} else {
		err = buffered(s.out, func(t *console.Terminal) error { return writeLabels(t, sender, l) })
	}
	if err == nil && !l.Waiting && l.Error != nil {
		err = fmt.Errorf("%s: the labels could not be pulled: %s", sender, labelsError(l.Error))
	}
	return err
}

func writeLabels(t *console.Terminal, sender string, l client.Labels) error {
	if l.Waiting {
		_, err := fmt.Fprintf(t, "%s: ordered\n", sender)
		return err
	}
	tab := console.NewTable(t, console.Column{Title: "SENDER", Whole: true}, console.Column{Title: "LABELS", Right: true}, console.Column{Title: "UNUSABLE", Right: true},
		console.Column{Title: "CONTACTS", Right: true}, console.Column{Title: "READ", Right: true}, console.Column{Title: "CHANGED", Right: true},
		console.Column{Title: "GONE", Right: true}, console.Column{Title: "FAILED", Right: true}, console.Column{Title: "ENDED"})
	row := []string{sender}
	for _, n := range []int{l.Labels, l.Unusable, l.Contacts, l.Read, l.Changed, l.Gone, l.Failed} {
		row = append(row, console.Count(n))
	}
	tab.Row(append(row, stamp(l.Ended))...)
	return tab.Flush()
}

// labelsError is the platform's words with its code and the link that it
// gives, whole: it is there to be followed.
func labelsError(e *client.LabelsError) string {
	words := oneLine(e.Detail)
	if e.Code != 0 {
		words = fmt.Sprintf("%s (%d/%d)", words, e.Code, e.Subcode)
	}
	return strings.TrimSpace(words + " " + e.Link)
}

// labelsField says in one line how a sender's labels stand, "" where nothing
// was pulled.
func labelsField(l *client.Labels) string {
	switch {
	case l == nil:
		return ""
	case l.Waiting:
		return "a pull is ordered"
	case l.Ended.IsZero():
		return fmt.Sprintf("being pulled since %s: %s of %s read", stamp(l.Began), console.Count(l.Read), console.Nouns(l.Contacts, "contact"))
	case l.Error != nil:
		return fmt.Sprintf("the pull of %s failed: %s", stamp(l.Began), labelsError(l.Error))
	}
	return fmt.Sprintf("pulled %s: %s of %s read, %s changed", stamp(l.Ended), console.Count(l.Read), console.Nouns(l.Contacts, "contact"), console.Count(l.Changed))
}
