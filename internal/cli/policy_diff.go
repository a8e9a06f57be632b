package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/app"
	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/policy"
)

const diffHelp = `What changes in the rules between two days. With --broadcasts the server is asked,
too, which stored broadcasts that breaks: everybody whom a broadcast would still go
to is judged under the rules of either day, as old as every contact's last message
will be when the broadcast is due, so that nothing but the rules differs. Once its
audience is frozen, those are its members whose job has not ended. Broadcasts that
have ended, or go out before the first day, are left out; one that goes out before
the second is judged by the rules of its own. The rulebook is then the
server's, or that of --rulebook. With --json a line that has "broadcast" is about a
stored broadcast, one that has "rule" about a rule.`

func newDiffCommand(s *session, load func() (*policy.Rulebook, error), file *string, asJSON *bool) *cobra.Command {
	var req client.PolicyDiffRequest
	var broadcasts bool
	cmd := &cobra.Command{
		Use:     "diff --from DATE --to DATE",
		Short:   "What changes between two days, and which broadcasts that breaks",
		Long:    diffHelp,
		Example: "  carillon policy diff --from 2026-12-31 --to 2027-01-01 --broadcasts",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, to, err := spanOf(req)
			if err != nil {
				return err
			}
			if broadcasts {
				return s.diffBroadcasts(cmd.Context(), cmd.OutOrStdout(), req, from, *file, *asJSON)
			}
			rb, err := load()
			if err != nil {
				return err
			}
			return writeDiff(cmd.OutOrStdout(), policy.Diff(rb, from, to), *asJSON)
		},
	}
	cmd.Flags().StringVar(&req.From, "from", "", "first `DATE`; what begins on it is no change")
	cmd.Flags().StringVar(&req.To, "to", "", "last `DATE`; what begins on it is a change")
	cmd.Flags().BoolVar(&broadcasts, "broadcasts", false, "also which stored broadcasts the change blocks or allows, for how many; needs a server")
	return cmd
}

// spanOf reads the two flags as a server would.
func spanOf(r client.PolicyDiffRequest) (from, to time.Time, err error) {
	if r.From == "" || r.To == "" {
		return from, to, usageError{errors.New("policy diff: --from and --to are both needed")}
	}
	if from, to, err = r.Span(); err != nil {
		return from, to, usageError{fmt.Errorf("policy diff: %w", err)}
	}
	return from, to, nil
}

func writeDiff(out io.Writer, changes []policy.Change, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(out)
		for _, c := range changes {
			if err := enc.Encode(c); err != nil {
				return err
			}
		}
		return nil
	}
	t := table{widths: []int{10, 7, 24, 33}}
	for _, c := range changes {
		detail := c.Detail
		if len(c.Names) > 0 && !slices.Equal(c.Names, []string{c.Rule}) {
			detail = strings.Join(c.Names, ", ") + ": " + detail
		}
		if len(c.Channels) > 0 {
			detail += " (" + channelNames(c.Channels) + ")"
		}
		t.add(c.Date.String(), c.What, c.Rule, detail)
	}
	return t.write(out)
}

// diffBroadcasts asks the server, from being the beginning that req names. A rulebook of one's own is read here first,
// so that what is wrong with it names its file.
func (s *session) diffBroadcasts(ctx context.Context, out io.Writer, req client.PolicyDiffRequest, from time.Time, file string, asJSON bool) error {
	if file != "" {
		own, err := app.OpenRulebook(file)
		if err != nil {
			return err
		}
		req.Rulebook = string(own.Text)
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	if asJSON {
		return writeLines(out, eachMember(c.PolicyDiff(ctx, req)))
	}
	var changes []policy.Change
	var impacts []client.BroadcastImpact
	for e, err := range c.PolicyDiff(ctx, req) {
		switch {
		case err != nil:
			return err
		case e.Change != nil:
			changes = append(changes, changeOf(*e.Change))
		case e.Broadcast != nil:
			impacts = append(impacts, *e.Broadcast)
		}
	}
	if err := writeDiff(out, changes, false); err != nil {
		return err
	}
	if len(changes) > 0 {
		fmt.Fprintln(out)
	}
	return writeImpacts(out, impacts, from)
}

// eachMember is what the events hold, so that a line about a rule is what it
// is without a server.
func eachMember(events iter.Seq2[client.PolicyDiffEvent, error]) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		for e, err := range events {
			var v any = e.Broadcast
			if e.Change != nil {
				v = e.Change
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

// changeOf is a change as writeDiff takes it. A date that can't be read, of
// another version's server, stays empty.
func changeOf(c client.RuleChange) policy.Change {
	d, _ := policy.ParseDate(c.Date)
	out := policy.Change{Date: d, Rule: c.Rule, What: c.What, Names: c.Names, Detail: c.Detail, Source: c.Source}
	for _, ch := range c.Channels {
		out.Channels = append(out.Channels, policy.Channel(ch))
	}
	return out
}

// writeImpacts names the broadcasts that a change breaks or newly allows, and
// says how many were looked at.
func writeImpacts(out io.Writer, impacts []client.BroadcastImpact, from time.Time) error {
	width, judged, gone := 0, 0, 0
	for _, i := range impacts {
		if i.Broken+i.Allowed > 0 {
			width = max(width, len(i.Broadcast))
		}
		if i.Gone {
			gone++
		} else {
			judged++
		}
	}
	var b strings.Builder
	for _, i := range impacts {
		line := func(n int, what string, by []counted) {
			if n == 0 {
				return
			}
			parts := make([]string, len(by))
			for k, c := range by {
				parts[k] = c.name + " " + console.Count(c.n)
			}
			text := fmt.Sprintf("%-*s  %s of %s %s from %s: %s", width, i.Broadcast, console.Count(n), console.Count(i.Audience), what, i.Since, strings.Join(parts, ", "))
			b.WriteString(console.Clean(text) + "\n")
		}
		line(i.Broken, "blocked", byCount(i.BrokenBy))
		line(i.Allowed, "newly allowed", byCount(i.AllowedBy))
	}
	if b.Len() == 0 {
		b.WriteString("no stored broadcast is blocked or newly allowed\n")
	}
	fmt.Fprintf(&b, "judged: %s", console.Nouns(judged, "broadcast"))
	if gone > 0 {
		fmt.Fprintf(&b, "; out before %s: %s", policy.Date{Time: from.UTC()}, console.Nouns(gone, "broadcast"))
	}
	_, err := fmt.Fprintln(out, b.String())
	return err
}
