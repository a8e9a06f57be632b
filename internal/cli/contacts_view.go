package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

const (
	// importRedraw keeps drawing from slowing an import down.
	importRedraw = 100 * time.Millisecond
	// importLine is how often there is a line where nothing can be redrawn.
	importLine = 5 * time.Second
	// maxBadShown is how many bad rows a person is shown.
	maxBadShown = 50
)

// counter counts the bytes that were read; it is read by the sender of the
// request and asked by the reader of its answer.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// importMeter shows how far an import is, on standard error.
type importMeter struct {
	t     *console.Terminal
	live  *console.Live // nil: nothing can be redrawn
	title string
	size  int64 // bytes; 0: unknown
	rows  console.Meter
	drawn time.Time
}

func newImportMeter(t *console.Terminal, title string, size int64) *importMeter {
	m := &importMeter{t: t, title: title, size: size, drawn: time.Now()}
	if t.Screen() {
		m.live, m.drawn = console.NewLive(t), time.Time{}
	}
	return m
}

func (m *importMeter) show(p client.ImportProgress, read int64) {
	now := time.Now()
	m.rows.Add(now, p.Rows)
	if m.live == nil {
		if now.Sub(m.drawn) >= importLine {
			m.drawn = now
			fmt.Fprintf(m.t, "%s: %s\n", m.title, m.figures(p))
		}
		return
	}
	if now.Sub(m.drawn) < importRedraw {
		return
	}
	m.drawn = now
	_ = m.live.Draw(m.lines(p, read)...) // a screen that is gone stops no import
}

func (m *importMeter) figures(p client.ImportProgress) string {
	s := fmt.Sprintf("%s rows, %s", console.Count(p.Rows), console.Rate(m.rows.PerSecond()))
	if p.Bad > 0 {
		s += fmt.Sprintf(", %s bad", console.Count(p.Bad))
	}
	return s
}

func (m *importMeter) lines(p client.ImportProgress, read int64) []string {
	head := console.Cut(m.title, m.t.Width())
	if m.size <= 0 {
		return []string{head, m.figures(p)}
	}
	// Bytes are ahead of rows by what is on its way, so that 100 % is not said
	// before the end.
	percent := console.Percent(int(min(read, m.size-1)), int(m.size))
	bar := m.t.Bar([]console.Segment{{N: int(read), Glyph: "█", Color: console.Green}}, int(m.size), m.t.Width())
	return []string{head, bar, percent + "  " + m.figures(p)}
}

// clear takes the meter away, so that a line can be written.
func (m *importMeter) clear() {
	if m.live != nil {
		_ = m.live.Clear()
	}
}

// badRows takes the rows that were refused.
type badRows interface {
	row(r client.BadRow, m *importMeter)
	end(d client.ImportDone, failed error) error
}

func (im *importing) badRows() (badRows, error) {
	name := shownName(im.file)
	var to badRows = &badLines{t: im.err, name: name}
	if im.json {
		to = &badJSON{w: bufio.NewWriter(im.out)}
	}
	if im.badTo == "" {
		return to, nil
	}
	f, err := os.Create(im.badTo)
	if err != nil {
		return nil, fmt.Errorf("--bad: %w", err)
	}
	if im.json {
		return &badFile{f: f, w: bufio.NewWriter(f), name: name, then: to}, nil
	}
	return &badFile{f: f, w: bufio.NewWriter(f), name: name}, nil
}

func badLine(name string, r client.BadRow) string {
	return fmt.Sprintf("%s:%d: %s\n", name, r.Line, oneLine(r.Reason))
}

// badLines shows the first bad rows to a person.
type badLines struct {
	t    *console.Terminal
	name string
	n    int
}

func (b *badLines) row(r client.BadRow, m *importMeter) {
	if b.n++; b.n <= maxBadShown {
		m.clear()
		fmt.Fprint(b.t, badLine(b.name, r))
	}
}

func (b *badLines) end(client.ImportDone, error) error {
	if b.n > maxBadShown {
		fmt.Fprintf(b.t, "and %s more bad rows; --bad FILE writes them all\n", console.Count(b.n-maxBadShown))
	}
	return nil
}

// badFile writes all of them to a file.
type badFile struct {
	f    *os.File
	w    *bufio.Writer
	name string
	then badRows // nil: nowhere else
}

func (b *badFile) row(r client.BadRow, m *importMeter) {
	_, _ = b.w.WriteString(badLine(b.name, r)) // the first error is Flush's
	if b.then != nil {
		b.then.row(r, m)
	}
}

func (b *badFile) end(d client.ImportDone, failed error) error {
	err := errors.Join(b.w.Flush(), b.f.Close())
	if b.then != nil {
		err = errors.Join(err, b.then.end(d, failed))
	}
	return err
}

// badJSON writes the one JSON document of an import: the bad rows as they
// come, so that any number of them takes no memory, then how it ended.
type badJSON struct {
	w *bufio.Writer
	n int
}

const badJSONHead = `{"bad_rows":[`

func (b *badJSON) row(r client.BadRow, _ *importMeter) {
	if b.n++; b.n == 1 {
		_, _ = b.w.WriteString(badJSONHead)
	} else {
		_ = b.w.WriteByte(',')
	}
	doc, _ := json.Marshal(r) // a number and a string
	_, _ = b.w.Write(doc)     // the first error is Flush's
}

func (b *badJSON) end(d client.ImportDone, failed error) error {
	if b.n == 0 {
		_, _ = b.w.WriteString(badJSONHead)
	}
	result := struct {
		client.ImportDone
		Error string `json:"error,omitempty"`
	}{ImportDone: d}
	if failed != nil {
		result.Error = failed.Error()
	}
	doc, err := json.Marshal(result)
	if err != nil {
		return err
	}
	_, _ = b.w.WriteString("],")
	_, _ = b.w.Write(append(doc[1:], '\n'))
	return b.w.Flush()
}
