package ingest_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/stream"
)

// people are how many there are in a day of traffic.
const people = 4

// drawEvent is one event of a day, about a person whose number begins at
// base. Few moments and few messages, so that much happens at once.
func drawEvent(t *rapid.T, label string) func(base int) event.Event {
	i := rapid.IntRange(0, people-1).Draw(t, label+" person")
	when := at(rapid.IntRange(0, 40).Draw(t, label+" minute"))
	n := rapid.IntRange(0, 3).Draw(t, label+" message")
	typ := rapid.SampledFrom([]event.Type{
		event.Message, event.Message, event.Message, event.Postback, event.Referral, event.OptIn, event.Reaction, event.Unreaction, event.Comment,
		event.Token, event.Stopped, event.Resumed, event.Deleted, event.Edited, event.ThreadTaken, event.ThreadBack, event.Enforced, event.Other,
	}).Draw(t, label+" type")
	text := rapid.SampledFrom([]string{"hello", "stop", "start", "please stop this", "yes", "unsubscribe", ""}).Draw(t, label+" text")
	action := rapid.SampledFrom([]string{"warning", "block", "unblock"}).Draw(t, label+" action")
	ad, standby := rapid.Bool().Draw(t, label+" ad"), rapid.Bool().Draw(t, label+" standby")
	return func(base int) event.Event {
		e := told(typ, base+i, when)
		switch typ {
		case event.Message: // its content and its time belong to it
			e.Time = at(n * 10)
			e.MessageID = fmt.Sprintf("m-%d-%d", base+i, n)
			e.Text, e.Ad = [...]string{"hello", "stop", "start", "please stop this"}[n], n == 2
		case event.Deleted:
			e.MessageID = fmt.Sprintf("m-%d-%d", base+i, n)
		case event.Edited:
			e.MessageID = fmt.Sprintf("m-%d-%d", base+i, n)
			e.Text = fmt.Sprint("edited at ", when.Minute())
		case event.Postback:
			e.Text, e.Ad, e.Standby = text, ad, standby
			e.ID += fmt.Sprint(text, ad, standby)
		case event.Comment, event.Token:
			e.Permission = fmt.Sprintf("p-%s-%d", typ, when.Minute())
		case event.Enforced:
			e.Person, e.Action = "", action
			e.ID += action
		}
		return e
	}
}

// outcome is what a day has come to: what is known of each person, what is
// kept of each message, and whether the sender goes.
type outcome struct {
	People      [people]contact.Record
	Messages    [people][4]string
	State       string
	Enforcement facts.Enforcement
}

func (w world) outcome(t *testing.T, base int) (out outcome) {
	t.Helper()
	var keys []job.Key
	var places []string
	for i := range people {
		keys = append(keys, w.Facts.Key("bakery", rig.Address(base+i)))
		for n := range out.Messages[i] {
			places = append(places, ingest.MessagePlace(w.Names, "messenger", account, fmt.Sprintf("m-%d-%d", base+i, n)))
		}
	}
	known, err := w.Facts.Contacts(t.Context(), "bakery", keys)
	rig.Must(t, err)
	kept, err := stream.Newest(t.Context(), w.Engines.NATS, w.Names.EventsStream(), places)
	rig.Must(t, err)
	for i, k := range keys {
		r := known[k]
		r.Address, r.Review.ID = "", shifted(r.Review.ID, base)
		out.People[i] = r
	}
	for i, at := range places {
		if m, ok := kept[at]; ok {
			e, err := event.Decode(m.Data)
			rig.Must(t, err)
			out.Messages[i/4][i%4] = string(e.Type) + " " + e.Text
		}
	}
	c, _, err := w.Facts.Control(t.Context(), facts.SenderControl, "bakery")
	rig.Must(t, err)
	if out.State = c.State; c.Enforcement != nil {
		out.Enforcement = *c.Enforcement
	}
	return out
}

// shifted is a message's id as it would be for people from 0 on.
func shifted(id string, base int) string {
	var i, n int
	if _, err := fmt.Sscanf(id, "m-%d-%d", &i, &n); err != nil {
		return id
	}
	return fmt.Sprintf("m-%d-%d", i-base, n)
}

// A day of traffic ends in the same facts in whatever order it is told, in
// whatever company, and however often: also where it is cut into bodies that
// are told to two processes.
func TestOrderAndRepeats(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	second := w.open(t, nil)
	base := 0
	rapid.Check(t, func(rt *rapid.T) {
		var day []func(int) event.Event
		for i := range rapid.IntRange(1, 40).Draw(rt, "events") {
			day = append(day, drawEvent(rt, fmt.Sprint(i)))
		}
		order := rapid.Permutation(indices(len(day))).Draw(rt, "order")
		order = append(order, rapid.SliceOfN(rapid.SampledFrom(order), 0, 20).Draw(rt, "repeats")...)
		order = rapid.Permutation(order).Draw(rt, "order with repeats")

		w.forgetControl(t)
		var straight []event.Event
		for _, e := range day {
			straight = append(straight, e(base))
		}
		w.take(t, straight...)
		want := w.outcome(t, base)

		base += people
		w.forgetControl(t)
		for bodies := 3; len(order) > 0; bodies-- {
			n := len(order)
			if bodies > 0 {
				n = rapid.IntRange(1, n).Draw(rt, "body")
			}
			var body []event.Event
			for _, i := range order[:n] {
				body = append(body, day[i](base))
			}
			desk := w.desk
			if rapid.Bool().Draw(rt, "second") {
				desk = second
			}
			if _, err := desk.Take(t.Context(), body); err != nil {
				rt.Fatal(err)
			}
			order = order[n:]
		}
		if got := w.outcome(t, base); !reflect.DeepEqual(got, want) {
			rt.Fatalf("in another order:\n%+v\nwant\n%+v", got, want)
		}
		base += people
	})
}

// forgetControl lets the sender's control begin anew: it is one for all days.
func (w world) forgetControl(t *testing.T) {
	t.Helper()
	s, err := w.Engines.JetStream.Stream(t.Context(), w.Names.FactsStream())
	rig.Must(t, err)
	rig.Must(t, s.Purge(t.Context(), jetstream.WithPurgeSubject(w.Names.Control(facts.SenderControl, "bakery"))))
}

func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}
