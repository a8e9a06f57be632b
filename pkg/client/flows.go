package client

import (
	"context"
	"iter"
	"net/url"
	"strconv"
	"time"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// The states of a flow.
const (
	FlowActive  = "active"
	FlowPaused  = "paused"
	FlowDeleted = "deleted"
)

// Flow is a flow as it stands.
type Flow struct {
	ID      string    `json:"id"`
	State   string    `json:"state"`
	Version int       `json:"version"` // the newest
	At      time.Time `json:"at"`      // when it was last changed
	Type    string    `json:"type"`
	Sender  string    `json:"sender"`  // a sender's id, record_owner or auto
	Trigger string    `json:"trigger"` // in words
}

// FlowDetail is a flow with what it says and how many runs it has.
type FlowDetail struct {
	Flow
	Document map[string]any `json:"document"` // of one version
	Shown    int            `json:"shown"`    // which version that is
	Drawing  string         `json:"drawing"`  // of it, as a Mermaid flowchart
	Runs     []RunCount     `json:"runs"`     // the newest versions first; those that ended as long as they are kept
}

// RunCount is how many runs of a version are in a state.
type RunCount struct {
	Version int    `json:"version"`
	State   string `json:"state"`
	Count   int    `json:"count"`
}

// SteeredFlow is a flow that was paused, resumed or deleted, or would be.
type SteeredFlow struct {
	Flow
	DryRun  bool `json:"dry_run,omitempty"` // nothing was changed
	InForce bool `json:"in_force"`          // every check from now on sees it
	Going   int  `json:"going"`             // runs that had not ended
}

// Run is one contact going through a flow.
type Run struct {
	ID        string       `json:"id"`
	Flow      string       `json:"flow"`
	Version   int          `json:"version"`
	State     string       `json:"state"` // gathering, waiting, done, goal, exited, handed_over, stopped, failed
	Why       string       `json:"why,omitempty"`
	Sender    string       `json:"sender,omitempty"` // that messages go out from where a step names none
	Contacts  []RunContact `json:"contacts"`         // the same person as senders know them
	Event     RunEvent     `json:"event"`            // what began it, or the newest news of it
	StartedAt time.Time    `json:"started_at"`
	EndedAt   time.Time    `json:"ended_at,omitzero"`
	Due       time.Time    `json:"due,omitzero"` // when it is looked at next; absent: when something happens
	Trace     string       `json:"trace,omitempty"`

	Path    []RunVisit `json:"path,omitempty"`    // the oldest first; not in lists
	Cut     int        `json:"cut,omitempty"`     // visits that the path lost
	Drawing string     `json:"drawing,omitempty"` // of the path in its flow, as a Mermaid flowchart; not in lists
}

// RunContact is a person as one sender knows them.
type RunContact struct {
	Sender string `json:"sender"`
	ID     string `json:"id"`
}

// RunEvent names an event.
type RunEvent struct {
	ID     string `json:"id,omitempty"`
	Source string `json:"source,omitempty"`
	Type   string `json:"type,omitempty"`
}

// RunVisit is one line of a run's path.
type RunVisit struct {
	At     time.Time   `json:"at"`
	Step   string      `json:"step,omitempty"` // its id; absent: of the run as a whole
	Did    string      `json:"did"`
	What   string      `json:"what,omitempty"`
	Until  time.Time   `json:"until,omitzero"`
	Job    string      `json:"job,omitempty"` // of a message
	State  string      `json:"state,omitempty"`
	Reason reason.Code `json:"reason,omitempty"`
}

// Runs is a page of runs, those that changed longest ago first.
type Runs struct {
	Runs   []Run  `json:"runs"`
	Cursor string `json:"cursor"` // to read on from
	More   bool   `json:"more"`   // there was more
}

// RunQuery picks runs of a flow. Zero fields pick all.
type RunQuery struct {
	State   string
	Sender  string // with Contact
	Contact string // id of a person, as the sender knows them
	After   string // cursor of the page before
	Limit   int    // 1 to 1000; 0: 100
}

// SteerRequest asks for a flow to be paused, resumed or deleted.
type SteerRequest struct {
	DryRun bool `json:"dry_run,omitempty"` // only say what would be done
}

// StopRunsRequest says which runs of a flow are to be stopped: one, those of a
// contact, or all.
type StopRunsRequest struct {
	Run     string `json:"run,omitempty"`
	Sender  string `json:"sender,omitempty"` // with Contact
	Contact string `json:"contact,omitempty"`
	All     bool   `json:"all,omitempty"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

// StoppedRuns says what stopping runs came to.
type StoppedRuns struct {
	Flow    string `json:"flow"`
	DryRun  bool   `json:"dry_run,omitempty"`
	Matched int    `json:"matched"` // runs that had not ended
	Stopped int    `json:"stopped"`
	Over    int    `json:"over"` // those that ended by themselves meanwhile
}

// Flows lists all flows, by id, those that were deleted too.
func (c *Client) Flows(ctx context.Context) iter.Seq2[Flow, error] {
	return list[Flow](ctx, c, get("/v1/flows", nil))
}

// Flow returns one flow with a version of its document; 0: the newest.
func (c *Client) Flow(ctx context.Context, id string, version int) (FlowDetail, error) {
	var q url.Values
	if version != 0 {
		q = url.Values{"version": {strconv.Itoa(version)}}
	}
	return call[FlowDetail](ctx, c, get(flow(id, ""), q))
}

// Runs returns a page of a flow's runs.
func (c *Client) Runs(ctx context.Context, id string, r RunQuery) (Runs, error) {
	q := url.Values{}
	for name, v := range map[string]string{"state": r.State, "sender": r.Sender, "contact": r.Contact, "after": r.After} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if r.Limit != 0 {
		q.Set("limit", strconv.Itoa(r.Limit))
	}
	return call[Runs](ctx, c, get(flow(id, "/runs"), q))
}

// Run returns one run with its path.
func (c *Client) Run(ctx context.Context, id string) (Run, error) {
	return call[Run](ctx, c, get("/v1/runs/"+url.PathEscape(id), nil))
}

// PauseFlow lets a flow stand still until it is resumed.
func (c *Client) PauseFlow(ctx context.Context, id string, r SteerRequest) (SteeredFlow, error) {
	return call[SteeredFlow](ctx, c, post(flow(id, "/pause"), r))
}

// ResumeFlow lets a paused flow go on.
func (c *Client) ResumeFlow(ctx context.Context, id string, r SteerRequest) (SteeredFlow, error) {
	return call[SteeredFlow](ctx, c, post(flow(id, "/resume"), r))
}

// DeleteFlow ends a flow and its runs for good.
func (c *Client) DeleteFlow(ctx context.Context, id string, r SteerRequest) (SteeredFlow, error) {
	return call[SteeredFlow](ctx, c, post(flow(id, "/delete"), r))
}

// StopRuns ends runs of a flow.
func (c *Client) StopRuns(ctx context.Context, id string, r StopRunsRequest) (StoppedRuns, error) {
	return call[StoppedRuns](ctx, c, post(flow(id, "/stop"), r))
}

func flow(id, rest string) string { return "/v1/flows/" + url.PathEscape(id) + rest }
