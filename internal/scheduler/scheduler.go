// Package scheduler moves broadcasts through their states: it launches them,
// freezes their audience when they are due, feeds their jobs to lanes, and
// closes them. Whatever it holds in memory can be read back from the
// definitions, the snapshots and the ledger, which is how it starts.
package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"github.com/carillon-dev/carillon/internal/audience"
	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/lane"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/subject"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Config is what a scheduler works with. Its fields are set once.
type Config struct {
	NATS      *nats.Conn
	Names     subject.Names
	Defs      *definition.Store
	Facts     *facts.Store
	Audiences *audience.Store
	Ledger    *ledger.Ledger
	Tally     *ledger.Tally
	Lane      lane.Config
	Tracer    trace.Tracer
	Log       *slog.Logger
}

// Scheduler moves broadcasts through their states.
type Scheduler struct {
	Config
	life context.Context
	wg   sync.WaitGroup
	wake chan struct{}

	mu     sync.Mutex
	lanes  map[string]*lane.Lane
	active map[string]*active // broadcasts that are not over, by id
}

// active is a broadcast that has something to do.
type active struct {
	b       *broadcast.Broadcast
	rev     uint64
	busy    bool      // it is being frozen, or its ledger read
	fed     bool      // its lane releases it
	owed    bool      // its control is not known to be written
	drained time.Time // since when nothing is left to release; zero: not so
}

// tick is how often the scheduler looks at what is due, ended or finished.
const tick = 100 * time.Millisecond

// stallAfter is how long a source may have nothing left to release, and yet
// recipients without an outcome, before its ledger is read anew.
const stallAfter = 3 * time.Second

// New returns a scheduler. It does nothing until Run.
func New(c Config) *Scheduler {
	return &Scheduler{Config: c, wake: make(chan struct{}, 1), lanes: map[string]*lane.Lane{}, active: map[string]*active{}}
}

// Run works until ctx ends. Failures of one broadcast are logged and tried
// again; its error means that the scheduler can't work at all.
func (s *Scheduler) Run(ctx context.Context) error {
	s.life = ctx
	err := s.run(ctx)
	s.wg.Wait() // not deferred: a panic must not wait for the lanes
	return err
}

func (s *Scheduler) run(ctx context.Context) error {
	sub, err := s.NATS.Subscribe(s.Names.Returned("*"), s.returned)
	if err != nil {
		return fmt.Errorf("scheduler: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := s.load(ctx); err != nil {
		return err
	}
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		s.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		case <-s.wake:
		}
	}
}

func (s *Scheduler) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// load reads every broadcast and takes on what is not over. What a crash left
// half done is finished by looking: a control that was not written, a redrive
// whose broadcast was not reopened, claims without an outcome.
func (s *Scheduler) load(ctx context.Context) error {
	// Whether a broadcast is really over is told by its tally, which may be a
	// checkpoint behind.
	if err := s.Tally.CatchUpAll(ctx); err != nil {
		return fmt.Errorf("scheduler: the tallies do not catch up: %w", err)
	}
	ids, err := s.Defs.Broadcasts(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		b, rev, err := s.Defs.Broadcast(ctx, id)
		if err != nil {
			return err
		}
		if b.State == broadcast.Draft {
			continue
		}
		if err := s.control(ctx, b, rev); err != nil {
			return err
		}
		switch {
		case b.State == broadcast.Done && b.Snapshot != nil && s.ended(b) < b.Snapshot.Count:
			if err := s.Reopen(ctx, id); err != nil {
				s.Log.ErrorContext(ctx, "a broadcast with jobs to redrive can't be reopened", "broadcast", id, "error", err)
			}
		case !b.State.Over():
			s.adopt(b, rev, false)
		case b.Snapshot != nil && s.Tally.Of(b.Source()).States[job.Claimed] > 0:
			s.adopt(b, rev, false)
		}
	}
	return nil
}

// ended counts the jobs of a broadcast that have an outcome.
func (s *Scheduler) ended(b *broadcast.Broadcast) int {
	n := 0
	for st, c := range s.Tally.Of(b.Source()).States {
		if st.Ended() {
			n += c
		}
	}
	return n
}

// adopt makes a broadcast active with its newest definition. owed says that
// its control still has to be written.
func (s *Scheduler) adopt(b *broadcast.Broadcast, rev uint64, owed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.active[b.Spec.ID]
	if a == nil {
		a = &active{}
		s.active[b.Spec.ID] = a
	}
	if rev >= a.rev {
		a.b, a.rev, a.owed = b, rev, owed
	}
	s.poke()
}

