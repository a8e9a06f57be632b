package scheduler

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Impact is what a change of the rules does to one broadcast that has not
// ended. Whoever is not counted in Broken, Allowed or Blocked is let through
// at both moments, at once or after a while.
type Impact struct {
	ID       string
	Sender   string
	State    broadcast.State
	Due      time.Time           // when it goes out: at its time, now where that has come or there is none
	Ends     time.Time           // zero: it has no end yet, being a draft without a time
	Gone     bool                // it goes out before the first moment, so nobody was judged
	Audience int                 // who was judged: whom it would still go to by what is known now
	Broken   map[reason.Code]int // let through before and blocked after
	Allowed  map[string]int      // blocked before and let through after, by the rule that does it
	Blocked  int                 // at both moments
}

// Impacts judges everybody whom the stored broadcasts of some senders, those
// that sees says, would still go to under the rules of two moments, one broadcast after the other, by id: of one whose
// audience is frozen the members whose job has not ended, of any other whom
// its audience picks now. The second moment of one that goes out before it is
// when it does, since later rules don't touch it. Only the dates of the rules
// differ between the two verdicts: message and sender are the same, and what
// is known of a contact is moved along with the moment, so that every age is
// what it is when the broadcast is due.
func (s *Scheduler) Impacts(ctx context.Context, g gate.Rules, before, after time.Time, sees func(sender string) bool, fn func(Impact) error) error {
	ids, err := s.Defs.Broadcasts(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, id := range ids {
		b, _, err := s.Defs.Broadcast(ctx, id)
		if err != nil {
			return err
		}
		if b.State.Over() || !sees(b.Spec.Sender) {
			continue
		}
		i, err := s.impact(ctx, g, b, span{before, after}, now)
		if err != nil {
			return fmt.Errorf("broadcast %s: %w", id, err)
		}
		if err := fn(i); err != nil {
			return err
		}
	}
	return nil
}

func (s *Scheduler) impact(ctx context.Context, g gate.Rules, b *broadcast.Broadcast, sp span, now time.Time) (Impact, error) {
	i := newImpact(b, now)
	sp, i.Gone = i.within(sp, now)
	if i.Gone {
		return i, nil
	}
	picked, err := s.remaining(ctx, b)
	if err != nil {
		return i, err
	}
	return i, s.everybody(ctx, g, b, picked, func(r contact.Record, judge judge) { i.count(sp.verdicts(judge, r, i.Due, i.Ends)) })
}

// remaining picks whom a broadcast would still go to.
func (s *Scheduler) remaining(ctx context.Context, b *broadcast.Broadcast) (picked, error) {
	if b.Snapshot == nil {
		return picks(b.Spec.Audience)
	}
	left, err := s.pending(ctx, b)
	return func(k job.Key, _ contact.Record) bool { return left[k] }, err
}

// pending is the members of a frozen audience whose job has not ended, by the
// ledger as it stands.
func (s *Scheduler) pending(ctx context.Context, b *broadcast.Broadcast) (map[job.Key]bool, error) {
	left := make(map[job.Key]bool, b.Snapshot.Count)
	if err := s.Audiences.Each(ctx, *b.Snapshot, func(k job.Key) error { left[k] = true; return nil }); err != nil {
		return nil, err
	}
	return left, s.Ledger.OfSource(ctx, b.Source(), 0, func(e ledger.Entry) error {
		left[e.ID.Contact] = !e.Record.State.Ended()
		return nil
	})
}

// newImpact says when a broadcast goes out and ends.
func newImpact(b *broadcast.Broadcast, now time.Time) Impact {
	i := Impact{ID: b.Spec.ID, Sender: b.Spec.Sender, State: b.State, Due: now.UTC(), Ends: b.EndsAt, Broken: map[reason.Code]int{}, Allowed: map[string]int{}}
	switch {
	case b.State != broadcast.Draft:
		if b.DueAt.After(now) {
			i.Due = b.DueAt.UTC()
		}
	case b.Spec.Schedule.At != "": // one without a time may be launched on any day
		i.Due, i.Ends, _ = b.Spec.Times(now) // checked when it was applied
	}
	return i
}

// within narrows the two moments to what touches the broadcast: the second is
// not after it goes out. It is gone where that is not after the first, or where
// it can't go out any more. A draft without a time may be launched on any day;
// moments that have passed are compared as they stand.
func (i Impact) within(sp span, now time.Time) (span, bool) {
	switch {
	case !i.Ends.IsZero() && !i.Ends.After(now):
		return sp, true
	case i.Ends.IsZero() || !sp.after.After(now):
		return sp, false
	case !i.Due.After(sp.before):
		return sp, true
	case i.Due.Before(sp.after):
		sp.after = i.Due
	}
	return sp, false
}

// span is the two moments whose rules are compared.
type span struct{ before, after time.Time }

// verdicts are those of both moments on a contact that will be as old as it
// is at due. Whom a rule holds until the broadcast has ended it blocks.
func (sp span) verdicts(judge judge, r contact.Record, due, ends time.Time) (before, after policy.Verdict) {
	at := func(moment time.Time) policy.Verdict {
		v := judge(movedAlong(r, due, moment), moment)
		if v.Kind == policy.Hold && !ends.IsZero() && !v.Until.Before(moment.Add(ends.Sub(due))) {
			v.Kind = policy.Block
		}
		return v
	}
	return at(sp.before), at(sp.after)
}

// movedAlong is a contact to whom everything happened as long before moment
// as it did before due. Ages beyond the 292 years of a Duration become that,
// at every moment alike.
func movedAlong(r contact.Record, due, moment time.Time) contact.Record {
	move := func(t *time.Time) {
		if !t.IsZero() {
			*t = moment.Add(-due.Sub(*t))
		}
	}
	for _, t := range []*time.Time{
		&r.LastInbound, &r.AdMessageAt, &r.BlockedAt, &r.CooledUntil, &r.ErasedAt,
		&r.Review.At, &r.Review.Done, &r.Thread.Taken, &r.Thread.Back,
	} {
		move(t)
	}
	r.OptOuts, r.Returns = slices.Clone(r.OptOuts), slices.Clone(r.Returns)
	for i := range r.OptOuts {
		move(&r.OptOuts[i].At)
		move(&r.OptOuts[i].Newest)
	}
	for i := range r.Returns {
		move(&r.Returns[i].At)
	}
	r.Comments, r.Tokens = slices.Clone(r.Comments), slices.Clone(r.Tokens)
	for _, ps := range [][]contact.Permission{r.Comments, r.Tokens} {
		for i := range ps {
			move(&ps[i].At)
		}
	}
	return r
}

func (i *Impact) count(before, after policy.Verdict) {
	i.Audience++
	was, is := before.Kind == policy.Block, after.Kind == policy.Block
	switch {
	case was && is:
		i.Blocked++
	case is:
		i.Broken[after.Reason]++
	case was:
		i.Allowed[after.Rule]++
	}
}
