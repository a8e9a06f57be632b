// Package twilio sends text messages through Twilio's Messages API.
//
// It makes one HTTP call for each message and says what became of it. It never
// sends a second time, and keeps no queue and no rate: those are the worker's.
//
// The address for status callbacks carries the job's id, so that a callback
// which comes before the answer, or instead of it, names its job. Twilio signs
// the whole address, so nobody else can have put it there.
//
// Invariant: a message that may have reached the platform, in whole or in
// part, is never reported as NotSent, and never as Refused unless the platform
// itself said no.
package twilio

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/channel/wire"
	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/internal/tendlc"
)

const (
	version = "2010-04-01"

	// maxValidity is the longest that Twilio lets a message wait in its own
	// queue, seconds.
	maxValidity = 36_000
	maxTrace    = 64 // bytes of its request id, which has 34
)

// Options configures a Client. Only BaseURL has no default.
type Options struct {
	BaseURL         string           // such as https://api.twilio.com; may have a path
	Timeout         time.Duration    // of a whole call; 0: wire.DefaultTimeout
	MaxConnsPerHost int              // connections in all; 0: no limit
	TLS             *tls.Config      // nil: the system's authorities
	Now             func() time.Time // nil: time.Now
	Log             *slog.Logger     // nil: nothing is logged
	Kill            *killpoint.Plan  // nil: at no point
}

// Client is a channel.Platform. It is safe for concurrent use.
type Client struct {
	wire    *wire.Transport
	base    *url.URL
	now     func() time.Time
	pacific *time.Location
	novel   *wire.Novelties
}

var _ channel.Platform = (*Client)(nil)

// New makes a client. It fails for options that cannot work and does not
// connect.
func New(o Options) (*Client, error) {
	base, err := wire.Base(o.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("twilio base %w", err)
	}
	transport, err := wire.New(wire.Options{Timeout: o.Timeout, MaxConnsPerHost: o.MaxConnsPerHost, TLS: o.TLS, Kill: o.Kill}, wire.Net())
	if err != nil {
		return nil, fmt.Errorf("twilio options: %w", err)
	}
	pacific, err := tendlc.Pacific()
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Client{wire: transport, base: base, now: o.Now, pacific: pacific, novel: wire.NewNovelties(o.Log)}, nil
}

// Close closes the connections that no call uses. Calls under way end by
// themselves.
func (c *Client) Close() { c.wire.Close() }

// Send makes one call for one message.
func (c *Client) Send(ctx context.Context, a channel.Account, m channel.Message) channel.Result {
	template, err := c.request(a)
	if err != nil {
		return wire.BadAccount(err)
	}
	call, ms := c.wire.Begin(), []channel.Message{m}
	call.Form = append(call.Form[:0], c.form(a, m).Encode()...)
	answer, lost := c.wire.Do(ctx, call, template, ms)
	trace := wire.Cut(wire.OneLine(answer.Header.Get("Twilio-Request-Id")), maxTrace)
	if lost != nil {
		lost.TraceID = trace
		return *lost
	}
	r := c.judge(answer, ms)
	r.TraceID = trace
	c.wire.Recycle(call)
	if _, listed := find(r.Code); r.Code != 0 && !listed {
		c.novel.Note(ctx, r)
	}
	return r
}

// SendBatch makes one call for each message, one behind the other: Twilio has no
// call for several. What ctx leaves no time for is not sent.
func (c *Client) SendBatch(ctx context.Context, a channel.Account, ms []channel.Message) []channel.Result {
	results := make([]channel.Result, len(ms))
	for i := range ms {
		results[i] = c.Send(ctx, a, ms[i])
	}
	return results
}

// request prepares the call of an account. It fails for credentials that cannot
// be used, and never says what they were.
func (c *Client) request(a channel.Account) (*http.Request, error) {
	switch {
	case !sender.ValidAccountSID(a.Owner):
		return nil, fmt.Errorf("account sid %q: want AC and 32 hex digits", a.Owner)
	case !sender.ValidNumber(a.ID) && !sender.ValidServiceSID(a.ID):
		return nil, fmt.Errorf("account %q: want an E.164 number, or MG and 32 hex digits", a.ID)
	case !wire.ValidToken(string(a.Token)):
		return nil, errors.New("the account has no token that could be one")
	}
	u := *c.base
	u.Path += "/" + version + "/Accounts/" + a.Owner + "/Messages.json"
	basic := base64.StdEncoding.EncodeToString([]byte(a.Owner + ":" + string(a.Token)))
	return wire.Template(&u, "Basic "+basic, "application/x-www-form-urlencoded"), nil
}

// form is the body of a send.
func (c *Client) form(a channel.Account, m channel.Message) url.Values {
	f := url.Values{"To": {m.Recipient}, "Body": {m.Text}}
	if sender.ValidServiceSID(a.ID) {
		f.Set("MessagingServiceSid", a.ID)
	} else {
		f.Set("From", a.ID)
	}
	if a.Callback != "" {
		f.Set("StatusCallback", callback(a.Callback, m.Job))
	}
	if !m.Expires.IsZero() {
		left := int(m.Expires.Sub(c.now()) / time.Second)
		f.Set("ValidityPeriod", strconv.Itoa(min(max(left, 1), maxValidity)))
	}
	return f
}

// callback adds the job's id to the address of status callbacks.
func callback(address, job string) string {
	u, err := url.Parse(address)
	if err != nil || job == "" {
		return address
	}
	q := u.Query()
	q.Set("job", job)
	u.RawQuery = q.Encode()
	return u.String()
}
