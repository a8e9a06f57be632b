package automation

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/flow"
)

// live is a flow as this driver carries it out.
type live struct {
	Flow
	programs map[int]*flow.Program // every version: runs stay on theirs
	newest   *flow.Program
	acted    acted // what was done about the flow's own changes
	known    bool  // acted is what is stored
	looked   bool  // what the flow is now was taken in
	busy     bool  // its runs are being reviewed
	pace     *pacer

	// catching tells that what was kept while the flow stood still is heard
	// first, from behind on; until then it hears nothing else.
	catching bool
	behind   uint64
}

// going tells whether runs of the flow begin and move.
func (l *live) going() bool {
	return l.State == flow.Active && !l.catching && l.known && l.newest != nil
}

// sort of an event: what a program is asked whether it hears it.
type sort struct {
	typ     event.Type
	channel string
}

// listener is a flow that hears a sort of events.
type listener struct {
	l      *live
	begins bool            // by its newest version
	moves  []*flow.Program // versions whose runs may be moved
}

// look takes in how flows are now.
func (d *Driver) look(ctx context.Context) error {
	all, err := d.Catalog.Flows(ctx)
	if err != nil {
		return err
	}
	for _, f := range all {
		l := d.flows[f.ID]
		if l == nil {
			l = &live{programs: map[int]*flow.Program{}}
			d.flows[f.ID] = l
		}
		if l.looked && l.Flow == f {
			continue
		}
		l.Flow, l.looked = f, false
		clear(d.hearers)
		if err := d.compile(ctx, l); err != nil {
			return err
		}
		if err := d.Tell(ctx, l.ID); err != nil {
			return err
		}
		if err := d.act(ctx, l); err != nil {
			return err
		}
		l.looked = true
	}
	return nil
}

// compile reads the versions that are new. One that can't be read any more is
// left alone with its runs.
func (d *Driver) compile(ctx context.Context, l *live) error {
	for v := 1; v <= l.Version; v++ {
		if _, tried := l.programs[v]; tried {
			continue
		}
		p, err := d.Catalog.Program(ctx, l.ID, v)
		if err != nil {
			if !definition.Lasting(err) {
				return err
			}
			d.Log.ErrorContext(ctx, "a version of a flow can't be read; its runs are left alone", "flow", l.ID, "version", v, "error", err)
		}
		l.programs[v] = p
	}
	l.newest = l.programs[l.Version]
	return nil
}

// hears returns the flows that hear a sort of events, in the order of their ids.
func (d *Driver) hears(s sort) []listener {
	if out, ok := d.hearers[s]; ok {
		return out
	}
	out := []listener{}
	for _, id := range slices.Sorted(maps.Keys(d.flows)) {
		l := d.flows[id]
		h := listener{l: l}
		if l.newest != nil {
			h.begins, _ = l.newest.Hears(s.typ, s.channel)
		}
		for _, v := range slices.Sorted(maps.Keys(l.programs)) {
			if p := l.programs[v]; p != nil {
				if _, moves := p.Hears(s.typ, s.channel); moves {
					h.moves = append(h.moves, p)
				}
			}
		}
		if h.begins || len(h.moves) > 0 {
			out = append(out, h)
		}
	}
	if len(d.hearers) >= maxSorts { // types of CRM systems are theirs to make up
		clear(d.hearers)
	}
	d.hearers[s] = out
	return out
}

const maxSorts = 1000

// warnEvery is how often trouble of one flow is logged.
const warnEvery = time.Minute

// refused notes that something can't be taken in by a flow.
func (d *Driver) refused(ctx context.Context, l *live, what string, err error) {
	d.Counts.Refused.Add(1)
	now := d.Now()
	if now.Sub(d.warned[l.ID]) < warnEvery {
		return
	}
	d.warned[l.ID] = now
	d.Log.WarnContext(ctx, "a flow can't take something in; it goes on without it", "flow", l.ID, "what", what, "error", err)
}
