package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/pkg/client"
)

// progressEvery is how often an import says how far it is.
const progressEvery = 200 * time.Millisecond

// importPath is where contacts come in, the one body of any length.
const importPath = "/v1/senders/{id}/contacts"

// importing is one import: a CSV that comes in while what is said of it goes
// out. Its methods are called from several goroutines of the import.
type importing struct {
	end context.CancelCauseFunc

	mu   sync.Mutex
	out  *lines
	last time.Time // when progress was last sent
}

func (s *Server) importContacts(a *answer, r *http.Request) error {
	id := r.PathValue("id")
	check, err := boolean(r, "check")
	if err != nil {
		return err
	}
	if _, _, err := s.Defs.Sender(r.Context(), id); err != nil {
		return err
	}
	if !check {
		if err := s.act(a, r, deed{object: id, sender: id}); err != nil {
			return err
		}
		a.again = true // also where this panics
	}
	// Without this, HTTP/1.1 would read all of the file before the first line
	// of the answer may leave. HTTP/2 always can, and a recorder need not.
	_ = http.NewResponseController(a).EnableFullDuplex()
	ctx, end := context.WithCancelCause(r.Context())
	defer end(nil)
	im := &importing{end: end, out: newLines(a)}
	body := &upload{from: r.Body}
	done, err := s.importFrom(ctx, id, body, check, im)
	a.outcome = map[string]string{"rows": strconv.Itoa(done.Rows), "written": strconv.Itoa(done.Written), "bad": strconv.Itoa(done.Bad)}
	if err == nil {
		err = im.finish(client.ImportEvent{Done: done})
		a.again = err != nil
		return err
	}
	if context.Cause(ctx) != nil {
		return errGone
	}
	err = blame(err, body.err, done.Rows)
	if a.status == 0 && done.Rows == 0 {
		// With a body unread the server would read it while it already waits
		// for the next request on the connection, and panic.
		_, _ = io.CopyN(io.Discard, r.Body, maxRest)
		a.Header().Set("Connection", "close")
		return err
	}
	// The rest of the file is not cut off: a reset would take the last line
	// away from a caller that is still sending.
	a.failed = problemOf(r, err)
	return im.finish(client.ImportEvent{Error: a.failed})
}

func (s *Server) importFrom(ctx context.Context, id string, body io.Reader, check bool, im *importing) (*client.ImportDone, error) {
	done := &client.ImportDone{Check: check}
	at := time.Now().UTC()
	if check {
		n, err := facts.Check(ctx, id, body, at, im.bad)
		done.ImportProgress = wireImported(n)
		return done, err
	}
	n, err := s.Facts.Import(ctx, id, body, at, im.bad, im.progress)
	done.ImportProgress = wireImported(n)
	if err == nil {
		done.InForce = s.inForce(ctx, n.Seq)
	}
	return done, err
}

// maxRest is how much of a refused file is read before the answer, bytes.
const maxRest = 4 << 20

// upload is a request's body that remembers how it ended.
type upload struct {
	from io.Reader
	err  error // nil: it has not failed
}

// Read passes on what comes.
func (u *upload) Read(p []byte) (int, error) {
	n, err := u.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		u.err = err
	}
	return n, err
}

// blame says whose fault it is that an import ended: the caller's connection,
// an engine, or else the file.
func blame(err, upload error, rows int) error {
	switch {
	case upload != nil:
		return badRequest(fmt.Sprintf("the upload ended after %d rows: %v; import the file again, what was stored stays", rows, upload))
	case unavailable(err):
		return err
	}
	return refuse(http.StatusUnprocessableEntity, err.Error())
}

func (im *importing) bad(row contact.BadRow) error {
	im.mu.Lock()
	defer im.mu.Unlock()
	return im.out.emit(client.ImportEvent{Bad: &client.BadRow{Line: row.Line, Reason: row.Reason}})
}

func (im *importing) progress(n facts.Imported) {
	im.mu.Lock()
	defer im.mu.Unlock()
	if time.Since(im.last) < progressEvery {
		return
	}
	im.last = time.Now()
	p := wireImported(n)
	if err := errors.Join(im.out.emit(client.ImportEvent{Progress: &p}), im.out.flush()); err != nil {
		im.end(err)
	}
}

// finish sends the last line. It alone is kept for repeats of the request.
func (im *importing) finish(e client.ImportEvent) error {
	im.mu.Lock()
	defer im.mu.Unlock()
	if err := im.out.flush(); err != nil {
		return err
	}
	if im.out.a.kept != nil {
		im.out.a.kept.Reset()
	}
	if err := im.out.emit(e); err != nil {
		return err
	}
	return im.out.flush()
}

// boolean reads a parameter that is true or false; absent is false.
func boolean(r *http.Request, name string) (bool, error) {
	switch v := r.URL.Query().Get(name); v {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, badRequest(fmt.Sprintf("%s %q: want true or false", name, v))
	}
}
