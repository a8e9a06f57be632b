package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/carillon-dev/carillon/pkg/client"
)

// lines writes an answer of one JSON value a line. Nothing of it leaves
// before the buffer is full or flushed, so that what fails early can still be
// answered as a problem.
type lines struct {
	a   *answer
	buf *bufio.Writer
	enc *json.Encoder
}

const lineBuffer = 32 << 10

func newLines(a *answer) *lines {
	l := &lines{a: a}
	l.buf = bufio.NewWriterSize(begins{a}, lineBuffer)
	l.enc = json.NewEncoder(l.buf)
	return l
}

// begins sets the header of a stream of lines when its first bytes leave.
type begins struct{ a *answer }

// Write begins the answer where that is due.
func (b begins) Write(p []byte) (int, error) {
	b.begin()
	return b.a.Write(p)
}

func (b begins) begin() {
	if b.a.status == 0 {
		b.a.Header().Set("Content-Type", "application/x-ndjson")
		b.a.Header().Set("Cache-Control", "no-store")
		b.a.WriteHeader(http.StatusOK)
	}
}

func (l *lines) emit(v any) error {
	if err := l.enc.Encode(v); err != nil {
		return fmt.Errorf("write a line: %w", err)
	}
	return nil
}

// flush sends what was emitted, or an empty answer's header.
func (l *lines) flush() error {
	begins{l.a}.begin()
	if err := l.buf.Flush(); err != nil {
		return fmt.Errorf("write a line: %w", err)
	}
	if err := http.NewResponseController(l.a).Flush(); err != nil {
		return fmt.Errorf("write a line: %w", err)
	}
	return nil
}

// list answers with the lines that each emits. An error in the middle becomes
// the last line, and cuts the answer, so that nobody takes it for a whole one.
func (s *Server) list(a *answer, r *http.Request, each func(emit func(any) error) error) error {
	l := newLines(a)
	err := each(l.emit)
	if err == nil {
		return l.flush()
	}
	if a.status != 0 && l.emit(client.ImportEvent{Error: problemOf(r, err)}) == nil {
		_ = l.flush() // fail cuts the answer either way
	}
	return err
}
