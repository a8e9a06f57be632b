package steering

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/run"
)

// Pick says which runs of a flow are meant: one, those of a contact, or all.
type Pick struct {
	Run     *flow.ID
	Contact *job.Key
}

// Stopped says what stopping runs came to.
type Stopped struct {
	Matched int // runs that went on
	Done    int // those that were stopped
	Over    int // those that ended by themselves meanwhile
}

// atOnce is how many runs are written together.
const atOnce = 200

// Stop ends runs from outside: nothing more of them leaves, and messages that
// wait are cancelled by whoever leads. why stands in their paths. A dry run
// only counts.
func (d *Desk) Stop(ctx context.Context, id string, p Pick, why string, dry bool) (Stopped, error) {
	s := stopping{d: d, why: why, dry: dry, programs: programs{d.Defs, map[int]*flow.Program{}}, taken: map[run.Whom]bool{}}
	if err := d.each(ctx, id, p, func(r run.Stored) error {
		if r.Run.State.Over() {
			return nil
		}
		return s.add(ctx, r)
	}); err != nil {
		return s.out, err
	}
	return s.out, s.flush(ctx)
}

// each calls fn with the runs of a flow that are picked.
func (d *Desk) each(ctx context.Context, id string, p Pick, fn func(run.Stored) error) error {
	switch {
	case p.Run != nil:
		r, rev, found, err := d.Runs.Get(ctx, *p.Run)
		if err != nil || !found {
			return err
		}
		return fn(run.Stored{ID: *p.Run, Run: r, Rev: rev})
	case p.Contact != nil:
		rs, err := d.Runs.Of(ctx, id, *p.Contact)
		for _, r := range rs {
			if err == nil {
				err = fn(r)
			}
		}
		return err
	}
	return d.Runs.Each(ctx, id, fn)
}

// stopping stops runs, some at once.
type stopping struct {
	d        *Desk
	why      string
	dry      bool
	out      Stopped
	programs programs
	some     []run.Stored
	taken    map[run.Whom]bool // whose runs are among some
}

func (s *stopping) add(ctx context.Context, r run.Stored) error {
	if s.out.Matched++; s.dry {
		return nil
	}
	if len(s.some) >= atOnce || s.taken[run.WhomOf(r.ID)] { // a contact's runs are written one after the other
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	s.some, s.taken[run.WhomOf(r.ID)] = append(s.some, r), true
	return nil
}

// flush ends the runs at hand. Whoever leads is told by a timer of each, kept
// before the run is: what the end asks for is done once that comes.
func (s *stopping) flush(ctx context.Context) error {
	some := s.some
	s.some = nil
	clear(s.taken)
	for len(some) > 0 {
		now := s.d.Now().UTC()
		changes := make([]*run.Change, len(some))
		timers := make([]run.Timer, len(some))
		for i, r := range some {
			p, err := s.programs.of(ctx, r.ID.Flow, r.Run.Version)
			if err != nil {
				return err
			}
			timers[i] = run.Timer{Run: r.ID, At: now}
			changes[i] = &run.Change{Whom: run.WhomOf(r.ID), Runs: []*run.Entry{s.d.entry(p, r, s.why)}}
		}
		if err := s.d.Timers.Append(ctx, timers); err != nil {
			return err
		}
		s.d.Runs.Write(ctx, changes)
		var err error
		if some, err = s.again(ctx, changes); err != nil {
			return err
		}
	}
	return nil
}

// again returns the runs with which somebody else went on meanwhile, as they
// are now.
func (s *stopping) again(ctx context.Context, changes []*run.Change) (out []run.Stored, err error) {
	for _, c := range changes {
		switch {
		case c.Err == nil:
			s.out.Done++
			continue
		case !errors.Is(c.Err, run.ErrMoved):
			return nil, c.Err
		}
		id := c.Runs[0].ID
		r, rev, found, err := s.d.Runs.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if !found || r.State.Over() {
			s.out.Over++
			continue
		}
		out = append(out, run.Stored{ID: id, Run: r, Rev: rev})
	}
	return out, nil
}

// programs are versions of one flow, as far as they were asked for.
type programs struct {
	defs *definition.Store
	have map[int]*flow.Program
}

func (v programs) of(ctx context.Context, id string, version int) (*flow.Program, error) {
	if p := v.have[version]; p != nil {
		return p, nil
	}
	spec, err := v.defs.FlowSpec(ctx, id, version)
	if err != nil {
		return nil, err
	}
	p, err := flow.Compile(spec, version)
	if err != nil {
		return nil, fmt.Errorf("flow %s, version %d: %w", id, version, err)
	}
	v.have[version] = p
	return p, nil
}

// entry is a run that was stopped. What it owed may not be done yet, and is
// done with what the end asks for: only messages are not planned any more.
func (d *Desk) entry(p *flow.Program, r run.Stored, why string) *run.Entry {
	out := p.Ended(r.ID, r.Run, flow.Stopped, why, d.Now()).Run
	var before []flow.Effect
	for _, e := range r.Run.Owes {
		again := e.Kind == flow.Change || e.Kind == flow.Start || e.Kind == flow.Stop
		if again && !slices.ContainsFunc(out.Owes, func(o flow.Effect) bool { return o.ID == e.ID }) {
			before = append(before, e)
		}
	}
	out.Owes = append(before, out.Owes...)
	e := &run.Entry{ID: r.ID, Run: out, Rev: r.Rev, Keep: run.Keep(p.Spec.Reentry, p.Again())}
	for i, who := range out.Identities {
		if i > 0 { // by the first it is named
			e.Also = append(e.Also, d.Key(who.Sender, who.Person))
		}
	}
	return e
}