// look does what is due for every active broadcast.
func (s *Scheduler) look(ctx context.Context) {
	now := time.Now()
	s.mu.Lock()
	all := make([]*active, 0, len(s.active))
	for _, a := range s.active {
		all = append(all, a)
	}
	s.mu.Unlock()
	for _, a := range all {
		if err := s.advance(ctx, a, now); err != nil && ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "a broadcast can't go on; trying again", "broadcast", s.idOf(a), "error", err)
		}
	}
}

func (s *Scheduler) idOf(a *active) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return a.b.Spec.ID
}

func (s *Scheduler) advance(ctx context.Context, a *active, now time.Time) error {
	s.mu.Lock()
	b, rev, busy, fed, owed := a.b, a.rev, a.busy, a.fed, a.owed
	s.mu.Unlock()
	id := b.Spec.ID
	if owed {
		if err := s.control(ctx, b, rev); err != nil {
			return err
		}
		s.applied(b, rev)
	}
	switch {
	case !b.State.Over() && !now.Before(b.EndsAt):
		return s.close(ctx, b)
	case b.State == broadcast.Scheduled && !now.Before(b.DueAt):
		_, err := s.move(ctx, id, broadcast.Due, nil)
		return ignoreChanged(err)
	case b.State == broadcast.Scheduled, busy:
		return nil
	case b.Snapshot == nil && b.State == broadcast.Running:
		s.background(a, func(ctx context.Context) error { return s.freeze(ctx, id) })
		return nil
	case b.Snapshot == nil:
		if b.State.Over() {
			s.forget(a, b)
		}
		return nil
	case !fed:
		s.background(a, func(ctx context.Context) error { return s.feed(ctx, a, b) })
		return nil
	}
	return s.finish(ctx, a, b, now)
}

// background runs work for one broadcast beside the others. What fails is
// tried again at a later look.
func (s *Scheduler) background(a *active, work func(context.Context) error) {
	s.mu.Lock()
	a.busy = true
	s.mu.Unlock()
	s.wg.Go(func() {
		err := work(s.life)
		s.mu.Lock()
		a.busy = false
		s.mu.Unlock()
		if err != nil && s.life.Err() == nil {
			s.Log.Error("a broadcast can't go on; trying again", "broadcast", s.idOf(a), "error", err)
			return
		}
		s.poke()
	})
}

// forget drops a broadcast that is over, unless it was reopened meanwhile.
func (s *Scheduler) forget(a *active, b *broadcast.Broadcast) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.b != b {
		return
	}
	if l := s.lanes[b.Spec.Sender]; l != nil && b.Snapshot != nil {
		l.Close(b.Source())
	}
	delete(s.active, b.Spec.ID)
}

// close ends a broadcast whose end has come.
func (s *Scheduler) close(ctx context.Context, b *broadcast.Broadcast) error {
	verb := broadcast.Expire
	if b.Snapshot != nil && s.ended(b) >= b.Snapshot.Count {
		verb = broadcast.Finish
	}
	_, err := s.move(ctx, b.Spec.ID, verb, func(n *broadcast.Broadcast) { n.ClosedAt = time.Now().UTC() })
	return ignoreChanged(err)
}

// finish closes a broadcast of which nothing is pending, forgets one that is
// over, and reads the ledger anew where the two don't fit.
func (s *Scheduler) finish(ctx context.Context, a *active, b *broadcast.Broadcast, now time.Time) error {
	src := b.Source()
	if b.State.Over() {
		if again, err := s.redriven(ctx, b); again || err != nil {
			return err
		}
		if s.Tally.Of(src).States[job.Claimed] == 0 {
			s.forget(a, b)
		}
		return nil
	}
	if s.ended(b) >= b.Snapshot.Count {
		_, err := s.move(ctx, b.Spec.ID, broadcast.Finish, func(n *broadcast.Broadcast) { n.ClosedAt = time.Now().UTC() })
		return ignoreChanged(err)
	}
	l := s.laneOf(src.Sender)
	if !l.Has(src) { // it was forgotten, to be read anew, while it was being read
		s.refeed(a)
		return nil
	}
	if !l.Drained(src) {
		a.drained = time.Time{}
		return nil
	}
	if a.drained.IsZero() {
		a.drained = now
	}
	if now.Sub(a.drained) >= stallAfter {
		s.Log.WarnContext(ctx, "nothing left to release, yet recipients have no outcome; comparing snapshot and ledger", "broadcast", b.Spec.ID)
		a.drained = time.Time{}
		l.Forget(src)
		s.refeed(a)
	}
	return nil
}

