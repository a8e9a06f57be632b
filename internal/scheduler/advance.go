package scheduler

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/job"
)

// stallAfter is how long a source may have nothing left to release, and yet
// recipients without an outcome, before its ledger is read anew.
const stallAfter = 3 * time.Second

// hands is how much of each kind of work is under way at a time: broadcasts
// that are due together don't wait for one another's round trips, and don't
// take more memory than so many audiences do.
const hands = 16

// restAfter is how long a broadcast of which something failed is left alone.
const restAfter = 500 * time.Millisecond

// work is something to do for one broadcast, with round trips.
type work func(context.Context) error

// look begins what is due for every active broadcast, as far as there are
// hands. It makes no round trip itself.
func (l *Leader) look() {
	now := time.Now()
	if l.Clock != nil && l.Clock.Check(now) != nil {
		return // the term ends: nothing is due by a clock that is not believed
	}
	l.revive(now)
	l.mu.Lock()
	all := make([]*active, 0, len(l.active))
	for _, a := range l.active {
		all = append(all, a)
	}
	l.mu.Unlock()
	for _, a := range all {
		l.advance(a, now)
	}
}

// revive takes broadcasts on again that were let go of and of which a job
// became pending since: a worker that was stopped past its claim says late that
// nothing left, or whoever redrove it ended before it was reopened. Those that
// go on, or are about to be let go of, need nothing yet.
func (l *Leader) revive(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, from := range l.opened {
		switch a := l.active[id]; {
		case a != nil && a.b.State.Over(), now.Before(from):
			continue
		case a != nil:
			delete(l.opened, id)
			continue
		}
		again := func(err error) {
			if err != nil {
				l.opened[id] = time.Now().Add(restAfter)
			}
		}
		if !l.beside(l.doers, id, func(ctx context.Context) error { return l.takeOn(ctx, id) }, again) {
			return
		}
		delete(l.opened, id)
	}
}

// takeOn adopts a broadcast that was let go of, unless there is none any more.
func (l *Leader) takeOn(ctx context.Context, id string) error {
	b, rev, err := l.Defs.Broadcast(ctx, id)
	if errors.Is(err, definition.ErrNotFound) {
		return nil
	}
	if err == nil {
		l.adopt(b, rev)
	}
	return err
}

// advance begins what is due for one broadcast. That workers and its lane know
// how it stands comes before everything else, and waits for nothing: not for
// its audience, nor for the others'.
func (l *Leader) advance(a *active, now time.Time) {
	l.mu.Lock()
	b, rev, busy, owed, rest := a.b, a.rev, a.busy, a.owed, a.rest
	l.mu.Unlock()
	if now.Before(rest) {
		return
	}
	if owed {
		l.background(a, &a.telling, l.tellers, func(ctx context.Context) error {
			if _, err := l.control(ctx, b, rev); err != nil {
				return err
			}
			l.applied(a, rev)
			return nil
		})
		return
	}
	if busy {
		return
	}
	if do := l.due(a, b, now); do != nil {
		l.background(a, &a.busy, l.doers, do)
	}
}

// due returns what there is to do for a broadcast, nil for nothing.
func (l *Leader) due(a *active, b *broadcast.Broadcast, now time.Time) work {
	id := b.Spec.ID
	switch {
	case b.State.Over():
		return func(ctx context.Context) error { return l.wind(ctx, a, b) }
	case !now.Before(b.EndsAt):
		return func(ctx context.Context) error { return l.close(ctx, b) }
	case b.State == broadcast.Scheduled && !now.Before(b.DueAt):
		return func(ctx context.Context) error { return l.moved(ctx, id, broadcast.Due, nil) }
	case b.State == broadcast.Scheduled:
		return nil
	case b.Snapshot == nil && b.State == broadcast.Running:
		return func(ctx context.Context) error { return l.freeze(ctx, id) }
	case b.Snapshot == nil:
		return nil // paused before it was frozen
	case !l.isFed(a):
		return func(ctx context.Context) error { return l.feed(ctx, a, b) }
	}
	return l.finish(a, b, now)
}

func (l *Leader) isFed(a *active) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return a.fed
}

// applied tells the lane of a broadcast how it stands at a revision, unless it
// has moved further meanwhile.
func (l *Leader) applied(a *active, rev uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.rev != rev {
		return
	}
	a.owed = false
	l.poke() // what comes next waited for this
	n := l.lanes[a.b.Spec.Sender]
	switch {
	case a.b.Snapshot == nil || n == nil:
	case a.b.State.Over():
		n.Close(a.b.Source())
	default:
		n.PauseSource(a.b.Source(), a.b.State != broadcast.Running)
	}
}

