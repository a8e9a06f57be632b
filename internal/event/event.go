// Package event is one thing that happened outside and was told to Carillon:
// by a platform's webhook, or by a CRM. What a platform tells is read by the
// adapter that knows its wire form and is from then on an Event, whoever told
// it. Nothing here does I/O.
package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Type is what happened. Platforms' events have one of the types below; what a
// CRM tells keeps the type that the CRM gave it, and has no Channel.
type Type string

// What people do. The first five open the messaging window.
const (
	Message    Type = "message"  // also a quick reply, a sticker, an answer to a story
	Postback   Type = "postback" // a button, the menu, an ice breaker
	Referral   Type = "referral" // a link into a thread that exists
	OptIn      Type = "optin"    // a plugin that begins a conversation
	Reaction   Type = "reaction"
	Unreaction Type = "unreaction"
	Comment    Type = "comment" // on a post: allows one private reply
	Token      Type = "token"   // one notification was accepted
	Stopped    Type = "stopped" // notifications of a topic, by the platform's own control
	Resumed    Type = "resumed"
	Deleted    Type = "deleted" // the person took a message back
	Edited     Type = "edited"
)

// What platforms tell of messages and accounts.
const (
	Echo        Type = "echo" // a message went out, ours or another app's
	Delivered   Type = "delivered"
	Read        Type = "read"
	Failed      Type = "failed" // a carrier says later that it was not delivered
	ThreadTaken Type = "thread_taken"
	ThreadBack  Type = "thread_back"
	Enforced    Type = "enforced" // Action: warning, block, unblock
	Other       Type = "other"    // kept and counted, without a meaning here
)

// Event is one thing that happened. Zero fields were not told.
type Event struct {
	Source string    `json:"-"` // who tells it, such as meta/shop; of a CloudEvent its own source
	ID     string    `json:"-"` // unique within Source: the same again is a repeat
	Type   Type      `json:"-"`
	Time   time.Time `json:"-"` // when it happened, by the teller's clock

	Channel string `json:"channel,omitempty"` // messenger, instagram or sms; empty: a CRM tells it
	Account string `json:"account,omitempty"` // the platform's account that it is about
	Service string `json:"service,omitempty"` // a messaging service that the account is part of: another name of the account
	Person  string `json:"person,omitempty"`  // PSID, IGSID or E.164 number; empty where the platform left it out
	Sender  string `json:"sender,omitempty"`  // the Sender whose account it is; empty: none is defined

	MessageID  string      `json:"message_id,omitempty"`  // of the message that it is, or is about
	MessageIDs []string    `json:"message_ids,omitempty"` // of messages that it is about: receipts
	Job        string      `json:"job,omitempty"`         // the metadata that went out with the message
	Watermark  time.Time   `json:"watermark,omitzero"`    // of a receipt: everything up to then
	Text       string      `json:"text,omitempty"`        // of a message, or the title of a button that was pressed
	Payload    string      `json:"payload,omitempty"`     // of a postback or a quick reply
	Ad         bool        `json:"ad,omitempty"`          // an ad led to it
	Permission string      `json:"permission,omitempty"`  // a comment's id or a token
	Post       bool        `json:"post,omitempty"`        // Permission is a post, not a comment
	Live       bool        `json:"live,omitempty"`        // a comment on a live broadcast
	Action     string      `json:"action,omitempty"`      // of an enforcement
	Why        string      `json:"why,omitempty"`         // the platform's words
	Code       int         `json:"code,omitempty"`        // a carrier's error
	Reason     reason.Code `json:"reason,omitempty"`      // what Code means here; empty: the platform refused the message
	Standby    bool        `json:"standby,omitempty"`     // told while another app has the thread
	Ours       bool        `json:"ours,omitempty"`        // an echo of our own app

	Subject    string            `json:"subject,omitempty"`    // of a CloudEvent
	Extensions map[string]string `json:"extensions,omitempty"` // of a CloudEvent, as text
	Change     *contact.Change   `json:"change,omitempty"`     // what a CRM's event says of Person; its time is Time

	// A CRM's event that is about several contacts is kept once for each.
	Of     string `json:"of,omitempty"`     // the id that it was told with, where ID is another
	Silent bool   `json:"silent,omitempty"` // flows hear the same of Person by another event of the same Of

	Data json.RawMessage `json:"data,omitempty"` // as it came: of a CRM, and of what has no meaning here
}

// Told returns the id that the event was told with: all that are kept of one
// telling have the same.
func (e *Event) Told() string {
	if e.Of != "" {
		return e.Of
	}
	return e.ID
}

// Opens tells whether the event opens the messaging window (policy pages of
// Meta, 2026-09-28). Comments don't: they allow a private reply only.
func (e *Event) Opens() bool {
	switch e.Type {
	case Message, Postback, Referral, OptIn, Reaction:
		return e.Channel != ""
	default:
		return false
	}
}

// Receipt tells whether the event is about a message that went out.
func (e *Event) Receipt() bool {
	switch e.Type {
	case Echo, Delivered, Read, Failed:
		return e.Channel != ""
	default:
		return false
	}
}

// stored is an event as it is kept: a CloudEvent, version 1.0.
type stored struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        Type            `json:"type"`
	Time        time.Time       `json:"time,omitzero"`
	ContentType string          `json:"datacontenttype,omitempty"`
	Data        json.RawMessage `json:"data"`
}

// Encode returns the event as a CloudEvent in JSON. It needs an id, a source
// and a type.
func (e *Event) Encode() ([]byte, error) {
	if e.ID == "" || e.Source == "" || e.Type == "" {
		return nil, errors.New("an event needs an id, a source and a type")
	}
	data, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	return json.Marshal(stored{
		SpecVersion: "1.0", ID: e.ID, Source: e.Source, Type: e.Type, Time: e.Time.UTC(), ContentType: "application/json", Data: data,
	})
}

// Decode reads what Encode wrote.
func Decode(b []byte) (Event, error) {
	var s stored
	if err := json.Unmarshal(b, &s); err != nil {
		return Event{}, fmt.Errorf("event: %w", err)
	}
	if s.SpecVersion != "1.0" || s.ID == "" || s.Source == "" || s.Type == "" {
		return Event{}, errors.New("event: want a CloudEvent 1.0 with id, source and type")
	}
	var e Event
	if err := json.Unmarshal(s.Data, &e); err != nil {
		return Event{}, fmt.Errorf("event %s: %w", s.ID, err)
	}
	e.ID, e.Source, e.Type, e.Time = s.ID, s.Source, s.Type, s.Time
	return e, nil
}
