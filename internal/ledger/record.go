// Package ledger is the durable record of every job: one subject for each,
// and on it every move that the job made. It decides who may send (the claim)
// and remembers what became of it (the outcome). It never deletes, and it
// never trusts an acknowledgement that it can't prove by reading back.
package ledger

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Record is one move of a job.
type Record struct {
	State   job.State `json:"state"`
	From    job.State `json:"from"`           // the state it left; tallies need no memory of jobs thanks to it
	Prev    uint64    `json:"prev,omitempty"` // ledger sequence of the record it follows; 0: the first
	Nonce   string    `json:"nonce"`          // unique for each record: tells who wrote it when an answer was lost
	Attempt int       `json:"attempt,omitempty"`
	At      time.Time `json:"at"`

	Reason     reason.Code   `json:"reason,omitempty"`
	FromReason reason.Code   `json:"from_reason,omitempty"` // the reason of the record it follows, for the same cause
	Rule       string        `json:"rule,omitempty"`
	Evidence   string        `json:"evidence,omitempty"` // what the verdict was decided on, in words
	Facts      uint64        `json:"facts,omitempty"`    // the facts' watermark that the verdict saw
	Until      time.Time     `json:"until,omitzero"`     // held, or pending again: not before
	Deadline   time.Duration `json:"deadline,omitempty"` // claimed: how long the claim stands, ns
	Segments   int           `json:"segments,omitempty"` // claimed: what a text message counts; 0: it is none

	MessageID string `json:"message_id,omitempty"` // the platform's id
	Code      int    `json:"code,omitempty"`       // the platform's error
	Subcode   int    `json:"subcode,omitempty"`
	Status    int    `json:"status,omitempty"` // HTTP status of the answer
	Detail    string `json:"detail,omitempty"` // the platform's words, scrubbed
	Trace     string `json:"trace,omitempty"`  // trace id, 32 hex digits
	By        string `json:"by,omitempty"`     // worker, repair, or who asked for a redrive or discard
	Discarded bool   `json:"discarded,omitempty"`

	// SentAt is when the message left, of a record that says more of a sent
	// one; zero: at At, as of a sent one. By the platform's clock where only an
	// echo told of it.
	SentAt time.Time `json:"sent_at,omitzero"`

	// Planned marks the first record of a flow's job: nothing but it says that
	// the job is there, as the snapshot of an audience does for a broadcast's.
	Planned bool `json:"planned,omitempty"`

	// Expires is when nobody wants a flow's job any more, of its planned record
	// and of one that reopens it, and stands until the next of these. Zero: never.
	Expires time.Time `json:"expires,omitzero"`
}

// Who writes records that no worker and no person does, in By.
const (
	ByReceipt       = "receipt"        // the platform told what became of it
	ByStandingOrder = "standing-order" // the sender's document says to redrive it
	ByFlow          = "flow"           // a run asked for it, or does not want it any more
)

// Left returns when the message of a sent job left, zero where none is said to
// have.
func (r Record) Left() time.Time {
	switch {
	case !r.SentAt.IsZero():
		return r.SentAt
	case r.State == job.Sent:
		return r.At
	default:
		return time.Time{}
	}
}

// Entry is a record with its place.
type Entry struct {
	ID     job.ID
	Seq    uint64 // ledger sequence, unique in its stream, ascending
	Record Record
}

func decode(data []byte) (Record, error) {
	var r Record
	// The second version of the package takes a third of the time, and every
	// record passes here.
	if err := json.Unmarshal(data, &r, jsonv1.FormatDurationAsNano(true)); err != nil {
		return r, fmt.Errorf("ledger record: %w", err)
	}
	return r, nil
}

var errPlanned = errors.New("a job of a flow begins with its planned record, which no other record is")

// CheckNext tells whether next may follow prev in the history of a source's
// job; prev is the zero Entry for the first record. A flow's job begins with
// its planned record, a broadcast's never has one. A discard repeats the state
// of a dead letter. A job that was never tried can't be sent.
func CheckNext(s job.Source, prev Entry, next Record) error {
	from := prev.Record.State
	if prev.Seq == 0 {
		from = job.Pending
	}
	if next.From != from || next.Prev != prev.Seq {
		return fmt.Errorf("record says that it follows %s at %d, but %s at %d came before it", next.From, next.Prev, from, prev.Seq)
	}
	first := prev.Seq == 0
	if next.Planned != (first && s.Flow() != "") || next.Planned && next.State != job.Pending {
		return errPlanned
	}
	if next.Planned || next.Discarded && next.State == from && from.Dead() {
		return nil
	}
	if (first || prev.Record.Planned) && next.State == job.Sent {
		return errors.New("a job can't go from pending to sent: nobody had claimed it")
	}
	return job.CheckMove(from, next.State)
}