func (s *Scheduler) refeed(a *active) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.fed = false
}

// redriven reopens a broadcast that was called done by a tally which did not
// know of a redrive yet.
func (s *Scheduler) redriven(ctx context.Context, b *broadcast.Broadcast) (bool, error) {
	if b.State != broadcast.Done {
		return false, nil
	}
	if err := s.Tally.CatchUp(ctx, b.Source()); err != nil {
		return false, err
	}
	if s.ended(b) >= b.Snapshot.Count {
		return false, nil
	}
	return true, ignoreChanged(s.Reopen(ctx, b.Spec.ID))
}

// feed gives a broadcast to its sender's lane, from where the ledger says
// that it is.
func (s *Scheduler) feed(ctx context.Context, a *active, b *broadcast.Broadcast) error {
	src := b.Source()
	if err := s.Ledger.Ensure(ctx, src.Month, src.Part); err != nil {
		return err
	}
	l, err := s.openLane(ctx, src.Sender)
	if err != nil {
		return err
	}
	l.Add(src, b.Trace, members{s.Audiences, *b.Snapshot}, b.Spec.Pace.PerSecond)
	found, err := lane.Find(func(fn func(ledger.Entry) error) error { return s.Ledger.OfSource(ctx, src, 0, fn) })
	if err != nil {
		l.Forget(src)
		return err
	}
	// Paused or cancelled meanwhile counts, and whoever does it from now on
	// finds the source in its lane.
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.b.State.Over() {
		l.Close(src)
	}
	l.PauseSource(src, a.b.State != broadcast.Running)
	l.Start(src, found)
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
func (s *Scheduler) openLane(ctx context.Context, id string) (*lane.Lane, error) {
	s.mu.Lock()
	l := s.lanes[id]
	s.mu.Unlock()
	if l != nil {
		return l, nil
	}
	spec, _, err := s.Defs.Sender(ctx, id)
	if err != nil {
		return nil, err
	}
	c, _, err := s.Facts.Control(ctx, facts.SenderControl, id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lanes[id]; l != nil {
		return l, nil
	}
	l = lane.New(spec, s.Config.Lane)
	l.SetPaused(c.State == facts.Paused)
	s.lanes[id] = l
	s.wg.Go(func() { l.Run(s.life) })
	return l, nil
}

// laneOf returns the lane of a sender that has one.
func (s *Scheduler) laneOf(id string) *lane.Lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lanes[id]
}

// Loads returns what each lane has in hand.
func (s *Scheduler) Loads() []lane.Load {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]lane.Load, 0, len(s.lanes))
	for _, l := range s.lanes {
		out = append(out, l.Load())
	}
	return out
}

// Configured tells the scheduler of a changed sender.
func (s *Scheduler) Configured(ctx context.Context, id string) error {
	l := s.laneOf(id)
	if l == nil {
		return nil
	}
	spec, _, err := s.Defs.Sender(ctx, id)
	if err != nil {
		return err
	}
	l.Configure(spec)
	return nil
}

// Recorded follows the ledger for the lanes.
func (s *Scheduler) Recorded(_ context.Context, e ledger.Entry) error {
	if l := s.laneOf(e.ID.Sender); l != nil {
		l.Recorded(e)
	}
	return nil
}

// Controlled follows controls for the lanes.
func (s *Scheduler) Controlled(kind, id string, c facts.Control) {
	if l := s.laneOf(id); kind == facts.SenderControl && l != nil {
		l.SetPaused(c.State == facts.Paused)
	}
}

// Lost tells the lanes that the queue may have lost what it held.
func (s *Scheduler) Lost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lanes {
		l.Again()
	}
}

// Returned is how a worker gives jobs back.
type Returned struct {
	Source    job.Source  `json:"source"`
	Jobs      []job.Ref   `json:"jobs"`
	NotBefore time.Time   `json:"not_before"`
	Reason    reason.Code `json:"reason"`
}

func (s *Scheduler) returned(m *nats.Msg) {
	var r Returned
	if err := json.Unmarshal(m.Data, &r); err != nil {
		s.Log.Warn("jobs given back can't be read; they are released again later", "error", err)
		return
	}
	if l := s.laneOf(r.Source.Sender); l != nil {
		l.GivenBack(r.Source, r.Jobs, r.NotBefore)
	}
}

func ignoreChanged(err error) error {
	if errors.Is(err, definition.ErrChanged) || errors.Is(err, errIllegal) {
		return nil // somebody moved it meanwhile: the next look sees where
	}
	return err
}
