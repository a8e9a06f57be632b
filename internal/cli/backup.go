package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/backup"
	"github.com/carillon-dev/carillon/internal/console"
)

const backupHelp = `Copies everything that the installation is into one file, while it runs: definitions,
contacts, audiences, flows and their runs, the audit log and the ledgers. The file
is checked while it is written, and has its name only once it is whole; one that is
there is never written over. FILE may be a directory.

The installation's key is not in it: without that the file is worth nothing, and
who has both has everybody's address. The file holds names and attributes of people:
keep it as such. It takes a token with the role admin and without a scope.

--verify reads a file again and asks no server.`

func newBackupCommand(s *session) *cobra.Command {
	var verify bool
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Copy everything into one file, while it runs", Long: backupHelp, Args: exactly("FILE"),
		Example: "  carillon backup /backup/\n  carillon backup --verify /backup/carillon-20261122T100000Z.tar",
		RunE: func(cmd *cobra.Command, args []string) error {
			if verify {
				return s.verifyBackup(args[0])
			}
			return s.takeBackup(cmd.Context(), args[0])
		},
	}
	cmd.Flags().BoolVar(&verify, "verify", false, "check a file that is there; needs no server")
	return cmd
}

// backupReport is what the commands say of a file.
type backupReport struct {
	File    string    `json:"file"`
	Taken   time.Time `json:"taken"`
	By      string    `json:"by"`
	Streams int       `json:"streams"`
	Records uint64    `json:"records"`
	Bytes   int64     `json:"bytes"` // of the file
}

func reportOf(file string, c *backup.Contents, size int64) backupReport {
	r := backupReport{File: file, Taken: c.Head.Taken, By: c.Head.By, Streams: len(c.Manifest.Streams), Bytes: size}
	for _, s := range c.Manifest.Streams {
		r.Records += s.Messages
	}
	return r
}

func (s *session) writeReport(r backupReport, verb string) error {
	if s.json {
		return s.writeJSON(r)
	}
	_, err := fmt.Fprintf(s.out, "%s: %s, %s records of %s, %s bytes, as of %s\n",
		r.File, verb, console.Count(int(r.Records)), console.Nouns(r.Streams, "stream"), console.Count(int(r.Bytes)), stamp(r.Taken))
	return err
}

func (s *session) verifyBackup(file string) error {
	f, size, err := openBackup(file)
	if err != nil {
		return err
	}
	defer f.Close()
	meter := newBackupMeter(s.err, "checking "+shownName(file))
	c, err := backup.Check(f, meter.show)
	meter.clear()
	if err != nil {
		return fmt.Errorf("%s: %w", shownName(file), err)
	}
	return s.writeReport(reportOf(file, c, size), "whole")
}

// takeBackup writes into a file of another name until it is whole and on disk.
func (s *session) takeBackup(ctx context.Context, file string) (err error) {
	if file == "-" {
		return usageError{errors.New("carillon backup: - is no file: name one, or a directory")}
	}
	if isDir(file) {
		file = filepath.Join(file, "carillon-"+time.Now().UTC().Format("20060102T150405Z")+".tar")
	}
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("%s is there already, and is not written over: name another", shownName(file))
	}
	dir := filepath.Dir(file)
	if !isDir(dir) {
		return fmt.Errorf("%s: there is no directory %s: make it, or name another", shownName(file), dir)
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	defer c.Close()
	f, err := os.CreateTemp(dir, filepath.Base(file)+".*.part") // mode 0600, and nobody else's
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // what was cut short is worth nothing
		}
	}()
	meter := newBackupMeter(s.err, "backing up into "+shownName(file))
	got, err := checkedWhile(f, meter.show, func(w io.Writer) error { return c.Backup(ctx, w) })
	meter.clear()
	if err = errors.Join(err, f.Sync()); err != nil {
		return errors.Join(err, f.Close())
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil { // its name outlives a power failure
		return err
	}
	return s.writeReport(reportOf(file, got, info.Size()), "whole")
}

func isDir(path string) bool {
	i, err := os.Stat(path)
	return err == nil && i.IsDir()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openBackup opens a file of carillon backup, to be closed by who reads it.
func openBackup(file string) (*os.File, int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, 0, err
	}
	i, err := f.Stat()
	if err == nil && i.IsDir() {
		err = fmt.Errorf("%s is a directory: name a file of carillon backup", shownName(file))
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, i.Size(), nil
}

// checkedWhile checks what write writes while it goes to f.
func checkedWhile(f io.Writer, told func(backup.Progress), write func(io.Writer) error) (*backup.Contents, error) {
	r, w := io.Pipe()
	type result struct {
		c   *backup.Contents
		err error
	}
	checked := make(chan result, 1)
	go func() {
		c, err := backup.Check(r, told)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		_ = r.CloseWithError(err) // of a nil error: a plain end
		checked <- result{c, err}
	}()
	err := write(io.MultiWriter(f, w))
	_ = w.CloseWithError(err) // it never fails
	got := <-checked
	if err != nil && !errors.Is(err, got.err) {
		return nil, err
	}
	return got.c, got.err
}

// backupMeter shows how far a file has come.
type backupMeter struct {
	t     *console.Terminal
	live  *console.Live // nil: it is no screen
	title string
	drawn time.Time
}

func newBackupMeter(t *console.Terminal, title string) *backupMeter {
	m := &backupMeter{t: t, title: title, drawn: time.Now()}
	if t.Screen() {
		m.live, m.drawn = console.NewLive(t), time.Time{}
	}
	return m
}

func (m *backupMeter) show(p backup.Progress) {
	every := importLine
	if m.live != nil {
		every = importRedraw
	}
	now := time.Now()
	if now.Sub(m.drawn) < every {
		return
	}
	m.drawn = now
	line := fmt.Sprintf("%s: %s records, %s  %s", m.title, console.Count(int(p.Done)), console.Percent(int(min(p.Done, p.Of)), int(p.Of)), p.Stream)
	if m.live == nil {
		fmt.Fprintln(m.t, line)
		return
	}
	_ = m.live.Draw(console.Cut(line, m.t.Width())) // a screen that is gone stops no backup
}

func (m *backupMeter) clear() {
	if m.live != nil {
		_ = m.live.Clear()
	}
}
