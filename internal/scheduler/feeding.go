package scheduler

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/carillon-dev/carillon/internal/audience"
	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/lane"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/plan"
)

// freeze fixes the audience of a broadcast that is due.
func (l *Leader) freeze(ctx context.Context, id string) error {
	ctx, span := l.Tracer.Start(ctx, "freeze audience", trace.WithAttributes(attribute.String("carillon.broadcast", id)))
	defer span.End()
	b, rev, err := l.Defs.Broadcast(ctx, id)
	if err != nil {
		return err
	}
	if b.Snapshot != nil || b.State.Over() { // it has moved on since the look that came here
		l.adopt(b, rev)
		return nil
	}
	spec, _, err := l.Defs.Sender(ctx, b.Spec.Sender)
	if err != nil {
		return err
	}
	at := time.Now().UTC()
	ms, log, err := l.members(ctx, b, windowOf(spec.AdWindow), at)
	if err != nil {
		return err
	}
	snap, err := l.Audiences.Save(ctx, broadcast.SourceName(id, b.Occurrence), ms)
	if err != nil {
		return err
	}
	l.Kill.Pass(killpoint.WhileFreezing)
	part, err := l.Ledger.Place(ctx, b.Month, snap.Count)
	if err != nil {
		return err
	}
	return l.frozen(ctx, b, rev, snap, part, log)
}

// frozen stores the snapshot, unless the broadcast was closed meanwhile. A
// pause meanwhile keeps it.
func (l *Leader) frozen(ctx context.Context, b *broadcast.Broadcast, rev uint64, snap broadcast.Snapshot, part int, log broadcast.FreezeLog) error {
	for {
		b.Snapshot, b.Part, b.Frozen = &snap, part, &log
		now, err := l.Defs.PutBroadcast(ctx, b, rev)
		if err == nil {
			l.Kill.Pass(killpoint.AfterFreeze)
			l.Log.InfoContext(ctx, "audience frozen", "broadcast", b.Spec.ID, "contacts", snap.Count)
			l.adopt(b, now)
			return nil
		}
		if !errors.Is(err, definition.ErrChanged) {
			return err
		}
		if b, rev, err = l.Defs.Broadcast(ctx, b.Spec.ID); err != nil {
			return err
		}
		if b.State.Over() || b.Snapshot != nil {
			l.adopt(b, rev)
			return nil
		}
	}
}

// windowOf is the window that the order of sending goes by.
func windowOf(adHours int) time.Duration { return max(24, time.Duration(adHours)) * time.Hour }

func (s *Scheduler) members(ctx context.Context, b *broadcast.Broadcast, window time.Duration, at time.Time) ([]plan.Member, broadcast.FreezeLog, error) {
	log := broadcast.FreezeLog{At: at}
	sel, err := plan.NewSelector(b.Spec.Audience)
	if err != nil {
		return nil, log, err
	}
	var ms []plan.Member
	log.Facts, err = s.Facts.Each(ctx, b.Spec.Sender, sel.Collect(&ms, &log, window, at))
	if err != nil {
		return nil, log, err
	}
	plan.Order(ms)
	return ms, log, nil
}

// feed gives a broadcast to its sender's lane, from where the ledger says
// that it is.
func (l *Leader) feed(ctx context.Context, a *active, b *broadcast.Broadcast) error {
	src := b.Source()
	if err := l.Ledger.Ensure(ctx, src.Month, src.Part); err != nil {
		return err
	}
	n, err := l.openLane(ctx, src.Sender)
	if err != nil {
		return err
	}
	n.Add(src, b.Trace, members{l.Audiences, *b.Snapshot}, b.Spec.Pace.PerSecond)
	l.Kill.Pass(killpoint.WhilePlanning)
	found, err := lane.Find(func(fn func(ledger.Entry) error) error { return l.Ledger.OfSource(ctx, src, 0, fn) })
	if err != nil {
		n.Forget(src)
		return err
	}
	// Paused or cancelled meanwhile counts, and whoever does it from now on
	// finds the source in its lane.
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.b.State.Over() {
		n.Close(src)
	}
	n.PauseSource(src, a.b.State != broadcast.Running)
	n.Start(src, found)
	a.fed = true
	return nil
}

type members struct {
	store *audience.Store
	snap  broadcast.Snapshot
}

// Chunk returns the i-th chunk of the snapshot.
func (m members) Chunk(ctx context.Context, i int) ([]job.Key, error) {
	return m.store.Chunk(ctx, m.snap, i)
}

// openLane returns a sender's lane and starts it where it is new.
func (l *Leader) openLane(ctx context.Context, id string) (*lane.Lane, error) {
	l.mu.Lock()
	n := l.lanes[id]
	l.mu.Unlock()
	if n != nil {
		return n, nil
	}
	spec, _, err := l.Defs.Sender(ctx, id)
	if err != nil {
		return nil, err
	}
	c, _, err := l.Facts.Control(ctx, facts.SenderControl, id)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.lanes[id]; n != nil {
		return n, nil
	}
	n = lane.New(spec, l.lane)
	if heard := l.controls[id]; heard.Rev > c.Rev { // since it was read
		c = heard
	}
	n.SetPaused(c.State == facts.Paused)
	for flow, c := range l.errands.controls {
		n.SetFlow(flow, flowState(c))
	}
	l.lanes[id] = n
	l.wg.Go(func() { n.Run(l.life) })
	return n, nil
}
