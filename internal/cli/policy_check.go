package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/carillon-dev/carillon/pkg/policy"
)

// maxLine is the longest line that is read as a case: a text may have a few
// thousand bytes, so that 1 MiB is a fault of the input.
const maxLine = 1 << 20

var errLineTooLong = errors.New("line longer than 1 MiB")

// lineReader reads lines that are not blank. Memory stays constant: what is
// longer than maxLine is passed over.
type lineReader struct {
	r      *bufio.Reader
	number int    // of the line last read, from 1
	id     string // of the line last passed over, as far as it stands in its beginning
}

// newLineReader has room for a byte order mark and the end of the line beside
// the longest line, and one byte to see that a line is longer.
func newLineReader(in io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(in, maxLine+len(byteOrderMark)+len("\r\n")+1)}
}

// byteOrderMark is what some programs begin a file of UTF-8 with.
const byteOrderMark = "\ufeff"

// next is the next line that is not blank, valid until the next call. It
// gives io.EOF at the end and errLineTooLong for a line that it passed over.
func (l *lineReader) next() ([]byte, error) {
	for {
		line, err := l.r.ReadSlice('\n')
		if len(line) > 0 {
			l.number++
		}
		if l.number == 1 {
			line = bytes.TrimPrefix(line, []byte(byteOrderMark))
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			l.id = policy.FindID(line)
			return nil, l.passOver()
		case err != nil && !errors.Is(err, io.EOF):
			return nil, fmt.Errorf("read: %w", err)
		case blank(line) && err == nil:
			continue
		case blank(line):
			return nil, io.EOF
		case len(bytes.TrimRight(line, "\r\n")) > maxLine:
			l.id = policy.FindID(line)
			return nil, errLineTooLong
		default:
			return line, nil
		}
	}
}

// passOver drops the rest of a line.
func (l *lineReader) passOver() error {
	for {
		_, err := l.r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read: %w", err)
		}
		return errLineTooLong
	}
}

func blank(line []byte) bool {
	for _, c := range line {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}

// batch is lines on their way from the reader over a judge to the writer.
type batch struct {
	lines  []byte
	ends   []int // of each line in lines
	number []int // of each line in the input
	failed []error
	ids    []string // of lines that failed
	out    []byte
	bad    int
	notes  []note
	done   chan struct{} // receives when out is ready
}

// batchLines is enough to make passing a batch on cheap beside judging it.
const batchLines = 256

// checkCases answers each line of in on out, in order, and says how many
// were no case. A few batches are under way at once, so that memory does not
// grow with the input. The error is of reading or writing.
func checkCases(rb *policy.Rulebook, in io.Reader, out io.Writer, said *notes) (bad int, err error) {
	n := runtime.GOMAXPROCS(0)
	free := make(chan *batch, 4*n)
	work := make(chan *batch, 4*n)
	order := make(chan *batch, 4*n)
	for range 4 * n {
		free <- &batch{done: make(chan struct{}, 1)}
	}
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { judgeBatches(rb, work) })
	}
	var readErr error
	wg.Go(func() {
		readErr = readBatches(in, free, work, order)
		close(work)
		close(order)
	})
	for b := range order {
		<-b.done
		bad += b.bad
		for _, n := range b.notes {
			said.add(n.line, n.capability)
		}
		if err == nil {
			_, err = out.Write(b.out)
		}
		// After a failed write the rest is still taken, so that nobody waits.
		free <- b
	}
	wg.Wait()
	return bad, errors.Join(readErr, err)
}

// readBatches fills free batches and hands each to a judge and, in order, to
// the writer.
func readBatches(in io.Reader, free <-chan *batch, work, order chan<- *batch) error {
	lines := newLineReader(in)
	for {
		b := <-free
		b.lines, b.ends, b.number, b.failed, b.ids = b.lines[:0], b.ends[:0], b.number[:0], b.failed[:0], b.ids[:0]
		err := b.fill(lines)
		if len(b.ends) > 0 {
			work <- b
			order <- b
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// fill reads until the batch is full, or what is read next would have to be
// waited for: an answer never waits for the next question.
func (b *batch) fill(lines *lineReader) error {
	for len(b.ends) < batchLines && len(b.lines) < maxLine {
		line, err := lines.next()
		if err != nil && !errors.Is(err, errLineTooLong) {
			return err
		}
		b.lines = append(b.lines, line...)
		b.ends = append(b.ends, len(b.lines))
		b.number = append(b.number, lines.number)
		b.failed = append(b.failed, err)
		b.ids = append(b.ids, lines.id)
		if lines.r.Buffered() == 0 {
			return nil
		}
	}
	return nil
}

func judgeBatches(rb *policy.Rulebook, work <-chan *batch) {
	var reader policy.CaseReader
	for b := range work {
		b.judge(rb, &reader)
		b.done <- struct{}{}
	}
}

// judge answers every line of the batch.
func (b *batch) judge(rb *policy.Rulebook, reader *policy.CaseReader) {
	b.out, b.bad, b.notes = b.out[:0], 0, b.notes[:0]
	start := 0
	for i, end := range b.ends {
		c, err := policy.Case{ID: b.ids[i]}, b.failed[i]
		if err == nil {
			c, err = readCase(reader, rb, b.lines[start:end])
		}
		if err != nil {
			b.out = policy.AppendError(b.out, c.ID, b.number[i], err)
			b.bad++
		} else {
			b.out = policy.AppendAnswer(b.out, c.ID, c.Judge(rb))
			if name := rb.Unasked(&c.Sender); name != "" {
				b.notes = append(b.notes, note{b.number[i], name})
			}
		}
		b.out = append(b.out, '\n')
		start = end
	}
}

// readCase reads a case for one rulebook, which knows all that it names as
// withdrawn.
func readCase(reader *policy.CaseReader, rb *policy.Rulebook, line []byte) (policy.Case, error) {
	c, err := reader.Read(line)
	if err == nil {
		err = rb.Vet(&c.Sender)
	}
	return c, err
}

// note is a capability that a case has and no rule asks for.
type note struct {
	line       int
	capability string
}

// notes says each of them once, and no more than a person reads.
type notes struct {
	out  io.Writer
	seen []string
}

const mostNotes = 20

// add says where capability, "" for none, stood first. What can't be written
// is lost: the answers go on.
func (n *notes) add(line int, capability string) {
	if capability == "" || len(n.seen) == mostNotes || slices.Contains(n.seen, capability) {
		return
	}
	n.seen = append(n.seen, capability)
	fmt.Fprintf(n.out, "carillon: line %d: sender.capabilities: no rule asks for %q: it permits nothing\n", line, capability)
}

// unread is the error of lines that were no case, nil for none.
func unread(bad int) error {
	switch bad {
	case 0:
		return nil
	case 1:
		return errors.New("1 case could not be read: its line has the error")
	default:
		return fmt.Errorf("%d cases could not be read: each line has its error", bad)
	}
}

// casesOnStdin refuses arguments: a file of cases is not one.
func casesOnStdin(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError{fmt.Errorf("%s takes no arguments: cases come on standard input, as in %s < %s", cmd.CommandPath(), cmd.CommandPath(), args[0])}
}

// awaitCases tells a person at a terminal what is waited for.
func awaitCases(cmd *cobra.Command) {
	if f, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		cmd.PrintErrln("carillon: reading cases from the terminal, one line of JSON each; Ctrl-D ends")
	}
}
