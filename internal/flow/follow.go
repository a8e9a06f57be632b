package flow

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
)

// Source is who tells flows that a contact changed, and the types of what it
// tells.
const (
	Source                = "carillon/contacts"
	Entered    event.Type = "contact.entered" // a segment, or what a label's trigger is for
	DateIsNear event.Type = "contact.date"
)

// Why no run begins by a change, in words.
const (
	whyOut    = "the contact is not in what the trigger is for"
	whyIn     = "the contact was in it before"
	whyNoDate = "no date lies ahead"
	whyGone   = "its date went"
)

// Changed takes in that a contact is another now: a trigger by label, segment
// or date may begin a run, and one that waits for its date to come may get
// another. seq is the change's place in the facts. Of a contact that the flow
// sees for the first time only what changed since the flow stands begins a run.
func (p *Program) Changed(id ID, old *Run, m *Memory, ids []Identity, seq uint64, w World) (Result, error) {
	switch {
	case !p.followed():
		return Result{Run: old, Memory: m}, nil
	case m != nil && seq <= m.Facts && !w.Survey:
		return Result{Run: old, Memory: m, Why: whySeen}, nil
	case old != nil && !old.State.Over() && old.Version != p.Version:
		return Result{}, fmt.Errorf("run %s is of version %d, and goes on by that one", id, old.Version)
	}
	e := event.Event{Source: Source, ID: "change-" + strconv.FormatUint(seq, 10), Type: Entered, Time: w.Now}
	if p.begins.date != nil {
		e.Type = DateIsNear
	}
	b := &beginning{p: p, id: id, t: &Told{Event: e}, w: w, ids: ids, facts: seq, m: m.clone()}
	b.event = input(b.t)
	b.m.Facts = max(b.m.Facts, seq)
	if p.begins.date != nil {
		return b.approach(old)
	}
	return b.enter(old, m == nil)
}

// enter begins a run where the contact came to be in what the trigger is for.
// What is remembered is written only where it is another: most changes of most
// contacts are nothing to a flow.
func (b *beginning) enter(old *Run, fresh bool) (Result, error) {
	has, err := b.has()
	if err != nil {
		return Result{}, err
	}
	l := b.p.Spec.Trigger.Label
	goes := l != nil && l.Removed != ""
	had := b.m.In
	if b.m.In = has; fresh && goes && !has && !b.w.Known && b.touched() {
		had = true // it went since the flow stands
	}
	switch {
	case has == had && (!fresh || b.w.Known || b.w.Survey):
		return Result{Run: old, Why: map[bool]string{true: whyIn, false: whyOut}[has]}, nil
	case has == had, has == goes:
		return b.nothing(old, whyOut), nil
	case (b.w.Survey || fresh && !b.w.Known) && !b.touched():
		return b.nothing(old, whyIn), nil
	}
	if goes {
		if ok, err := b.scope(nil).holds(b.p.begins.where); err != nil || !ok {
			return b.nothing(old, whyOut), err
		}
	}
	return b.take(old), nil
}

// has tells whether the contact has what the trigger is about: the label, or
// what the segment asks for. Who has a label that is added, or is in a segment,
// is so only as long as where holds.
func (b *beginning) has() (bool, error) {
	s := b.scope(nil)
	r := b.w.Contacts[s.who.Sender]
	l := b.p.Spec.Trigger.Label
	if l != nil && l.Removed != "" {
		return slices.Contains(r.Labels, l.Removed), nil
	}
	if l != nil {
		if !slices.Contains(r.Labels, l.Added) {
			return false, nil
		}
	} else if ok, err := b.p.begins.segment.Match(r); err != nil || !ok {
		return false, err
	}
	return s.holds(b.p.begins.where)
}

// touched tells whether what the trigger looks at changed since the flow
// stands: the label, or of a segment anything.
func (b *beginning) touched() bool {
	r := b.w.Contacts[b.scope(nil).who.Sender]
	newest := time.Time{}
	if l := b.p.Spec.Trigger.Label; l != nil {
		newest = labelMark(&r, l.Added+l.Removed)
	} else {
		for _, at := range r.Marks {
			if at.After(newest) {
				newest = at
			}
		}
	}
	return !newest.IsZero() && !newest.Before(b.w.Since)
}

// approach makes a run that begins when the date comes, gives one that waits
// for it another date, or ends it where there is none any more.
func (b *beginning) approach(old *Run) (Result, error) {
	s := b.scope(nil)
	ok, err := s.holds(b.p.begins.where)
	if err != nil {
		return Result{}, err
	}
	due, known := time.Time{}, false
	if ok {
		due, known = b.p.begins.date.reckon(s, b.w.zone(b.ids, b.p.Spec.Sender, s.who.Sender))
	}
	if old != nil && old.State == Gathering {
		x := b.p.turn(b.id, *old, b.w)
		x.r.Identities = b.ids
		if x.await(due, known); x.changed && !x.r.State.Over() {
			b.m.Day = due
		}
		out := x.result()
		out.Memory, out.Changed, out.Why = b.m, true, whyGoesOn
		return out, nil
	}
	if !known || !due.After(b.w.Now) || due.Equal(b.m.Day) {
		return Result{Run: old, Why: whyNoDate}, nil
	}
	b.due = due
	out := b.take(old)
	if out.Started {
		out.Memory.Day = due
	}
	return out, nil
}

// await gives a run that has not begun the date that it begins at.
func (x *turn) await(due time.Time, known bool) {
	switch {
	case !known:
		x.end(Exited, whyGone)
	case !due.Equal(x.r.Due):
		x.r.Due = due
		x.visit(Visit{Did: "moved", Until: due})
	}
}

// labelMark is when it was last changed whether a contact has a label, zero
// where that is not known.
func labelMark(r *contact.Record, label string) time.Time { return r.Marks["l:"+label] }
