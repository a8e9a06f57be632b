// Package outcome is what became of a message, as it is told to others: the
// outcomes that the ledger has, each with an id by which a repeat is known,
// and cursors to read on from. It reads the ledger and decides nothing.
//
// Invariant: whoever reads on from the cursor of the last page, page by page,
// is told of every outcome at least once, whatever ledgers come meanwhile.
package outcome

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Outcome is one record of the ledger that says what became of a job. A job
// may have several, such as sent, then delivered, then read; Seq orders them.
type Outcome struct {
	ID        string      `json:"id"` // the same whenever it is told
	Job       string      `json:"job"`
	Seq       uint64      `json:"seq"` // ascending for one job
	Sender    string      `json:"sender"`
	Source    string      `json:"source"` // such as spring-menu~1
	Contact   Contact     `json:"contact"`
	State     job.State   `json:"state"`
	From      job.State   `json:"from"` // the state before
	At        time.Time   `json:"at"`
	Attempt   int         `json:"attempt,omitempty"`
	Reason    reason.Code `json:"reason,omitempty"`
	Rule      string      `json:"rule,omitempty"`
	MessageID string      `json:"message_id,omitempty"` // the platform's
	Code      int         `json:"code,omitempty"`       // the platform's error
	Subcode   int         `json:"subcode,omitempty"`
	Detail    string      `json:"detail,omitempty"` // the platform's words, scrubbed
	Trace     string      `json:"trace,omitempty"`
}

// Contact is whom a message was for.
type Contact struct {
	Key        job.Key           `json:"key"`
	ID         string            `json:"id,omitempty"`         // the platform's, or the number; empty once the contact was erased
	Attributes map[string]string `json:"attributes,omitempty"` // those that were asked for
}

// Of returns what a record of the ledger tells, and false for one that tells
// no outcome: a job that waits or is on its way, and a dead letter that
// somebody took off the list.
func Of(e ledger.Entry) (Outcome, bool) {
	r := e.Record
	if !r.State.Ended() || r.Discarded {
		return Outcome{}, false
	}
	return Outcome{
		ID: idOf(e.ID, e.Seq), Job: e.ID.String(), Seq: e.Seq, Sender: e.ID.Sender, Source: e.ID.Name, Contact: Contact{Key: e.ID.Contact},
		State: r.State, From: r.From, At: r.At, Attempt: r.Attempt, Reason: r.Reason, Rule: r.Rule,
		MessageID: r.MessageID, Code: r.Code, Subcode: r.Subcode, Detail: r.Detail, Trace: r.Trace,
	}, true
}

// idOf names a record of the ledger. A job's id has its contact's key, so that
// two installations never use one id.
func idOf(id job.ID, seq uint64) string {
	return "out_" + hashed(id.String()+"@"+strconv.FormatUint(seq, 10))
}

// Message names a push of outcomes, by the first and the last of them.
func Message(first, last Outcome, n int) string {
	return "msg_" + hashed(first.ID+last.ID+strconv.Itoa(n))
}

// hashed is 27 characters without a dot, which Standard Webhooks signs between
// the parts.
func hashed(text string) string {
	h := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(h[:20])
}

// know adds what is known of the contact now. The attributes are those that
// are asked for by name.
func (o *Outcome) know(r contact.Record, attributes []string) {
	o.Contact.ID = r.Address
	for _, name := range attributes {
		v, ok := r.Attributes[name]
		if !ok {
			continue
		}
		if o.Contact.Attributes == nil {
			o.Contact.Attributes = make(map[string]string, len(attributes))
		}
		o.Contact.Attributes[name] = v
	}
}
