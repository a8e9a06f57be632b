package ingest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// keptFor is for how long an event is kept, and so how long a repeat of it is
// known as one: longer than any teller repeats itself, and than the 30 days
// that CRM systems are promised.
const keptFor = 35 * 24 * time.Hour

// Headers of a kept event: who looks for a contact's events need not read
// what they say.
const (
	HeaderType    = "Carillon-Type"
	HeaderContact = "Carillon-Contact" // sender.key; absent: about no contact
)

// Events returns the settings of the stream of events. A subject has one
// message; every write says which one it expects, so that a repeat is refused
// and a deletion takes the place of what it deletes.
func Events(names subject.Names) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               names.EventsStream(),
		Description:        "what platforms and CRM systems told, each event once",
		Subjects:           []string{names.AllEvents()},
		Storage:            jetstream.FileStorage,
		Retention:          jetstream.LimitsPolicy,
		Discard:            jetstream.DiscardOld,
		MaxAge:             keptFor,
		MaxMsgs:            -1,
		MaxBytes:           -1,
		MaxMsgsPerSubject:  1,
		AllowDirect:        true, // what is read so is only what need not be written again
		AllowAtomicPublish: true,
	}
}

// place is where an event is kept: two with the same place are the same event,
// or the one replaces the other. A message is known by its own id, whoever
// told of it; a platform's other events by theirs, within the account, and a
// CRM's by source and id as CloudEvents ask.
func place(names subject.Names, e *event.Event) string {
	switch {
	case e.Channel == "":
		return names.Event(e.Source, e.ID)
	case e.MessageID != "" && (e.Type == event.Message || e.Type == event.Edited || e.Type == event.Deleted):
		return MessagePlace(names, e.Channel, e.Account, e.MessageID)
	default:
		return names.Event(e.Channel+"/"+e.Account, string(e.Type)+"/"+e.ID)
	}
}

// MessagePlace is the subject at which a message from a person is kept.
func MessagePlace(names subject.Names, channel, account, messageID string) string {
	return names.Event(channel+"/"+account, "message/"+messageID)
}

// outranks tells whether e takes the place of what is kept: a deletion that of
// everything, an edit that of what was written before it.
func outranks(e, kept *event.Event) bool {
	rank := func(t event.Type) int {
		switch t {
		case event.Deleted:
			return 2
		case event.Edited:
			return 1
		default:
			return 0
		}
	}
	a, b := rank(e.Type), rank(kept.Type)
	return a > b || a == b && e.Type == event.Edited && e.Time.After(kept.Time)
}

// maxKept bounds an event as it is kept, in bytes, well below what a message
// of the stream may have. No platform's message is that long; what else is as
// it came is left out then.
const maxKept = 256 << 10

// maxText bounds the text of an event that is too long otherwise.
const maxText = 32 << 10

func (d *Desk) message(e *event.Event, last uint64) (*nats.Msg, error) {
	data, err := e.Encode()
	if err == nil && len(data) > maxKept {
		short := *e
		short.Data, short.Text, short.Payload = nil, short.Text[:min(len(short.Text), maxText)], ""
		data, err = short.Encode()
	}
	if err != nil {
		return nil, err
	}
	m := stream.Expect(place(d.Names, e), data, last)
	m.Header.Set(HeaderType, string(e.Type))
	if e.Sender != "" && e.Person != "" {
		m.Header.Set(HeaderContact, contactHeader(e.Sender, d.Facts.Key(e.Sender, e.Person)))
	}
	return m, nil
}

// keep stores the events that are new. A message that came after its deletion
// is not: the deletion has its place.
func (d *Desk) keep(ctx context.Context, events []event.Event) (out Taken, err error) {
	var plain, replacing []*event.Event
	seen := map[string]bool{}
	for i := range events {
		e := &events[i]
		if e.Type == event.Deleted || e.Type == event.Edited {
			replacing = append(replacing, e)
			continue
		}
		if at := place(d.Names, e); !seen[at] { // twice in one body, or of several senders
			seen[at] = true
			plain = append(plain, e)
		}
	}
	for some := range slices.Chunk(plain, stream.MaxBatch) {
		n, err := d.keepBatch(ctx, some)
		if out.New += n; err != nil {
			return out, err
		}
	}
	n, err := d.replace(ctx, replacing)
	out.New += n
	out.Repeated = len(events) - out.New
	return out, err
}

