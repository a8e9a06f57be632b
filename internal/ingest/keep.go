package ingest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/sender"
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
	HeaderContact = "Carillon-Contact" // sender.key, once for each sender of the account; absent: about no contact
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
		return names.Event("crm/"+e.Source, e.ID) // whatever it calls itself, it is no platform
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

// Words returns what a person wrote to a sender in a message, "" where that is
// not kept: any more, or since it was taken back.
func (d *Desk) Words(ctx context.Context, s *sender.Spec, messageID string) (string, error) {
	e, _, _, err := d.kept(ctx, MessagePlace(d.Names, s.Channel, s.Account, messageID))
	return e.Text, err
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

func (d *Desk) message(ctx context.Context, e *event.Event, last uint64) (*nats.Msg, error) {
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
	about, _, err := d.assign(ctx, []event.Event{*e}) // an account of several senders has one event for all of them
	if err != nil {
		return nil, err
	}
	for _, a := range about {
		if a.Sender != "" && a.Person != "" {
			m.Header.Add(HeaderContact, contactHeader(a.Sender, d.Facts.Key(a.Sender, a.Person)))
		}
	}
	return m, nil
}

// keep stores the events that are new, and gives those that are not the time
// that they had when they were told first: of one that was dated here, a later
// telling says nothing better. A message that came after its deletion is not
// stored: the deletion has its place.
func (d *Desk) keep(ctx context.Context, events []event.Event) (fresh, error) {
	plain, replacing := d.distinct(events)
	out := fresh{}
	first := map[string]time.Time{} // when repeats are said to have happened as they were told first, by place
	for some := range slices.Chunk(plain, stream.MaxBatch) {
		if err := d.keepBatch(ctx, some, first, out); err != nil {
			return nil, err
		}
	}
	for i := range events {
		if t, ok := first[place(d.Names, &events[i])]; ok {
			events[i].Time = t
		}
	}
	for some := range slices.Chunk(replacing, stream.MaxBatch) {
		if err := d.replace(ctx, some, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// fresh is how many events were written at each place.
type fresh map[string]int

// take counts which of the events were written. What two callers tell of at
// once is new to the first who asks.
func (f fresh) take(names subject.Names, events []event.Event) (n int) {
	for i := range events {
		if at := place(names, &events[i]); f[at] > 0 {
			f[at]--
			n++
		}
	}
	return n
}

// distinct returns one event for each place: those that are kept if nothing is
// there, and those that may replace what is. The same stands twice in one body,
// or is about an account of several senders.
func (d *Desk) distinct(events []event.Event) (plain, replacing []*event.Event) {
	seen, best := map[string]bool{}, map[string]int{}
	for i := range events {
		e := &events[i]
		at := place(d.Names, e)
		if e.Type != event.Deleted && e.Type != event.Edited {
			if !seen[at] {
				plain = append(plain, e)
			}
			seen[at] = true
			continue
		}
		if n, ok := best[at]; !ok {
			best[at], replacing = len(replacing), append(replacing, e)
		} else if outranks(e, replacing[n]) {
			replacing[n] = e
		}
	}
	return plain, replacing
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
// and notes which that were. A lost answer makes an event that was stored
// look like a repeat, which is as good.
func (d *Desk) keepBatch(ctx context.Context, events []*event.Event, first map[string]time.Time, out fresh) error {
	for range batchTries {
		ms := make([]*nats.Msg, len(events))
		for i, e := range events {
			var err error
			if ms[i], err = d.message(ctx, e, 0); err != nil {
				return err
			}
		}
		_, err := stream.Batch(ctx, d.NATS, ms)
		if err == nil {
			for _, m := range ms {
				out[m.Subject]++
			}
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		if events, err = d.missing(ctx, events, first); err != nil || len(events) == 0 {
			return err
		}
	}
	for _, e := range events {
		m, err := d.message(ctx, e, 0)
		if err != nil {
			return err
		}
		switch _, err = stream.Publish(ctx, d.NATS, m); {
		case err == nil:
			out[m.Subject]++
		case !stream.Conflict(err):
			return err
		default:
			was, _, found, err := d.kept(ctx, m.Subject)
			if err != nil {
				return err
			}
			if found && sameEvent(&was, e) {
				first[m.Subject] = was.Time
			}
		}
	}
	return nil
}

// missing returns the events that are not kept yet, as far as a replica knows,
// and notes when the others happened.
func (d *Desk) missing(ctx context.Context, events []*event.Event, first map[string]time.Time) ([]*event.Event, error) {
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
		m, ok := have[places[i]]
		if !ok {
			out = append(out, e)
			continue
		}
		was, err := event.Decode(m.Data)
		if err != nil {
			return nil, fmt.Errorf("events at %d: %w", m.Seq, err)
		}
		if sameEvent(&was, e) {
			first[places[i]] = was.Time
		}
	}
	return out, nil
}

// sameEvent tells whether e is what is kept, or was before its person was
// erased. It happened when it was said to then: were it dated anew, a repeat
// that has no time of its own would bring back who was forgotten.
func sameEvent(kept, e *event.Event) bool { return kept.Type == e.Type || kept.Type == typeErased }

// replace puts up to stream.MaxBatch deletions and edits in the place of what
// they delete or edit, all at once where nobody else is at it, and notes which
// were new. What is replaced is given its meaning first: whoever kept it
// may have been cut short.
func (d *Desk) replace(ctx context.Context, events []*event.Event, out fresh) error {
	for n := 0; ; n++ {
		ms, replaced, err := d.replacements(ctx, events)
		if err != nil || len(ms) == 0 {
			return err
		}
		known, _, err := d.assign(ctx, replaced)
		if err == nil {
			_, err = d.mean(ctx, known)
		}
		if err != nil {
			return err
		}
		if _, err = stream.Batch(ctx, d.NATS, ms); err == nil {
			for _, m := range ms {
				out[m.Subject]++
			}
			return nil
		}
		if n >= replaceTries || ctx.Err() != nil {
			return err
		}
	}
}

// replacements returns what is to be written, and what stands there now.
func (d *Desk) replacements(ctx context.Context, events []*event.Event) (ms []*nats.Msg, replaced []event.Event, err error) {
	places := make([]string, len(events))
	for i, e := range events {
		places[i] = place(d.Names, e)
	}
	have, err := stream.Newest(ctx, d.NATS, d.Names.EventsStream(), places)
	if err != nil {
		return nil, nil, err
	}
	for i, e := range events {
		there := have[places[i]]
		if there.Seq > 0 {
			was, err := event.Decode(there.Data)
			if err != nil {
				return nil, nil, fmt.Errorf("events at %d: %w", there.Seq, err)
			}
			if !outranks(e, &was) {
				continue
			}
			replaced = append(replaced, was)
		}
		m, err := d.message(ctx, e, there.Seq)
		if err != nil {
			return nil, nil, err
		}
		ms = append(ms, m)
	}
	return ms, replaced, nil
}

// replaceTries is how often a replacement is begun again, since somebody else
// was at the same place, or the replica that was asked was behind.
const replaceTries = 20
