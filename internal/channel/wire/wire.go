// Package wire makes HTTP calls of which it can be said afterwards whether
// anything left this process, and makes the words that come back fit to keep.
// It is what adapters of platforms share; it knows none of them.
//
// It never sends a second time, never follows a redirect and reads no proxy
// variables.
//
// Invariant: a call of which a byte may have been written, in whole or in part,
// is never said to be NotSent.
package wire

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/killpoint"
)

const (
	// DefaultTimeout leaves a margin below the 4 s that an opt-out waits for
	// calls on the wire.
	DefaultTimeout = 3500 * time.Millisecond
	// DefaultIdle is shorter than platforms keep a connection, so that it is we
	// who close.
	DefaultIdle = 30 * time.Second

	defaultIdleConns = 512
	unreachableAfter = time.Second
)

// Options configures a Transport. The zero value serves.
type Options struct {
	Timeout         time.Duration   // of a whole call, connecting and reading included; 0: DefaultTimeout
	IdleTimeout     time.Duration   // how long an unused connection is kept; 0: DefaultIdle
	MaxConnsPerHost int             // connections in all; calls beyond wait within Timeout; 0: no limit
	TLS             *tls.Config     // nil: the system's authorities
	Proxy           *url.URL        // nil: none. The environment's proxy variables are never read
	Kill            *killpoint.Plan // nil: at no point
}

// Transport makes calls. It is safe for concurrent use.
type Transport struct {
	http    *http.Transport
	timeout time.Duration
	calls   sync.Pool // of *Call
}

// Net dials as net.Dialer does.
func Net() Dial { return (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext }

// New makes a transport. It fails for options that cannot work and does not
// connect.
func New(o Options, dial Dial) (*Transport, error) {
	if o.Timeout < 0 || o.IdleTimeout < 0 || o.MaxConnsPerHost < 0 {
		return nil, fmt.Errorf("timeout %v, idle timeout %v and connections %d must not be negative",
			o.Timeout, o.IdleTimeout, o.MaxConnsPerHost)
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	return &Transport{http: newHTTP(o, dial), timeout: o.Timeout, calls: sync.Pool{New: func() any { return NewCall(o.Kill) }}}, nil
}

// newHTTP keeps to HTTP/1.1: there a connection belongs to one call at a time,
// which is what makes "nothing left" something that can be known.
func newHTTP(o Options, dial Dial) *http.Transport {
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
func (t *Transport) Close() { t.http.CloseIdleConnections() }

// Base reads the configured base address of a platform: its scheme, host and
// path, without a slash at the end.
func Base(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", raw, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q: want http(s)://host[/path]", raw)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("on %s: want no user, query or fragment in it", u.Host)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")}, nil
}

// Template is a POST without a body. GetBody stays nil and there is no
// Idempotency-Key: with either, net/http might send it a second time.
func Template(u *url.URL, authorization, contentType string) *http.Request {
	return &http.Request{
		Method: http.MethodPost, URL: u, Host: u.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Authorization": {authorization},
			"Content-Type":  {contentType},
			"Accept":        {"application/json"},
			"User-Agent":    {"carillon"},
		},
	}
}

// ValidToken tells whether a credential can travel in a header.
func ValidToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// maxNovel bounds the errors that are logged, each once.
const maxNovel = 256

// Novelties logs errors that are in no table, each once, so that an operator can
// report them. NewNovelties makes one.
type Novelties struct {
	log    *slog.Logger
	mu     sync.Mutex
	logged map[[2]int]bool
}

// NewNovelties returns what logs to log; nil: nowhere.
func NewNovelties(log *slog.Logger) *Novelties {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Novelties{log: log, logged: make(map[[2]int]bool)}
}

// Note logs the error of a result, unless it was logged before.
func (n *Novelties) Note(ctx context.Context, r channel.Result) {
	pair := [2]int{r.Code, r.Subcode}
	n.mu.Lock()
	known := n.logged[pair] || len(n.logged) >= maxNovel
	if !known {
		n.logged[pair] = true
	}
	n.mu.Unlock()
	if !known {
		n.log.WarnContext(ctx, "platform error outside the table", "code", r.Code, "subcode", r.Subcode, "status", r.Status, "detail", r.Detail, "trace", r.TraceID)
	}
}
