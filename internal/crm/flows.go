package crm

import (
	"context"
	"errors"
	"fmt"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
)

// errNobody says that a flow looked for its contact and found none.
var errNobody = errors.New("contact: it gives nobody for this event")

// byFlows adds whom the flows say that an event is about which hear such
// events. That one of them finds nobody is worth a word only where nobody else
// does: an event may be about a number that one flow reads and have no id that
// another does.
func (n *Naming) byFlows(ctx context.Context, e *event.Event, p *people) (why, err error) {
	var nobody error
	for _, f := range n.hear(e.Type) {
		ids, none, err := n.of(ctx, f, *e)
		if err != nil {
			return nil, err
		}
		if none != nil {
			none = fmt.Errorf("flow %s: %w", f.Spec.ID, none)
		}
		if errors.Is(none, errNobody) {
			nobody = errors.Join(nobody, none)
		} else {
			why = errors.Join(why, none)
		}
		for _, id := range ids {
			p.flow(*e, id)
		}
	}
	if len(p.events) == 0 {
		why = errors.Join(why, nobody)
	}
	return why, nil
}

// hear returns who hears events of a type: of each flow the newest version,
// which may begin runs, and older ones whose runs may be moved. Of versions that
// look for their contact in the same way one is enough.
func (n *Naming) hear(t event.Type) []*flow.Program {
	if out, ok := n.hearers[t]; ok {
		return out
	}
	out, seen := []*flow.Program{}, map[string]bool{}
	for i, f := range n.Flows {
		s := f.Spec
		newest := i == 0 || n.Flows[i-1].Spec.ID != s.ID
		how := fmt.Sprint(s.ID, s.Sender, s.Owner, s.Owners, s.Contact, s.Also)
		begins, moves := f.Hears(t, "")
		if (moves || begins && newest) && len(s.Contact)+len(s.Also) > 0 && !seen[how] {
			seen[how] = true
			out = append(out, f)
		}
	}
	if n.hearers == nil {
		n.hearers = map[event.Type][]*flow.Program{}
	}
	n.hearers[t] = out
	return out
}

// of returns whom an event is about for a flow, the first first; none where
// that one may not be seen. It also says why there are fewer than there should
// be.
func (n *Naming) of(ctx context.Context, f *flow.Program, e event.Event) (ids []flow.Identity, why, err error) {
	t := &flow.Told{Event: e}
	first, ok, why := f.Main(t)
	if why == nil && !ok {
		why = errNobody
	}
	if why == nil {
		ok, why, err = n.visible(ctx, first.Sender)
	}
	if why != nil || err != nil || !ok {
		return nil, why, err
	}
	t.Sender, t.Person = first.Sender, first.Person
	known, err := n.record(ctx, f, first)
	if err != nil {
		return nil, nil, err
	}
	others, why := f.Others(t, known)
	ids = []flow.Identity{first}
	for _, id := range others {
		ok, bad, err := n.visible(ctx, id.Sender)
		if err != nil {
			return nil, nil, err
		}
		if why = errors.Join(why, bad); ok && bad == nil {
			ids = append(ids, id)
		}
	}
	return ids, why, nil
}

// visible tells whether a sender may be seen, and why it can't be anybody's.
func (n *Naming) visible(ctx context.Context, id string) (sees bool, why, err error) {
	known, err := n.known(ctx, id)
	if err != nil {
		return false, nil, err
	}
	if !known {
		return false, fmt.Errorf("sender %s is not defined", id), nil
	}
	return n.Sees(id), nil, nil
}

// record returns what is known of whom an event is about, nil for nothing,
// where a flow may look there for who that is to other senders.
func (n *Naming) record(ctx context.Context, f *flow.Program, id flow.Identity) (*contact.Record, error) {
	if len(f.Spec.Also) == 0 {
		return nil, nil
	}
	return n.Contact(ctx, id)
}

// contact returns what is known of somebody, nil for nothing.
func (in *Intake) contact(ctx context.Context, id flow.Identity) (*contact.Record, error) {
	key := in.Desk.Facts.Key(id.Sender, id.Person)
	have, err := in.Desk.Facts.Contacts(ctx, id.Sender, []job.Key{key})
	if err != nil {
		return nil, err
	}
	if r, ok := have[key]; ok {
		return &r, nil
	}
	return nil, nil
}

// known tells whether a sender is defined.
func (n *Naming) known(ctx context.Context, id string) (bool, error) {
	if is, looked := n.exists[id]; looked {
		return is, nil
	}
	is, err := n.Defined(ctx, id)
	if err != nil {
		return false, err
	}
	if n.exists == nil {
		n.exists = map[string]bool{}
	}
	n.exists[id] = is
	return is, nil
}

func (in *Intake) defined(ctx context.Context, id string) (bool, error) {
	_, _, err := in.Defs.Sender(ctx, id)
	if errors.Is(err, definition.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
