package client

import (
	"context"
	"iter"
	"net/url"
	"strconv"
	"time"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// Outcome is what became of a message. A job may have several, such as sent,
// then delivered, then read; Seq orders them.
type Outcome struct {
	ID        string         `json:"id"` // the same whenever it is told
	Job       string         `json:"job"`
	Seq       uint64         `json:"seq"`
	Sender    string         `json:"sender"`
	Source    string         `json:"source"`
	Contact   OutcomeContact `json:"contact"`
	State     string         `json:"state"`
	From      string         `json:"from"` // the state before
	At        time.Time      `json:"at"`
	Attempt   int            `json:"attempt,omitempty"`
	Reason    reason.Code    `json:"reason,omitempty"`
	Rule      string         `json:"rule,omitempty"`
	MessageID string         `json:"message_id,omitempty"`
	Code      int            `json:"code,omitempty"`
	Subcode   int            `json:"subcode,omitempty"`
	Detail    string         `json:"detail,omitempty"`
	Trace     string         `json:"trace,omitempty"`
}

// OutcomeContact is whom a message was for.
type OutcomeContact struct {
	Key        string            `json:"key"`
	ID         string            `json:"id,omitempty"` // the platform's, or the number; empty once the contact was erased
	Attributes map[string]string `json:"attributes,omitempty"`
}

// Outcomes is a page of outcomes.
type Outcomes struct {
	Outcomes []Outcome `json:"outcomes"`
	Cursor   string    `json:"cursor"` // to read on from, also where nothing was new
	More     bool      `json:"more"`   // there was more
}

// OutcomeQuery picks outcomes. Zero fields pick all.
type OutcomeQuery struct {
	After  string    // cursor of the page before
	Since  time.Time // instead of After: where to begin
	Sender string
	Limit  int // 1 to 1000; 0: 100
}

// Endpoint is a webhook that outcomes are pushed to, with where it stands.
type Endpoint struct {
	ID       string         `json:"id"`
	Host     string         `json:"host"`  // of its address; the rest may hold a token
	State    string         `json:"state"` // on or off
	Why      string         `json:"why,omitempty"`
	Since    time.Time      `json:"since,omitzero"` // off since
	Behind   int            `json:"behind"`         // records of the ledger after its cursor
	Waiting  []EndpointPush `json:"waiting"`        // begun and not taken yet
	Dead     []EndpointPush `json:"dead,omitempty"` // given up, the oldest 100; not in lists
	Failures int            `json:"failures,omitempty"`
	Error    string         `json:"last_error,omitempty"` // while there are failures
	Taken    time.Time      `json:"taken,omitzero"`       // when a push was taken last
	Cursor   string         `json:"cursor,omitempty"`
}

// EndpointPush is one push to an endpoint.
type EndpointPush struct {
	ID       string    `json:"id"` // webhook-id
	Outcomes int       `json:"outcomes"`
	Attempts int       `json:"attempts"`
	First    time.Time `json:"first,omitzero"`
	Next     time.Time `json:"next,omitzero"`
	Status   int       `json:"status,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// The states of an endpoint.
const (
	EndpointOn  = "on"
	EndpointOff = "off"
)

// ReplayRequest says what is to be pushed again: everything since a moment, or
// what was given up.
type ReplayRequest struct {
	Since time.Time `json:"since,omitzero"`
	Dead  bool      `json:"dead,omitempty"`
}

// Outcomes returns a page of outcomes.
func (c *Client) Outcomes(ctx context.Context, o OutcomeQuery) (Outcomes, error) {
	q := url.Values{}
	for name, v := range map[string]string{"after": o.After, "since": stamp(o.Since), "sender": o.Sender} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if o.Limit != 0 {
		q.Set("limit", strconv.Itoa(o.Limit))
	}
	return call[Outcomes](ctx, c, get("/v1/outcomes", q))
}

// Endpoints lists all endpoints, by id.
func (c *Client) Endpoints(ctx context.Context) iter.Seq2[Endpoint, error] {
	return list[Endpoint](ctx, c, get("/v1/endpoints", nil))
}

// Endpoint returns one endpoint.
func (c *Client) Endpoint(ctx context.Context, id string) (Endpoint, error) {
	return call[Endpoint](ctx, c, get(endpoint(id, ""), nil))
}

// EnableEndpoint lets pushes go on where they stopped.
func (c *Client) EnableEndpoint(ctx context.Context, id string) (Endpoint, error) {
	return call[Endpoint](ctx, c, post(endpoint(id, "/enable"), nil))
}

// DisableEndpoint stops pushes; nothing is lost meanwhile.
func (c *Client) DisableEndpoint(ctx context.Context, id string) (Endpoint, error) {
	return call[Endpoint](ctx, c, post(endpoint(id, "/disable"), nil))
}

// ReplayEndpoint has outcomes pushed again, under the ids that they had.
func (c *Client) ReplayEndpoint(ctx context.Context, id string, r ReplayRequest) (Endpoint, error) {
	return call[Endpoint](ctx, c, post(endpoint(id, "/replay"), r))
}

func endpoint(id, rest string) string { return "/v1/endpoints/" + url.PathEscape(id) + rest }
