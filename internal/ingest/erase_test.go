package ingest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/rig"
)

// said is a CRM's event about the bakery's i-th contact.
func said(id string, i int, at time.Time, c contact.Change) event.Event {
	return event.Event{Source: "crm", ID: id, Type: "contact.updated", Time: at, Sender: "bakery", Person: rig.Address(i), Change: &c, Data: []byte(`{"note":"likes rye"}`)}
}

// What a CRM says of a contact is in force when the call returns, each field
// by itself, told in any order and again.
func TestChangesBecomeFacts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	name, older := "Ada", "Ad"
	events := []event.Event{
		said("1", 0, at(5), contact.Change{Name: &name, Labels: map[string]bool{"vip": true}}),
		said("2", 0, at(4), contact.Change{Name: &older, Labels: map[string]bool{"vip": false, "trial": true}}),
		said("3", 1, at(5), contact.Change{OptOut: contact.All, Source: "crm"}),
	}
	if got := w.take(t, events...); got != (ingest.Taken{New: 3}) {
		t.Errorf("taken: %+v", got)
	}
	if got := w.take(t, events[1], events[0]); got != (ingest.Taken{Repeated: 2}) {
		t.Errorf("taken again: %+v", got)
	}
	if r := w.contact(t, 0); r.Name != "Ada" || strings.Join(r.Labels, " ") != "trial vip" || r.Address != rig.Address(0) {
		t.Errorf("known: %+v", r)
	}
	if r := w.contact(t, 1); !r.OptedOut(contact.All) || !r.OptOuts[0].At.Equal(at(5)) {
		t.Errorf("known: %+v", r)
	}
}

// TestErase: nothing of a person is left, what forbids stays, and what was told
// before restores nothing, neither as a repeat nor for the first time.
func TestErase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	name := "Ada Lovelace"
	events := []event.Event{
		wrote(0, at(0), "my secret"), wrote(0, at(1), "stop"), told(event.Postback, 0, at(2)), said("1", 0, at(3), contact.Change{Name: &name}),
	}
	w.take(t, append(events, wrote(1, at(0), "another's words"))...)
	got, err := w.desk.Erase(t.Context(), "bakery", rig.Address(0), at(10))
	if err != nil || got != (ingest.Erased{Events: 4, Complete: true}) {
		t.Fatalf("erased: %+v, %v", got, err)
	}
	gone := func(when string) {
		t.Helper()
		all := w.stored(t)
		for _, word := range []string{rig.Address(0), "my secret", "Ada", "rye", "likes"} {
			if strings.Contains(all, `"`+word) || strings.Contains(all, word+`"`) {
				t.Errorf("%s: %q is still in %s", when, word, all)
			}
		}
		if r := w.contact(t, 0); !r.Erased() || r.Name != "" || !r.LastInbound.IsZero() || !r.OptedOut(contact.All) || r.OptOuts[0].Source != "" {
			t.Errorf("%s: %+v", when, r)
		}
	}
	gone("erased")
	if !strings.Contains(w.stored(t), "another's words") {
		t.Error("another's words are gone too")
	}
	if got := w.take(t, events...); got.New != 0 || got.Repeated != 4 {
		t.Errorf("told again: %+v", got)
	}
	gone("told again")
	if again, err := w.desk.Erase(t.Context(), "bakery", rig.Address(0), at(10)); err != nil || again != (ingest.Erased{Complete: true}) {
		t.Errorf("erased again: %+v, %v", again, err)
	}
	w.take(t, wrote(0, at(9), "my secret, told late"))
	w.catchUp(t, w.desk, soon())
	rig.Until(t, "what was told late is forgotten", func() bool { return !strings.Contains(w.stored(t), "told late") })
	gone("told late")
	w.take(t, wrote(0, at(11), "hello again"))
	if r := w.contact(t, 0); r.Erased() || !r.LastInbound.Equal(at(11)) || !r.OptedOut(contact.All) {
		t.Errorf("written to anew: %+v", r)
	}
}

// TestEraseUntimed: a repeat of what was told without a time is as old as when
// it was told first, so that it does not bring back who was erased since.
func TestEraseUntimed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	name := "Ada"
	untimed := said("1", 0, time.Time{}, contact.Change{Name: &name})
	w.take(t, untimed)
	w.take(t, untimed, said("2", 1, at(0), contact.Change{Name: &name}))
	if _, err := w.desk.Erase(t.Context(), "bakery", rig.Address(0), time.Now()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.take(t, untimed)
	}
	if r := w.contact(t, 0); !r.Erased() || r.Name != "" {
		t.Errorf("told again: %+v", r)
	}
}

// TestEraseOfOneOfSeveralSenders: an event about an account of several senders
// is kept once, and is forgotten whichever of them forgets the person.
func TestEraseOfOneOfSeveralSenders(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"bakery", "bakery-two"} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Apply(t, strings.Replace(rig.Bakery, "id: bakery", "id: bakery-two", 1))
			rig.Until(t, "both senders are known", func() bool {
				s, err := w.desk.Senders.OfAccount(t.Context(), "messenger", account)
				return err == nil && len(s) == 2
			})
			w.Settled(t, nil)
			w.take(t, wrote(0, at(0), "my secret"), wrote(1, at(0), "another's words"))
			got, err := w.desk.Erase(t.Context(), id, rig.Address(0), at(10))
			if err != nil || got != (ingest.Erased{Events: 1, Complete: true}) {
				t.Errorf("erased: %+v, %v", got, err)
			}
			if all := w.stored(t); strings.Contains(all, "my secret") || !strings.Contains(all, "another's words") {
				t.Errorf("kept: %s", all)
			}
		})
	}
}

// TestEraseCutShort: whoever is cut short before the events were forgotten, or
// says so by an event, is not the last to know.
func TestEraseCutShort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	w.take(t, wrote(0, at(0), "my secret"), wrote(1, at(0), "keep this"))
	w.take(t, said("1", 0, at(10), contact.Change{Erase: true}))
	if all := w.stored(t); !strings.Contains(all, "my secret") {
		t.Fatal("the events are gone before they were looked for")
	}
	w.catchUp(t, w.desk, soon())
	rig.Until(t, "the events are forgotten", func() bool {
		all := w.stored(t)
		return !strings.Contains(all, "my secret") && !strings.Contains(all, "likes rye")
	})
	if all := w.stored(t); !strings.Contains(all, "keep this") {
		t.Errorf("after the events were read again: %s", all)
	}
}

// An erasure that can't be kept is an error, and changes nothing.
func TestEraseFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.take(t, wrote(0, at(0), "my secret"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := w.desk.Erase(ctx, "bakery", rig.Address(0), at(10)); !errors.Is(err, context.Canceled) && !errors.Is(err, jetstream.ErrNoStreamResponse) || got != (ingest.Erased{}) {
		t.Errorf("%+v, %v", got, err)
	}
	if r := w.contact(t, 0); !r.LastInbound.Equal(at(0)) {
		t.Errorf("known: %+v", r)
	}
}
