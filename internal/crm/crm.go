// Package crm takes the events of CRM systems that come as CloudEvents,
// whichever way: it finds out whom they are about, by the rules of the hooks
// of type events, and hands them to the desk. It knows no wire form.
//
// Its invariant: either all events of one call are handed in, or none is.
package crm

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/mapping"
)

// Intake takes events. It is safe for concurrent use.
type Intake struct {
	Defs  *definition.Store
	Desk  *ingest.Desk
	Cache *mapping.Cache

	taken, nobody atomic.Int64
}

// Taken returns how many events were taken, since the process started.
func (in *Intake) Taken() int64 { return in.taken.Load() }

// Nobody returns how many of them named no contact.
func (in *Intake) Nobody() int64 { return in.nobody.Load() }

// Found is events of one call with what they say of whom, ready to be taken.
type Found struct {
	About   int             // contacts that they were found to be about
	Lost    []Nobody        // events that name nobody: kept to be known again, and nothing more
	Senders map[string]bool // whose those are
	told    int
	said    []event.Event
}

// Nobody is an event that names no contact.
type Nobody struct {
	Source, ID string
	Why        string // "" where no rule is for it
}

// Refusal says why no event of a call was taken: one of them is no good.
type Refusal struct{ Why string }

// Error says what is wrong with which event.
func (r *Refusal) Error() string { return r.Why }

// Find finds out whom events are about, for whoever may see some senders. Its
// errors are *Refusal, and definition.ErrNotFound for a sender that is not
// there or not to be seen.
func (in *Intake) Find(ctx context.Context, sees func(sender string) bool, events []event.Event) (Found, error) {
	maps, err := in.mappings(ctx)
	if err != nil {
		return Found{}, err
	}
	out := Found{told: len(events)}
	for i := range events {
		about, why, err := mapped(maps, events[i])
		if err != nil {
			return Found{}, &Refusal{fmt.Sprintf("events[%d]: %v", i, err)}
		}
		if len(about) == 0 {
			out.Lost = append(out.Lost, Nobody{events[i].Source, events[i].ID, text(why)})
			about = []event.Event{mapping.Bare(events[i], why)}
		} else {
			out.About += len(about)
		}
		out.said = append(out.said, about...)
	}
	out.Senders, err = in.known(ctx, sees, out.said)
	return out, err
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

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// mapped returns what an event says of whom.
func mapped(maps []*mapping.Mapping, e event.Event) (about []event.Event, why, refused error) {
	if e.Type == mapping.Changed {
		n, err := mapping.Native(e)
		return []event.Event{n}, nil, err
	}
	for _, m := range maps {
		if !m.Takes(e.Source) {
			continue
		}
		some, err := m.Map(e)
		if err != nil {
			why = err
		}
		for _, n := range some {
			if len(about) > 0 {
				n.ID = fmt.Sprintf("%s~%d", e.ID, len(about)+1)
			}
			about = append(about, n)
		}
	}
	return about, why, nil
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

// known returns the senders that events are about, and refuses one that is not
// there, or not to be seen.
func (in *Intake) known(ctx context.Context, sees func(string) bool, events []event.Event) (map[string]bool, error) {
	looked := map[string]bool{}
	for i := range events {
		id := events[i].Sender
		if id == "" || looked[id] {
			continue
		}
		looked[id] = true
		if !sees(id) {
			return nil, fmt.Errorf("sender %s: %w", id, definition.ErrNotFound)
		}
		if _, _, err := in.Defs.Sender(ctx, id); err != nil {
			return nil, err
		}
	}
	return looked, nil
}
