// Package twilio reads what Twilio calls a hook with: text messages that people
// wrote, and what became of those that went out. It does no I/O.
//
// Twilio tells no times. What happened is dated by when the call came, which
// orders a STOP and a START as they came in.
//
// Its invariant: nothing is read of a call before its signature is known to be
// by a secret of the hook.
package twilio

import (
	"encoding/json"
	"mime"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/channel/twilio"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

const (
	// maxText is the longest text that is kept of a message, bytes. Twilio puts
	// up to 1,600 characters together.
	maxText = 8 << 10
	// maxID is the longest message id; Twilio's have 34 characters.
	maxID = 128
	// maxJob is more than a job's id has.
	maxJob = 512

	form = "application/x-www-form-urlencoded"
)

// Reader reads Twilio's calls. The zero value serves.
type Reader struct{}

// Read verifies a call and returns what it tells. It fails as hook.Call's
// readers do.
func (Reader) Read(c hook.Call) (hook.Told, error) {
	if err := c.Posted(); err != nil {
		return hook.Told{}, err
	}
	kind, _, _ := mime.ParseMediaType(c.Header.Get("Content-Type"))
	signature := c.Header.Get("X-Twilio-Signature")
	if kind != form {
		if !signed(c.Secrets, c.URL, signature, nil) || !hashed(c.URL, c.Body) {
			return hook.Told{}, hook.ErrRefused
		}
		return other(c)
	}
	fields, err := url.ParseQuery(string(c.Body))
	if err != nil || !signed(c.Secrets, c.URL, signature, fields) {
		return hook.Told{}, hook.ErrRefused // what can't be read can't be known to be signed
	}
	d := decoder{call: c, fields: fields}
	return d.told(), nil
}

// other keeps a body that is no form, as it came.
func other(c hook.Call) (hook.Told, error) {
	if !json.Valid(c.Body) {
		return hook.Told{}, &hook.Malformed{Why: "it is neither a form nor JSON"}
	}
	d := decoder{call: c}
	e := d.event(event.Other, "")
	e.ID, e.Data = "body:"+d.query("bodySHA256"), json.RawMessage(c.Body)
	return hook.Told{Events: []event.Event{e}}, nil
}

// decoder makes events of one call, which is known to be Twilio's.
type decoder struct {
	call   hook.Call
	fields url.Values
}

// first is the first of some fields that is there.
func (d *decoder) first(names ...string) string {
	for _, name := range names {
		if v := d.fields.Get(name); v != "" {
			return v
		}
	}
	return ""
}

// query is a value of the address that was called, which is signed.
func (d *decoder) query(name string) string {
	u, err := url.Parse(d.call.URL)
	if err != nil {
		return ""
	}
	return u.Query().Get(name)
}

func (d *decoder) event(t event.Type, message string) event.Event {
	return event.Event{
		Source: "twilio/" + d.call.Hook.ID, ID: message, Type: t, Time: d.call.At, Channel: string(policy.SMS), MessageID: message,
	}
}

// empty is the answer to a message: nothing is written back. Twilio reads it as
// TwiML.
const empty = `<?xml version="1.0" encoding="UTF-8"?><Response/>`

func (d *decoder) told() hook.Told {
	id := d.first("MessageSid", "SmsSid", "SmsMessageSid")
	switch status := strings.ToLower(d.first("MessageStatus", "SmsStatus")); {
	case id == "" || len(id) > maxID || !utf8.ValidString(id):
		return hook.Told{Events: []event.Event{d.unknown()}}
	case status == "" || status == "received" || status == "receiving":
		return hook.Told{Events: []event.Event{d.message(id)}, Answer: hook.Answer{Type: "text/xml; charset=utf-8", Body: []byte(empty)}}
	default:
		return hook.Told{Events: d.status(id, status)}
	}
}

// message is what a person wrote. Where Twilio's own opt-out took the words for
// STOP or START, it says so in one word, and that word is what is handed on:
// the platform has acted on it, whatever list of words is kept here.
func (d *decoder) message(id string) event.Event {
	e := d.event(event.Message, id)
	if e.Person = d.fields.Get("From"); !sender.ValidNumber(e.Person) {
		return d.unknown() // another channel of Twilio's, or a sender that is no person
	}
	e.Account, e.Service = d.fields.Get("To"), d.fields.Get("MessagingServiceSid")
	e.Text = cut(strings.ToValidUTF8(d.fields.Get("Body"), "\ufffd"), maxText)
	if word := strings.ToUpper(d.fields.Get("OptOutType")); word == "STOP" || word == "START" {
		e.Text = word
	}
	return e
}

// status is what became of a message that went out.
func (d *decoder) status(id, status string) []event.Event {
	t := typeOf(status)
	e := d.event(t, id)
	e.ID = id + ":" + status
	e.Account, e.Service, e.Person = d.fields.Get("From"), d.fields.Get("MessagingServiceSid"), d.fields.Get("To")
	if job := d.query("job"); len(job) <= maxJob {
		e.Job, e.Ours = job, job != ""
	}
	if t == event.Other || !sender.ValidNumber(e.Person) {
		return []event.Event{d.unknown()}
	}
	if t != event.Failed {
		return []event.Event{e}
	}
	code, err := strconv.Atoi(d.fields.Get("ErrorCode"))
	if err != nil || code < 0 {
		code = 0
	}
	var act channel.Action
	e.Code = code
	if e.Reason, act = twilio.Later(code); status == "canceled" {
		e.Reason, act = reason.PlatformRejected, channel.DeadLetter
	}
	out := []event.Event{e}
	if act == channel.PauseSender {
		out = append(out, d.enforced(e))
	}
	return out
}

// enforced says of a sender that nothing of it will go, whoever it is for. Every
// message says so, so it is known by its hour.
func (d *decoder) enforced(failed event.Event) event.Event {
	e := d.event(event.Enforced, "")
	e.Account, e.Service, e.Action = failed.Account, failed.Service, "block"
	e.Why = "Twilio error " + strconv.Itoa(failed.Code)
	e.ID = "blocked:" + failed.Account + failed.Service + ":" + strconv.Itoa(failed.Code) + ":" + d.call.At.UTC().Format("2006010215")
	return e
}

// typeOf is what a message's status means here.
func typeOf(status string) event.Type {
	switch status {
	case "accepted", "scheduled", "queued", "sending", "sent":
		return event.Echo // Twilio has it, which is what an echo says
	case "delivered":
		return event.Delivered
	case "read":
		return event.Read
	case "failed", "undelivered", "canceled":
		return event.Failed
	}
	return event.Other
}

// unknown keeps a call that has no meaning here: which fields it had, without
// what people wrote.
func (d *decoder) unknown() event.Event {
	e := d.event(event.Other, "")
	kept := map[string]string{}
	for _, name := range []string{"MessageSid", "SmsSid", "MessageStatus", "SmsStatus", "EventType", "AccountSid", "MessagingServiceSid", "ErrorCode"} {
		if v := d.fields.Get(name); v != "" {
			kept[name] = cut(strings.ToValidUTF8(v, "\ufffd"), maxID)
		}
	}
	e.Account = cut(strings.ToValidUTF8(d.fields.Get("To"), "\ufffd"), maxID)
	e.Data, _ = json.Marshal(kept) // of strings: it can't fail
	e.ID = "other:" + digest(d.fields)
	return e
}

// cut shortens s to at most limit bytes without splitting a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
