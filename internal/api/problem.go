package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/crm"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/limit"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/internal/story"
	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// refuse returns an error that is answered with a status and a detail: one
// line that says what, where and what to do.
func refuse(status int, detail string) error { return &client.Problem{Status: status, Detail: detail} }

func badRequest(detail string) error { return refuse(http.StatusBadRequest, detail) }

// errGone says that whoever asked has hung up.
var errGone = errors.New("the caller has gone")

// statusGone is what the log calls that; nobody hears it.
const statusGone = 499

// fault is all that a caller is told of a panic.
func fault() error {
	return refuse(http.StatusInternalServerError, "a fault in Carillon; its log has more under this trace id")
}

// fail answers with what an error means. One that comes too late for that
// cuts the answer.
func (s *Server) fail(a *answer, r *http.Request, err error) {
	if r.Context().Err() != nil || errors.Is(err, errGone) {
		return // nobody listens any more
	}
	p := problemOf(r, err)
	if p.Status >= http.StatusInternalServerError && r.Pattern != "GET "+readyPath { // a probe's answer is no failure
		s.Log.ErrorContext(r.Context(), "a request failed", "route", r.Pattern, "status", p.Status, "error", err)
	}
	if p.Status == http.StatusForbidden && a.begun == nil && access.Of(r.Context()).ID != "" {
		s.forbidden(a, r, p.Status)
	}
	if a.status != 0 {
		panic(http.ErrAbortHandler)
	}
	if p.Status == http.StatusUnauthorized {
		a.Header().Set("WWW-Authenticate", `Bearer realm="carillon"`)
	}
	if l, ok := errors.AsType[*later](err); ok {
		a.Header().Set("Retry-After", strconv.Itoa(limit.Seconds(l.wait)))
	}
	if b, ok := errors.AsType[*crm.Behind](err); ok {
		a.Header().Set("Retry-After", strconv.Itoa(limit.Seconds(b.After)))
	}
	if p.Status == http.StatusServiceUnavailable {
		a.Header().Set("Retry-After", "1")
	}
	writeProblem(a, p)
}

// problemType is the media type of RFC 9457.
const problemType = "application/problem+json"

func writeProblem(a *answer, p *client.Problem) {
	a.Header().Set("Content-Type", problemType)
	a.Header().Set("Cache-Control", "no-store")
	a.WriteHeader(p.Status)
	_ = json.NewEncoder(a).Encode(p) // a caller that has gone needs no answer
}

func problemOf(r *http.Request, err error) *client.Problem {
	p := client.Problem{Status: statusOf(err), Detail: err.Error()}
	p.Type, p.Title, p.Instance = "about:blank", http.StatusText(p.Status), r.URL.EscapedPath()
	if u, ok := errors.AsType[*scheduler.Unacknowledged](err); ok {
		p.Missing = wireWarnings(u.Missing)
	}
	if sc := trace.SpanContextFromContext(r.Context()); sc.HasTraceID() {
		p.TraceID = sc.TraceID().String()
	}
	return &p
}

// statusOf is the one table of errors and statuses.
func statusOf(err error) int {
	if p, ok := errors.AsType[*client.Problem](err); ok {
		return p.Status
	}
	if errors.Is(err, errGone) {
		return statusGone
	}
	if unavailable(err) || errors.Is(err, access.ErrBlind) {
		return http.StatusServiceUnavailable
	}
	if _, ok := errors.AsType[*scheduler.Illegal](err); ok || errors.Is(err, definition.ErrChanged) {
		return http.StatusConflict
	}
	if _, ok := errors.AsType[*scheduler.Unacknowledged](err); ok {
		return http.StatusConflict
	}
	if _, ok := errors.AsType[*crm.Behind](err); ok {
		return http.StatusTooManyRequests
	}
	if _, ok := errors.AsType[*crm.Refusal](err); ok {
		return http.StatusUnprocessableEntity
	}
	if errors.Is(err, ingest.ErrTooLate) {
		return http.StatusServiceUnavailable
	}
	if _, ok := errors.AsType[*access.Refusal](err); ok {
		return http.StatusUnprocessableEntity
	}
	if _, ok := errors.AsType[*scheduler.Needless](err); ok {
		return http.StatusUnprocessableEntity
	}
	if _, ok := errors.AsType[*gate.Unsendable](err); ok {
		return http.StatusUnprocessableEntity
	}
	if _, ok := errors.AsType[*definition.Error](err); ok {
		return http.StatusUnprocessableEntity
	}
	if _, ok := errors.AsType[*policy.Refusal](err); ok {
		return http.StatusUnprocessableEntity
	}
	if errors.Is(err, definition.ErrNotFound) || errors.Is(err, story.ErrUnknownJob) || errors.Is(err, access.ErrNotFound) {
		return http.StatusNotFound
	}
	return http.StatusInternalServerError
}

// unavailable tells whether an engine failed us, so that the same request may
// succeed later.
func unavailable(err error) bool {
	if _, ok := errors.AsType[*jetstream.APIError](err); ok {
		return true
	}
	for _, e := range []error{
		context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrConnectionClosed, nats.ErrDisconnected,
		nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded, jetstream.ErrNoStreamResponse,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
