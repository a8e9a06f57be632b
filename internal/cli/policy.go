package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	_ "time/tzdata" // cases name zones, and a small image has no zone files

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/pkg/policy"
)

// newPolicyCommand is `carillon policy`: the rulebook asked, listed and
// compared. It needs no server.
func newPolicyCommand() *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Ask, list and compare the messaging rules; needs no server",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{errors.New("policy: name one of check, explain, list, diff")}
		},
	}
	cmd.PersistentFlags().StringVar(&file, "rulebook", "", "rulebook `FILE` to use instead of the built-in one")
	cmd.PersistentFlags().BoolVar(&asJSON, "json", false, "write JSON, one line per record")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	load := func() (*policy.Rulebook, error) { return loadRulebook(file) }
	cmd.AddCommand(newCheckCommand(load), newExplainCommand(load, &asJSON), newListCommand(load, &asJSON), newDiffCommand(load, &asJSON))
	return cmd
}

// usageArgs makes wrong arguments a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%s: %w", cmd.CommandPath(), err)}
		}
		return nil
	}
}

func loadRulebook(file string) (*policy.Rulebook, error) {
	if file == "" {
		return policy.Default(), nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("rulebook: %w", err)
	}
	rb, err := policy.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return rb, nil
}

const checkHelp = `Judge cases: NDJSON on stdin, verdicts as NDJSON on stdout, in order.
A line that is no case is answered with its id and an error, and the exit
code is then 1. Fields beside id, at, sender, contact and message are notes;
inside those an unknown field is an error. Seldom needed fields:

  sender    paused, credential_invalid, unresolved, disclosure_required,
            restricted_features (list of tags, vias or template kinds),
            number_type (long_code, toll_free, short_code, outside_us)
  contact   optout_review, country (ISO 3166 alpha-2), disclosed_at,
            handed_over_at, comment.live_over,
            notification {expires, stopped, last_sent}
  message   healthcare, discloses, use_case, field_channel,
            sender_choice (record_owner, auto), template.approved`

func newCheckCommand(load func() (*policy.Rulebook, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Judge cases: NDJSON on stdin, verdicts as NDJSON on stdout, in order",
		Long:  checkHelp,
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rb, err := load()
			if err != nil {
				return err
			}
			bad, err := checkCases(rb, cmd.InOrStdin(), cmd.OutOrStdout())
			if err != nil {
				return err
			}
			if bad > 0 {
				return fmt.Errorf("%d cases could not be read: each has its error in its line", bad)
			}
			return nil
		},
	}
}

func newExplainCommand(load func() (*policy.Rulebook, error), asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use:   "explain",
		Short: "Every rule tried for each case on stdin, and why it applied or not",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rb, err := load()
			if err != nil {
				return err
			}
			return explainCases(rb, cmd.InOrStdin(), cmd.OutOrStdout(), *asJSON)
		},
	}
}

// explainCases explains case after case; a bad one ends it.
func explainCases(rb *policy.Rulebook, in io.Reader, out io.Writer, asJSON bool) error {
	var reader policy.CaseReader
	lines := newLineReader(in)
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", lines.number, err)
		}
		c, err := reader.Read(line)
		if err != nil {
			return fmt.Errorf("line %d: case %q: %w", lines.number, c.ID, err)
		}
		if err := explainCase(rb, &c, out, asJSON); err != nil {
			return err
		}
	}
}

func explainCase(rb *policy.Rulebook, c *policy.Case, out io.Writer, asJSON bool) error {
	v := c.Judge(rb)
	tried := policy.Explain(rb, c.At, &c.Message, &c.Facts, &c.Sender)
	if asJSON {
		return json.NewEncoder(out).Encode(explanation{ID: c.ID, Verdict: v.Kind.String(), Reason: string(v.Reason), Because: v.Explain(), Tried: tried})
	}
	head := table{widths: []int{100}}
	head.add(fmt.Sprintf("%s: %s: %s", c.ID, v.Kind, v.Explain()))
	if err := head.write(out); err != nil {
		return err
	}
	t := table{widths: []int{2, 30, 13, 49}}
	for _, r := range tried {
		sign := ""
		if r.Decides {
			sign = "=>"
		}
		t.add(sign, r.Rule, r.Outcome, r.Why)
	}
	return t.write(out)
}

