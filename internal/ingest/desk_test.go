package ingest_test

import (
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/rig"
)

func TestMessagesBecomeFacts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	key := w.Facts.Key("bakery", rig.Address(0))
	if got := w.take(t, wrote(0, at(0), "hello"), wrote(0, at(5), "a loaf, please")); got != (ingest.Taken{New: 2}) {
		t.Errorf("taken: %+v", got)
	}
	l, err := w.View.Look(t.Context(), "bakery", "none", []job.Key{key})
	if err != nil || l.Contacts[0] == nil || !l.Contacts[0].LastInbound.Equal(at(5)) {
		t.Errorf("in force: %+v, %v", l.Contacts, err)
	}
	if got := w.take(t, wrote(0, at(0), "hello")); got != (ingest.Taken{Repeated: 1}) {
		t.Errorf("taken again: %+v", got)
	}
	if r := w.contact(t, 0); !r.LastInbound.Equal(at(5)) || r.OpenedBy != "message" {
		t.Errorf("known: %+v", r)
	}
}

// What is about an account of nobody's is kept, and says nothing of anybody.
func TestEventsOfNoSender(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := wrote(0, at(0), "hello")
	e.Account = "999"
	crm := event.Event{Source: "crm", ID: "1", Type: "deal.won", Time: at(0), Data: []byte(`{"a":1}`)}
	if got := w.take(t, e, crm); got != (ingest.Taken{New: 2, Senderless: 1}) {
		t.Errorf("taken: %+v", got)
	}
	if r := w.contact(t, 0); r.Address != "" {
		t.Errorf("known: %+v", r)
	}
}

// An opt-out is answered once it is in force and nothing is on its way.
func TestOptOutIsALine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	w.take(t, wrote(0, at(0), "Stop!"))
	if r := w.contact(t, 0); !r.OptedOut(contact.All) {
		t.Errorf("known: %+v", r)
	}
}

// While nobody projects, an answer is given once the gate is certainly closed
// to what it was before.
func TestBlindAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stop := w.Settled(t, nil)
	stop()
	begun := time.Now()
	w.take(t, wrote(0, at(0), "hello"))
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("answered after %s", took)
	}
	if err := w.View.Open(t.Context()); err == nil {
		t.Error("answered with the gate open to older facts")
	}
}
