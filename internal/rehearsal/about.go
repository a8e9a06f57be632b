package rehearsal

import (
	"context"
	"fmt"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/crm"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/flow"
)

// naming finds out whom a CRM's events are about, as the intake does.
func (p *play) naming() *crm.Naming {
	return &crm.Naming{
		Maps: p.maps, Flows: p.flows, Native: true,
		Sees:    func(string) bool { return true },
		Defined: func(_ context.Context, id string) (bool, error) { return p.senders[id] != nil, nil },
		Contact: func(_ context.Context, who flow.Identity) (*contact.Record, error) {
			if r, known := p.people.records[who]; known {
				return &r, nil
			}
			return nil, nil
		},
	}
}

// about returns what is told once for each contact that it is about, as it is
// kept live.
func (p *play) about(ctx context.Context, t Told) ([]event.Event, error) {
	if t.act {
		e, s := t.Event, p.sender(t.Sender)
		e.Channel, e.Account = s.Channel, s.Account
		return []event.Event{e}, nil
	}
	about, why, err := p.names.Whom(ctx, &t.Event)
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", t.Line, err)
	}
	for _, e := range about {
		if p.senders[e.Sender] == nil {
			return nil, fmt.Errorf("line %d: sender %s is not defined", t.Line, e.Sender)
		}
	}
	switch {
	case len(about) > 0:
	case why != nil:
		p.quiet(&t.Event, "", "it names nobody: "+why.Error())
	default:
		p.quiet(&t.Event, "", "no flow hears it, and no rule names anybody")
	}
	return about, nil
}
