package meta

import (
	"encoding/json"
	"time"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/hook"
)

// The channels, by the object that a body is about.
const (
	messenger = "messenger"
	instagram = "instagram"
)

// body is what the platform sends. Its fields are of types that read anything.
type body struct {
	Object text `json:"object"`
	Entry  list `json:"entry"`
}

// entry is what happened to one account. Instagram's own login sends one
// change without a list around it.
type entry struct {
	ID        text            `json:"id"`
	Time      moment          `json:"time"`
	Messaging list            `json:"messaging"`
	Standby   list            `json:"standby"`
	Changes   list            `json:"changes"`
	Field     text            `json:"field"`
	Value     json.RawMessage `json:"value"`
}

// Decode returns the events of a body: one or more for every item of every
// entry, in the order of the body. A time that is missing is that of the
// entry, or at. The error is a *hook.Malformed.
func Decode(h *hook.Spec, raw []byte, at time.Time) ([]event.Event, error) {
	if !json.Valid(raw) {
		return nil, &hook.Malformed{Why: "it is no JSON"}
	}
	var o object
	var b body
	if _ = o.UnmarshalJSON(trim(raw)); !o.into(&b) {
		return nil, &hook.Malformed{Why: "it is no JSON object"}
	}
	d := decoder{hook: h, at: at.UTC(), channel: messenger}
	switch b.Object {
	case "page", "":
	case "instagram":
		d.channel = instagram
	default:
		d.strange = true
	}
	for _, e := range b.Entry {
		d.entry(e)
	}
	return d.events, nil
}

// decoder collects the events of one body.
type decoder struct {
	hook    *hook.Spec
	at      time.Time
	channel string
	strange bool // the body is about neither a Page nor an Instagram account
	events  []event.Event

	account string    // of the entry that is read
	time    time.Time // of that entry; zero: it has none
	standby bool      // the list that is read is of those who don't have the thread
}

func (d *decoder) entry(raw json.RawMessage) {
	var o object
	_ = o.UnmarshalJSON(raw)
	var e entry
	known := o.into(&e)
	d.account, d.time, d.standby = id(e.ID), e.Time.Time, false
	if !known || d.strange {
		d.other(raw)
		return
	}
	before := len(d.events)
	for _, item := range e.Messaging {
		d.messaging(item, item)
	}
	d.standby = true
	for _, item := range e.Standby {
		d.messaging(item, item)
	}
	d.standby = false
	for _, item := range e.Changes {
		d.change(item)
	}
	if e.Field != "" {
		d.change(raw)
	}
	if len(d.events) == before {
		d.other(raw)
	}
}

// add completes an event and takes it in. told is when it happened, as the
// platform says.
func (d *decoder) add(e event.Event, told time.Time) {
	e.Source = "meta/" + d.hook.ID
	e.Channel = d.channel
	if e.Account == "" {
		e.Account = d.account
	}
	e.Time = told
	e.ID = identify(&e) // before a time is put in that a repeat may not have, nor the list
	e.Standby = d.standby
	if e.Time.IsZero() {
		e.Time = d.time
	}
	if e.Time.IsZero() {
		e.Time = d.at
	}
	d.events = append(d.events, e)
}

// other takes in what has no meaning here.
func (d *decoder) other(raw json.RawMessage) { d.otherOf(event.Event{}, raw, time.Time{}) }

func (d *decoder) otherOf(e event.Event, raw json.RawMessage, told time.Time) {
	e.Type, e.Data = event.Other, bounded(raw)
	d.add(e, told)
}
