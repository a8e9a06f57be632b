package ingest_test

import (
	"reflect"
	"testing"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/pkg/policy"
)

func TestMeaning(t *testing.T) {
	t.Parallel()
	keyword := policy.Default().Keyword
	when := at(0)
	person := func(u contact.Update) contact.Update { u.Address = rig.Address(0); return u }
	opened := func(by string) contact.Update { return contact.Update{LastInbound: when, OpenedBy: by} }
	with := func(u contact.Update, change func(*contact.Update)) contact.Update { change(&u); return u }
	stop := &contact.OptOut{Scope: contact.All, At: when, Source: "their own words by messenger"}
	for name, c := range map[string]struct {
		typ    event.Type
		change func(*event.Event)
		want   contact.Update
	}{
		"message":             {event.Message, nil, opened("message")},
		"postback":            {event.Postback, nil, opened("postback")},
		"referral":            {event.Referral, nil, opened("referral")},
		"optin":               {event.OptIn, nil, opened("optin")},
		"reaction":            {event.Reaction, nil, opened("reaction")},
		"message after an ad": {event.Message, func(e *event.Event) { e.Ad = true }, contact.Update{LastInbound: when, OpenedBy: "ad_message", AdMessageAt: when}},
		"button after an ad":  {event.Postback, func(e *event.Event) { e.Ad = true }, contact.Update{LastInbound: when, OpenedBy: "ad_message", AdMessageAt: when}},
		"an ad alone":         {event.Referral, func(e *event.Event) { e.Ad = true }, opened("referral")},
		"standby":             {event.Message, func(e *event.Event) { e.Standby = true }, contact.Update{Thread: contact.Thread{Taken: when}}},
		"stop in standby": {event.Message, func(e *event.Event) { e.Standby, e.Text = true, "stop" },
			contact.Update{Thread: contact.Thread{Taken: when}, OptOut: stop}},
		"stop": {event.Message, func(e *event.Event) { e.Text = " STOP! " }, with(opened("message"), func(u *contact.Update) { u.OptOut = stop })},
		"near": {event.Message, func(e *event.Event) { e.Text, e.MessageID = "please stop writing to me", "m-1" },
			with(opened("message"), func(u *contact.Update) { u.Review = contact.Review{At: when, ID: "m-1"} })},
		"start": {event.Message, func(e *event.Event) { e.Text = "Start" },
			with(opened("message"), func(u *contact.Update) { u.Return = &contact.Return{Scope: contact.All, At: when} })},
		"help":                   {event.Message, func(e *event.Event) { e.Text = "help" }, opened("message")},
		"stop on a button":       {event.Postback, func(e *event.Event) { e.Text, e.Payload = "Unsubscribe", "P1" }, with(opened("postback"), func(u *contact.Update) { u.OptOut = stop })},
		"stop behind a button":   {event.Postback, func(e *event.Event) { e.Payload = "UNSUBSCRIBE" }, with(opened("postback"), func(u *contact.Update) { u.OptOut = stop })},
		"what a button says":     {event.Postback, func(e *event.Event) { e.Text, e.Payload = "No, thank you", "CANCEL" }, opened("postback")},
		"start behind a button":  {event.Postback, func(e *event.Event) { e.Payload = "START" }, opened("postback")},
		"phrase behind a button": {event.Postback, func(e *event.Event) { e.Payload = "STOP_TRACKING" }, opened("postback")},
		"an edit that says stop": {event.Edited, func(e *event.Event) { e.Text = "stop" }, contact.Update{OptOut: stop}},
		"stopped":                {event.Stopped, nil, contact.Update{OptOut: &contact.OptOut{Scope: contact.Marketing, At: when, Source: "the platform's own control"}}},
		"resumed":                {event.Resumed, nil, contact.Update{Return: &contact.Return{Scope: contact.Marketing, At: when}}},
		"comment":                {event.Comment, func(e *event.Event) { e.Permission, e.Text, e.Live = "c-1", "stop", true }, contact.Update{Comment: &contact.Permission{ID: "c-1", At: when, Live: true}}},
		"post":                   {event.Comment, func(e *event.Event) { e.Permission, e.Post = "p-1", true }, contact.Update{Comment: &contact.Permission{ID: "p-1", At: when, Post: true}}},
		"token":                  {event.Token, func(e *event.Event) { e.Permission = "t-1" }, contact.Update{Token: &contact.Permission{ID: "t-1", At: when}}},
		"taken":                  {event.ThreadTaken, nil, contact.Update{Thread: contact.Thread{Taken: when}}},
		"back":                   {event.ThreadBack, nil, contact.Update{Thread: contact.Thread{Back: when}}},
	} {
		e := told(c.typ, 0, when)
		if c.change != nil {
			c.change(&e)
		}
		got, says := ingest.Meaning(&e, keyword)
		if want := person(c.want); !says || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v (%v), want %+v", name, got, says, want)
		}
	}
}

// What says nothing of a person changes nothing.
func TestMeaningless(t *testing.T) {
	t.Parallel()
	for _, typ := range []event.Type{event.Unreaction, event.Deleted, event.Echo, event.Delivered, event.Read, event.Failed, event.Enforced, event.Other, event.Comment, event.Token, "deal.won"} {
		e := told(typ, 0, at(0))
		if u, says := ingest.Meaning(&e, policy.Default().Keyword); says {
			t.Errorf("%s: %+v", typ, u)
		}
	}
	e := wrote(0, at(0), "stop")
	e.Person = ""
	if u, says := ingest.Meaning(&e, policy.Default().Keyword); says {
		t.Errorf("nobody: %+v", u)
	}
}
