package scheduler

import (
	"context"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/plan"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// Forecast is what the gate would say of a broadcast's audience at a moment,
// by what is known now.
type Forecast struct {
	At       time.Time
	Audience int
	Send     map[string]int // by rule
	Hold     map[string]int // by reason
	Block    map[string]int // by reason
}

// Forecast judges everybody whom the broadcast would be sent to, as of when
// it is due; of one that is due already, as of now.
func (s *Scheduler) Forecast(ctx context.Context, g *gate.Gate, id string) (Forecast, error) {
	f := Forecast{At: time.Now().UTC(), Send: map[string]int{}, Hold: map[string]int{}, Block: map[string]int{}}
	b, _, err := s.Defs.Broadcast(ctx, id)
	if err != nil {
		return f, err
	}
	spec, _, err := s.Defs.Sender(ctx, b.Spec.Sender)
	if err != nil {
		return f, err
	}
	text, err := broadcast.ParseTemplate(b.Spec.Message.Text)
	if err != nil {
		return f, err
	}
	sel, err := plan.NewSelector(b.Spec.Audience)
	if err != nil {
		return f, err
	}
	if at, err := b.Spec.At(); err == nil && at.After(f.At) {
		f.At = at.UTC()
	}
	p := &definition.Planned{Spec: b.Spec, Text: text}
	_, err = s.Facts.Each(ctx, b.Spec.Sender, func(_ job.Key, r contact.Record) error {
		if ok, err := sel.Match(r); err != nil || !ok {
			return nil // counted when the audience is frozen
		}
		f.count(g.Forecast(r, p, spec, f.At).Verdict)
		return nil
	})
	return f, err
}

func (f *Forecast) count(v policy.Verdict) {
	f.Audience++
	switch v.Kind {
	case policy.Send:
		f.Send[v.Rule]++
	case policy.Hold, policy.Undecided:
		f.Hold[string(v.Reason)]++
	case policy.Block:
		f.Block[string(v.Reason)]++
	}
}
