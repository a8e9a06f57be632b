package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/pkg/reason"
)

const (
	// MaxAnswer bounds an answer's body, in bytes. A Graph batch of 50 takes some
	// 20 KB.
	MaxAnswer = 1 << 20
	// maxKept bounds the buffers that wait for their next call.
	maxKept = 128 << 10
)

// Call is the memory of one call: used again only when net/http is known to be
// done with it. It is the request's body as well.
type Call struct {
	Form    []byte // the request's body
	Scratch []byte // room for making it

	answer []byte // the answer's body
	body   bytes.Reader
	closed atomic.Bool
	line   line
	trace  httptrace.ClientTrace
}

// NewCall returns the memory of a call. Where the plan is one, the call passes
// its point once its request is written.
func NewCall(kill *killpoint.Plan) *Call {
	c := &Call{}
	c.trace.GotConn = c.line.got
	if kill != nil {
		c.trace.WroteRequest = func(w httptrace.WroteRequestInfo) {
			if w.Err == nil {
				kill.Pass(killpoint.AfterWrite)
			}
		}
	}
	return c
}

// begin makes Form the body that net/http reads.
func (c *Call) begin() {
	c.closed.Store(false)
	c.body.Reset(c.Form)
}

// Read reads the request's body, for net/http.
func (c *Call) Read(p []byte) (int, error) { return c.body.Read(p) }

// Close ends the reading of the request's body, for net/http. After an answer
// only the goroutine that reads the body closes it, so that closed means that
// nothing reads it any more.
func (c *Call) Close() error {
	c.closed.Store(true)
	return nil
}

// reusable reports whether an answered call's memory may serve another: a body
// that is still being written keeps it to itself, and what grew too large goes.
func (c *Call) reusable() bool {
	return c.closed.Load() && cap(c.Form) <= maxKept && cap(c.answer) <= maxKept && cap(c.Scratch) <= maxKept
}

// Begin returns memory for a call; Form and Scratch may hold what another left.
func (t *Transport) Begin() *Call { return t.calls.Get().(*Call) }

// Recycle keeps the memory of a call that was answered. One without an answer
// is never kept: there net/http may close a body that it still reads.
func (t *Transport) Recycle(c *Call) {
	if c.reusable() {
		c.line = line{}
		t.calls.Put(c)
	}
}

// Answer is what came back.
type Answer struct {
	Status int         // 0: nothing
	Header http.Header // nil: nothing
	Body   []byte      // a part of the call: good until it is recycled
}

// Do makes the call for ms, whose body is c.Form; an empty one: the call has
// none. It returns the answer or,
// where none came whole, what that means for each of the messages; Status and
// Header are then those of the part that came.
func (t *Transport) Do(ctx context.Context, c *Call, template *http.Request, ms []channel.Message) (Answer, *channel.Result) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	c.begin()
	req := template.WithContext(httptrace.WithClientTrace(ctx, &c.trace))
	if len(c.Form) == 0 { // a question: nothing reads this memory
		c.closed.Store(true)
	} else {
		req.Body, req.ContentLength = c, int64(len(c.Form))
	}
	// The transport itself: a client on top of it would follow redirects.
	res, err := t.http.RoundTrip(req)
	switch {
	case err != nil && c.line.left():
		// A malformed answer is quoted in the error.
		lost := Unclear(0, Scrub(err.Error(), ms))
		return Answer{}, &lost
	case err != nil:
		return Answer{}, notSent(err)
	}
	defer res.Body.Close()
	a := Answer{Status: res.StatusCode, Header: res.Header}
	c.answer, err = readAll(c.answer[:0], res.Body)
	if err != nil {
		lost := Unclear(res.StatusCode, Scrub(err.Error(), ms))
		return a, &lost
	}
	a.Body = c.answer
	return a, nil
}

var errTooLong = errors.New("the answer is longer than 1 MiB")

// readAll reads r to its end into b.
func readAll(b []byte, r io.Reader) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > MaxAnswer:
			return b, errTooLong
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return b, err
		}
	}
}

// notSent is the result when nothing left this process. Its detail keeps the
// host and port that could not be reached: the platform had no say in it, so
// nothing of a message can be in it.
func notSent(err error) *channel.Result {
	return &channel.Result{Outcome: channel.NotSent, Action: channel.Retry, Reason: reason.PlatformUnreachable,
		After: unreachableAfter, Detail: Cut(OneLine(err.Error()), MaxDetail)}
}

// Unclear is an outcome that the answer, or its absence, leaves open.
func Unclear(status int, detail string) channel.Result {
	return channel.Result{Outcome: channel.Unknown, Reason: reason.OutcomeUnknown, Status: status, Detail: detail}
}

// BadAccount is the result for credentials that cannot be used at all.
func BadAccount(err error) channel.Result {
	return channel.Result{Outcome: channel.NotSent, Action: channel.PauseSender, Reason: reason.CredentialInvalid, Detail: err.Error()}
}