type explanation struct {
	ID      string         `json:"id"`
	Verdict string         `json:"verdict"`
	Reason  string         `json:"reason"`
	Because string         `json:"because"`
	Tried   []policy.Tried `json:"tried"`
}

func newListCommand(load func() (*policy.Rulebook, error), asJSON *bool) *cobra.Command {
	var at string
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "The rulebook on a day",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			day, err := moment("at", at)
			if err != nil {
				return err
			}
			rb, err := load()
			if err != nil {
				return err
			}
			return writeList(cmd.OutOrStdout(), policy.List(rb, day), all, *asJSON)
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "`DATE` (2026-04-27, or a time in RFC 3339); absent: now")
	cmd.Flags().BoolVar(&all, "all", false, "also rules that are not in force on the day")
	return cmd
}

// moment reads a day or an instant; "" is now.
func moment(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Now(), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	d, err := policy.ParseDate(s)
	if err != nil {
		return time.Time{}, usageError{fmt.Errorf("--%s: %w", flag, err)}
	}
	return d.Time, nil
}

func writeList(out io.Writer, list []policy.Listed, all, asJSON bool) error {
	t := table{widths: []int{10, 30, 8, 10, 10, 22}}
	t.add("GROUP", "RULE", "STATE", "FROM", "UNTIL", "CHANNELS")
	enc := json.NewEncoder(out)
	for _, l := range list {
		if l.State != "in_force" && !all {
			continue
		}
		if asJSON {
			if err := enc.Encode(l); err != nil {
				return err
			}
			continue
		}
		t.add(l.Group, l.Rule, l.State, l.From.String(), l.To.String(), channelNames(l.Channels))
		for _, name := range l.Names {
			t.add("", "  "+name, "", "", "", "")
		}
	}
	if asJSON {
		return nil
	}
	return t.write(out)
}

func channelNames(cs []policy.Channel) string {
	if len(cs) == 0 {
		return "all"
	}
	names := make([]string, len(cs))
	for i, c := range cs {
		names[i] = string(c)
	}
	return strings.Join(names, ",")
}

func newDiffCommand(load func() (*policy.Rulebook, error), asJSON *bool) *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use:   "diff --from DATE --to DATE",
		Short: "What changes between two days",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, b, err := span(from, to)
			if err != nil {
				return err
			}
			rb, err := load()
			if err != nil {
				return err
			}
			return writeDiff(cmd.OutOrStdout(), policy.Diff(rb, a, b), *asJSON)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "first `DATE`; what begins on it is no change")
	cmd.Flags().StringVar(&to, "to", "", "last `DATE`; what begins on it is a change")
	return cmd
}

func span(from, to string) (a, b time.Time, err error) {
	if from == "" || to == "" {
		return a, b, usageError{errors.New("policy diff: --from and --to are both needed")}
	}
	if a, err = moment("from", from); err != nil {
		return a, b, err
	}
	if b, err = moment("to", to); err != nil {
		return a, b, err
	}
	if b.Before(a) {
		return a, b, usageError{fmt.Errorf("policy diff: --to %s is before --from %s", to, from)}
	}
	return a, b, nil
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
	t := table{widths: []int{10, 6, 24, 54}}
	for _, c := range changes {
		detail := c.Detail
		if len(c.Names) > 0 {
			detail = strings.Join(c.Names, " ") + ": " + detail
		}
		t.add(c.Date.String(), c.What, c.Rule, detail)
	}
	return t.write(out)
}
