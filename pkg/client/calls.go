package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

func get(path string, query url.Values) request {
	return request{method: http.MethodGet, path: path, query: query}
}

func post(path string, send any) request {
	return request{method: http.MethodPost, path: path, send: send}
}

func sender(id, rest string) string    { return "/v1/senders/" + url.PathEscape(id) + rest }
func broadcast(id, rest string) string { return "/v1/broadcasts/" + url.PathEscape(id) + rest }

// Apply creates or updates what a file's YAML documents define. The file's
// name stands in what is said about it.
func (c *Client) Apply(ctx context.Context, file string, documents io.Reader) (ApplyResult, error) {
	return c.apply(ctx, url.Values{"file": {file}}, documents)
}

// TryApply says what Apply would do, and changes nothing.
func (c *Client) TryApply(ctx context.Context, file string, documents io.Reader) (ApplyResult, error) {
	return c.apply(ctx, url.Values{"file": {file}, "dry_run": {"true"}}, documents)
}

func (c *Client) apply(ctx context.Context, query url.Values, documents io.Reader) (ApplyResult, error) {
	body, err := io.ReadAll(documents)
	if err != nil {
		return ApplyResult{}, fmt.Errorf("%s: %w", query.Get("file"), err)
	}
	return call[ApplyResult](ctx, c, request{method: http.MethodPost, path: "/v1/apply", query: query, body: body, kind: "application/yaml"})
}

// Senders lists all senders, by id.
func (c *Client) Senders(ctx context.Context) iter.Seq2[Sender, error] {
	return list[Sender](ctx, c, get("/v1/senders", nil))
}

// Sender returns one sender.
func (c *Client) Sender(ctx context.Context, id string) (Sender, error) {
	return call[Sender](ctx, c, get(sender(id, ""), nil))
}

// PauseSender stops everything that goes out from a sender.
func (c *Client) PauseSender(ctx context.Context, id string) (MovedSender, error) {
	return call[MovedSender](ctx, c, post(sender(id, "/pause"), nil))
}

// ResumeSender lets a paused sender go on.
func (c *Client) ResumeSender(ctx context.Context, id string) (MovedSender, error) {
	return call[MovedSender](ctx, c, post(sender(id, "/resume"), nil))
}

// OptOut records an opt-out, and returns once nothing of the contact is on
// its way any more, or after a few seconds with the jobs that still are.
func (c *Client) OptOut(ctx context.Context, from string, r OptOutRequest) (OptOutResult, error) {
	return call[OptOutResult](ctx, c, post(sender(from, "/optouts"), r))
}

// ChangeContacts takes in what is said of a sender's contacts, and returns
// once it is in force; after an opt-out, once the line is drawn. One change that is
// no good refuses all of them.
func (c *Client) ChangeContacts(ctx context.Context, from string, changes ...ContactChange) (ContactsChanged, error) {
	return call[ContactsChanged](ctx, c, post(sender(from, "/contacts/changes"), ContactChanges{changes}))
}

// SendEvents hands in a CRM's events: one CloudEvent 1.0 in JSON, or an array
// of up to 500. It returns once what they say of contacts is in force.
func (c *Client) SendEvents(ctx context.Context, events []byte) (EventsTaken, error) {
	kind := "application/cloudevents+json"
	if b := bytes.TrimSpace(events); len(b) > 0 && b[0] == '[' {
		kind = "application/cloudevents-batch+json"
	}
	return call[EventsTaken](ctx, c, request{method: http.MethodPost, path: "/v1/events", body: events, kind: kind})
}

// Reviews lists who of a sender's contacts waits for a person to read what they
// wrote, since it may have meant stop.
func (c *Client) Reviews(ctx context.Context, from string) iter.Seq2[Review, error] {
	return list[Review](ctx, c, get(sender(from, "/reviews"), nil))
}

// DecideReview says what a contact's words meant, and returns once that is in
// force; of an opt-out, once the line is drawn.
func (c *Client) DecideReview(ctx context.Context, from string, r ReviewRequest) (ContactsChanged, error) {
	return call[ContactsChanged](ctx, c, post(sender(from, "/reviews"), r))
}

// PullLabels orders that the custom labels of the sender's Page are read, as
// labels fb:NAME of its contacts. What it came to stands in the sender.
func (c *Client) PullLabels(ctx context.Context, of string) (Labels, error) {
	return call[Labels](ctx, c, post(sender(of, "/labels/pull"), nil))
}

// EraseContact forgets a person: all that was told of the contact, but what
// forbids. It can't be taken back.
func (c *Client) EraseContact(ctx context.Context, from string, r EraseRequest) (Erased, error) {
	return call[Erased](ctx, c, post(sender(from, "/contacts/erase"), r))
}

// Broadcasts lists all broadcasts, by id.
func (c *Client) Broadcasts(ctx context.Context) iter.Seq2[Broadcast, error] {
	return list[Broadcast](ctx, c, get("/v1/broadcasts", nil))
}

// Broadcast returns one broadcast.
func (c *Client) Broadcast(ctx context.Context, id string) (Broadcast, error) {
	return call[Broadcast](ctx, c, get(broadcast(id, ""), nil))
}