// background is beside for work that one broadcast has done one at a time: it
// is marked as under way.
func (l *Leader) background(a *active, underway *bool, hands chan struct{}, do work) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if *underway {
		return
	}
	*underway = l.beside(hands, a.b.Spec.ID, do, func(err error) {
		if *underway = false; err != nil {
			a.rest = time.Now().Add(restAfter)
		}
	})
}

// beside runs work for one broadcast beside the others, where a hand is free,
// and reports whether one is; else the next look comes back to it. What fails is
// tried again at a later look: after hears of it, with the leader locked, as it
// is when beside is called.
func (l *Leader) beside(hands chan struct{}, id string, do work, after func(error)) bool {
	select {
	case hands <- struct{}{}:
	default:
		l.short = true
		return false
	}
	l.wg.Go(func() {
		err := do(l.life)
		if err != nil && l.life.Err() == nil {
			l.Log.Error("a broadcast can't go on; trying again", "broadcast", id, "error", err)
		}
		<-hands
		l.mu.Lock()
		defer l.mu.Unlock()
		after(err)
		if l.short { // somebody waits for this hand
			l.short = false
			l.poke()
		}
	})
	return true
}

// wind lets go of a broadcast that is over, once nothing of it is claimed any
// more. One that was called done before its redrive was counted is reopened.
func (l *Leader) wind(ctx context.Context, a *active, b *broadcast.Broadcast) error {
	if b.Snapshot == nil {
		l.forget(a, b)
		return nil
	}
	if again, err := l.redriven(ctx, b); again || err != nil {
		return err
	}
	switch {
	case l.Tally.Of(b.Source()).States[job.Claimed] == 0:
		l.forget(a, b)
	case !l.isFed(a):
		return l.feed(ctx, a, b)
	}
	return nil
}

// forget drops a broadcast that is over, unless it was reopened meanwhile.
func (l *Leader) forget(a *active, b *broadcast.Broadcast) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.b != b {
		return
	}
	if n := l.lanes[b.Spec.Sender]; n != nil && b.Snapshot != nil {
		n.Close(b.Source())
	}
	delete(l.active, b.Spec.ID)
}

// close ends a broadcast whose end has come.
func (l *Leader) close(ctx context.Context, b *broadcast.Broadcast) error {
	verb := broadcast.Expire
	if b.Snapshot != nil && l.ended(b.Source()) >= b.Snapshot.Count {
		verb = broadcast.Finish
	}
	return l.moved(ctx, b.Spec.ID, verb, func(n *broadcast.Broadcast) { n.ClosedAt = time.Now().UTC() })
}

// finish returns what closes a broadcast of which nothing is pending. Where the
// two don't fit it has the ledger read anew.
func (l *Leader) finish(a *active, b *broadcast.Broadcast, now time.Time) work {
	src := b.Source()
	if l.ended(src) >= b.Snapshot.Count {
		return func(ctx context.Context) error {
			return l.moved(ctx, b.Spec.ID, broadcast.Finish, func(n *broadcast.Broadcast) { n.ClosedAt = time.Now().UTC() })
		}
	}
	n := l.laneOf(src.Sender)
	if !n.Has(src) { // it was forgotten, to be read anew, while it was being read
		l.refeed(a)
		return nil
	}
	if !n.Drained(src) {
		a.drained = time.Time{}
		return nil
	}
	if a.drained.IsZero() {
		a.drained = now
	}
	if now.Sub(a.drained) >= stallAfter {
		l.Log.Warn("nothing left to release, yet recipients have no outcome; comparing snapshot and ledger", "broadcast", b.Spec.ID)
		a.drained = time.Time{}
		n.Forget(src)
		l.refeed(a)
	}
	return nil
}

func (l *Leader) refeed(a *active) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.fed = false
}

// redriven reopens a broadcast that was called done by a tally which did not
// know of a redrive yet.
func (l *Leader) redriven(ctx context.Context, b *broadcast.Broadcast) (bool, error) {
	if b.State != broadcast.Done {
		return false, nil
	}
	err := l.Tally.CatchUp(ctx, b.Source())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, nil // its month was dropped
	}
	if err != nil {
		return false, err
	}
	if l.ended(b.Source()) >= b.Snapshot.Count {
		return false, nil
	}
	return true, l.moved(ctx, b.Spec.ID, broadcast.Reopen, reopen)
}
