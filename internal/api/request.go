package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/idempotency"
	"github.com/carillon-dev/carillon/internal/journal"
	"github.com/carillon-dev/carillon/pkg/client"
)

// answer is a response that knows whether it has begun.
type answer struct {
	http.ResponseWriter
	status int // 0: nothing was written yet

	route   route             // what is being answered; the zero route before that is known
	begun   *journal.Begun    // what was written into the audit log, nil before act
	outcome map[string]string // what else the log is to say of the result
	failed  *client.Problem   // why it failed, where it did
	partly  bool              // it was refused, and yet something had been done
	again   bool              // whatever came of it, doing it again does no harm
	kept    *bytes.Buffer     // the body, for repeats of the request; nil: none is to be kept
}

// WriteHeader notes the status.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write notes that an answer without a status is a 200.
func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	if a.kept != nil && a.kept.Len() <= idempotency.MaxBody {
		a.kept.Write(b) // what is too long is longer than that now, and is not kept
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// ServeHTTP answers one request under a span of its own.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	name := s.pattern(r)
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := s.Tracer.Start(ctx, spanName(name), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", r.Method), attribute.String("http.route", name)))
	defer span.End()
	r = r.WithContext(ctx)
	a := &answer{ResponseWriter: w}
	defer func() {
		s.recovered(a, r, recover())
		span.SetAttributes(attribute.Int("http.response.status_code", a.status))
		if a.status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, http.StatusText(a.status))
		}
		if r.Method != http.MethodGet && (a.status != http.StatusOK || !isHook(name)) || a.status == http.StatusUnauthorized {
			s.Log.InfoContext(ctx, "request", "route", name, "status", a.status, "took", time.Since(begun), "from", journal.Network(s.Listening.client(r)))
		}
	}()
	s.dispatch(name, a, r)
}

func spanName(pattern string) string {
	if pattern == "" {
		return "no such route"
	}
	return pattern
}

// pattern returns the route that a request is for, "" for none. A path that
// is not in its shortest form names nothing: the mux would redirect it.
func (s *Server) pattern(r *http.Request) string {
	if r.URL.Path != path.Clean(r.URL.Path) {
		return ""
	}
	_, p := s.mux.Handler(r)
	return p
}

// dispatch asks for a token before it says whether a path exists.
func (s *Server) dispatch(pattern string, a *answer, r *http.Request) {
	harden(a, r)
	if s.closed(r) {
		caller, err := s.authenticate(r)
		if err == nil {
			err = s.limits.call(caller)
		} else {
			err = s.limits.failure(s.Listening.client(r), err)
		}
		if err != nil {
			s.fail(a, r, err)
			return
		}
		r = r.WithContext(access.With(r.Context(), caller))
	}
	if pattern == "" {
		s.nowhere(a, r)
		return
	}
	s.mux.ServeHTTP(a, r)
}

// nowhere tells a path that does not exist from a method that it lacks.
func (s *Server) nowhere(a *answer, r *http.Request) {
	var allow []string
	for _, m := range s.methods {
		probe := r.Clone(r.Context())
		probe.Method = m
		if s.pattern(probe) != "" {
			allow = append(allow, m)
		}
	}
	if allow == nil {
		s.fail(a, r, refuse(http.StatusNotFound, "no such path; GET "+documentPath+" lists them"))
		return
	}
	a.Header().Set("Allow", strings.Join(allow, ", "))
	s.fail(a, r, refuse(http.StatusMethodNotAllowed, fmt.Sprintf("this path takes %s, not %s", strings.Join(allow, " or "), r.Method)))
}

// run calls a route's handler, once everything before it agrees.
func (s *Server) run(rt route, w http.ResponseWriter, r *http.Request) {
	a, ok := w.(*answer)
	if !ok {
		a = &answer{ResponseWriter: w}
	}
	a.route = rt
	for _, step := range s.steps(rt) {
		if err := step(a, r); err != nil {
			s.fail(a, r, err)
			return
		}
	}
}

// steps are what a request goes through, in this order: what it may not do is
// said before anything is looked up for it.
func (s *Server) steps(rt route) []func(*answer, *http.Request) error {
	return []func(*answer, *http.Request) error{
		func(_ *answer, r *http.Request) error { return authorize(rt.role, r) },
		func(_ *answer, r *http.Request) error { return checkQuery(r, rt.query) },
		func(_ *answer, r *http.Request) error { return s.within(rt.reach, r) },
		func(a *answer, r *http.Request) error { return s.carry(rt, a, r) },
	}
}

// checkQuery refuses parameters that a route does not know: a misspelt filter
// would otherwise pick everything.
func checkQuery(r *http.Request, known []string) error {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return refuse(http.StatusBadRequest, "the query can't be read: "+err.Error())
	}
	for name, values := range q {
		switch {
		case len(known) == 0:
			return refuse(http.StatusBadRequest, fmt.Sprintf("unknown parameter %q: this path takes none", name))
		case !slices.Contains(known, name):
			return refuse(http.StatusBadRequest, fmt.Sprintf("unknown parameter %q: want %s", name, strings.Join(known, ", ")))
		case len(values) > 1:
			return refuse(http.StatusBadRequest, fmt.Sprintf("parameter %q is given %d times", name, len(values)))
		}
	}
	return nil
}

// recovered turns a panic into one log line and a 500.
func (s *Server) recovered(a *answer, r *http.Request, p any) {
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && err == http.ErrAbortHandler { //nolint:errorlint // net/http compares it the same way
		panic(p)
	}
	s.Log.ErrorContext(r.Context(), "a handler panicked", "route", r.Pattern, "panic", p, "stack", string(debug.Stack()))
	if a.status != 0 {
		panic(http.ErrAbortHandler) // too late for a problem: cut the answer, so that it can't pass for a whole one
	}
	writeProblem(a, problemOf(r, fault()))
}

// verbTimeout bounds what goes on after its caller has gone.
const verbTimeout = 30 * time.Second

// detached is for work that must not stop half way because the caller hung
// up: the trace goes on, the cancellation does not.
func detached(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.Context()), verbTimeout)
}
