package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/job"
)

// errIllegal marks a move that the table of states does not have.
var errIllegal = errors.New("illegal")

// Illegal is a verb that a broadcast does not allow as it stands: by its
// state, or because its end has come.
type Illegal struct {
	ID  string
	Err error
}

// Error names the broadcast, and its state or its end.
func (e *Illegal) Error() string { return fmt.Sprintf("broadcast %s: %v", e.ID, e.Err) }

// Is makes an Illegal match errIllegal.
func (e *Illegal) Is(target error) bool { return target == errIllegal }

// move takes a broadcast through one verb: the definition first, by
// compare-and-set, then the control that rechecks see. A crash or a failure
// between the two is repaired by who leads.
func (s *Scheduler) move(ctx context.Context, id string, v broadcast.Verb, edit func(*broadcast.Broadcast)) (moved, error) {
	return s.moveIf(ctx, id, v, func(b *broadcast.Broadcast) error {
		if edit != nil {
			edit(b)
		}
		return nil
	})
}

// moveIf is move with an edit that may refuse: then nothing is changed. It
// sees the very version that its result replaces, so it may run again.
func (s *Scheduler) moveIf(ctx context.Context, id string, v broadcast.Verb, edit func(*broadcast.Broadcast) error) (moved, error) {
	for {
		b, rev, err := s.Defs.Broadcast(ctx, id)
		if err != nil {
			return moved{}, err
		}
		next, err := broadcast.Next(b.State, v)
		if err != nil {
			return moved{}, &Illegal{id, err}
		}
		b.State = next
		if err := edit(b); err != nil {
			return moved{}, err
		}
		rev, err = s.Defs.PutBroadcast(ctx, b, rev)
		if errors.Is(err, definition.ErrChanged) {
			continue
		}
		if err != nil {
			return moved{}, err
		}
		s.Log.InfoContext(ctx, "broadcast moved", "broadcast", id, "verb", v, "state", b.State)
		seq, err := s.control(ctx, b, rev)
		if err != nil {
			return moved{}, fmt.Errorf("broadcast %s is %s, but workers do not know it yet; they will: %w", id, b.State, err)
		}
		return moved{b, rev, seq}, nil
	}
}

// moved is a broadcast after a verb, and the facts' sequence from which on
// every recheck sees it.
type moved struct {
	b   *broadcast.Broadcast
	rev uint64
	seq uint64
}

// control writes what rechecks see of a broadcast at a revision, and returns
// the facts' sequence from which on they do.
func (s *Scheduler) control(ctx context.Context, b *broadcast.Broadcast, rev uint64) (uint64, error) {
	c := facts.Control{State: facts.Running, EndsAt: b.EndsAt, Rev: rev, At: s.Now().UTC()}
	switch b.State {
	case broadcast.Paused, broadcast.Scheduled, broadcast.Draft:
		c.State = facts.Paused
	case broadcast.Cancelled:
		c.State = facts.Cancelled
	case broadcast.Expired:
		c.State = facts.Ended
	case broadcast.Running, broadcast.Done:
	}
	return s.Facts.SetControl(ctx, facts.SourceControl, broadcast.SourceName(b.Spec.ID, b.Occurrence), c)
}

// Launch makes a draft due now or at its time. approve sees the draft as it is
// launched, with its sender, and may refuse it.
func (s *Scheduler) Launch(ctx context.Context, id string, approve Approve) (*broadcast.Broadcast, error) {
	ctx, span := s.Tracer.Start(ctx, "launch broadcast", trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attribute.String("carillon.broadcast", id)))
	defer span.End()
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	m, err := s.moveIf(ctx, id, broadcast.Launch, func(b *broadcast.Broadcast) error {
		now := time.Now().UTC()
		due, ends, err := launchTimes(&b.Spec, now)
		if err != nil {
			return err
		}
		b.Occurrence, b.LaunchedAt, b.Month, b.Trace = 1, now, now.Format("200601"), carrier["traceparent"]
		b.DueAt, b.EndsAt = due, ends
		return s.approve(ctx, b, now, approve)
	})
	if err != nil {
		return nil, err
	}
	return m.b, nil
}

