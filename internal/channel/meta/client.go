// Package meta sends messages through the Graph API, by which Messenger and
// Instagram share one wire form.
//
// It makes one HTTP call for a Send or SendBatch and says what became of each
// message. It never sends a second time, never follows a redirect, and keeps
// no queue, no rate and no clock of its own: those are the worker's.
//
// Invariant: a message that may have reached the platform, in whole or in
// part, is never reported as NotSent, and never as Refused unless the platform
// itself said no.
package meta

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/channel/wire"
	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/pkg/reason"
)

const (
	// DefaultVersion is the Graph version that calls name.
	DefaultVersion = "v25.0"
	// MaxBatch is the platform's limit on one batch.
	MaxBatch = 50
)

// Options configures a Client. Only BaseURL has no default.
type Options struct {
	BaseURL         string          // Graph base, such as https://graph.facebook.com; may have a path and end in a version
	Version         string          // such as v25.0; empty: DefaultVersion. A version in BaseURL wins
	Timeout         time.Duration   // of a whole call, connecting and reading included; 0: wire.DefaultTimeout
	IdleTimeout     time.Duration   // how long an unused connection is kept; 0: wire.DefaultIdle
	MaxConnsPerHost int             // connections in all; calls beyond wait within Timeout; 0: no limit
	TLS             *tls.Config     // nil: the system's authorities
	Proxy           *url.URL        // nil: none. The environment's proxy variables are never read
	Log             *slog.Logger    // nil: nothing is logged
	Kill            *killpoint.Plan // nil: at no point
}

// Client is a channel.Platform. It is safe for concurrent use.
type Client struct {
	wire      *wire.Transport
	endpoints endpoints
	rules     rulebook
	novel     *wire.Novelties
}

var _ channel.Platform = (*Client)(nil)

// New makes a client. It fails for options that cannot work and does not
// connect.
func New(o Options) (*Client, error) { return newClient(o, wire.Net()) }

func newClient(o Options, dial wire.Dial) (*Client, error) {
	if o.Version == "" {
		o.Version = DefaultVersion
	}
	b, err := parseBase(o.BaseURL, o.Version)
	if err != nil {
		return nil, err
	}
	transport, err := wire.New(wire.Options{
		Timeout: o.Timeout, IdleTimeout: o.IdleTimeout, MaxConnsPerHost: o.MaxConnsPerHost, TLS: o.TLS, Proxy: o.Proxy, Kill: o.Kill,
	}, dial)
	if err != nil {
		return nil, fmt.Errorf("meta options: %w", err)
	}
	return &Client{
		wire:      transport,
		endpoints: endpoints{base: b, by: make(map[channel.Account]*endpoint)},
		rules:     newRulebook(),
		novel:     wire.NewNovelties(o.Log),
	}, nil
}

// Close closes the connections that no call uses. Calls under way end by
// themselves.
func (c *Client) Close() { c.wire.Close() }

// Send makes one call for one message.
func (c *Client) Send(ctx context.Context, a channel.Account, m channel.Message) channel.Result {
	e, err := c.endpoints.of(a)
	if err != nil {
		return wire.BadAccount(err)
	}
	call := c.wire.Begin()
	call.Form = appendMessage(call.Form[:0], &m)
	ms := []channel.Message{m}
	reply, lost := c.do(ctx, call, e.single, ms)
	if lost != nil {
		return *lost
	}
	r := reply.usage.add(c.rules.judge(reply.status, reply.body, ms))
	c.wire.Recycle(call)
	c.note(ctx, r)
	return r
}

// SendBatch makes one call for 2 to MaxBatch messages; for one it is Send. More
// are not sent.
func (c *Client) SendBatch(ctx context.Context, a channel.Account, ms []channel.Message) []channel.Result {
	switch n := len(ms); {
	case n == 0:
		return nil
	case n == 1:
		return []channel.Result{c.Send(ctx, a, ms[0])}
	case n > MaxBatch:
		return repeat(channel.Result{Outcome: channel.NotSent, Action: channel.DeadLetter, Reason: reason.Internal,
			Detail: fmt.Sprintf("a batch of %d messages: want at most %d", n, MaxBatch)}, n)
	}
	e, err := c.endpoints.of(a)
	if err != nil {
		return repeat(wire.BadAccount(err), len(ms))
	}
	call := c.wire.Begin()
	call.Form, call.Scratch = appendBatch(call.Form[:0], call.Scratch, e, ms)
	reply, lost := c.do(ctx, call, e.batch, ms)
	if lost != nil {
		return repeat(*lost, len(ms))
	}
	results := c.rules.judgeBatch(reply.status, reply.body, ms)
	c.wire.Recycle(call)
	for i := range results {
		results[i] = reply.usage.add(results[i])
		c.note(ctx, results[i])
	}
	return results
}

func repeat(r channel.Result, n int) []channel.Result {
	results := make([]channel.Result, n)
	for i := range results {
		results[i] = r
	}
	return results
}

// do makes the call for ms, whose body is call.Form. It returns the answer or,
// where none came whole, what that means for each of the messages.
func (c *Client) do(ctx context.Context, call *wire.Call, template *http.Request, ms []channel.Message) (reply, *channel.Result) {
	a, lost := c.wire.Do(ctx, call, template, ms)
	r := reply{status: a.Status, body: a.Body, usage: readUsage(a.Header)}
	if lost != nil {
		*lost = r.usage.add(*lost)
	}
	return r, lost
}

// note logs an error outside the table.
func (c *Client) note(ctx context.Context, r channel.Result) {
	if r.Code == 0 {
		return
	}
	if _, ok := c.rules.find(r.Code, r.Subcode); !ok {
		c.novel.Note(ctx, r)
	}
}
