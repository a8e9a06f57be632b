package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/app"
	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/ingest/cloudevent"
	"github.com/carillon-dev/carillon/internal/rehearsal"
)

const rehearseHelp = `Play events against flows on a simulated clock, by the engine and the rules that
serve live ones: each contact's path, every message as it would be read, what the
rules say of it and when. No server is needed, and nothing is sent. The same files
give the same answer, whatever the order of the events in them.

FILE holds documents: flows, and the senders, templates and hooks that they need.
--events is JSON, an object a line or an array of them, of three kinds:

  {"specversion":"1.0","id":…}   what a CRM tells: a CloudEvent; it comes in at its
                                 time, or later where "recordedtime" says so
  {"event":"message","at":…,     what a person does: message, postback, referral,
   "sender":…,"contact":…,       optin, reaction, comment, opt_out and the others
   "text":…}                     of docs/flows.md
  {"outcome":"failed",…}         what becomes of messages: sent, failed, unknown,
                                 by "flow", "step", "sender", "contact"

With --golden the answer is held against a file: where it differs, the difference
is written and the exit code is 1.`

// rehearse is what `carillon flow test` is asked for.
type rehearse struct {
	events, contacts, rulebook string
	from, until                string
	golden                     string
	update                     bool
}

func newRehearseCommand(s *session) *cobra.Command {
	var r rehearse
	cmd := &cobra.Command{
		Use:   "test FILE --events FILE",
		Short: "Play events against flows on a simulated clock; needs no server",
		Long:  rehearseHelp,
		Example: "  carillon flow test order-shipped.yaml --events events.ndjson --contacts contacts.csv\n" +
			"  carillon flow test order-shipped.yaml --events events.ndjson --golden order-shipped.golden --update",
		Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := needed(cmd, "events", r.events); err != nil {
				return err
			}
			if r.update && r.golden == "" {
				return usageError{errors.New("--update writes what --golden names: name one")}
			}
			report, script, err := s.rehearse(cmd.Context(), &r, args[0])
			if err != nil {
				return err
			}
			if script.Repeated > 0 && !s.json {
				fmt.Fprintf(s.err, "%s left out: told before\n", console.Nouns(script.Repeated, "event"))
			}
			return s.rehearsed(&r, report)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.events, "events", "", "`FILE` of events; - reads standard input; needed")
	f.StringVar(&r.contacts, "contacts", "", "`CSV` of contacts, as for contacts import, with a column sender where there are several")
	f.StringVar(&r.from, "from", "", "`TIME` of the first event, where it has none of its own")
	f.StringVar(&r.until, "until", "", "`TIME` to stop at; absent: once nothing is left to happen")
	f.StringVar(&r.rulebook, "rulebook", "", "rulebook `FILE` to use instead of the built-in one")
	f.StringVar(&r.golden, "golden", "", "`FILE` that the answer is held against; a difference is written, and fails")
	f.BoolVar(&r.update, "update", false, "write the file that --golden names instead")
	return cmd
}

// rehearse reads all files and plays them.
func (s *session) rehearse(ctx context.Context, r *rehearse, file string) (*rehearsal.Report, *rehearsal.Script, error) {
	var o rehearsal.Options
	from, err := momentOrNone("from", r.from)
	if err != nil {
		return nil, nil, err
	}
	if o.Until, err = momentOrNone("until", r.until); err != nil {
		return nil, nil, err
	}
	data, err := s.readWhole(r.events, rehearsal.MaxFile)
	if err != nil {
		return nil, nil, err
	}
	script, err := rehearsal.Read(data, from, func(b []byte) ([]event.Event, error) { return cloudevent.Decode(nil, b) })
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", shownName(r.events), err)
	}
	stage, err := s.stage(ctx, r.rulebook, file, script.From())
	if err != nil {
		return nil, nil, err
	}
	if r.contacts != "" {
		if o.Contacts, err = s.readWhole(r.contacts, rehearsal.MaxFile); err != nil {
			return nil, nil, err
		}
	}
	report, err := stage.Play(ctx, script, o)
	return report, script, err
}

// stage reads documents and puts them on the stage.
func (s *session) stage(ctx context.Context, rulebook, file string, at time.Time) (*rehearsal.Stage, error) {
	book, err := app.OpenRulebook(rulebook)
	if err != nil {
		return nil, err
	}
	data, err := s.readDocuments(file)
	if err != nil {
		return nil, err
	}
	docs, err := definition.Decode(shownName(file), data)
	if err != nil {
		return nil, err
	}
	stage, advice, err := rehearsal.NewStage(ctx, shownName(file), docs, gate.NewRules(book.Rulebook), at)
	for _, a := range advice {
		fmt.Fprintf(s.err, "%s\n", oneLine(a))
	}
	return stage, err
}

// momentOrNone is moment, but of "" none.
func momentOrNone(flag, v string) (time.Time, error) {
	if v == "" {
		return time.Time{}, nil
	}
	return moment(flag, v)
}

// readWhole reads a file of at most so many bytes; - is standard input.
func (s *session) readWhole(file string, most int64) ([]byte, error) {
	in := s.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", shownName(file), err)
	case int64(len(data)) > most:
		return nil, fmt.Errorf("%s: longer than %d bytes", shownName(file), most)
	}
	return data, nil
}

// rehearsed shows what happened, or holds it against a golden file.
func (s *session) rehearsed(r *rehearse, report *rehearsal.Report) error {
	text := cleanLines(report.Text())
	switch {
	case r.golden == "" && s.json:
		return s.writeJSON(report)
	case r.golden == "":
		_, err := io.WriteString(s.out, text)
		return err
	case r.update:
		return s.writeGolden(r.golden, text)
	}
	want, err := os.ReadFile(r.golden)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("golden file %s is not there; write it with --update, and read it before you trust it", r.golden)
	}
	if err != nil {
		return err
	}
	return s.compared(r.golden, want, []byte(text))
}

func (s *session) writeGolden(file, text string) error {
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil { //nolint:gosec // a file of a team's tree, for everybody to read
		return err
	}
	if s.json {
		return s.writeJSON(heldAgainst{Golden: file, Same: true})
	}
	_, err := fmt.Fprintf(s.out, "%s written: read it before you trust it\n", file)
	return err
}

// heldAgainst is what came of comparing with a golden file, in JSON.
type heldAgainst struct {
	Golden string `json:"golden"`
	Same   bool   `json:"same"`
	Diff   string `json:"diff,omitempty"` // unified
}

// compared says whether what happened is what a golden file says.
func (s *session) compared(file string, want, got []byte) error {
	d := diff.Diff(file, want, "this rehearsal", got)
	var err error
	switch {
	case s.json:
		err = s.writeJSON(heldAgainst{file, d == nil, string(d)})
	case d == nil:
		_, err = fmt.Fprintf(s.out, "as %s says: %s", file, lastLine(got))
	default:
		_, err = s.out.Write(d)
	}
	if d == nil {
		return err
	}
	return errors.Join(err, fmt.Errorf("it does not go as %s says; where it should, write that anew with --update", file))
}

func lastLine(text []byte) []byte {
	return text[bytes.LastIndexByte(bytes.TrimRight(text, "\n"), '\n')+1:]
}

// cleanLines takes out of a text what only a terminal would read.
func cleanLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(console.Clean(strings.TrimSuffix(line, "\n")), " "))
		b.WriteByte('\n')
	}
	return b.String()
}
