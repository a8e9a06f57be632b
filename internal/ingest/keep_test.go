package ingest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/internal/stream"
)

// deleted is the deletion of a message.
func deleted(m event.Event, at time.Time) event.Event {
	m.Type, m.Time, m.Text = event.Deleted, at, ""
	return m
}

// kept returns the event that is kept in a message's place.
func (w world) kept(t *testing.T, m event.Event) (event.Event, bool) {
	t.Helper()
	at := ingest.MessagePlace(w.Names, m.Channel, m.Account, m.MessageID)
	got, found, err := stream.Last(t.Context(), w.Engines.NATS, w.Names.EventsStream(), at)
	rig.Must(t, err)
	if !found {
		return event.Event{}, false
	}
	e, err := event.Decode(got.Data)
	rig.Must(t, err)
	return e, true
}

// stored returns everything that the stream of events holds, as text.
func (w world) stored(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	rig.Must(t, stream.Each(t.Context(), w.Engines.JetStream, stream.Query{Stream: w.Names.EventsStream()}, func(m stream.Message) error {
		b.Write(m.Data)
		return nil
	}))
	return b.String()
}

// A deletion takes the text away, whether it comes before the message or
// after; the person wrote all the same.
func TestDeletionTakesTheText(t *testing.T) {
	t.Parallel()
	m := wrote(0, at(0), "my address is Elm Street 5")
	for name, order := range map[string][]event.Event{
		"after":        {m, deleted(m, at(1))},
		"before":       {deleted(m, at(1)), m},
		"and repeated": {m, deleted(m, at(1)), m, deleted(m, at(1))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Settled(t, nil)
			for _, e := range order {
				w.take(t, e)
			}
			if e, ok := w.kept(t, m); !ok || e.Type != event.Deleted {
				t.Errorf("kept: %+v, %v", e, ok)
			}
			if all := w.stored(t); strings.Contains(all, "Elm Street") {
				t.Errorf("the text is still kept: %s", all)
			}
			if r := w.contact(t, 0); !r.LastInbound.Equal(at(0)) {
				t.Errorf("known: %+v", r)
			}
		})
	}
	t.Run("in one body", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.Settled(t, nil)
		if got := w.take(t, deleted(m, at(1)), m); got.New != 2 || strings.Contains(w.stored(t), "Elm Street") {
			t.Errorf("taken: %+v", got)
		}
	})
}

// An edit takes the place of what was written, the newest that of the others,
// and a deletion that of all.
func TestEdits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	m := wrote(0, at(0), "first")
	edit := func(minute int, text string) event.Event {
		e := m
		e.Type, e.Time, e.Text, e.ID = event.Edited, at(minute), text, text
		return e
	}
	for _, c := range []struct {
		told event.Event
		want string
	}{
		{edit(2, "third"), "third"}, {m, "third"}, {edit(1, "second"), "third"}, {edit(3, "fourth"), "fourth"},
		{deleted(m, at(1)), ""}, {edit(4, "fifth"), ""},
	} {
		w.take(t, c.told)
		if text, err := w.desk.Words(t.Context(), &sender.Spec{Channel: m.Channel, Account: m.Account}, m.MessageID); err != nil || text != c.want {
			t.Errorf("words: %q, %v", text, err)
		}
		if e, _ := w.kept(t, m); e.Text != c.want {
			t.Errorf("after %s %q: kept %q, want %q", c.told.Type, c.told.Text, e.Text, c.want)
		}
	}
}

// Two hooks that tell of one account tell the same messages, and what is no
// message is told apart by its kind as well.
func TestSameEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	m := wrote(0, at(0), "hello")
	other := m
	other.Source, other.ID = "meta/second", "another"
	if got := w.take(t, m, other); got != (ingest.Taken{New: 1, Repeated: 1}) {
		t.Errorf("two hooks: %+v", got)
	}
	a, b := told(event.Reaction, 0, at(1)), told(event.Unreaction, 0, at(1))
	b.ID = a.ID
	if got := w.take(t, a, b); got != (ingest.Taken{New: 2}) {
		t.Errorf("two kinds: %+v", got)
	}
	crm := event.Event{Source: "crm/a", ID: "1", Type: "deal.won", Time: at(0)}
	second := crm
	second.Source = "crm/b"
	if got := w.take(t, crm, second, crm); got != (ingest.Taken{New: 2, Repeated: 1}) {
		t.Errorf("two systems: %+v", got)
	}
}

// A thousand events in one body, of which some were told before, are one
// answer within the platform's time.
func TestThousandInOneBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	var body []event.Event
	for i := range 1000 {
		body = append(body, wrote(i, at(i%60), "hello"))
	}
	w.take(t, body[300], body[700])
	// What was kept, and whose acknowledgement came too late, counts as repeated.
	if got := w.take(t, body...); got.New > 998 || got.New+got.Repeated != 1000 {
		t.Errorf("taken: %+v", got)
	}
	var gone []event.Event
	for i, m := range body {
		gone = append(gone, deleted(m, at(i%60+1)))
	}
	if got := w.take(t, gone...); got.New+got.Repeated != 1000 || strings.Contains(w.stored(t), "hello") {
		t.Errorf("taken: %+v", got)
	}
}

// What is too long for a message of the stream loses what is not needed of it,
// and is taken all the same.
func TestHugeEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	e := told(event.Other, 0, at(0))
	e.Data = []byte(`"` + strings.Repeat("<", 900_000) + `"`)
	m := wrote(0, at(1), strings.Repeat("€", 400_000))
	if got := w.take(t, e, m); got.New+got.Repeated != 2 {
		t.Errorf("taken: %+v", got)
	}
	if k, ok := w.kept(t, m); !ok || len(k.Text) == 0 || len(k.Text) > 33<<10 {
		t.Errorf("kept %d bytes, %v", len(k.Text), ok)
	}
}
