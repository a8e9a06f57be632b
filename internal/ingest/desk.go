// Package ingest is the desk at which everything is handed in that platforms
// and CRM systems tell. It keeps each event once, makes facts, controls and
// receipts of it, and answers when they are in force. It never decides whether
// a message may go, and never calls anybody.
//
// What it holds to: once Take has returned without an error, the events are
// durable, and no message leaves by facts from before them. The same event
// told again, or in another order, changes nothing.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/consent"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// Senders tells whose account an event is about.
type Senders interface {
	// OfAccount returns the senders that are an account of a channel, sorted by
	// id; none where nobody is. What it returns must not be changed.
	OfAccount(ctx context.Context, channel, account string) ([]*sender.Spec, error)
}

// Receipts takes what platforms tell of messages that went out: events for
// which event.Receipt is true, with Sender set.
type Receipts interface {
	// Apply records what the events say of jobs. It returns those that can't be
	// matched yet, such as the receipt of a job whose own outcome is not
	// recorded: they are kept and handed in again. Events about messages that
	// are not ours are taken and forgotten. It must bear repeats.
	Apply(ctx context.Context, events []event.Event) (later []event.Event, err error)
}

// Config is what a desk works with.
type Config struct {
	NATS     *nats.Conn
	Streams  stream.Provider
	Names    subject.Names
	Facts    *facts.Store
	Consent  *consent.Desk
	Senders  Senders
	Receipts Receipts         // nil: receipts are counted and forgotten
	Rulebook *policy.Rulebook // which words mean stop
	Log      *slog.Logger
	Now      Now             // nil: time.Now, which is believed
	Kill     *killpoint.Plan // nil: at no point
}

// Now tells the time, and false where it is one that nobody agrees on.
type Now func() (t time.Time, agreed bool)

// Desk takes events in. Its zero value is of no use; see Open. Any number of
// processes may have one on the same engines.
type Desk struct {
	Config
	js      jetstream.JetStream
	derived jetstream.KeyValue // see caughtUpKey
	told    together[taken]    // what is no receipt
	sent    together[Taken]    // receipts
	stats   Stats
}

// Stats are counts since the process started.
type Stats struct {
	Kept       atomic.Int64 // events that were new
	Repeated   atomic.Int64 // events that had been told before
	Senderless atomic.Int64 // events about accounts that no sender is
	Blind      atomic.Int64 // answers that relied on a closed gate, since facts were not known to be in force
	Recovered  atomic.Int64 // contacts whose facts were made only when their events were read again
	Expired    atomic.Int64 // receipts given up, since no job was found to which they belong
	Outlasted  atomic.Int64 // opt-outs answered while a message was still on its way
}

func (s *Stats) add(t Taken) {
	s.Kept.Add(int64(t.New))
	s.Repeated.Add(int64(t.Repeated))
	s.Senderless.Add(int64(t.Senderless))
}

// Open opens the stream of events, which the provider may create.
func Open(ctx context.Context, c Config) (*Desk, error) {
	if _, err := c.Streams.Open(ctx, Events(c.Names)); err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	derived, err := c.Streams.KeyValue(ctx, ledger.TallyConfig(c.Names))
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	if c.Now == nil {
		c.Now = func() (time.Time, bool) { return time.Now(), true }
	}
	d := &Desk{Config: c, js: c.Streams.JS, derived: derived}
	d.told.serve, d.sent.serve = d.takeIn, d.takeReceipts
	return d, nil
}

// Stats returns the desk's counts.
func (d *Desk) Stats() *Stats { return &d.stats }

// Taken says what became of a handful of events.
type Taken struct {
	New        int // kept now
	Repeated   int // kept before: nothing is told twice
	Senderless int // about accounts that no sender is: kept, without a meaning yet
	InFlight   int // messages to people who opted out here that were on their way before and have no outcome yet
}

// answerWithin bounds a Take: platforms wait for five seconds, and the answer
// has a way to go. lineWithin is until when it waits for messages on their way
// to who opted out, a little longer than a send may take.
const (
	answerWithin = 4600 * time.Millisecond
	lineWithin   = 4300 * time.Millisecond
)

// ErrTooLate says that events are kept, but that it could not be made sure in
// time that they are in force. Whoever told them should tell them again, which
// is quick then.
var ErrTooLate = errors.New("events are kept, but not known to be in force in time; tell them again")

// Take keeps events, makes facts of them, and returns once those are in force
// or the gate can open only past them, which also holds while Redis is away;
// where somebody opted out also once none of their messages is on its way, as
// far as the time goes. It takes less than five seconds. After an error the
// same events must be handed in again, which does no harm.
//
// Platforms' events (with a Channel) need Source, ID, Type and Account, and
// those about a person need Person; Sender is looked up here. A message's ID
// and that of its deletion or edit may be whatever the reader likes: where
// there is a MessageID, that is what tells them apart. A CRM's events are kept
// as they are.
func (d *Desk) Take(ctx context.Context, events []event.Event) (Taken, error) {
	begun := time.Now()
	ctx, cancel := context.WithDeadline(ctx, begun.Add(answerWithin))
	defer cancel()
	var out Taken
	known, senderless, err := d.assign(ctx, d.dated(events))
	if err != nil {
		return out, err
	}
	receipts, rest := apart(known)
	var t taken
	if len(rest) > 0 {
		if t, err = d.told.join(ctx, rest); err != nil {
			return out, err
		}
	}
	out = Taken{New: t.fresh, Repeated: len(rest) - t.fresh, Senderless: senderless}
	d.stats.add(out)
	// Only now, so that no opt-out of the same call waits for a receipt that
	// can't be taken.
	if len(receipts) > 0 {
		waiting, err := d.sent.join(ctx, receipts)
		if err != nil {
			return out, err
		}
		d.stats.add(waiting)
		out.New, out.Repeated = out.New+waiting.New, out.Repeated+waiting.Repeated
	}
	out.InFlight, err = d.settle(ctx, t.meaning, begun.Add(lineWithin))
	_, applied := pointsOf(rest)
	d.Kill.Pass(applied)
	return out, err
}

