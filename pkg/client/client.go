package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Client calls one server. It is safe for concurrent use.
type Client struct {
	base      string
	authorize func(http.Header) // shows the token; a function, so that printing a Client doesn't print it
	http      *http.Client
}

// Option is something that a client does its own way.
type Option func(*http.Transport)

// WithTLS has a client check the server's certificate by a configuration of
// its own, such as one with the authorities of a private network.
func WithTLS(c *tls.Config) Option {
	return func(t *http.Transport) { t.TLSClientConfig = c.Clone() }
}

// New returns a client of the server at base, such as http://127.0.0.1:8080.
// Calls are bounded by their context alone, since an import or an audit may
// take long.
func New(base, token string, options ...Option) *Client {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		t = &http.Transport{}
	}
	t = t.Clone()
	t.DisableCompression = true // a line must not wait in a compressor
	for _, o := range options {
		o(t)
	}
	authorize := func(h http.Header) {
		if token != "" {
			h.Set("Authorization", "Bearer "+token)
		}
	}
	return &Client{base: strings.TrimRight(base, "/"), authorize: authorize, http: &http.Client{Transport: t}}
}

// Base returns the address that the client calls.
func (c *Client) Base() string { return c.base }

// Close drops idle connections. The client stays usable.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// maxBody bounds an answer that is one JSON document; a contact's story is
// the longest.
const maxBody = 64 << 20

// maxRest is how much of an answer is read that nobody wants, in bytes: more
// costs more than another connection.
const maxRest = 64 << 10

// request is one call. At most one of send, body and stream may be set.
type request struct {
	method string
	path   string // escaped, without query
	query  url.Values
	send   any       // encoded as JSON
	body   []byte    // as it is, with type kind
	stream io.Reader // the same, of any length; it can be sent only once
	kind   string
}

// do sends a request, more than once where that helps and does no harm, and
// returns its answer with a status below 300; anything else is an error, a
// *Problem where the server gave one.
func (c *Client) do(ctx context.Context, r request) (*http.Response, error) {
	if r.send != nil {
		b, err := json.Marshal(r.send)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.method, r.path, err)
		}
		r.body, r.kind = b, "application/json"
	}
	key := idempotencyKey(ctx, r)
	for try := 1; ; try++ {
		hr, err := c.build(ctx, r, key)
		if err != nil {
			return nil, err
		}
		resp, err := c.http.Do(hr)
		if wait, ok := again(r, key, resp, err, try); ok {
			if resp != nil {
				// What it says is said again; read, so that the connection is
				// used again too.
				_, _ = io.CopyN(io.Discard, resp.Body, maxRest)
				_ = resp.Body.Close()
			}
			if pause(ctx, wait) == nil {
				continue
			}
			err = ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("can't reach Carillon at %s: %w", c.base, withoutURL(err))
		}
		if resp.StatusCode >= http.StatusMultipleChoices {
			defer resp.Body.Close()
			return nil, problem(resp)
		}
		return resp, nil
	}
}

// withoutURL takes the URL out of an error: its query may hold a contact's
// address.
func withoutURL(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return err
}

func (c *Client) build(ctx context.Context, r request, key string) (*http.Request, error) {
	body := r.stream
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	hr, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("address %q of Carillon: want one such as http://127.0.0.1:8080", c.base)
	}
	if r.kind != "" {
		hr.Header.Set("Content-Type", r.kind)
	}
	c.authorize(hr.Header)
	if key != "" {
		hr.Header.Set("Idempotency-Key", key)
	}
	return hr, nil
}

// problem reads what a refused request answered. Whoever answers in another
// shape, a proxy perhaps, is told of by status and the first of its words.
func problem(resp *http.Response) *Problem {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	p := &Problem{}
	if json.Unmarshal(b, p) != nil || p.Title == "" && p.Detail == "" {
		p = &Problem{Type: "about:blank", Title: http.StatusText(resp.StatusCode), Detail: foreign(resp, b)}
	}
	p.Status = resp.StatusCode
	return p
}

func foreign(resp *http.Response, body []byte) string {
	first, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	if len(first) > 200 {
		first = first[:200]
	}
	s := fmt.Sprintf("%s answered %s", resp.Request.URL.Host, resp.Status)
	if first != "" {
		s += fmt.Sprintf(", not as Carillon would: %q", first)
	}
	return s
}

// call sends a request whose answer is one JSON document.
func call[T any](ctx context.Context, c *Client, r request) (T, error) {
	var out T
	b, err := c.bytes(ctx, r)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return out, fmt.Errorf("answer to %s %s: %w", r.method, r.path, err)
	}
	return out, nil
}

func (c *Client) bytes(ctx context.Context, r request) ([]byte, error) {
	resp, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("answer to %s %s: %w", r.method, r.path, err)
	}
	if len(b) > maxBody {
		return nil, fmt.Errorf("answer to %s %s: longer than %d bytes", r.method, r.path, maxBody)
	}
	return b, nil
}
