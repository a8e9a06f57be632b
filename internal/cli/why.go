package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/reason"
)

func newWhyCommand(s *session) *cobra.Command {
	var contact string
	cmd := &cobra.Command{
		Use:   "why JOB | why --contact SENDER/ID",
		Short: "The whole story of a message, or of everything that was meant for a contact",
		Long: "The whole story of a message, or of everything that was meant for a contact: every step with its\n" +
			"time, verdict, evidence, the platform's answer and trace id; what the checks would say now; and\n" +
			"what to do. Jobs are named by audit --bucket, dead list and optout.",
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (contact != "") {
				return usageError{errors.New("why: name either a job or --contact SENDER/ID")}
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			if contact != "" {
				return s.whyContact(cmd, c, contact)
			}
			story, err := c.Job(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if s.json {
				return s.writeJSON(story)
			}
			return buffered(s.out, func(t *console.Terminal) error { return writeStory(t, story) })
		},
	}
	cmd.Flags().StringVar(&contact, "contact", "", "everything that was meant for `SENDER/ID`")
	return cmd
}

func (s *session) whyContact(cmd *cobra.Command, c *client.Client, contact string) error {
	sender, id, err := parseContact(contact)
	if err != nil {
		return err
	}
	all, err := c.Contact(cmd.Context(), sender, id)
	if err != nil {
		return err
	}
	if s.json {
		return s.writeJSON(all)
	}
	return buffered(s.out, func(t *console.Terminal) error { return writeContactStory(t, contact, all) })
}

func writeStory(t *console.Terminal, s client.Story) error {
	fmt.Fprintf(t, "%s\n%s\n\n", t.Paint(console.Bold, s.Job), headline(t, s))
	for _, step := range s.Steps {
		if err := writeStep(t, step); err != nil {
			return err
		}
	}
	advice := adviceOf(s)
	if len(advice) == 0 {
		return nil
	}
	fmt.Fprintln(t)
	return writeFields(t, advice)
}

func headline(t *console.Terminal, s client.Story) string {
	of := s.Broadcast
	if s.Flow != "" {
		of = "flow " + s.Flow
	}
	line := of + ": " + t.Paint(stateColor(s.State), s.State)
	if s.Bucket != "" && s.Bucket != s.State {
		line += ", counted as " + s.Bucket
	}
	if s.Reason != "" {
		line += ", " + string(s.Reason)
	}
	return line
}

const (
	stampWidth = 20 // 2026-11-22 10:00:00Z
	whatWidth  = 9  // the longest is cancelled
)

// writeStep writes one step: when, what, and in words; below them what the
// words leave out.
func writeStep(t *console.Terminal, s client.Step) error {
	room := t.Width() - stampWidth - whatWidth - 6
	lines := console.Wrap(console.Clean(s.Text), room)
	for _, d := range details(s) {
		for _, line := range console.Wrap(console.Clean(d), room) {
			lines = append(lines, t.Paint(console.Dim, line))
		}
	}
	at, what := stamp(s.At), s.What
	for _, line := range lines {
		lead := fmt.Sprintf("  %-*s  %s  ", stampWidth, at, t.Paint(stateColor(what), fmt.Sprintf("%-*s", whatWidth, console.Cut(what, whatWidth))))
		if _, err := fmt.Fprintln(t, lead+line); err != nil {
			return err
		}
		at, what = "", ""
	}
	return nil
}

// details are the parts of a record that its sentence leaves out.
func details(s client.Step) []string {
	r := s.Record
	if r == nil {
		return nil
	}
	var marks []string
	add := func(name, value string) {
		if value != "" && !strings.Contains(s.Text, value) {
			marks = append(marks, name+" "+value)
		}
	}
	add("rule", r.Rule)
	if r.FactsSeq > 0 {
		add("facts at", fmt.Sprint(r.FactsSeq))
	}
	if r.Status > 0 {
		add("HTTP status", fmt.Sprint(r.Status))
	}
	add("by", r.By)
	var out []string
	if len(marks) > 0 {
		out = append(out, strings.Join(marks, ", "))
	}
	if r.Evidence != "" && !strings.Contains(s.Text, r.Evidence) {
		out = append(out, "evidence: "+r.Evidence)
	}
	if r.Trace != "" {
		out = append(out, "trace "+r.Trace)
	}
	return out
}

// adviceOf says what the checks would say now and what to do.
func adviceOf(s client.Story) []field {
	var out []field
	if s.Run != "" {
		out = append(out, field{"its run", "carillon flow explain " + s.Run})
	}
	if s.Now != nil {
		out = append(out, field{"now", s.Now.Verdict + ": " + s.Now.Text})
	}
	e, ok := reason.Lookup(s.Reason)
	if !ok {
		return out
	}
	out = append(out, field{"what it means", e.Meaning})
	if s.Doubt != nil {
		out = append(out, field{"what is known", s.Doubt.Text})
	}
	out = append(out, field{"what to do", e.Action})
	if !e.Redrive && deadState(s.State) {
		return append(out, field{"redrive", "can't succeed"})
	}
	if cmd := commandFor(s, e); cmd != "" {
		out = append(out, field{commandField, cmd})
	}
	if deadState(s.State) && e.After != "" && (s.Now == nil || s.Now.Verdict != "send") {
		out = append(out, field{"but first", e.After})
	}
	return out
}

func deadState(state string) bool {
	return state == "blocked" || state == "failed" || state == "unknown"
}

// commandFor is the command that acts on a story, "" where there is none.
func commandFor(s client.Story, e reason.Entry) string {
	switch {
	case e.Code == reason.SenderPaused:
		if parts := strings.Split(s.Job, "."); len(parts) > 2 {
			return "carillon sender resume " + parts[2]
		}
	case deadState(s.State):
		return "carillon dead redrive " + s.Job
	}
	return ""
}

func writeContactStory(t *console.Terminal, name string, c client.ContactStory) error {
	fmt.Fprintln(t, t.Paint(console.Bold, console.Clean(name)))
	if err := writeFields(t, contactFields(c)); err != nil {
		return err
	}
	for _, s := range c.Stories {
		fmt.Fprintln(t)
		if err := writeStory(t, s); err != nil {
			return err
		}
	}
	if len(c.Missed) > 0 {
		fmt.Fprintln(t, "\nnot in the audience of")
		for _, m := range c.Missed {
			if err := bullet(t, m.Broadcast+": "+m.Why); err != nil {
				return err
			}
		}
	}
	if len(c.Stories)+len(c.Missed) == 0 {
		fmt.Fprintln(t, "\nNo broadcast of this sender was launched yet.")
	}
	return nil
}

func contactFields(c client.ContactStory) []field {
	if !c.Known || c.Contact == nil {
		return []field{{"known", "no: nothing was imported or received for this contact"}, {"key", c.Key}}
	}
	p := c.Contact
	fs := []field{
		{"name", p.Name}, {"labels", strings.Join(p.Labels, ", ")}, {"timezone", p.Timezone},
		{"last inbound", stamp(p.LastInbound)}, {"opened by", p.OpenedBy}, {"blocked", stamp(p.BlockedAt)},
	}
	if p.LastInbound.IsZero() {
		fs = append(fs, field{"last inbound", "never wrote"})
	}
	for _, o := range p.OptOuts {
		v := o.Scope + " at " + stamp(o.At)
		if o.Source != "" {
			v += ", by " + o.Source
		}
		fs = append(fs, field{"opted out", v})
	}
	return append(fs, field{"key", c.Key})
}
