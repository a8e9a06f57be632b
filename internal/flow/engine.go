package flow

import (
	"errors"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/sender"
)

// Program is a flow's document as it is carried out. It is safe for concurrent
// use.
type Program struct {
	Spec    *Spec
	Version int
}

// World is what is known at a moment.
type World struct {
	Now      time.Time
	Contacts map[string]contact.Record        // of the identities, by Sender id, as far as they are known
	Senders  func(id string) *sender.Spec     // nil for one that is not defined
	Zone     func(name string) *time.Location // nil for one that does not exist
}

// Told is an event as flows hear it.
type Told struct {
	event.Event
	Seq   uint64 // place in the stream of events; a repeat has the same
	Trace string // W3C traceparent
}

// Memory is what a flow remembers of a contact beyond its runs.
type Memory struct {
	Starts []time.Time               `json:"starts,omitempty"` // of runs, as far as Frequency asks
	Values map[string]map[string]any `json:"values,omitempty"` // by slot, then by path: what changed() compares with
	In     bool                      `json:"in,omitempty"`     // the contact matches the trigger's segment, or has its label
	Seq    uint64                    `json:"seq,omitempty"`    // of the last event, or change, that was taken in
}

// Result is a run after something happened. Nothing of it counts before it is
// stored, with the memory where there is one, at once.
type Result struct {
	Run     *Run    // nil: there is none, and none begins
	Memory  *Memory // nil: nothing is to be remembered
	Changed bool    // false: what is stored already says the same
	Started bool
	Why     string // why no run began, in words
}

var errUnwritten = errors.New("not written yet")

// Compile reads a document that Validate found good.
func Compile(*Spec, int) (*Program, error) { return nil, errUnwritten }

// Hears tells whether events of a type, of a platform's channel or of a CRM
// (""), may begin a run, and whether they may move one.
func (p *Program) Hears(event.Type, string) (begins, moves bool) { return false, false }

// Follows tells whether changes of contacts begin runs or move them: a trigger
// by label, segment or date, or a date reckoned from a contact's attributes.
func (p *Program) Follows() bool { return false }

// Remembers tells whether the flow needs its memory of a contact.
func (p *Program) Remembers() bool { return false }

// Main returns whom an event is about, first: a run is named by that identity.
// It reports false where the event is about nobody for this flow.
func (p *Program) Main(*Told) (Identity, bool, error) { return Identity{}, false, errUnwritten }

// Others returns the same person as other senders know them, sorted by sender.
func (p *Program) Others(*Told, *contact.Record) ([]Identity, error) { return nil, errUnwritten }

// Slot tells which run an event would begin for a contact, and false where the
// trigger is not for it.
func (p *Program) Slot(*Told, Identity, *contact.Record) (slot string, ok bool, err error) {
	return "", false, errUnwritten
}

// Begin takes in an event that the trigger is for. old is the run of that slot,
// nil where there is none: one that goes on takes the event in as news.
func (p *Program) Begin(id ID, old *Run, m *Memory, ids []Identity, t *Told, w World) (Result, error) {
	return Result{}, errUnwritten
}

// Changed takes in that a contact is another now: a trigger by label, segment
// or date may begin a run. seq is the change's place in the facts.
func (p *Program) Changed(id ID, old *Run, m *Memory, ids []Identity, seq uint64, w World) (Result, error) {
	return Result{}, errUnwritten
}

// Hear takes in an event that a run may wait for, or that ends it.
func (p *Program) Hear(id ID, r Run, t *Told, w World) (Result, error) { return Result{}, errUnwritten }

// Wake goes on with a run whose time has come, or whose contact changed: dates
// are reckoned anew.
func (p *Program) Wake(id ID, r Run, w World) (Result, error) { return Result{}, errUnwritten }

// Settle takes in what came of an effect, by its id.
func (p *Program) Settle(id ID, r Run, effect string, o Outcome, w World) (Result, error) {
	return Result{}, errUnwritten
}

// Ended ends a run from outside. Messages that are planned are cancelled.
func (p *Program) Ended(id ID, r Run, s State, why string, at time.Time) Result { return Result{} }

// Moved takes a run of an earlier version over to this one where the document
// says how; it reports false where it does not, and the run stays where it is.
func (p *Program) Moved(id ID, r Run, from *Program, w World) (Result, bool) { return Result{}, false }

// Message returns what is sent at a place: a message, or a notice.
func (p *Program) Message(Place) (*Send, error) { return nil, errUnwritten }
