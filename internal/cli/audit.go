package cli

import (
	"context"
	"fmt"
	"iter"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

// buckets are the seven that an audience is counted into.
func buckets() []string {
	return []string{"sent", "blocked", "failed", "unknown", "cancelled", "expired", "pending"}
}

func newAuditCommand(s *session) *cobra.Command {
	var bucket string
	cmd := &cobra.Command{
		Use:   "audit ID",
		Short: "Prove a broadcast's account: everybody counted once, from the ledger",
		Long: "Prove a broadcast's account: the members of the audience as frozen are counted into buckets from\n" +
			"the full ledger, every history is checked, and the running tally is held against the count. The\n" +
			"exit code is 1 where it does not balance. --bucket lists a bucket's members in send order.",
		Args: exactly("ID"), ValidArgsFunction: completion(s, broadcastIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			if bucket != "" {
				if err := oneOf("bucket", bucket, buckets()...); err != nil {
					return err
				}
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			if bucket != "" {
				return s.auditMembers(c.AuditMembers(cmd.Context(), args[0], bucket))
			}
			return s.audit(cmd.Context(), c, args[0])
		},
	}
	cmd.Flags().StringVar(&bucket, "bucket", "", "list the members of one `BUCKET`")
	_ = cmd.RegisterFlagCompletionFunc("bucket", cobra.FixedCompletions(buckets(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (s *session) audit(ctx context.Context, c *client.Client, id string) error {
	a, err := c.Audit(ctx, id)
	if err != nil {
		return err
	}
	if s.json {
		err = s.writeJSON(a)
	} else {
		err = buffered(s.out, func(t *console.Terminal) error { return writeAudit(t, id, a) })
	}
	if err == nil && !a.Balanced {
		err = fmt.Errorf("audit %s does not balance: %s", id, console.Nouns(len(a.Problems), "problem"))
	}
	return err
}

func (s *session) auditMembers(list iter.Seq2[client.AuditMember, error]) error {
	if s.json {
		return writeLines(s.out, list)
	}
	return buffered(s.out, func(t *console.Terminal) error {
		tab := console.NewTable(t, console.Column{Title: "STATE", Paint: stateColor}, console.Column{Title: "REASON", Whole: true},
			console.Column{Title: "CONTACT", Whole: true}, console.Column{Title: "JOB", Whole: true})
		return tabulate(tab, list, func(m client.AuditMember) []string { return []string{m.State, string(m.Reason), m.ID, m.Job} })
	})
}

// auditBar is how wide the bars of an audit are, in columns.
const auditBar = 40

func writeAudit(t *console.Terminal, id string, a client.Audit) error {
	fmt.Fprintf(t, "%s  %s  audience %s\n\n", t.Paint(console.Bold, id), t.Paint(stateColor(a.State), a.State), console.Count(a.Audience))
	if !a.Frozen {
		_, err := fmt.Fprintln(t, "The audience is not frozen yet: there is nothing to count.")
		return err
	}
	bar := min(auditBar, t.Width()-36)
	for _, b := range bucketCounts(a) {
		if b.n == 0 && (b.name == "cancelled" || b.name == "expired") {
			continue
		}
		drawn := t.Paint(stateColor(b.name), solidBar(b.n, a.Audience, bar))
		fmt.Fprintf(t, "  %-9s  %s  %11s  %7s\n", b.name, drawn, console.Count(b.n), console.Percent(b.n, a.Audience))
	}
	if a.Delivered > 0 {
		fmt.Fprintf(t, "\n%s of the sent were delivered, %s of them read.\n", console.Count(a.Delivered), console.Count(a.Read))
	}
	for _, part := range []struct {
		title  string
		counts []counted
		color  console.Color
	}{
		{"not sent, by reason", byCount(a.ByReason), console.Yellow},
		{"pending, held by reason", byCount(a.Held), console.Cyan},
	} {
		if len(part.counts) == 0 {
			continue
		}
		fmt.Fprintf(t, "\n%s\n", part.title)
		if err := reasonTable(t, part.counts, a.Audience, part.color); err != nil {
			return err
		}
	}
	if a.Claimed > 0 {
		fmt.Fprintf(t, "\n%s of the pending are on the wire or about to be.\n", console.Count(a.Claimed))
	}
	if a.LikelyNotSent > 0 {
		fmt.Fprintf(t, "\n%s of the unknown are likely not sent: carillon dead list --likely-not-sent --source %s\n", console.Count(a.LikelyNotSent), id)
	}
	if a.RedrivenByStandingOrder > 0 {
		fmt.Fprintf(t, "\n%s went again by the sender's standing order (unknown.redrive).\n", console.Count(a.RedrivenByStandingOrder))
	}
	if a.Doubtful > 0 {
		fmt.Fprintf(t, "\n%s not sent by the last outcome may have arrived: the answer to an earlier attempt was lost.\n", console.Count(a.Doubtful))
	}
	return writeBalance(t, a)
}

func bucketCounts(a client.Audit) []counted {
	return []counted{
		{"sent", a.Sent}, {"blocked", a.Blocked}, {"failed", a.Failed}, {"unknown", a.Unknown},
		{"cancelled", a.Cancelled}, {"expired", a.Expired}, {"pending", a.Pending},
	}
}

func writeBalance(t *console.Terminal, a client.Audit) error {
	if a.Balanced {
		_, err := fmt.Fprintf(t, "\n%s everybody counted once, every history legal, the tally in agreement\n", t.Paint(console.Green, "balanced:"))
		return err
	}
	fmt.Fprintf(t, "\n%s\n", t.Paint(console.Red, "NOT BALANCED"))
	for _, p := range a.Problems {
		if err := bullet(t, p); err != nil {
			return err
		}
	}
	return nil
}

// bullet writes one point of a list, wrapped.
func bullet(t *console.Terminal, text string) error {
	for i, line := range console.Wrap(console.Clean(text), t.Width()-4) {
		lead := "    "
		if i == 0 {
			lead = "  - "
		}
		if _, err := fmt.Fprintln(t, lead+line); err != nil {
			return err
		}
	}
	return nil
}
