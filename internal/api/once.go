package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/idempotency"
	"github.com/carillon-dev/carillon/internal/journal"
	"github.com/carillon-dev/carillon/pkg/client"
)

// once is a request that is being carried out.
type once struct {
	claim *idempotency.Claim // nil: it has no key
	body  hash.Hash          // of what was read of its body
}

// carry carries a request out, unless its key says that this was done before,
// and records what came of it.
func (s *Server) carry(rt route, a *answer, r *http.Request) error {
	o, err := s.first(rt, a, r)
	if o == nil {
		return err
	}
	whole := false
	defer func() { s.settle(a, r, o, whole) }()
	err = s.limits.inTurn(rt, r, func() error { return rt.handle(a, r) })
	if err != nil {
		a.failed = problemOf(r, err)
		s.fail(a, r, err)
	}
	whole = true
	return nil
}

// first takes the key of a request, if it has one. Where the key was used
// before, it answers the request, or returns why not, and there is nothing to
// carry out.
func (s *Server) first(rt route, a *answer, r *http.Request) (*once, error) {
	header := r.Header.Values("Idempotency-Key")
	if rt.method != http.MethodPost || len(header) == 0 {
		return &once{}, nil
	}
	if err := client.CheckIdempotencyKey(header[0]); err != nil || len(header) > 1 {
		if err == nil {
			err = errors.New("it is given more than once")
		}
		return nil, badRequest("Idempotency-Key: " + err.Error())
	}
	_, credential, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	key := idempotency.NewKey(access.Of(r.Context()).ID, credential, header[0])
	o := &once{body: key.Body()}
	if err := o.read(rt, a, r); err != nil {
		return nil, err
	}
	var done *idempotency.Done
	var err error
	if o.claim, done, err = s.Keys.Begin(r.Context(), key, r.Method+" "+r.URL.EscapedPath()+"?"+r.URL.Query().Encode()); err != nil {
		return nil, sayKey(err)
	}
	if done != nil {
		return nil, s.replay(a, r, done, o.body)
	}
	a.kept = &bytes.Buffer{}
	return o, nil
}

// read reads a body of bounded size, so that the key of a request is taken
// once all of it is here. Any other is looked at while the handler reads it.
func (o *once) read(rt route, a *answer, r *http.Request) error {
	if rt.path == importPath {
		r.Body = &both{io.TeeReader(r.Body, o.body), r.Body}
		return nil
	}
	b, err := readBody(a, r)
	o.body.Write(b)
	r.Body = io.NopCloser(bytes.NewReader(b))
	return err
}

// both reads here and closes there.
type both struct {
	io.Reader
	io.Closer
}

// sayKey says what is wrong with a key.
func sayKey(err error) error {
	switch {
	case errors.Is(err, idempotency.ErrAtWork):
		return &later{refuse(http.StatusConflict, "a request with this Idempotency-Key is being carried out: ask again for its answer"), time.Second}
	case errors.Is(err, idempotency.ErrOther):
		return refuse(http.StatusUnprocessableEntity, "this Idempotency-Key was used for another request: take a new key for each request")
	}
	return err
}

// replay answers with what an earlier request with this key was answered.
func (s *Server) replay(a *answer, r *http.Request, done *idempotency.Done, body hash.Hash) error {
	if _, err := io.Copy(io.Discard, r.Body); err != nil { // what was hashed already is not read again
		return badRequest("the body could not be read: " + err.Error())
	}
	kept, err := done.Answer(body.Sum(nil))
	if err != nil {
		return sayKey(err)
	}
	a.Header().Set("Idempotent-Replayed", "true")
	if kept.Cut {
		return refuse(http.StatusConflict, "the request with this Idempotency-Key was carried out, and its answer was too long to be kept")
	}
	a.Header().Set("Content-Type", kept.Type)
	a.Header().Set("Cache-Control", "no-store")
	a.WriteHeader(kept.Status)
	_, _ = a.Write(kept.Body) // a caller that has gone needs no answer
	return nil
}

// settle records what came of a request: in the audit log, and under its key.
// whole is false where the handler panicked.
func (s *Server) settle(a *answer, r *http.Request, o *once, whole bool) {
	if !whole && a.failed == nil {
		a.failed = problemOf(r, fault())
	}
	status := a.status
	if a.failed != nil {
		status = a.failed.Status
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), recordTimeout)
	defer cancel()
	if a.begun != nil {
		if err := a.begun.End(ctx, journal.Result{Status: status, Details: tidy(a.outcome)}); err != nil {
			s.Log.WarnContext(ctx, "what came of a request could not be written to the audit log", "route", r.Pattern, "status", status, "error", err)
		}
	}
	if o.claim == nil {
		return
	}
	var err error
	if a.keeps(status) {
		err = o.claim.Keep(ctx, o.body.Sum(nil), a.answered(status))
	} else {
		err = o.claim.Free(ctx)
	}
	if err != nil {
		s.Log.WarnContext(ctx, "an idempotency key could not be settled; it is free again within a minute", "route", r.Pattern, "status", status, "error", err)
	}
}

// keeps tells whether an answer is kept for the repeats of its request. It is
// once anything may have been done, a failure too: a repeat could do it twice,
// and who wants that takes another key. What changed nothing, or does no harm
// when it is done again, may be tried again.
func (a *answer) keeps(status int) bool {
	refused := status >= http.StatusBadRequest && status < http.StatusInternalServerError
	return a.begun != nil && !a.again && (!refused || a.partly)
}

// answered is the answer as it is kept; for a caller that had hung up, as it
// would have been.
func (a *answer) answered(status int) idempotency.Answer {
	if a.status != 0 && a.status == status {
		return idempotency.Answer{Status: status, Type: a.Header().Get("Content-Type"), Body: a.kept.Bytes()}
	}
	b, err := json.Marshal(a.failed)
	if err != nil {
		b = nil // its fields are texts and numbers
	}
	return idempotency.Answer{Status: status, Type: problemType, Body: append(b, '\n')}
}
