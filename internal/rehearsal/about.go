package rehearsal

import (
	"errors"
	"fmt"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/mapping"
)

// about returns what is told once for each contact that it is about, as it is
// kept live.
func (p *play) about(t Told) []event.Event {
	e := t.Event
	if s := p.sender(e.Sender); s != nil && t.act {
		e.Channel, e.Account = s.Channel, s.Account
		return []event.Event{e}
	}
	var found people2
	why := p.byRules(&e, &found)
	if e.Type != mapping.Changed {
		why = errors.Join(why, p.byFlows(&e, &found))
	}
	if len(found.events) == 0 {
		p.quiet(&flow.Told{Event: e}, "", whyNobody(why))
	}
	return found.events
}

func whyNobody(why error) string {
	if why != nil {
		return "it names nobody: " + why.Error()
	}
	return "it names nobody: no flow and no rule is for it"
}

type people2 struct {
	events []event.Event
	seen   map[flow.Identity]bool
}

func (f *people2) add(e event.Event) {
	if f.seen == nil {
		f.seen = map[flow.Identity]bool{}
	}
	who := flow.Identity{Sender: e.Sender, Person: e.Person}
	e.Silent = f.seen[who]
	f.seen[who] = true
	if n := len(f.events); n > 0 {
		e.Of, e.ID = e.ID, fmt.Sprintf("%s~%d", e.ID, n+1)
	}
	f.events = append(f.events, e)
}

func (p *play) byRules(e *event.Event, f *people2) (why error) {
	if e.Type == mapping.Changed {
		one, err := mapping.Native(*e)
		if err == nil {
			f.add(one)
		}
		return err
	}
	for _, m := range p.maps {
		if !m.Takes(e.Source) {
			continue
		}
		some, err := m.Map(*e)
		why = errors.Join(why, err)
		for _, one := range some {
			f.add(one)
		}
	}
	return why
}

func (p *play) byFlows(e *event.Event, f *people2) (why error) {
	for _, prog := range p.flows {
		if begins, moves := prog.Hears(e.Type, ""); !begins && !moves {
			continue
		}
		t := &flow.Told{Event: *e}
		main, is, err := prog.Main(t)
		why = errors.Join(why, err)
		others, err := prog.Others(t, nil)
		why = errors.Join(why, err)
		if is {
			others = append([]flow.Identity{main}, others...)
		}
		for _, who := range others {
			if !f.seen[who] {
				one := *e
				one.Sender, one.Person = who.Sender, who.Person
				f.add(one)
			}
		}
	}
	return why
}
