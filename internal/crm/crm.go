// Package crm takes the events of CRM systems, whichever way they come: it
// finds out whom they are about, by the rules of hooks and by what flows
// declare, and hands them to the desk. It knows no wire form.
//
// Its invariant: either all events of one call are handed in, or none is; and
// what an event says is kept only where a person's erasure would find it.
package crm

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/mapping"
)

// Intake takes events. It is safe for concurrent use.
type Intake struct {
	Defs  *definition.Store
	Desk  *ingest.Desk
	Cache *mapping.Cache
	Flows func(ctx context.Context) ([]*flow.Program, error) // every version of those that are not deleted, by id, the newest of each first
	Press *Pressure                                          // nil: any number of events may wait for flows

	taken, nobody atomic.Int64
}

// Taken returns how many events were taken, since the process started.
func (in *Intake) Taken() int64 { return in.taken.Load() }

// Nobody returns how many of them named no contact.
func (in *Intake) Nobody() int64 { return in.nobody.Load() }

// Found is events of one call with what they say of whom, ready to be taken.
type Found struct {
	About      int             // contacts that they were found to be about
	Lost       []Nobody        // events that name nobody: kept to be known again, and nothing more
	Unresolved []Nobody        // events that name somebody, but not by all that should have
	Senders    map[string]bool // whose those are
	told       int
	said       []event.Event
}

// Nobody is an event that names no contact, or not all that it should.
type Nobody struct {
	Source, ID string
	Why        string // "" where no rule and no flow is for it
}

// Refusal says why no event of a call was taken: one of them is no good.
type Refusal struct{ Why string }

// Error says what is wrong with which event.
func (r *Refusal) Error() string { return r.Why }

// Find finds out whom events are about, for whoever may see some senders: by
// the rules of all hooks of type events, and by flows. A flow of a sender that
// may not be seen does not hear of it. Its errors are *Refusal, *Behind, and
// definition.ErrNotFound for a sender that an event or a rule names and that is
// not there or not to be seen.
func (in *Intake) Find(ctx context.Context, sees func(sender string) bool, events []event.Event) (Found, error) {
	if err := in.Press.check(ctx); err != nil {
		return Found{}, err
	}
	n, err := in.naming(ctx)
	if err != nil {
		return Found{}, err
	}
	if n.Maps, err = in.mappings(ctx); err != nil {
		return Found{}, err
	}
	n.Native, n.Sees = true, sees
	out := Found{told: len(events), Senders: map[string]bool{}}
	for i := range events {
		e := &events[i]
		about, why, err := n.Whom(ctx, e)
		if r, ok := errors.AsType[Refused](err); ok {
			return Found{}, &Refusal{fmt.Sprintf("events[%d]: %v", i, r)}
		}
		if err != nil {
			return Found{}, err
		}
		out.add(e, about, why)
	}
	for _, e := range out.said {
		if e.Sender == "" {
			continue
		}
		if known, err := n.known(ctx, e.Sender); err != nil {
			return Found{}, err
		} else if !known || !sees(e.Sender) {
			return Found{}, fmt.Errorf("sender %s: %w", e.Sender, definition.ErrNotFound)
		}
		out.Senders[e.Sender] = true
	}
	return out, nil
}

func (f *Found) add(e *event.Event, about []event.Event, why error) {
	switch {
	case len(about) == 0:
		f.Lost = append(f.Lost, Nobody{e.Source, e.ID, text(why)})
		about = []event.Event{mapping.Bare(*e, why)}
	case why != nil:
		f.Unresolved = append(f.Unresolved, Nobody{e.Source, e.ID, text(why)})
		fallthrough
	default:
		f.About += len(about)
	}
	f.said = append(f.said, about...)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Take hands in what was found. Its errors are those of the desk; after one
// the same events are to be told again.
func (in *Intake) Take(ctx context.Context, f Found) (ingest.Taken, error) {
	taken, err := in.Desk.Take(ctx, f.said)
	if err != nil {
		return taken, err
	}
	in.taken.Add(int64(f.told))
	in.nobody.Add(int64(len(f.Lost)))
	return taken, nil
}

// Hear takes what a CRM called a hook of its own with. The hook's rules say
// whom it is about, and flows of any sender hear of it. Its error is *Behind where nothing may be taken now.
func (in *Intake) Hear(ctx context.Context, h *hook.Spec, told []event.Event) error {
	if err := in.Press.check(ctx); err != nil {
		return err
	}
	m, err := in.Cache.Of(h)
	if err != nil { // it was compiled when it was applied
		return fmt.Errorf("hook %s: %w", h.ID, err)
	}
	n, err := in.naming(ctx)
	if err != nil {
		return err
	}
	n.Maps, n.Sees = []*mapping.Mapping{m}, func(string) bool { return true }
	var f Found
	for i := range told {
		about, why, err := n.Whom(ctx, &told[i])
		if err != nil {
			return err
		}
		f.add(&told[i], about, why)
	}
	_, err = in.Desk.Take(ctx, f.said)
	return err
}

// mappings are the rules of all hooks of type events, by the hooks' ids.
func (in *Intake) mappings(ctx context.Context) ([]*mapping.Mapping, error) {
	ids, err := in.Defs.Hooks(ctx)
	if err != nil {
		return nil, err
	}
	var out []*mapping.Mapping
	for _, id := range ids {
		h, _, err := in.Defs.Hook(ctx, id)
		if errors.Is(err, definition.ErrNotFound) || err == nil && h.Type != hook.Events {
			continue
		}
		if err != nil {
			return nil, err
		}
		m, err := in.Cache.Of(h)
		if err != nil {
			return nil, fmt.Errorf("hook %s: %w", id, err)
		}
		out = append(out, m)
	}
	return out, nil
}
