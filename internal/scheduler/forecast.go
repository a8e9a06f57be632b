package scheduler

import (
	"context"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/plan"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Forecast is what the gate would say of a broadcast's audience at a moment,
// by what is known now.
type Forecast struct {
	At       time.Time
	Audience int
	Send     map[string]int // by rule
	Hold     map[reason.Code]int
	Block    map[reason.Code]int
}

// Forecast judges everybody whom the broadcast's audience picks now, as of
// when it is due; of one that is due already, as of now, whether or not a part
// of it is sent.
func (s *Scheduler) Forecast(ctx context.Context, g gate.Rules, id string) (Forecast, error) {
	now := time.Now()
	f := Forecast{At: now.UTC(), Send: map[string]int{}, Hold: map[reason.Code]int{}, Block: map[reason.Code]int{}}
	b, _, err := s.Defs.Broadcast(ctx, id)
	if err != nil {
		return f, err
	}
	if due, _, err := b.Spec.Times(now); err == nil {
		f.At = due
	}
	picked, err := picks(b.Spec.Audience)
	if err != nil {
		return f, err
	}
	return f, s.everybody(ctx, g, b, picked, func(r contact.Record, judge judge) { f.count(judge(r, f.At)) })
}

// picked tells whether a contact is to be judged.
type picked func(k job.Key, r contact.Record) bool

// picks is whom an audience picks by what is known now.
func picks(a broadcast.Audience) (picked, error) {
	sel, err := plan.NewSelector(a)
	return func(_ job.Key, r contact.Record) bool {
		// Whom the expression can't be asked of is counted by the freeze.
		ok, err := sel.Match(r)
		return err == nil && ok
	}, err
}

// judge is what the gate would say of a contact at a moment.
type judge func(r contact.Record, at time.Time) policy.Verdict

// everybody calls fn with every contact of a broadcast's sender that is
// picked, and with what judges them.
func (s *Scheduler) everybody(ctx context.Context, g gate.Rules, b *broadcast.Broadcast, picked picked, fn func(contact.Record, judge)) error {
	from, _, err := s.Defs.Sender(ctx, b.Spec.Sender)
	if err != nil {
		return err
	}
	p, err := s.Defs.Plan(ctx, b)
	if err != nil {
		return err
	}
	says := func(r contact.Record, at time.Time) policy.Verdict { return g.Forecast(r, p, from, at).Verdict }
	_, err = s.Facts.Each(ctx, b.Spec.Sender, func(k job.Key, r contact.Record) error {
		if picked(k, r) {
			fn(r, says)
		}
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
		f.Hold[v.Reason]++
	case policy.Block:
		f.Block[v.Reason]++
	}
}
