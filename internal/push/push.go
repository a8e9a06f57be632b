// Package push pushes a message to a receiver of the user's, signed as
// Standard Webhooks asks (https://www.standardwebhooks.com). It makes one call
// and says what came of it: it never tries again, never follows a redirect,
// never reads the environment's proxies, and keeps nothing but connections.
//
// Invariant: unless the receiver may be a private one, no connection is made
// to an address that is not the internet's, whatever a name leads to.
package push

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/carillon-dev/carillon/internal/secret"
)

// Timeout bounds a push, connecting and the answer included: what Standard
// Webhooks has senders wait at least.
const Timeout = 20 * time.Second

// The bounds of an answer. Nothing in it is wanted but its status; a body that
// is read to its end lets the connection be used again.
const (
	maxAnswer = 64 << 10
	maxHeader = 64 << 10
	maxPause  = 24 * time.Hour // of Retry-After
	idle      = 90 * time.Second
)

// Message is what is pushed, and where to.
type Message struct {
	URL          string
	AllowPrivate bool   // addresses that only a private network has
	ID           string // webhook-id: the same for every try
	At           time.Time
	Body         []byte // JSON
	Secrets      []secret.Text
}

// Result is what came of a push.
type Result struct {
	Status int           // of the answer; 0: there was none
	Pause  time.Duration // what the receiver asks for before the next push; 0: nothing
	Err    error         // why there was no answer, or why it is no success
}

// Taken tells whether the receiver took the message.
func (r Result) Taken() bool { return r.Err == nil }

// Gone tells whether the receiver wants no more pushes, by the status that
// Standard Webhooks has for that.
func (r Result) Gone() bool { return r.Status == http.StatusGone }

// Client pushes messages. It is safe for concurrent use.
type Client struct{ public, private *http.Client }

// New returns a client. Its authorities are the system's where config is nil.
func New(config *tls.Config) *Client {
	return &Client{
		public:  newHTTP(config, &net.Dialer{Timeout: Timeout, Control: guard}),
		private: newHTTP(config, &net.Dialer{Timeout: Timeout}),
	}
}

func newHTTP(config *tls.Config, d *net.Dialer) *http.Client {
	return &http.Client{
		Timeout:       Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: d.DialContext, TLSClientConfig: config, TLSHandshakeTimeout: Timeout, ForceAttemptHTTP2: true,
			IdleConnTimeout: idle, MaxIdleConnsPerHost: 4, MaxResponseHeaderBytes: maxHeader, DisableCompression: true,
		},
	}
}

// Close closes the connections that no push uses.
func (c *Client) Close() {
	c.public.CloseIdleConnections()
	c.private.CloseIdleConnections()
}

// Push makes one call. No word of the address, the body or the answer is in
// its error.
func (c *Client) Push(ctx context.Context, m Message) Result {
	req, err := request(ctx, m)
	if err != nil {
		return Result{Err: err}
	}
	via := c.public
	if m.AllowPrivate {
		via = c.private
	}
	res, err := via.Do(req)
	if err != nil {
		return Result{Err: cause(err)}
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, maxAnswer) // what lies beyond is cut with the connection
	return judge(res)
}

func request(ctx context.Context, m Message) (*http.Request, error) {
	signature, err := Sign(m.ID, m.At, m.Body, m.Secrets)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.URL, bytes.NewReader(m.Body))
	if err != nil {
		return nil, errors.New("the address can't be read")
	}
	req.Header = http.Header{
		"Content-Type":      {"application/json"},
		"User-Agent":        {"carillon"},
		"Webhook-Id":        {m.ID},
		"Webhook-Timestamp": {strconv.FormatInt(m.At.Unix(), 10)},
		"Webhook-Signature": {signature},
	}
	return req, nil
}

// cause is an error of net/http without the address, which may hold a token.
func cause(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return fmt.Errorf("no answer within %v", Timeout)
	}
	return err
}

func judge(res *http.Response) Result {
	r := Result{Status: res.StatusCode}
	switch s := res.StatusCode; {
	case s/100 == 2:
		return r
	case s/100 == 3:
		r.Err = fmt.Errorf("answered %d: redirects are not followed; give the endpoint the address that it leads to", s)
	default:
		r.Err = fmt.Errorf("answered %d", s)
	}
	if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 {
		r.Pause = min(time.Duration(min(n, int(maxPause/time.Second)))*time.Second, maxPause)
	}
	return r
}
