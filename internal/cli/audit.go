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
		Short: "Prove the account of a broadcast or flow: everybody counted once, from the ledger",
		Long: "Prove the account of a broadcast or flow: the members of the audience as frozen, or those of whom a\n" +
			"planned record of the flow says so, are counted into buckets from the full ledger, every history is\n" +
			"checked, and the running tally is held against the count. The exit code is 1 where it does not\n" +
			"balance. --bucket lists a bucket's members in send order. A broadcast goes before a flow of its name.",
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
				return s.auditMembers(members(cmd.Context(), c, args[0], bucket))
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
	if client.IsNotFound(err) {
		return s.auditFlow(ctx, c, id)
	}
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

// members lists a bucket of a broadcast, or of the flow of that name where there
// is no such broadcast.
func members(ctx context.Context, c *client.Client, id, bucket string) iter.Seq2[client.AuditMember, error] {
	return func(yield func(client.AuditMember, error) bool) {
		for m, err := range c.AuditMembers(ctx, id, bucket) {
			if client.IsNotFound(err) {
				c.FlowAuditMembers(ctx, id, bucket)(yield)
				return
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

func (s *session) auditFlow(ctx context.Context, c *client.Client, id string) error {
	a, err := c.FlowAudit(ctx, id)
	if err != nil {
		return err
	}
	if s.json {
		err = s.writeJSON(a)
	} else {
		err = buffered(s.out, func(t *console.Terminal) error {
			if err := writeAudit(t, id, a.Audit); err != nil {
				return err
			}
			return writeParts(t, a.Parts)
		})
	}
	if err == nil && !a.Balanced {
		err = fmt.Errorf("audit %s does not balance: %s", id, console.Nouns(len(a.Problems), "problem"))
	}
	return err
}

// writeParts writes what each sender sent in each month.
func writeParts(t *console.Terminal, parts []client.AuditPart) error {
	if len(parts) < 2 {
		return nil
	}
	fmt.Fprintln(t)
	tab := console.NewTable(t, console.Column{Title: "MONTH", Whole: true}, console.Column{Title: "SENDER"}, console.Column{Title: "PLANNED", Right: true},
		console.Column{Title: "SENT", Right: true}, console.Column{Title: "NOT SENT", Right: true}, console.Column{Title: "PENDING", Right: true})
	for _, p := range parts {
		a := p.Account
		tab.Row(p.Month, p.Sender, console.Count(a.Audience), console.Count(a.Sent), console.Count(a.Audience-a.Sent-a.Pending), console.Count(a.Pending))
	}
	return tab.Flush()
}

func (s *session) auditMembers(list iter.Seq2[client.AuditMember, error]) error {
	return writeList(s, list, func(t *console.Terminal, list iter.Seq2[client.AuditMember, error]) error {
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
