package crm

import (
	"context"
	"errors"
	"fmt"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/mapping"
)

// Naming finds out whom events are about. It asks no engine itself, so that a
// rehearsal names people as the intake does. It is for one goroutine.
type Naming struct {
	Maps    []*mapping.Mapping
	Flows   []*flow.Program // as Intake.Flows gives them
	Native  bool            // an event may say itself whom it is about
	Sees    func(sender string) bool
	Defined func(ctx context.Context, sender string) (bool, error)
	Contact func(ctx context.Context, id flow.Identity) (*contact.Record, error) // what is known of somebody; nil for nothing

	hearers map[event.Type][]*flow.Program
	exists  map[string]bool // senders that were looked up
}

func (in *Intake) naming(ctx context.Context) (*Naming, error) {
	flows, err := in.Flows(ctx)
	if err != nil {
		return nil, fmt.Errorf("flows: %w", err)
	}
	return &Naming{Flows: flows, Defined: in.defined, Contact: in.contact}, nil
}

// Refused says why an event is no good.
type Refused struct{ error }

// Whom returns an event once for each contact that it is about, none where it
// names nobody, and why it may name fewer than it should. Its own errors are
// Refused, and those of whom it asks.
func (n *Naming) Whom(ctx context.Context, e *event.Event) (about []event.Event, why, err error) {
	p := people{at: map[flow.Identity]int{}}
	if n.Native && e.Type == mapping.Changed {
		one, err := mapping.Native(*e)
		if err != nil {
			return nil, nil, Refused{err}
		}
		p.rule(one)
	} else {
		why = n.byRules(e, &p)
	}
	byFlows, err := n.byFlows(ctx, e, &p)
	return p.told(e.ID), errors.Join(why, byFlows), err
}

func (n *Naming) byRules(e *event.Event, p *people) (why error) {
	for _, m := range n.Maps {
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

// flow adds somebody whom a flow named: nothing changes of them, but they are
// known from then on.
func (p *people) flow(e event.Event, id flow.Identity) {
	i, ok := p.at[id]
	if !ok {
		i = len(p.events)
		e.Sender, e.Person = id.Sender, id.Person
		p.at[id], p.events = i, append(p.events, e)
	}
	if p.events[i].Change == nil {
		p.events[i].Change = &contact.Change{}
	}
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
