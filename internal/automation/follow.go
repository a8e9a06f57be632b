package automation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/stream"
)

// position is how far events were heard.
type position struct {
	at     uint64    // the last that is wholly done
	stored uint64    // the last that is known so after a crash
	saved  time.Time // when that was stored
	asOf   time.Time // what was kept up to then is done
	head   uint64    // what is to be done until asOf can be seen
	seen   time.Time // when head was the newest
}

// mark is a position as it is stored.
type mark struct {
	Seq uint64 `json:"seq"`
}

// saveEvery is how often the position is stored: what a crash costs is hearing
// that much again.
const saveEvery = time.Second

// begin reads how far events were heard, 0 where that is not known or is beyond
// the stream, which was restored from a backup then: hearing events again
// changes nothing.
func (d *Driver) begin(ctx context.Context) error {
	if err := d.Runs.Catch(ctx); err != nil { // of who led before
		return err
	}
	e, err := d.Marks.Get(ctx, ingest.FlowsKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	var m mark
	if err == nil {
		err = json.Unmarshal(e.Value(), &m)
	}
	if err != nil {
		return fmt.Errorf("how far flows heard events: %w", err)
	}
	head, err := stream.Head(ctx, d.JS, d.Names.EventsStream())
	if err != nil || m.Seq > head {
		return err
	}
	d.heard.at, d.heard.stored = m.Seq, m.Seq
	return nil
}

// saveMark stores the position, unless somebody else stored a later one.
func (d *Driver) saveMark(ctx context.Context) error {
	h := &d.heard
	if h.at == h.stored {
		return nil
	}
	for {
		e, err := d.Marks.Get(ctx, ingest.FlowsKey)
		rev := uint64(0)
		switch {
		case err == nil:
			var m mark
			if json.Unmarshal(e.Value(), &m) == nil && m.Seq >= h.at {
				h.stored, h.saved = h.at, time.Now()
				return nil
			}
			rev = e.Revision()
		case !errors.Is(err, jetstream.ErrKeyNotFound):
			return fmt.Errorf("how far flows heard events: %w", err)
		}
		b, err := json.Marshal(mark{h.at})
		if err != nil {
			return err
		}
		_, err = d.Marks.Update(ctx, ingest.FlowsKey, b, rev)
		if err == nil {
			h.stored, h.saved = h.at, time.Now()
			return nil
		}
		if !stream.Conflict(err) {
			return fmt.Errorf("how far flows heard events: %w", err)
		}
	}
}

// told reads one kept event. What can't be read was never one of ours.
func (d *Driver) told(ctx context.Context, m stream.Message, only *live) *news {
	n := &news{kind: heard, seq: m.Seq, kept: m.At, trace: m.Trace, only: only}
	var err error
	if n.event, err = event.Decode(m.Data); err != nil {
		d.Log.WarnContext(ctx, "a kept event can't be read; flows pass over it", "sequence", m.Seq, "error", err)
	}
	return n
}

// abreast looks whether everything is heard that was kept up to now, so that
// timers of up to now may come: a purchase that was told in time is heard
// before the reminder that it makes needless.
func (d *Driver) abreast(ctx context.Context) error {
	h := &d.heard
	next, ok := d.wheel.next()
	if now := d.Now(); !ok || next.After(now) {
		return nil
	}
	if next.After(h.asOf) && h.head <= h.at {
		now := d.Now()
		last, _, err := stream.Last(ctx, d.JS.Conn(), d.Names.EventsStream(), "")
		if err != nil {
			return err
		}
		h.head, h.seen = last.Seq, now
		d.Counts.Behind.Store(int64(max(last.Seq, h.at) - h.at))
	}
	if h.head <= h.at && h.seen.After(h.asOf) {
		h.asOf = h.seen
	}
	return nil
}
