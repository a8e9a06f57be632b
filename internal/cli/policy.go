package cli

import (
	"errors"
	"fmt"
	"io"
	"time"
	_ "time/tzdata" // cases name zones, and a small image has no zone files

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/app"
	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/policy"
)

const policyHelp = `Ask, list and compare the messaging rules. No server is needed, but for what
stored broadcasts are concerned by. The rulebook is that of --rulebook, else of
CARILLON_RULEBOOK, else the built-in one.`

// newPolicyCommand is `carillon policy`: the rulebook asked, listed and
// compared.
func newPolicyCommand(s *session) *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Ask, list and compare the messaging rules; needs no server",
		Long:  policyHelp,
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{errors.New("policy: name one of check, explain, list, diff, rulebook")}
		},
	}
	cmd.PersistentFlags().StringVar(&file, "rulebook", "", "rulebook `FILE` to use instead of the built-in one")
	cmd.PersistentFlags().BoolVar(&asJSON, "json", false, "write JSON, one line per record")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	open := func() (app.Rulebook, error) {
		if file != "" {
			return app.OpenRulebook(file)
		}
		return app.OpenRulebook(s.getenv("CARILLON_RULEBOOK"))
	}
	load := func() (*policy.Rulebook, error) {
		r, err := open()
		return r.Rulebook, err
	}
	cmd.AddCommand(newCheckCommand(load), newExplainCommand(load, &asJSON), newListCommand(load, &asJSON), newDiffCommand(s, load, &file, &asJSON),
		newRulebookCommand(open, &asJSON))
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

const checkHelp = `Judge cases: NDJSON on stdin, verdicts as NDJSON on stdout, in order.
A line that is no case is answered with its id and an error, and the exit
code is then 1. A line has at most 1 MiB (1,048,576 bytes) of UTF-8. Fields
beside id, at, sender, contact and message are notes; inside those an unknown
field, or one given twice, is an error. Seldom needed fields:

  sender    paused, credential_invalid, unresolved, disclosure_required,
            restricted_features (list of tags, vias or template kinds),
            number_type (long_code, toll_free, short_code, outside_us)
  contact   optout_review, country (ISO 3166 alpha-2), disclosed_at,
            handed_over_at, comment.live_over,
            notification {expires, stopped, last_sent}
  message   healthcare, discloses, use_case, field_channel,
            sender_choice (record_owner, auto), template.approved`

func newCheckCommand(load func() (*policy.Rulebook, error)) *cobra.Command {
	return casesCommand("check", "Judge cases: NDJSON on stdin, verdicts as NDJSON on stdout, in order", checkHelp, load, checkCases)
}

// casesCommand is a command that answers the cases on its input by a rulebook.
// answer says how many lines were no case; its error is of reading or writing.
func casesCommand(name, short, long string, load func() (*policy.Rulebook, error), answer func(rb *policy.Rulebook, in io.Reader, out io.Writer, said *notes) (bad int, err error)) *cobra.Command {
	return &cobra.Command{
		Use:   name,
		Short: short,
		Long:  long,
		Args:  casesOnStdin,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rb, err := load()
			if err != nil {
				return err
			}
			awaitCases(cmd)
			bad, err := answer(rb, cmd.InOrStdin(), cmd.OutOrStdout(), &notes{out: cmd.ErrOrStderr()})
			if err != nil {
				return err
			}
			return unread(bad)
		},
	}
}

const listHelp = `The rulebook on a day: what forbids a message, what opens a window, what allows a
message and for how long, who may write it, whether it may be promotional and what
it needs; then quiet hours, warnings, 10DLC classes and notes, each in the order
tried. With --json every parameter, clause, source and contradiction, one rule a line.`

func newListCommand(load func() (*policy.Rulebook, error), asJSON *bool) *cobra.Command {
	var at string
	var how listed
	cmd := &cobra.Command{
		Use:   "list",
		Short: "The rulebook on a day",
		Long:  listHelp,
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if at == "" && cmd.Flags().Changed("at") {
				return usageError{errors.New(`--at "": want a day such as 2026-04-27; leave it out for now`)}
			}
			day, err := moment("at", at)
			if err != nil {
				return err
			}
			rb, err := load()
			if err != nil {
				return err
			}
			how.asJSON = *asJSON
			return how.write(cmd.OutOrStdout(), policy.List(rb, day))
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "`DATE` (2026-04-27, or a time in RFC 3339); absent: now")
	cmd.Flags().BoolVar(&how.all, "all", false, "also rules that are not in force on the day")
	cmd.Flags().BoolVar(&how.wide, "wide", false, "also every clause, the reading taken, its source, and notes")
	return cmd
}

// moment reads a day or an instant; "" is now.
func moment(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Now(), nil
	}
	t, err := client.ParseMoment(s)
	if err != nil {
		return t, usageError{fmt.Errorf("--%s %w", flag, err)}
	}
	return t, nil
}
