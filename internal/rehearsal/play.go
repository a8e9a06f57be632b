package rehearsal

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/carillon-dev/carillon/internal/crm"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
)

// Options say how a rehearsal is played.
type Options struct {
	Contacts []byte    // CSV, as for contacts import; nil: nobody is known
	Until    time.Time // when it is broken off; zero: once nothing is left to happen
}

// The bounds of a rehearsal: nothing of a flow waits longer than a year, and
// what goes on for more moments would not end.
const (
	horizon    = 400 * 24 * time.Hour
	maxMoments = 5_000_000
)

// Play plays a script. Its error says what of the script or of the documents
// is no good.
func (s *Stage) Play(ctx context.Context, script *Script, o Options) (*Report, error) {
	p := &play{
		Stage: s, people: newPeople(), until: o.Until, fates: slices.Clone(script.Fates),
		runs: map[flow.ID]*flow.Run{}, shown: map[flow.ID]*Run{}, memories: map[memoryOf]*flow.Memory{}, jobs: map[string]*Message{},
		of: map[flow.Identity][]flow.ID{}, waits: map[flow.Identity][]func() error{},
		report: &Report{Runs: []*Run{}, Quiet: []Quiet{}},
	}
	p.now = script.From()
	p.report.From = p.now
	p.names = p.naming()
	last := p.now
	for _, t := range script.Told {
		last = t.Arrives
		if t.act && s.senders[t.Sender] == nil {
			return nil, fmt.Errorf("line %d: sender %s is not defined", t.Line, t.Sender)
		}
	}
	if p.until.IsZero() {
		p.until = last.Add(horizon)
	}
	if err := p.people.enter(o.Contacts, slices.Sorted(maps.Keys(s.senders)), p.now); err != nil {
		return nil, err
	}
	for _, who := range p.people.sorted() { // flows see whom they follow when they are applied
		p.tellFollowers(who)
	}
	if err := p.play(ctx, script.Told); err != nil {
		return nil, err
	}
	return p.finish(o), nil
}

// play is one rehearsal under way.
type play struct {
	*Stage
	people   *people
	names    *crm.Naming
	agenda   agenda
	deeds    []func() error // to be done in this moment, in order
	fates    []Fate
	now      time.Time
	happened time.Time // when the last thing did
	until    time.Time
	told     uint64 // sequence of events
	changes  uint64 // sequence of facts
	runs     map[flow.ID]*flow.Run
	order    []flow.ID // of runs, as they began first
	shown    map[flow.ID]*Run
	memories map[memoryOf]*flow.Memory
	of       map[flow.Identity][]flow.ID // runs by everybody who is in them, as they began
	jobs     map[string]*Message         // by the name of their source
	waits    map[flow.Identity][]func() error
	report   *Report
}

// memoryOf names what a flow remembers of a contact.
type memoryOf struct {
	flow    string
	contact job.Key
}

// play goes from moment to moment. What is told in the moment at which a wait
// ends comes first, as it does live.
func (p *play) play(ctx context.Context, told []Told) error {
	for range maxMoments {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		at, what, due := p.agenda.next()
		switch {
		case len(told) > 0 && (!due || told[0].Arrives.Before(at) || told[0].Arrives.Equal(at) && what == clocks):
			if told[0].Arrives.After(p.until) {
				return nil
			}
			t := told[0]
			told, p.now, p.happened = told[1:], t.Arrives, t.Arrives
			p.deed(func() error { return p.hear(ctx, t) })
		case due && !at.After(p.until):
			p.now = at
			p.deeds = append(p.deeds, p.agenda.take().do)
		default:
			return nil
		}
		for len(p.deeds) > 0 {
			next := p.deeds[0]
			p.deeds = p.deeds[1:]
			if err := next(); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("at %s it has gone on for %d moments: it would not end", p.now.Format(time.RFC3339), maxMoments)
}

func (p *play) deed(do func() error) { p.deeds = append(p.deeds, do) }
