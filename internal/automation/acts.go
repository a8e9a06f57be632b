package automation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/run"
	"github.com/carillon-dev/carillon/internal/stream"
)

// acted is what was done about the changes of a flow itself, as it is stored.
type acted struct {
	State   flow.Life `json:"state"`
	Version int       `json:"version"`
	Heard   uint64    `json:"heard,omitempty"` // of a flow that stands still: the last event that it heard before
}

func actedKey(id string) string { return ingest.FlowsKey + "." + id }

// act does what a flow's change asks for.
func (d *Driver) act(ctx context.Context, l *live) error {
	if !l.known {
		a, found, err := d.acted(ctx, l.ID)
		if err != nil {
			return err
		}
		if !found {
			a = acted{State: flow.Active, Version: l.Version}
		}
		l.acted, l.known = a, true
	}
	was := l.acted
	switch {
	case l.State == flow.Paused && was.State == flow.Active:
		l.catching, l.behind = true, d.heard.at
		return d.keepActed(ctx, l, acted{flow.Paused, was.Version, d.heard.at})
	case l.State == flow.Paused:
		l.catching, l.behind = true, was.Heard
	case l.State == flow.Active && was.State == flow.Paused:
		l.catching, l.behind = true, was.Heard
	case l.State == flow.Deleted && was.State != flow.Deleted:
		d.review(ctx, l)
	case l.State == flow.Active && l.Version > was.Version:
		if l.newest != nil && len(l.newest.Spec.Move) > 0 {
			d.review(ctx, l)
			return nil
		}
		return d.keepActed(ctx, l, acted{State: flow.Active, Version: l.Version})
	}
	return nil
}

func (d *Driver) acted(ctx context.Context, id string) (a acted, found bool, err error) {
	e, err := d.Marks.Get(ctx, actedKey(id))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return a, false, nil
	}
	if err == nil {
		err = json.Unmarshal(e.Value(), &a)
	}
	if err != nil {
		return a, false, fmt.Errorf("what was done about flow %s: %w", id, err)
	}
	return a, true, nil
}

func (d *Driver) keepActed(ctx context.Context, l *live, a acted) error {
	b, err := json.Marshal(a)
	if err == nil {
		_, err = d.Marks.Put(ctx, actedKey(l.ID), b)
	}
	if err != nil {
		return fmt.Errorf("what was done about flow %s: %w", l.ID, err)
	}
	l.acted = a
	return nil
}

// catchUp returns events that a flow did not hear while it stood still, for
// the next round, and what to do once they are taken in.
func (d *Driver) catchUp(ctx context.Context) (out []*news, then func(context.Context), err error) {
	for _, l := range d.flows {
		if l.State != flow.Active || !l.catching {
			continue
		}
		upTo := d.heard.at
		err := stream.Each(ctx, d.JS, stream.Query{Stream: d.Names.EventsStream(), From: l.behind + 1, UpTo: upTo}, func(m stream.Message) error {
			if len(out) == maxRound {
				upTo = m.Seq - 1
				return errEnough
			}
			out = append(out, d.told(ctx, m, l))
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return nil, nil, err
		}
		return out, func(ctx context.Context) {
			if l.State != flow.Active { // it stands still again: what it heard is not noted anywhere
				return
			}
			if l.behind = upTo; upTo < d.heard.at {
				return
			}
			l.catching = false
			d.wheel.takeUp()
			d.hurry()
			d.review(ctx, l)
		}, nil
	}
	return nil, func(context.Context) {}, nil
}

var errEnough = errors.New("enough")

// review has every run of a flow that goes on looked at, beside everything
// else, and notes that this was done.
func (d *Driver) review(ctx context.Context, l *live) {
	if l.busy {
		return
	}
	l.busy = true
	id, version, state := l.ID, l.Version, l.State
	d.beside.Go(func() error {
		err := d.Runs.Each(ctx, id, func(r run.Stored) error {
			if r.Run.State.Over() {
				return nil
			}
			return d.inbox.put(ctx, &news{kind: reviewed, id: r.ID})
		})
		return d.inbox.put(ctx, &news{kind: surveyed, id: flow.ID{Flow: id}, acted: acted{State: state, Version: version}, err: err})
	})
}

// surveyed notes that all runs of a flow were looked at, unless the flow has
// changed meanwhile: then it is done again.
func (d *Driver) surveyed(ctx context.Context, n *news) error {
	l := d.flows[n.id.Flow]
	l.busy = false
	switch {
	case n.err != nil && ctx.Err() == nil:
		d.Log.WarnContext(ctx, "the runs of a flow can't be read; trying again", "flow", l.ID, "error", n.err)
		d.review(ctx, l)
		return nil
	case l.State != n.acted.State || l.Version != n.acted.Version:
		return d.act(ctx, l)
	}
	return d.keepActed(ctx, l, n.acted)
}
