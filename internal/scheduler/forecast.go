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
	if at, err := b.Spec.At(); err == nil && at.After(f.At) {
		f.At = at.UTC()
	}
	return f, s.everybody(ctx, g, b, func(r contact.Record, judge judge) { f.count(judge(r, f.At)) })
}

// judge is what the gate would say of a contact at a moment.
type judge func(r contact.Record, at time.Time) policy.Verdict

// everybody calls fn with every contact whom a broadcast would go to by what
// is known now, and with what judges them.
func (s *Scheduler) everybody(ctx context.Context, g *gate.Gate, b *broadcast.Broadcast, fn func(contact.Record, judge)) error {
	from, _, err := s.Defs.Sender(ctx, b.Spec.Sender)
	if err != nil {
		return err
	}
	text, err := broadcast.ParseTemplate(b.Spec.Message.Text)
	if err != nil {
		return err
	}
	sel, err := plan.NewSelector(b.Spec.Audience)
	if err != nil {
		return err
	}
	p := &definition.Planned{Spec: b.Spec, Text: text}
	says := func(r contact.Record, at time.Time) policy.Verdict { return g.Forecast(r, p, from, at).Verdict }
	_, err = s.Facts.Each(ctx, b.Spec.Sender, func(_ job.Key, r contact.Record) error {
		if ok, err := sel.Match(r); err != nil || !ok {
			return nil // counted when the audience is frozen
		}
		fn(r, says)
		return nil
	})
	return err
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
