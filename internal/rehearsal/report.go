package rehearsal

import (
	"encoding/json"
	"time"

	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Report is what happened in a rehearsal. The same documents and the same
// events give the same report, byte by byte.
type Report struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"` // when the last thing happened, or when it was broken off
	Runs  []*Run    `json:"runs"`  // in the order in which they began
	Quiet []Quiet   `json:"quiet"` // what was told and began no run, though a flow is for it, or nobody
}

// Run is the path of one contact through a flow.
type Run struct {
	Flow      string        `json:"flow"`
	Version   int           `json:"version"`
	Contact   flow.Identity `json:"contact"`
	By        string        `json:"by"` // what began it, in words
	State     flow.State    `json:"state"`
	Why       string        `json:"why,omitempty"`
	StartedAt time.Time     `json:"started_at"`
	EndedAt   time.Time     `json:"ended_at,omitzero"`
	Due       time.Time     `json:"due,omitzero"`
	Path      []flow.Visit  `json:"path"`
	Cut       int           `json:"cut,omitempty"` // visits that the path lost
	Messages  []*Message    `json:"messages,omitempty"`
	Calls     []*Call       `json:"calls,omitempty"`
	Changes   []*Change     `json:"changes,omitempty"`

	id flow.ID
}

// Message is what was to be said to somebody, and what became of it.
type Message struct {
	Step      string        `json:"step"`
	To        flow.Identity `json:"to"`
	At        time.Time     `json:"at"` // when it was planned
	Template  string        `json:"template,omitempty"`
	Text      string        `json:"text,omitempty"`
	Words     string        `json:"words,omitempty"` // what else is read: buttons, what a template is filled in with
	Verdicts  []Verdict     `json:"verdicts"`        // each time that the rules were asked
	State     job.State     `json:"state"`
	Reason    reason.Code   `json:"reason,omitempty"`
	OutcomeAt time.Time     `json:"outcome_at,omitzero"`

	expires time.Time
	run     flow.ID
	effect  string
}

// Verdict is what the rules said of a message at a moment.
type Verdict struct {
	At      time.Time   `json:"at"`
	Verdict string      `json:"verdict"` // send, hold, block
	Rule    string      `json:"rule,omitempty"`
	Reason  reason.Code `json:"reason,omitempty"`
	Until   time.Time   `json:"until,omitzero"`
	Says    string      `json:"says"` // with the evidence, in words
}

// Call is an endpoint that was told something.
type Call struct {
	Step     string          `json:"step"`
	Endpoint string          `json:"endpoint"`
	At       time.Time       `json:"at"`
	Data     json.RawMessage `json:"data,omitempty"`
	State    job.State       `json:"state"` // sent or failed; pending where the answer did not come in time

	effect string
}

// Change is what a run changed of its contact.
type Change struct {
	Step       string             `json:"step"`
	At         time.Time          `json:"at"`
	Contact    flow.Identity      `json:"contact"`
	Labels     map[string]bool    `json:"labels,omitempty"`
	Attributes map[string]*string `json:"attributes,omitempty"`
}

// Quiet is something that was told and began no run.
type Quiet struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`           // its type, id and source
	Flow string    `json:"flow,omitempty"` // "": of no flow alone
	Why  string    `json:"why"`
}

// Counts returns how many messages of the report stand in each state.
func (r *Report) Counts() map[job.State]int {
	out := map[job.State]int{}
	for _, run := range r.Runs {
		for _, m := range run.Messages {
			out[m.State]++
		}
	}
	return out
}
