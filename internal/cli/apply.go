package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

// maxApply is the largest file that the server takes.
const maxApply = 1 << 20

func newApplyCommand(s *session) *cobra.Command {
	var dryRun bool
	cmd := withKeyFlag(&cobra.Command{
		Use:   "apply FILE…",
		Short: "Create or update what YAML documents define; - reads standard input",
		Long: "Create or update what YAML documents define: kind Sender, Hook, Endpoint, Template, Broadcast and\n" +
			"Flow. A file is applied whole or not at all; an error names its file and line. FILE - is standard\n" +
			"input. With --dry-run everything is checked, and nothing changed: of a flow it says what would\n" +
			"become of the runs that are under way.",
		Example: "  carillon apply senders.yaml spring-menu.yaml",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, files []string) error {
			if len(files) > 1 && cmd.Flags().Changed("idempotency-key") {
				return usageError{errors.New("apply: --idempotency-key stands for one request: name one FILE")}
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			all := client.ApplyResult{Applied: []client.Applied{}}
			for _, file := range files {
				var r client.ApplyResult
				var data []byte
				apply := c.Apply
				if dryRun {
					apply = c.TryApply
				}
				if data, err = s.readDocuments(file); err != nil {
					break
				}
				if r, err = apply(cmd.Context(), shownName(file), bytes.NewReader(data)); err != nil {
					break
				}
				all.DryRun = r.DryRun
				all.Applied = append(all.Applied, r.Applied...)
			}
			return errors.Join(err, s.writeApplied(all))
		},
	})
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only check, and say what would be done")
	return cmd
}

// shownName is what errors call a file.
func shownName(file string) string {
	if file == "-" {
		return "stdin"
	}
	return file
}

func (s *session) readDocuments(file string) ([]byte, error) {
	r := s.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, maxApply+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shownName(file), err)
	}
	if len(data) > maxApply {
		return nil, fmt.Errorf("%s: more than 1 MiB: split it into several files", shownName(file))
	}
	return data, nil
}

func (s *session) writeApplied(r client.ApplyResult) error {
	if s.json {
		return s.writeJSON(r)
	}
	for _, a := range r.Applied {
		if _, err := fmt.Fprintf(s.out, "%s %s %s%s\n", a.Kind, a.ID, s.out.Paint(stateColor(a.Action), wouldBe(r.DryRun, a.Action)), flowVersion(a)); err != nil {
			return err
		}
		for _, i := range a.Impact {
			if _, err := fmt.Fprintf(s.out, "  %s\n", oneLine(i)); err != nil {
				return err
			}
		}
		for _, w := range a.Warnings {
			fmt.Fprintf(s.err, "%s %s: warning: %s\n", a.Kind, a.ID, oneLine(inWords(w, a.Advice)))
		}
	}
	return nil
}

// wouldBe is what was done to a document, or would be.
func wouldBe(dryRun bool, action string) string {
	if dryRun && action != "unchanged" {
		return "would be " + action
	}
	return action
}

func flowVersion(a client.Applied) string {
	if a.Version == 0 {
		return ""
	}
	return ", version " + console.Count(a.Version)
}

// inWords is a warning with its clause, where it is advice of the rulebook,
// and what launching will ask.
func inWords(warning string, advice []client.Warning) string {
	i := slices.IndexFunc(advice, func(w client.Warning) bool { return w.Code == warning })
	switch {
	case i < 0:
		return warning
	case advice[i].Acknowledge:
		return warningText(advice[i]) + "; launching it will ask to acknowledge this"
	default:
		return warningText(advice[i])
	}
}