// launchTimes are when a draft that is launched now is due and when it ends.
// An *Illegal says that its end has come.
func launchTimes(b *broadcast.Spec, now time.Time) (due, ends time.Time, err error) {
	due, ends, err = b.Times(now)
	if err == nil && !ends.After(now) {
		after, _ := b.Expiry() // which Times has read
		err = &Illegal{b.ID, fmt.Errorf("can't launch: it was due at %s and ended %s later; give schedule.at a new time", b.Schedule.At, after)}
	}
	return due, ends, err
}

// Stopped is what a pause or a cancellation can say when it answers.
type Stopped struct {
	Broadcast *broadcast.Broadcast
	InForce   bool // every recheck from now on sees it
	Counted   bool // this process' counts had caught up, so that InFlight is true
	InFlight  int  // claims without an outcome yet: these may still arrive
}

// LineTimeout bounds how long an answer waits for claims to get an outcome:
// longer than a send may take.
const LineTimeout = 5 * time.Second

// Pause stops a broadcast until it is resumed. What is queued stays, and what
// was claimed before gets its outcome before the answer.
func (s *Scheduler) Pause(ctx context.Context, id string) (Stopped, error) {
	m, err := s.move(ctx, id, broadcast.Pause, nil)
	if err != nil {
		return Stopped{}, err
	}
	return s.line(ctx, m), nil
}

// Cancel closes a broadcast: what has no outcome by then is cancelled.
func (s *Scheduler) Cancel(ctx context.Context, id string) (Stopped, error) {
	m, err := s.move(ctx, id, broadcast.Cancel, func(b *broadcast.Broadcast) { b.ClosedAt = s.Now().UTC() })
	if err != nil {
		return Stopped{}, err
	}
	return s.line(ctx, m), nil
}

// line waits until nothing of a stopped broadcast can leave any more.
func (s *Scheduler) line(ctx context.Context, m moved) Stopped {
	ctx, cancel := context.WithTimeout(ctx, LineTimeout)
	defer cancel()
	out := Stopped{Broadcast: m.b, InForce: s.Facts.InForce(ctx, m.seq) == nil, Counted: true}
	if m.b.Snapshot == nil {
		return out
	}
	src := m.b.Source()
	err := s.Tally.CatchUp(ctx, src)
	if out.Counted = err == nil || errors.Is(err, jetstream.ErrStreamNotFound); err == nil {
		_ = s.Tally.WaitIdle(ctx, src) // what outlasts it is counted next
	}
	out.InFlight = s.Tally.Of(src).States[job.Claimed]
	return out
}

// SenderLine waits until nothing of a paused sender can leave any more, once
// the pause is in force. It returns how many claims outlast the wait, and
// whether this process' counts had caught up, so that this is true.
func (s *Scheduler) SenderLine(ctx context.Context, sender string) (inFlight int, counted bool) {
	ctx, cancel := context.WithTimeout(ctx, LineTimeout)
	defer cancel()
	if counted = s.Tally.CatchUpAll(ctx) == nil; counted {
		_ = s.Tally.WaitSenderIdle(ctx, sender) // what outlasts it is counted next
	}
	return s.Tally.ClaimedOf(sender), counted
}

// Resume lets a paused broadcast go on.
func (s *Scheduler) Resume(ctx context.Context, id string) (*broadcast.Broadcast, error) {
	m, err := s.move(ctx, id, broadcast.Resume, func(b *broadcast.Broadcast) {
		if b.Snapshot == nil && time.Now().Before(b.DueAt) {
			b.State = broadcast.Scheduled // it was paused before it was due
		}
	})
	if err != nil {
		return nil, err
	}
	return m.b, nil
}

// reopen is the edit of a broadcast that goes on for jobs that were redriven.
func reopen(b *broadcast.Broadcast) { b.ClosedAt = time.Time{} }
