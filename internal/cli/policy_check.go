package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

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
	number int // of the line last read, from 1
}

func newLineReader(in io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(in, maxLine)}
}

// next is the next line that is not blank, valid until the next call. It
// gives io.EOF at the end and errLineTooLong for a line that it passed over.
func (l *lineReader) next() ([]byte, error) {
	for {
		line, err := l.r.ReadSlice('\n')
		if len(line) > 0 {
			l.number++
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, l.passOver()
		case err != nil && !errors.Is(err, io.EOF):
			return nil, fmt.Errorf("read: %w", err)
		case blank(line) && err == nil:
			continue
		case blank(line):
			return nil, io.EOF
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
	out    []byte
	bad    int
	done   chan struct{} // receives when out is ready
}

// batchLines is enough to make passing a batch on cheap beside judging it.
const batchLines = 256

// checkCases answers each line of in on out, in order, and says how many
// were no case. A few batches are under way at once, so that memory does not
// grow with the input. The error is of reading or writing.
func checkCases(rb *policy.Rulebook, in io.Reader, out io.Writer) (bad int, err error) {
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
		b.lines, b.ends, b.number, b.failed = b.lines[:0], b.ends[:0], b.number[:0], b.failed[:0]
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
	b.out, b.bad = b.out[:0], 0
	start := 0
	for i, end := range b.ends {
		c, err := policy.Case{}, b.failed[i]
		if err == nil {
			c, err = reader.Read(b.lines[start:end])
		}
		if err != nil {
			b.out = policy.AppendError(b.out, c.ID, b.number[i], err)
			b.bad++
		} else {
			b.out = policy.AppendAnswer(b.out, c.ID, c.Judge(rb))
		}
		b.out = append(b.out, '\n')
		start = end
	}
}
