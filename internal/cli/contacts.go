package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

func newContactsCommand(s *session) *cobra.Command {
	return group("contacts", "The contacts of a sender", newImportCommand(s), newSetCommand(s), newLabelsCommand(s), newEraseCommand(s), newReviewCommand(s))
}

// importing is one `contacts import`.
type importing struct {
	*session
	sender string
	file   string // - is standard input
	strict bool
	badTo  string // file for the bad rows; "": standard error, or the JSON
}

func newImportCommand(s *session) *cobra.Command {
	im := &importing{session: s}
	cmd := &cobra.Command{
		Use:   "import --sender ID FILE.csv",
		Short: "Merge a CSV into a sender's contacts; - reads standard input",
		Long: "Merge a CSV into a sender's contacts. The header row names the columns: id, name, last_inbound\n" +
			"(RFC 3339), opened_by, opted_out (empty, all or marketing), sms_consent (true), labels (; between), timezone; any other\n" +
			"column is an attribute. Good rows go in, bad ones are reported as FILE:LINE: reason, 50 at the most\n" +
			"unless --json or --bad takes them all. With --strict the file is checked first, and one bad row\n" +
			"refuses all of it.",
		Example: "  carillon contacts import --sender bakery contacts.csv",
		Args:    exactly("FILE.csv"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := needed(cmd, "sender", im.sender); err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			im.file = args[0]
			return im.run(cmd.Context(), c)
		},
	}
	cmd.Flags().StringVar(&im.sender, "sender", "", "`ID` of the sender; needed")
	cmd.Flags().BoolVar(&im.strict, "strict", false, "refuse the file if any row is bad")
	cmd.Flags().StringVar(&im.badTo, "bad", "", "write all bad rows to `FILE`")
	_ = cmd.RegisterFlagCompletionFunc("sender", completion(s, senderIDs))
	return withKeyFlag(cmd)
}

func (im *importing) run(ctx context.Context, c *client.Client) (err error) {
	csv, size, err := im.open()
	if err != nil {
		return err
	}
	defer csv.Close()
	bad, err := im.badRows()
	if err != nil {
		return err
	}
	done, err := im.passes(ctx, c, csv, size, bad)
	return errors.Join(err, bad.end(done, err), im.report(done, err))
}

// passes sends the file, in strict mode after a check of all of it.
func (im *importing) passes(ctx context.Context, c *client.Client, csv io.ReadSeeker, size int64, bad badRows) (client.ImportDone, error) {
	if im.strict {
		done, err := im.pass(ctx, c, csv, size, true, bad)
		if err != nil {
			return done, err
		}
		if done.Bad > 0 {
			return done, fmt.Errorf("%s: %s of %s rows are bad, so nothing was imported", shownName(im.file), console.Count(done.Bad), console.Count(done.Rows))
		}
		if _, err := csv.Seek(0, io.SeekStart); err != nil {
			return done, fmt.Errorf("%s: %w", shownName(im.file), err)
		}
	}
	done, err := im.pass(ctx, c, csv, size, false, bad)
	if err == nil && done.Bad > 0 && done.Bad == done.Rows-done.Other {
		err = fmt.Errorf("%s: every row was refused, so nothing was imported", shownName(im.file))
	}
	return done, err
}

func (im *importing) pass(ctx context.Context, c *client.Client, csv io.Reader, size int64, check bool, bad badRows) (client.ImportDone, error) {
	up := &counter{r: csv}
	verb := "importing "
	if check {
		verb = "checking "
	}
	meter := newImportMeter(im.err, verb+shownName(im.file), size)
	done, err := c.ImportContacts(ctx, im.sender, up, check, func(e client.ImportEvent) {
		switch {
		case e.Bad != nil:
			bad.row(*e.Bad, meter)
		case e.Progress != nil:
			meter.show(*e.Progress, up.n.Load())
		}
	})
	meter.clear()
	if err != nil {
		return done, fmt.Errorf("%s: %w", shownName(im.file), err)
	}
	return done, nil
}

// report says how it ended, where that is not in the JSON.
func (im *importing) report(d client.ImportDone, failed error) error {
	if im.json || failed != nil {
		return nil
	}
	line := fmt.Sprintf("%s rows: %s written, %s unchanged", console.Count(d.Rows), console.Count(d.Written), console.Count(d.Unchanged))
	if d.Other > 0 {
		line += fmt.Sprintf(", %s of other senders", console.Count(d.Other))
	}
	if d.Bad > 0 {
		line += fmt.Sprintf(", %s bad", console.Count(d.Bad))
	}
	if !d.InForce {
		im.notInForce()
	}
	_, err := fmt.Fprintln(im.out, line)
	return err
}

// file is a CSV that can be read twice.
type file interface {
	io.ReadSeeker
	io.Closer
}

// open returns the CSV and its size in bytes, 0 where that is not known.
func (im *importing) open() (file, int64, error) {
	if im.file == "-" {
		return im.openStdin()
	}
	f, err := os.Open(im.file)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory: want a CSV", im.file)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// openStdin reads standard input as it comes; only what is to be read twice
// is kept, in a file that nobody else may read and that is gone at the end.
func (im *importing) openStdin() (file, int64, error) {
	if !im.strict {
		return once{im.in}, 0, nil
	}
	f, err := os.CreateTemp("", "carillon-import-*")
	if err != nil {
		return nil, 0, fmt.Errorf("stdin: %w", err)
	}
	n, err := io.Copy(f, im.in)
	err = errors.Join(err, os.Remove(f.Name()))
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("stdin: %w", err), f.Close())
	}
	return f, n, nil
}

// once is standard input, which is read one time.
type once struct{ io.Reader }

func (once) Seek(int64, int) (int64, error) {
	return 0, errors.New("standard input can't be read twice")
}
func (once) Close() error { return nil }
