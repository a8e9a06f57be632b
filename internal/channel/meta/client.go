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
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/pkg/reason"
)

const (
	// DefaultVersion is the Graph version that calls name.
	DefaultVersion = "v25.0"
	// DefaultTimeout leaves a margin below the 4 s that an opt-out waits for
	// calls on the wire.
	DefaultTimeout = 3500 * time.Millisecond
	// DefaultIdle is shorter than the platform keeps a connection, so that it is
	// we who close.
	DefaultIdle = 30 * time.Second
	// MaxBatch is the platform's limit on one batch.
	MaxBatch = 50

	defaultIdleConns = 512
	unreachableAfter = time.Second
	maxPairs         = 256 // unlisted errors that are logged, each once
)

// Options configures a Client. Only BaseURL has no default.
type Options struct {
	BaseURL         string        // Graph base, such as https://graph.facebook.com; may have a path and end in a version
	Version         string        // such as v25.0; empty: DefaultVersion. A version in BaseURL wins
	Timeout         time.Duration // of a whole call, connecting and reading included; 0: DefaultTimeout
	IdleTimeout     time.Duration // how long an unused connection is kept; 0: DefaultIdle
	MaxConnsPerHost int           // connections in all; calls beyond wait within Timeout; 0: no limit
	TLS             *tls.Config   // nil: the system's authorities
	Proxy           *url.URL      // nil: none. The environment's proxy variables are never read
	Log             *slog.Logger  // nil: nothing is logged
}

// Client is a channel.Platform. It is safe for concurrent use.
type Client struct {
	transport *http.Transport
	endpoints endpoints
	rules     rulebook
	timeout   time.Duration
	log       *slog.Logger
	calls     sync.Pool // of *call

	mu     sync.Mutex
	logged map[pair]bool
}

var _ channel.Platform = (*Client)(nil)

// New makes a client. It fails for options that cannot work and does not
// connect.
func New(o Options) (*Client, error) {
	return newClient(o, (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext)
}

func newClient(o Options, dial dialFunc) (*Client, error) {
	if o.Version == "" {
		o.Version = DefaultVersion
	}
	b, err := parseBase(o.BaseURL, o.Version)
	if err != nil {
		return nil, err
	}
	if o.Timeout < 0 || o.IdleTimeout < 0 || o.MaxConnsPerHost < 0 {
		return nil, fmt.Errorf("meta options: timeout %v, idle timeout %v and connections %d must not be negative",
			o.Timeout, o.IdleTimeout, o.MaxConnsPerHost)
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Client{
		transport: newTransport(o, dial),
		endpoints: endpoints{base: b, by: make(map[channel.Account]*endpoint)},
		rules:     newRulebook(),
		timeout:   o.Timeout,
		log:       o.Log,
		calls:     sync.Pool{New: func() any { return newCall() }},
		logged:    make(map[pair]bool),
	}, nil
}

// newTransport keeps to HTTP/1.1: there a connection belongs to one call at a
// time, which is what makes "nothing left" something that can be known.
func newTransport(o Options, dial dialFunc) *http.Transport {
	t := &http.Transport{
		DialContext:         plain(dial),
		MaxConnsPerHost:     o.MaxConnsPerHost,
		MaxIdleConns:        defaultIdleConns,
		MaxIdleConnsPerHost: defaultIdleConns,
		IdleConnTimeout:     o.IdleTimeout,
		TLSHandshakeTimeout: o.Timeout,
		DisableCompression:  true,
		WriteBufferSize:     16 << 10, // a batch of 50 short messages
		Protocols:           new(http.Protocols),
	}
	if t.IdleConnTimeout == 0 {
		t.IdleConnTimeout = DefaultIdle
	}
	if o.MaxConnsPerHost > 0 {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = o.MaxConnsPerHost, o.MaxConnsPerHost
	}
	t.Protocols.SetHTTP1(true)
	config := &tls.Config{}
	if o.TLS != nil {
		config = o.TLS.Clone()
	}
	config.NextProtos = []string{"http/1.1"}
	t.TLSClientConfig = config
	t.DialTLSContext = secure(dial, config, o.Timeout)
	if o.Proxy != nil {
		t.Proxy = http.ProxyURL(o.Proxy)
	}
	return t
}

// Close closes the connections that no call uses. Calls under way end by
// themselves.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Send makes one call for one message.
func (c *Client) Send(ctx context.Context, a channel.Account, m channel.Message) channel.Result {
	e, err := c.endpoints.of(a)
	if err != nil {
		return badAccount(err)
	}
	call := c.calls.Get().(*call)
	call.form = appendMessage(call.form[:0], &m)
	ms := []channel.Message{m}
	reply, lost := c.do(ctx, call, e.single, ms)
	if lost != nil {
		return *lost
	}
	r := reply.usage.add(c.rules.judge(reply.status, reply.body, ms))
	c.recycle(call)
	c.note(r)
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
		return repeat(badAccount(err), len(ms))
	}
	call := c.calls.Get().(*call)
	call.form, call.scratch = appendBatch(call.form[:0], call.scratch, e, ms)
	reply, lost := c.do(ctx, call, e.batch, ms)
	if lost != nil {
		return repeat(*lost, len(ms))
	}
	results := c.rules.judgeBatch(reply.status, reply.body, ms)
	c.recycle(call)
	for i := range results {
		results[i] = reply.usage.add(results[i])
		c.note(results[i])
	}
	return results
}

// badAccount is the result for credentials that cannot be used at all.
func badAccount(err error) channel.Result {
	return channel.Result{Outcome: channel.NotSent, Action: channel.PauseSender, Reason: reason.CredentialInvalid, Detail: err.Error()}
}

func repeat(r channel.Result, n int) []channel.Result {
	results := make([]channel.Result, n)
	for i := range results {
		results[i] = r
	}
	return results
}

// note logs an error outside the table once, so that an operator can report it.
func (c *Client) note(r channel.Result) {
	if r.Code == 0 {
		return
	}
	if _, ok := c.rules.find(r.Code, r.Subcode); ok {
		return
	}
	p := pair{r.Code, r.Subcode}
	c.mu.Lock()
	known := c.logged[p] || len(c.logged) >= maxPairs
	if !known {
		c.logged[p] = true
	}
	c.mu.Unlock()
	if !known {
		c.log.Warn("platform error outside the table", "code", r.Code, "subcode", r.Subcode, "status", r.Status, "detail", r.Detail, "trace", r.TraceID)
	}
}
