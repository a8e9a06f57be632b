package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
)

// maxLine bounds one line of a list, in bytes.
const maxLine = 4 << 20

// list sends a request whose answer is one JSON value a line. The request is
// sent when the sequence is ranged over, each time anew; stopping early ends
// it. An error comes last.
func list[T any](ctx context.Context, c *Client, r request) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		resp, err := c.do(ctx, r)
		if err != nil {
			yield(none, err)
			return
		}
		defer resp.Body.Close()
		for line, err := range lines(resp.Body) {
			var v T
			if err == nil {
				err = decodeLine(line, &v)
			}
			if err != nil {
				yield(none, named(r, err))
				return
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

// named says whose answer an error is about; a problem speaks for itself.
func named(r request, err error) error {
	if _, ok := errors.AsType[*Problem](err); ok {
		return err
	}
	return fmt.Errorf("answer to %s %s: %w", r.method, r.path, err)
}

// decodeLine reads one line of a list. The server puts what went wrong into a
// last line of its own: {"error":{…}}.
func decodeLine(line []byte, into any) error {
	if bytes.Contains(line, []byte(`"error"`)) { // hardly any line: decoding each twice would be slow
		var e struct {
			Error *Problem `json:"error"`
		}
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		if e.Error != nil {
			return e.Error
		}
	}
	return json.Unmarshal(line, into)
}

// errCut says that an answer ended in the middle.
var errCut = errors.New("the server stopped in the middle of it")

// lines yields the lines of a body without their ends. A last line without an
// end is an answer that was cut short.
func lines(body io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		sc := bufio.NewScanner(body)
		sc.Buffer(make([]byte, 0, 64<<10), maxLine)
		cut := false
		sc.Split(func(data []byte, atEOF bool) (int, []byte, error) {
			n, line, err := bufio.ScanLines(data, atEOF)
			if atEOF && len(data) > 0 && bytes.IndexByte(data, '\n') < 0 {
				cut = true
				return len(data), nil, nil
			}
			return n, line, err
		})
		for sc.Scan() {
			if len(sc.Bytes()) > 0 && !yield(sc.Bytes(), nil) {
				return
			}
		}
		err := sc.Err()
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF), err == nil && cut:
			err = errCut
		case errors.Is(err, bufio.ErrTooLong):
			err = fmt.Errorf("a line is longer than %d bytes", maxLine)
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// ImportContacts merges a CSV of any length into a sender's contacts, or with
// check only reads it. each, which may be nil, is called for every line of
// the answer but the last, while the file is still being sent. Its result is
// what was done, with an error what had been done by the last progress.
func (c *Client) ImportContacts(ctx context.Context, from string, csv io.Reader, check bool, each func(ImportEvent)) (ImportDone, error) {
	r := request{method: http.MethodPost, path: sender(from, "/contacts"), stream: csv, kind: "text/csv"}
	if check {
		r.query = url.Values{"check": {"true"}}
	}
	out := ImportDone{Check: check}
	// Ending the call early must end the upload too.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := c.do(ctx, r)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	return c.follow(r, resp, out, each)
}

func (c *Client) follow(r request, resp *http.Response, out ImportDone, each func(ImportEvent)) (ImportDone, error) {
	for line, err := range lines(resp.Body) {
		var e ImportEvent
		if err == nil {
			err = decodeLine(line, &e)
		}
		if err != nil {
			return out, named(r, err)
		}
		switch {
		case e.Done != nil:
			return *e.Done, nil
		case e.Progress != nil:
			out.ImportProgress = *e.Progress
		}
		if each != nil {
			each(e)
		}
	}
	return out, named(r, errCut)
}
