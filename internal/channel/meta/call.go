package meta

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/pkg/reason"
)

const (
	// maxAnswer bounds an answer's body. A batch of 50 takes some 20 KB.
	maxAnswer = 1 << 20
	// maxKept bounds the buffers that wait for their next call.
	maxKept = 128 << 10
)

// call is the memory of one call: used again only when net/http is known to be
// done with it. It is the request's body as well.
type call struct {
	form    []byte // the request's body
	scratch []byte // room for a batch's inner layers
	answer  []byte // the answer's body
	body    bytes.Reader
	closed  atomic.Bool
	wire    wire
	trace   httptrace.ClientTrace
}

func newCall() *call {
	c := &call{}
	c.trace.GotConn = c.wire.got
	return c
}

// begin makes form the body that net/http reads.
func (c *call) begin() {
	c.closed.Store(false)
	c.body.Reset(c.form)
}

// Read reads the request's body, for net/http.
func (c *call) Read(p []byte) (int, error) { return c.body.Read(p) }

// Close ends the reading of the request's body, for net/http. After an answer
// only the goroutine that reads the body closes it, so that closed means that
// nothing reads it any more.
func (c *call) Close() error {
	c.closed.Store(true)
	return nil
}

// reusable reports whether an answered call's memory may serve another: a body
// that is still being written keeps it to itself, and what grew too large goes.
func (c *call) reusable() bool {
	return c.closed.Load() && cap(c.form) <= maxKept && cap(c.answer) <= maxKept && cap(c.scratch) <= maxKept
}

// recycle keeps the memory of a call that was answered. One without an answer
// is never kept: there net/http may close a body that it still reads.
func (c *Client) recycle(call *call) {
	if call.reusable() {
		call.wire = wire{}
		c.calls.Put(call)
	}
}

// do makes the call for ms, whose body is call.form. It returns the answer,
// whose body is part of call, or, when none came whole, what that means for
// each of the messages.
func (c *Client) do(ctx context.Context, call *call, template *http.Request, ms []channel.Message) (reply, *channel.Result) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	call.begin()
	req := template.WithContext(httptrace.WithClientTrace(ctx, &call.trace))
	req.Body, req.ContentLength = call, int64(len(call.form))
	// The transport itself: a client on top of it would follow redirects.
	res, err := c.transport.RoundTrip(req)
	switch {
	case err != nil && call.wire.left():
		// A malformed answer is quoted in the error.
		lost := unclear(0, scrub(err.Error(), ms))
		return reply{}, &lost
	case err != nil:
		return reply{}, notSent(err)
	}
	defer res.Body.Close()
	answered := reply{status: res.StatusCode, usage: readUsage(res.Header)}
	call.answer, err = readAll(call.answer[:0], res.Body)
	if err != nil {
		lost := answered.usage.add(unclear(res.StatusCode, scrub(err.Error(), ms)))
		return reply{}, &lost
	}
	answered.body = call.answer
	return answered, nil
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
		case len(b) > maxAnswer:
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
		After: unreachableAfter, Detail: cut(oneLine(err.Error()), maxDetail)}
}
