package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/stream"
)

// CatchUpPlan says how events are read again.
type CatchUpPlan struct {
	Every time.Duration // between two readings
	Delay time.Duration // how old an event must be: whoever took it is through with it by then
	Limit time.Duration // how long a receipt waits for its job
}

// Usual is the plan of a leader. A receipt's job is known within seconds; an
// hour outlasts an engine that is away.
func Usual() CatchUpPlan {
	return CatchUpPlan{Every: 5 * time.Second, Delay: 10 * time.Second, Limit: time.Hour}
}

// CatchUp reads kept events again, each once, and gives them their meaning
// once more, until ctx ends: for whoever was cut short between keeping an
// event and giving it its meaning, for receipts that came before their job's
// outcome, and for senders that were defined a moment after the event. One
// process should do so at a time; two do the same twice, which changes nothing.
func (d *Desk) CatchUp(ctx context.Context, p CatchUpPlan) {
	tick := time.NewTicker(p.Every)
	defer tick.Stop()
	said := ""
	for {
		switch err := d.catchUp(ctx, p); {
		case ctx.Err() != nil:
			return
		case err == nil:
			said = ""
		case err.Error() != said:
			said = err.Error()
			d.Log.WarnContext(ctx, "events could not be read again; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// caughtUp is how far events have been read again.
type caughtUp struct {
	Seq uint64 `json:"seq"`
}

// caughtUpKey is where that is kept, among what is derived: without it
// everything is read again, which costs time and changes nothing.
const caughtUpKey = "events"

// again is an event that is read again.
type again struct {
	event.Event
	seq uint64
}

// catchUp reads what is old enough since the last time.
func (d *Desk) catchUp(ctx context.Context, p CatchUpPlan) error {
	from, err := d.mark(ctx)
	if err != nil {
		return err
	}
	var some []again
	flush := func() error {
		if len(some) == 0 {
			return nil
		}
		if err := d.repeat(ctx, some, p.Limit); err != nil {
			return err
		}
		last := some[len(some)-1].seq
		some = some[:0]
		return d.setMark(ctx, last)
	}
	q := stream.Query{Stream: d.Names.EventsStream(), From: from + 1}
	err = stream.Each(ctx, d.js, q, func(m stream.Message) error {
		if d.time().Sub(m.At) < p.Delay {
			return errYoung
		}
		e, err := event.Decode(m.Data)
		if err != nil { // it was never one of ours: waiting for it would keep the others waiting
			d.Log.WarnContext(ctx, "a kept event can't be read; it is passed over", "sequence", m.Seq, "error", err)
			return nil
		}
		if some = append(some, again{e, m.Seq}); len(some) < stream.MaxBatch {
			return nil
		}
		return flush()
	})
	if errors.Is(err, errYoung) {
		err = nil
	}
	if err != nil {
		return err
	}
	return flush()
}

// errYoung ends a reading: whoever took what follows may still be at it.
var errYoung = errors.New("too young")

// mark returns how far events have been read again, 0 where that is not known
// or is beyond the stream, which was restored from a backup then.
func (d *Desk) mark(ctx context.Context) (uint64, error) {
	seq, _, err := d.come(ctx, caughtUpKey)
	return seq, err
}

// FlowsKey is where it is kept how far flows have heard events.
const FlowsKey = "flows"

// Unheard returns how many events flows have not heard yet; 0 where none has
// ever heard any.
func (d *Desk) Unheard(ctx context.Context) (uint64, error) {
	heard, head, err := d.come(ctx, FlowsKey)
	if err != nil || heard == 0 {
		return 0, err
	}
	return head - heard, nil
}

// come returns how far a reader of events has come, and how many there are.
func (d *Desk) come(ctx context.Context, key string) (seq, head uint64, err error) {
	e, err := d.derived.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, 0, nil
	}
	var c caughtUp
	if err == nil {
		err = json.Unmarshal(e.Value(), &c)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("how far events were read: %w", err)
	}
	head, err = stream.Head(ctx, d.js, d.Names.EventsStream())
	if err != nil || c.Seq > head {
		return 0, head, err
	}
	return c.Seq, head, nil
}

func (d *Desk) setMark(ctx context.Context, seq uint64) error {
	b, err := json.Marshal(caughtUp{seq})
	if err == nil {
		_, err = d.derived.Put(ctx, caughtUpKey, b)
	}
	if err != nil {
		return fmt.Errorf("how far events were read: %w", err)
	}
	return nil
}

// repeat gives events their meaning once more. A receipt that still belongs to
// no job goes to the end of the stream, to be read again from there, or is
// given up.
func (d *Desk) repeat(ctx context.Context, some []again, limit time.Duration) error {
	events := make([]event.Event, len(some))
	at := make(map[string]uint64, len(some))
	for i, a := range some {
		events[i], at[place(d.Names, &a.Event)] = a.Event, a.seq
	}
	known, _, err := d.assign(ctx, events)
	if err != nil {
		return err
	}
	receipts, rest := apart(known)
	m, err := d.mean(ctx, rest)
	if err != nil {
		return err
	}
	d.stats.Recovered.Add(int64(m.written))
	if err := d.forgetTold(ctx, rest); err != nil {
		return err
	}
	later, err := d.receive(ctx, receipts)
	if err != nil {
		return err
	}
	for i := range later {
		e := &later[i]
		if d.time().Sub(e.Time) >= limit {
			d.stats.Expired.Add(1)
			continue
		}
		msg, err := d.message(ctx, e, at[place(d.Names, e)])
		if err != nil {
			return err
		}
		if _, err = stream.Publish(ctx, d.NATS, msg); err != nil && !stream.Conflict(err) {
			return fmt.Errorf("a receipt could not be kept for later: %w", err)
		}
	}
	return nil
}
