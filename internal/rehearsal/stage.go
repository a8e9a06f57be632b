// Package rehearsal plays events against flows on a simulated clock: it does in
// memory what the live driver does, by the same engine, the same rules and the
// same reading of what events say of contacts, so that a flow can be tried in
// moments and held against a golden file. It asks no engine, calls nobody and
// reads no clock.
//
// Invariant: the same documents, contacts and events give the same report, byte
// by byte; the order of the lines in a file of events, and lines that stand in
// it twice, change nothing.
package rehearsal

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/mapping"
	"github.com/carillon-dev/carillon/internal/sender"
)

// Stage is what is defined, ready to be played. Nothing of it changes once it
// was made.
type Stage struct {
	rules     gate.Rules
	zones     *gate.Zones
	senders   map[string]*sender.Spec
	templates map[string]*content.Template
	flows     []*flow.Program // by id
	maps      []*mapping.Mapping
}

// NewStage puts the documents of one file on the stage, each flow as its first
// version. It refuses what apply would refuse at that moment, with an error of
// definition.Error's form, and returns apply's advice.
func NewStage(ctx context.Context, file string, docs []definition.Document, rules gate.Rules, at time.Time) (s *Stage, advice []string, err error) {
	applied, err := definition.Alone(ctx, file, docs, definition.Check{
		Sender: rules.CheckSender,
		Flow:   func(f *definition.FlowCheck) ([]string, error) { return rules.CheckFlow(f, at) },
	})
	if err != nil {
		return nil, nil, err
	}
	for _, a := range applied {
		for _, w := range a.Warnings {
			advice = append(advice, a.ID+": "+w)
		}
	}
	s = &Stage{rules: rules, zones: gate.NewZones(), senders: map[string]*sender.Spec{}, templates: map[string]*content.Template{}}
	for _, d := range docs {
		if err := s.add(d); err != nil {
			return nil, nil, err
		}
	}
	if len(s.flows) == 0 {
		return nil, nil, fmt.Errorf("%s: no document of kind: Flow: there is nothing to rehearse", file)
	}
	slices.SortFunc(s.flows, func(a, b *flow.Program) int { return strings.Compare(a.Spec.ID, b.Spec.ID) })
	return s, advice, nil
}

func (s *Stage) add(d definition.Document) error {
	switch {
	case d.Sender != nil:
		s.senders[d.Sender.ID] = d.Sender
	case d.Template != nil:
		s.templates[d.Template.ID] = d.Template
	case d.Hook != nil && d.Hook.Type == hook.Events:
		m, err := mapping.Compile(d.Hook)
		if err != nil { // apply would have said so
			return fmt.Errorf("hook %s: %w", d.Hook.ID, err)
		}
		s.maps = append(s.maps, m)
	case d.Flow != nil:
		p, err := flow.Compile(d.Flow, 1)
		if err != nil { // the same
			return fmt.Errorf("flow %s: %w", d.Flow.ID, err)
		}
		s.flows = append(s.flows, p)
	}
	return nil
}

// program returns a flow, nil for one that is not on the stage.
func (s *Stage) program(id string) *flow.Program {
	i, found := slices.BinarySearchFunc(s.flows, id, func(p *flow.Program, id string) int { return strings.Compare(p.Spec.ID, id) })
	if !found {
		return nil
	}
	return s.flows[i]
}

// sender returns a sender, nil for one that is not on the stage.
func (s *Stage) sender(id string) *sender.Spec { return s.senders[id] }