// Launch makes a draft due now or at its time. It acknowledges the warnings
// of the given codes; an error that Unacknowledged has an answer to names
// those that are missing, and nothing was changed then.
func (c *Client) Launch(ctx context.Context, id string, acknowledge ...string) (Broadcast, error) {
	var send any
	if len(acknowledge) > 0 {
		send = LaunchRequest{acknowledge}
	}
	return call[Broadcast](ctx, c, post(broadcast(id, "/launch"), send))
}

// Pause stops a broadcast until it is resumed.
func (c *Client) Pause(ctx context.Context, id string) (Stopped, error) {
	return call[Stopped](ctx, c, post(broadcast(id, "/pause"), nil))
}

// Resume lets a paused broadcast go on.
func (c *Client) Resume(ctx context.Context, id string) (Broadcast, error) {
	return call[Broadcast](ctx, c, post(broadcast(id, "/resume"), nil))
}

// Cancel closes a broadcast for good.
func (c *Client) Cancel(ctx context.Context, id string) (Stopped, error) {
	return call[Stopped](ctx, c, post(broadcast(id, "/cancel"), nil))
}

// Progress returns where a broadcast stands, cheaply.
func (c *Client) Progress(ctx context.Context, id string) (Progress, error) {
	return call[Progress](ctx, c, get(broadcast(id, "/progress"), nil))
}

// Audit counts a broadcast from its snapshot and ledger.
func (c *Client) Audit(ctx context.Context, id string) (Audit, error) {
	return call[Audit](ctx, c, get(broadcast(id, "/audit"), nil))
}

// FlowAudit counts a flow from its planned records and the ledger.
func (c *Client) FlowAudit(ctx context.Context, id string) (FlowAudit, error) {
	return call[FlowAudit](ctx, c, get(flowAudit(id), nil))
}

// FlowAuditMembers lists one bucket of a flow, as it was planned.
func (c *Client) FlowAuditMembers(ctx context.Context, id, bucket string) iter.Seq2[AuditMember, error] {
	return list[AuditMember](ctx, c, get(flowAudit(id), url.Values{"bucket": {bucket}}))
}

func flowAudit(id string) string { return "/v1/flows/" + url.PathEscape(id) + "/audit" }

// AuditMembers lists one bucket of a broadcast, in send order.
func (c *Client) AuditMembers(ctx context.Context, id, bucket string) iter.Seq2[AuditMember, error] {
	return list[AuditMember](ctx, c, get(broadcast(id, "/audit"), url.Values{"bucket": {bucket}}))
}

// Forecast judges everybody whom a broadcast would be sent to.
func (c *Client) Forecast(ctx context.Context, id string) (Forecast, error) {
	return call[Forecast](ctx, c, get(broadcast(id, "/forecast"), nil))
}

// Job tells what became of one job.
func (c *Client) Job(ctx context.Context, job string) (Story, error) {
	return call[Story](ctx, c, get("/v1/jobs/"+url.PathEscape(job), nil))
}

// Contact tells everything that was meant for a contact, by the platform's id.
func (c *Client) Contact(ctx context.Context, from, id string) (ContactStory, error) {
	return call[ContactStory](ctx, c, get("/v1/contacts", url.Values{"sender": {from}, "id": {id}}))
}

// Dead lists dead letters, in the order in which they were written; limit 0
// lists all that the filter picks.
func (c *Client) Dead(ctx context.Context, f DeadFilter, limit int) iter.Seq2[Letter, error] {
	q := f.query()
	if limit != 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return list[Letter](ctx, c, get("/v1/dead", q))
}

func (f DeadFilter) query() url.Values {
	q := url.Values{}
	for name, v := range map[string]string{
		"reason": string(f.Reason), "state": f.State, "sender": f.Sender, "source": f.Source, "since": stamp(f.Since), "until": stamp(f.Until),
	} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if f.LikelyNotSent {
		q.Set("likely_not_sent", "true")
	}
	return q
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// Letter returns the dead letter of one job.
func (c *Client) Letter(ctx context.Context, job string) (Letter, error) {
	return call[Letter](ctx, c, get("/v1/dead/"+url.PathEscape(job), nil))
}

// Redrive sends dead jobs through every check again.
func (c *Client) Redrive(ctx context.Context, r HandleRequest) (HandleResult, error) {
	return call[HandleResult](ctx, c, post("/v1/dead/redrive", r))
}

// Discard takes dead jobs off the list; their outcome stays what it is.
func (c *Client) Discard(ctx context.Context, r HandleRequest) (HandleResult, error) {
	return call[HandleResult](ctx, c, post("/v1/dead/discard", r))
}

// OpenAPI returns the document that describes the API, as JSON.
func (c *Client) OpenAPI(ctx context.Context) ([]byte, error) {
	return c.bytes(ctx, get("/v1/openapi.json", nil))
}

// Healthy returns nil when the server answers.
func (c *Client) Healthy(ctx context.Context) error {
	_, err := c.bytes(ctx, get("/healthz", nil))
	return err
}

// Ready returns nil when the server can do its work, else why not: a
// *Problem of status 503 where it answers.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.bytes(ctx, get("/readyz", nil))
	return err
}

// IsNotFound tells whether a call failed because there is no such thing.
func IsNotFound(err error) bool {
	p, ok := errors.AsType[*Problem](err)
	return ok && p.Status == http.StatusNotFound
}