// pointsOf are the points that events pass: those of a platform, or of a CRM.
// Receipts alone pass none.
func pointsOf(events []event.Event) (kept, applied killpoint.Point) {
	switch {
	case len(events) == 0:
		return "", ""
	case events[0].Channel == "":
		return killpoint.EventKept, ""
	}
	return killpoint.WebhookKept, killpoint.WebhookApplied
}

// taken is what the events of one call came to.
type taken struct {
	meaning
	fresh int // events that were new
}

// takeIn keeps the events of several calls and gives them their meaning, all
// at once.
func (d *Desk) takeIn(ctx context.Context, calls [][]event.Event) ([]taken, error) {
	all := slices.Concat(calls...)
	fresh, err := d.keep(ctx, all)
	if err != nil {
		return nil, fmt.Errorf("events could not be kept: %w", err)
	}
	for _, c := range calls {
		kept, _ := pointsOf(c)
		d.Kill.Pass(kept)
	}
	m, err := d.mean(ctx, all)
	if err != nil {
		return nil, err
	}
	out := make([]taken, len(calls))
	end := 0
	for i, c := range calls {
		from := end
		end += len(c)
		out[i] = taken{m.of(from, end), fresh.take(d.Names, all[from:end])}
	}
	return out, nil
}

// takeReceipts hands in the receipts of several calls at once, and keeps those
// that are to be tried again.
func (d *Desk) takeReceipts(ctx context.Context, calls [][]event.Event) ([]Taken, error) {
	later, err := d.receive(ctx, slices.Concat(calls...))
	if err != nil {
		return nil, err
	}
	fresh, err := d.keep(ctx, later)
	if err != nil {
		return nil, fmt.Errorf("receipts could not be kept: %w", err)
	}
	out := make([]Taken, len(calls))
	repeated := len(later)
	for i, c := range calls {
		out[i].New = fresh.take(d.Names, c)
		repeated -= out[i].New
	}
	out[0].Repeated = repeated // whosever they are: it is only counted
	return out, nil
}

// maxAhead is how far a platform's clock may be ahead of ours.
const maxAhead = 5 * time.Minute

// dated returns the events with a time that can be relied on. What was told
// with none, or with one that lies ahead, happened when it was told. Where nobody
// agrees on when that is, what is ahead stays: an opt-out that is dated back
// would lose against a return before it.
func (d *Desk) dated(events []event.Event) []event.Event {
	now, agreed := d.Now()
	out := slices.Clone(events)
	for i := range out {
		if t := out[i].Time; t.IsZero() || agreed && t.After(now.Add(maxAhead)) {
			out[i].Time = now
		}
		out[i].Time = out[i].Time.UTC()
	}
	return out
}

// time is Now, agreed on or not.
func (d *Desk) time() time.Time {
	t, _ := d.Now()
	return t
}

// assign returns the events with their sender, once for each where an account
// has several, and how many are about accounts that no sender is.
func (d *Desk) assign(ctx context.Context, events []event.Event) (known []event.Event, senderless int, err error) {
	known = make([]event.Event, 0, len(events))
	for _, e := range events {
		if e.Channel == "" {
			known = append(known, e)
			continue
		}
		specs, err := d.senders(ctx, &e)
		if err != nil {
			return nil, 0, fmt.Errorf("sender of an account: %w", err)
		}
		if len(specs) == 0 {
			senderless++
			known = append(known, e)
		}
		for _, s := range specs {
			e.Sender = s.ID
			known = append(known, e)
		}
	}
	return known, senderless, nil
}

// senders are those that an event's account is, by either of its names.
func (d *Desk) senders(ctx context.Context, e *event.Event) ([]*sender.Spec, error) {
	specs, err := d.Senders.OfAccount(ctx, e.Channel, e.Account)
	if err != nil || e.Service == "" {
		return specs, err
	}
	of, err := d.Senders.OfAccount(ctx, e.Channel, e.Service)
	return slices.Concat(specs, of), err
}

// receive hands receipts in, and returns those to be tried again.
func (d *Desk) receive(ctx context.Context, receipts []event.Event) (later []event.Event, err error) {
	if len(receipts) == 0 || d.Receipts == nil {
		return nil, nil
	}
	if later, err = d.Receipts.Apply(ctx, receipts); err != nil {
		return nil, fmt.Errorf("receipts: %w", err)
	}
	return later, nil
}

// apart separates receipts of known senders from everything else. Those of
// others are nobody's jobs.
func apart(events []event.Event) (receipts, rest []event.Event) {
	for _, e := range events {
		switch {
		case !e.Receipt():
			rest = append(rest, e)
		case e.Sender != "":
			receipts = append(receipts, e)
		}
	}
	return receipts, rest
}
