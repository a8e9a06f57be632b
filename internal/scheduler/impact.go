package scheduler

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// Impact is what a change of the rules does to one broadcast that has not
// ended. Whoever is not counted in Broken, Allowed or Blocked is let through
// at both moments, at once or after a while.
type Impact struct {
	ID       string
	Sender   string
	State    broadcast.State
	Due      time.Time      // when it goes out: at its time, now where that has come or there is none
	Ends     time.Time      // zero: it has no end yet, being a draft without a time
	Gone     bool           // it ends before the change, so nobody was judged
	Audience int            // everybody whom it would go to by what is known now
	Broken   map[string]int // let through before and blocked after, by reason
	Allowed  map[string]int // blocked before and let through after, by the rule that does it
	Blocked  int            // at both moments
}

// Impacts judges everybody whom the stored broadcasts would go to under the
// rules of two moments, one broadcast after the other, by id. Only the dates
// of the rules differ between the two verdicts: message and sender are the
// same, and what is known of a contact is moved along with the moment, so that
// every age is what it is when the broadcast is due.
func (s *Scheduler) Impacts(ctx context.Context, g *gate.Gate, before, after time.Time, fn func(Impact) error) error {
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
		if b.State.Over() {
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

func (s *Scheduler) impact(ctx context.Context, g *gate.Gate, b *broadcast.Broadcast, sp span, now time.Time) (Impact, error) {
	i := newImpact(b, sp.after, now)
	if i.Gone {
		return i, nil
	}
	err := s.everybody(ctx, g, b, func(r contact.Record, judge judge) { i.count(sp.verdicts(judge, r, i.Due)) })
	return i, err
}

// newImpact says when a broadcast goes out and whether it is over before the
// change. At its end nothing leaves any more, so one that ends with the
// change is.
func newImpact(b *broadcast.Broadcast, change, now time.Time) Impact {
	i := Impact{ID: b.Spec.ID, Sender: b.Spec.Sender, State: b.State, Due: now.UTC(), Ends: b.EndsAt, Broken: map[string]int{}, Allowed: map[string]int{}}
	at := b.DueAt
	if b.State == broadcast.Draft {
		at, _ = b.Spec.At() // checked when it was applied, as is the expiry
		i.Ends = draftEnds(b, at, now)
	}
	if at.After(now) {
		i.Due = at.UTC()
	}
	i.Gone = !i.Ends.IsZero() && (!i.Ends.After(change) || !i.Ends.After(now))
	return i
}

// draftEnds is when a draft would end that is launched now, zero where it
// names no time: it may be launched on any day. One that can't be launched
// any more has ended.
func draftEnds(b *broadcast.Broadcast, at, now time.Time) time.Time {
	after, _ := b.Spec.Expiry()
	switch {
	case at.IsZero():
		return at
	case now.After(at) && now.Before(at.Add(after)):
		return now.UTC().Add(after)
	default:
		return at.UTC().Add(after)
	}
}

// span is the two moments whose rules are compared.
type span struct{ before, after time.Time }

// verdicts are those of both moments on a contact that will be as old as it
// is at due.
func (sp span) verdicts(judge judge, r contact.Record, due time.Time) (before, after policy.Verdict) {
	return judge(movedAlong(r, due, sp.before), sp.before), judge(movedAlong(r, due, sp.after), sp.after)
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
	move(&r.LastInbound)
	move(&r.AdMessageAt)
	move(&r.BlockedAt)
	r.OptOuts = slices.Clone(r.OptOuts)
	for i := range r.OptOuts {
		move(&r.OptOuts[i].At)
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
		i.Broken[string(after.Reason)]++
	case was:
		i.Allowed[after.Rule]++
	}
}