// recall gives events that were dated here the date under which they were
// kept the first time: told again, they happened no later. One in whose place
// something else stands by now had its meaning before that came.
func (d *Desk) recall(ctx context.Context, events []event.Event, moved map[string]bool) ([]event.Event, error) {
	if len(moved) == 0 {
		return events, nil
	}
	var out []event.Event
	for _, e := range events {
		at := place(d.Names, &e)
		if !moved[at] {
			out = append(out, e)
			continue
		}
		kept, _, found, err := d.kept(ctx, at)
		if err != nil {
			return nil, err
		}
		if found && kept.Type == e.Type {
			e.Time = kept.Time
			out = append(out, e)
		}
	}
	return out, nil
}

// kept returns the event at a place and its sequence, as the leader has it.
func (d *Desk) kept(ctx context.Context, at string) (e event.Event, seq uint64, found bool, err error) {
	m, found, err := stream.Last(ctx, d.NATS, d.Names.EventsStream(), at)
	if err != nil || !found {
		return e, 0, false, err
	}
	if e, err = event.Decode(m.Data); err != nil {
		return e, 0, false, fmt.Errorf("events at %d: %w", m.Seq, err)
	}
	return e, m.Seq, true, nil
}

// batchTries is how often a batch is written without what was found to be
// there; afterwards its events are written one by one.
const batchTries = 2

// keepBatch stores those of up to stream.MaxBatch events that are not there,
// and returns how many that were. A lost answer makes an event that was stored
// look like a repeat, which is as good.
func (d *Desk) keepBatch(ctx context.Context, events []*event.Event) (int, error) {
	for range batchTries {
		ms := make([]*nats.Msg, len(events))
		for i, e := range events {
			var err error
			if ms[i], err = d.message(e, 0); err != nil {
				return 0, err
			}
		}
		_, err := stream.Batch(ctx, d.NATS, ms)
		if err == nil || ctx.Err() != nil {
			return len(events), err
		}
		if events, err = d.missing(ctx, events); err != nil || len(events) == 0 {
			return 0, err
		}
	}
	kept := 0
	for _, e := range events {
		m, err := d.message(e, 0)
		if err != nil {
			return kept, err
		}
		switch _, err = stream.Publish(ctx, d.NATS, m); {
		case err == nil:
			kept++
		case !stream.Conflict(err):
			return kept, err
		}
	}
	return kept, nil
}

// missing returns the events that are not kept yet, as far as a replica knows.
func (d *Desk) missing(ctx context.Context, events []*event.Event) ([]*event.Event, error) {
	places := make([]string, len(events))
	for i, e := range events {
		places[i] = place(d.Names, e)
	}
	have, err := stream.Newest(ctx, d.NATS, d.Names.EventsStream(), places)
	if err != nil {
		return nil, err
	}
	var out []*event.Event
	for i, e := range events {
		if _, ok := have[places[i]]; !ok {
			out = append(out, e)
		}
	}
	return out, nil
}

// replacers is how many deletions and edits are dealt with at a time.
const replacers = 16

// replace puts deletions and edits in the place of what they delete or edit.
func (d *Desk) replace(ctx context.Context, events []*event.Event) (int, error) {
	done := make([]bool, len(events))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(replacers)
	for i, e := range events {
		g.Go(func() (err error) {
			done[i], err = d.replaceOne(ctx, e)
			return err
		})
	}
	err := g.Wait()
	n := 0
	for _, ok := range done {
		if ok {
			n++
		}
	}
	return n, err
}

func (d *Desk) replaceOne(ctx context.Context, e *event.Event) (bool, error) {
	for {
		last, may, err := d.replaced(ctx, e)
		if err != nil || !may {
			return false, err
		}
		m, err := d.message(e, last)
		if err != nil {
			return false, err
		}
		if _, err = stream.Publish(ctx, d.NATS, m); err == nil {
			return true, nil
		}
		if !stream.Conflict(err) {
			return false, err
		}
	}
}

// replaced returns the sequence of what an event replaces, 0 for nothing, and
// whether it may. What it replaces is given its meaning first: whoever kept it
// may have been cut short.
func (d *Desk) replaced(ctx context.Context, e *event.Event) (seq uint64, may bool, err error) {
	kept, seq, found, err := d.kept(ctx, place(d.Names, e))
	if err != nil || !found {
		return 0, err == nil, err
	}
	if !outranks(e, &kept) {
		return seq, false, nil
	}
	known, _, err := d.assign(ctx, []event.Event{kept})
	if err == nil {
		_, err = d.mean(ctx, known)
	}
	return seq, err == nil, err
}
