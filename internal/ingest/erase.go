package ingest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/stream"
)

// typeErased is what takes the place of an event about who was erased: a
// repeat of the event is known by it, and it says nothing.
const typeErased event.Type = "erased"

// TypeErasure is the event that Erase keeps.
const TypeErasure event.Type = "contact.erasure"

// Erased says what an erasure came to.
type Erased struct {
	Events   int  // about the person, that were forgotten
	Complete bool // no event is left; else the leader forgets the rest within seconds
	InFlight int  // messages that were on their way before and have no outcome yet
}

// Erase forgets a contact: what is known of it, but what forbids, and what was
// told of it up to a moment. It keeps an event of its own first, so that
// whoever is cut short here is not the last to know: reading events again ends
// it. After an error it is to be called again, which does no harm.
func (d *Desk) Erase(ctx context.Context, sender, address string, at time.Time) (Erased, error) {
	key := d.Facts.Key(sender, address)
	e := event.Event{
		Source: "carillon/erase", ID: sender + "." + key.String() + "/" + at.UTC().Format(time.RFC3339Nano), Type: TypeErasure, Time: at.UTC(),
		Sender: sender, Person: address, Change: &contact.Change{Erase: true},
	}
	taken, err := d.Take(ctx, []event.Event{e})
	if err != nil {
		return Erased{}, err
	}
	out := Erased{InFlight: taken.InFlight}
	out.Events, err = d.forget(ctx, sender, key, at)
	out.Complete = err == nil
	return out, nil
}

// forget takes away every kept event about a contact that is not newer than a
// moment, and returns how many there were, its own order to forget aside.
func (d *Desk) forget(ctx context.Context, sender string, key job.Key, at time.Time) (int, error) {
	about := contactHeader(sender, key)
	var places []string
	q := stream.Query{Stream: d.Names.EventsStream(), Headers: true}
	err := stream.Each(ctx, d.js, q, func(m stream.Message) error {
		if slices.Contains(m.Header[HeaderContact], about) {
			places = append(places, m.Subject)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("events about who was erased: %w", err)
	}
	n := 0
	for _, p := range places {
		e, done, err := d.blank(ctx, p, at)
		if err != nil {
			return n, err
		}
		if done && e.Type != TypeErasure {
			n++
		}
	}
	return n, nil
}

// blank puts nothing in the place of an event that is not newer than a moment.
func (d *Desk) blank(ctx context.Context, at string, until time.Time) (e event.Event, done bool, err error) {
	for {
		e, seq, found, err := d.kept(ctx, at)
		if err != nil || !found || e.Type == typeErased || e.Time.After(until) {
			return e, false, err
		}
		nothing := event.Event{Source: "carillon/erase", ID: "erased", Type: typeErased, Time: e.Time}
		data, err := nothing.Encode()
		if err != nil {
			return e, false, err
		}
		m := stream.Expect(at, data, seq)
		m.Header.Set(HeaderType, string(typeErased))
		if _, err = stream.Publish(ctx, d.NATS, m); err == nil {
			return e, true, nil
		}
		if !stream.Conflict(err) {
			return e, false, fmt.Errorf("an event about who was erased: %w", err)
		}
	}
}

// forgetTold ends the erasures among events, and takes away those that were
// told only after their person was erased, and happened before.
func (d *Desk) forgetTold(ctx context.Context, events []event.Event) error {
	people := map[string][]job.Key{}
	for i := range events {
		e := &events[i]
		if e.Sender == "" || e.Person == "" {
			continue
		}
		key := d.Facts.Key(e.Sender, e.Person)
		if e.Change != nil && e.Change.Erase {
			if _, err := d.forget(ctx, e.Sender, key, e.Time); err != nil {
				return err
			}
			continue
		}
		people[e.Sender] = append(people[e.Sender], key)
	}
	for sender, keys := range people {
		known, err := d.Facts.Contacts(ctx, sender, keys)
		if err != nil {
			return err
		}
		for i := range events {
			e := &events[i]
			if e.Sender != sender || e.Person == "" {
				continue
			}
			if erased := known[d.Facts.Key(sender, e.Person)].ErasedAt; e.Time.After(erased) {
				continue
			}
			if _, _, err := d.blank(ctx, place(d.Names, e), e.Time); err != nil {
				return err
			}
		}
	}
	return nil
}

// contactHeader is how a kept event names whom it is about.
func contactHeader(sender string, key job.Key) string { return sender + "." + key.String() }
