package crm

import (
	"context"
	"errors"
	"fmt"

	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/mapping"
)

// naming finds out whom the events of one call are about.
type naming struct {
	*Intake
	maps   []*mapping.Mapping
	native bool            // an event may say itself whom it is about
	exists map[string]bool // senders that were looked up
}

func (in *Intake) naming(maps []*mapping.Mapping, native bool) *naming {
	return &naming{in, maps, native, map[string]bool{}}
}

// known tells whether a sender is defined.
func (n *naming) known(ctx context.Context, id string) (bool, error) {
	if is, looked := n.exists[id]; looked {
		return is, nil
	}
	_, _, err := n.Defs.Sender(ctx, id)
	if err != nil && !errors.Is(err, definition.ErrNotFound) {
		return false, err
	}
	n.exists[id] = err == nil
	return err == nil, nil
}

// whom returns an event once for each contact that it is about, none where it
// names nobody, and why it may name fewer than it should. The last error says
// why the event is no good.
func (n *naming) whom(e *event.Event) (about []event.Event, why, refused error) {
	p := people{at: map[flow.Identity]int{}}
	if n.native && e.Type == mapping.Changed {
		one, err := mapping.Native(*e)
		if err != nil {
			return nil, nil, err
		}
		p.rule(one)
	} else {
		why = n.byRules(e, &p)
	}
	return p.told(e.ID), why, nil
}

func (n *naming) byRules(e *event.Event, p *people) (why error) {
	for _, m := range n.maps {
		if !m.Takes(e.Source) {
			continue
		}
		some, err := m.Map(*e)
		why = errors.Join(why, err)
		for _, one := range some {
			p.rule(one)
		}
	}
	return why
}

// people are whom one event is about, each with what it says of them.
type people struct {
	events []event.Event
	at     map[flow.Identity]int // the first about each
}

// rule adds what a rule found. What a second rule says of the same contact is
// no news for flows.
func (p *people) rule(e event.Event) {
	id := flow.Identity{Sender: e.Sender, Person: e.Person}
	if _, e.Silent = p.at[id]; !e.Silent {
		p.at[id] = len(p.events)
	}
	p.events = append(p.events, e)
}

// told returns the events. All but the first have an id of their own, and that
// of the telling beside it.
func (p *people) told(id string) []event.Event {
	for i := range p.events[min(1, len(p.events)):] {
		e := &p.events[i+1]
		e.ID, e.Of = fmt.Sprintf("%s~%d", id, i+2), id
	}
	return p.events
}
