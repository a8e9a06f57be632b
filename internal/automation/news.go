package automation

import (
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/ingest"
)

// kind is what happened.
type kind uint8

const (
	heard    kind = iota // an event
	woken                // a timer came
	settled              // an effect has an outcome
	changed              // a contact is another now
	reviewed             // the flow of a run changed
	surveyed             // all runs of a flow were reviewed
	asked                // a run starts another flow
	halted               // a run stops another flow
)

// news is something that happened. Fields count as its kind needs.
type news struct {
	kind kind

	seq   uint64 // heard, changed: place in its stream
	kept  time.Time
	trace string
	event event.Event
	meant []ingest.Meant // heard: as it is about senders, once it is in force
	only  *live          // heard: the one flow that hears it; nil: all

	id      flow.ID // woken, settled, reviewed; of the flow: asked, halted, surveyed
	entry   *entry  // woken
	effect  string  // settled
	outcome flow.Outcome
	called  bool // settled: it was a call

	sender  string // changed
	contact contact.Record
	survey  *survey // changed: nobody says so, it is looked at for flows that came to stand; nil: it is

	told flow.Told       // asked
	ids  []flow.Identity // halted
	why  string

	acted acted // surveyed
	err   error

	aside bool // it can't be taken in while its flow stands still
}

// touch is what news ask of one run, or of the runs of one contact.
type touch struct {
	n        *news
	l        *live
	does     does
	id       flow.ID // of the run; without a slot: of every run of the contact that goes on
	told     *flow.Told
	ids      []flow.Identity         // of a run that begins
	outcomes map[string]flow.Outcome // of a run that is reviewed: of its messages, by effect
}

// does is what is done with a run.
type does uint8

const (
	begins does = iota
	begun       // by a change of the contact
	hears
	wakes
	redates
	settles
	reviews
	halts
	erases
)
