package flow

import (
	"encoding/json"
	"time"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// State is how a run stands.
type State string

// The states. All but Gathering and Waiting are ends.
const (
	Gathering State = "gathering" // it has not begun: triggers of one key are coalesced, or its date has not come
	Waiting   State = "waiting"   // for a time, an event or an outcome
	Done      State = "done"
	Goal      State = "goal"
	Exited    State = "exited"
	HandedOff State = "handed_over"
	Stopped   State = "stopped" // by a person, a flow, or since its flow was deleted
	Failed    State = "failed"  // it could not go on: Why says it
)

// Over tells whether nothing more happens in a run.
func (s State) Over() bool { return s != Gathering && s != Waiting }

// Flow is what became of a flow's document.
type Flow struct {
	ID      string    `json:"id"`
	Version int       `json:"version"` // the newest, from 1
	State   Life      `json:"state"`
	At      time.Time `json:"at"` // of the last change
}

// Life is how a flow stands.
type Life string

// The lives of a flow. One that is paused starts nothing and moves nothing;
// one that was deleted has stopped its runs and never comes back.
const (
	Active  Life = "active"
	Paused  Life = "paused"
	Deleted Life = "deleted"
)

// Identity is a person as one sender knows them.
type Identity struct {
	Sender string `json:"sender"`
	Person string `json:"person"`
}

// Run is where one contact stands in a flow. It is stored as JSON, by
// compare-and-set.
type Run struct {
	Version    int                `json:"version"`
	Round      int                `json:"round,omitempty"` // how often this slot began before
	State      State              `json:"state"`
	Why        string             `json:"why,omitempty"`    // of an end
	Sender     string             `json:"sender"`           // that messages go out from where a step names none; "": none was found
	Choice     string             `json:"choice,omitempty"` // how that was found: "", record_owner, auto
	Identities []Identity         `json:"identities"`       // the first names the run
	Event      json.RawMessage    `json:"event"`            // what began it, or the newest news of it, as expressions see it
	Seen       uint64             `json:"seen"`             // sequence of the last event that was taken in
	Facts      uint64             `json:"facts,omitempty"`  // the same, of changes of the contact
	StartedAt  time.Time          `json:"started_at"`
	EndedAt    time.Time          `json:"ended_at,omitzero"`
	Due        time.Time          `json:"due,omitzero"` // when it is to be looked at next; zero: when something happens
	Threads    []Thread           `json:"threads,omitempty"`
	Held       []string           `json:"held,omitempty"`     // ids of the criteria whose steps began
	Outcomes   map[string]Outcome `json:"outcomes,omitempty"` // of steps, by id: the newest
	Visits     map[int]int        `json:"visits,omitempty"`   // how often each instruction was come to
	Path       []Visit            `json:"path,omitempty"`     // what was done, the oldest first
	Cut        int                `json:"cut,omitempty"`      // visits that Path lost, since it is bounded
	Owes       []Effect           `json:"owes,omitempty"`     // asked for, and not known to be done; calls stand here until they are settled
	Trace      string             `json:"trace,omitempty"`    // W3C traceparent of what began it
	Before     *Last              `json:"before,omitempty"`   // while it gathers: what changed() will compare with; nil: nothing was seen before
}

// Thread is one line of steps in a run: a criterion's steps, or a schedule's.
type Thread struct {
	At     int       `json:"at"`               // instruction
	Due    time.Time `json:"due,omitzero"`     // when its waiting ends; zero: only by what it waits for
	Event  bool      `json:"event,omitempty"`  // it waits for an event
	Dated  bool      `json:"dated,omitempty"`  // Due follows a date that may change
	Job    string    `json:"job,omitempty"`    // it waits for the outcome of a job
	Hook   string    `json:"hook,omitempty"`   // or for that of a call
	Try    int       `json:"try,omitempty"`    // of Send: 0 the message itself, then the places in Otherwise
	Quiet  bool      `json:"quiet,omitempty"`  // it waits for an hour that is not quiet
	Rounds []int     `json:"rounds,omitempty"` // of the loops that it is in, the outermost first
	Since  time.Time `json:"since,omitzero"`   // when its waiting began; with Job when that was planned
	To     Identity  `json:"to,omitzero"`      // with Job: whom it goes to
	Woke   time.Time `json:"woke,omitzero"`    // what it waited for last was due then
}

// Outcome is what came of something that a step asked for.
type Outcome struct {
	State  job.State   `json:"state,omitempty"` // of a message; of a call sent or failed
	Reason reason.Code `json:"reason,omitempty"`
	Sender string      `json:"sender,omitempty"` // that the message went out from
	At     time.Time   `json:"at"`
}

// Visit is one line of a run's path.
type Visit struct {
	At     time.Time   `json:"at"`
	Step   string      `json:"step"`            // its id
	Did    string      `json:"did"`             // what the step does: send, wait, branch …; or start, news, exit, goal
	What   string      `json:"what,omitempty"`  // in words, without what people wrote
	Until  time.Time   `json:"until,omitzero"`  // of a wait
	Job    string      `json:"job,omitempty"`   // of a message
	State  job.State   `json:"state,omitempty"` // what became of it
	Reason reason.Code `json:"reason,omitempty"`
	Told   time.Time   `json:"told,omitzero"` // when that was so
}

// EffectKind is what somebody has to do for a run.
type EffectKind string

// The kinds of effects. All but Call can be done again without harm.
const (
	Plan   EffectKind = "plan"   // a message: Job, in the sender's lane
	Cancel EffectKind = "cancel" // a planned message that is not wanted any more
	Change EffectKind = "change" // of the contact's labels and attributes
	Call   EffectKind = "call"   // an endpoint
	Start  EffectKind = "start"  // another flow
	Stop   EffectKind = "stop"   // another flow's runs of the contact
)

// Effect is one thing that somebody has to do, once the run is stored.
type Effect struct {
	Kind       EffectKind         `json:"kind"`
	ID         string             `json:"id"` // unique in the run, see Place
	At         time.Time          `json:"at"`
	Identity   Identity           `json:"identity,omitzero"` // Plan, Cancel, Change: whom
	Month      string             `json:"month,omitempty"`   // Plan, Cancel: of the job's ledger
	Expires    time.Time          `json:"expires,omitzero"`  // Plan
	Labels     map[string]bool    `json:"labels,omitempty"`  // Change
	Attributes map[string]*string `json:"attributes,omitempty"`
	Endpoint   string             `json:"endpoint,omitempty"` // Call
	Data       json.RawMessage    `json:"data,omitempty"`     // Call
	Flow       string             `json:"flow,omitempty"`     // Start, Stop
}
