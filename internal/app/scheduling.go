package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/internal/audience"
	"github.com/carillon-dev/carillon/internal/automation"
	"github.com/carillon-dev/carillon/internal/budget"
	"github.com/carillon-dev/carillon/internal/crm"
	"github.com/carillon-dev/carillon/internal/deadletter"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/deliver"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/label"
	"github.com/carillon-dev/carillon/internal/lane"
	"github.com/carillon-dev/carillon/internal/lease"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/outcome"
	"github.com/carillon-dev/carillon/internal/outlet"
	"github.com/carillon-dev/carillon/internal/push"
	"github.com/carillon-dev/carillon/internal/queue"
	"github.com/carillon-dev/carillon/internal/receipt"
	"github.com/carillon-dev/carillon/internal/run"
	"github.com/carillon-dev/carillon/internal/scheduler"
)

// side is the scheduler's side, for whoever serves it.
type side struct {
	*core
	scheduler *scheduler.Scheduler
	lease     *lease.Lease
	tally     *ledger.Tally
	audiences *audience.Store
	dead      *deadletter.Store
	standing  standing
	feed      *outcome.Feed
	outlets   *outlet.Store
	labels    *label.Store
	pages     label.Reader // asked for labels; messages go out by the workers'
	pushed    outlet.Counts
	pusher    *push.Client
	desk      *ingest.Desk // takes in what is told from outside
	known     *definition.Cache
	crm       *crm.Intake
	echoes    *receipt.Echoes
	witness   *receipt.Witness // of unknown outcomes
	runs      *run.Store
	timers    *run.Timers
	automated automation.Counts
	alone     bool // the workers are in this process
}

// schedule starts the scheduler's side: it counts, takes orders, and leads
// where the lease says so. The holder names this process in the lease.
func (c *core) schedule(ctx context.Context, holder string) (*side, error) {
	s := &side{core: c}
	var err error
	if s.audiences, err = audience.Open(ctx, c.streams, c.names); err != nil {
		return nil, err
	}
	if s.dead, err = deadletter.Open(ctx, c.engines.NATS, c.streams, c.names); err != nil {
		return nil, err
	}
	if s.tally, err = ledger.OpenTally(ctx, c.ledger, c.names, c.cfg.Log); err != nil {
		return nil, err
	}
	s.dead.Kill, s.tally.Kill = c.cfg.Kill, c.cfg.Kill
	if s.echoes, err = receipt.OpenEchoes(ctx, c.streams, c.names); err != nil {
		return nil, err
	}
	s.witness = &receipt.Witness{Echoes: s.echoes, Defs: c.defs}
	s.pusher = push.New(nil)
	c.onStop("pushes", func(context.Context) error { s.pusher.Close(); return nil })
	s.feed = &outcome.Feed{JS: c.engines.JetStream, Ledger: c.ledger}
	if s.outlets, err = outlet.Open(ctx, c.streams, c.names); err != nil {
		return nil, err
	}
	if s.labels, err = label.Open(ctx, c.streams, c.names); err != nil {
		return nil, err
	}
	if s.pages, err = c.pages(); err != nil {
		return nil, err
	}
	if s.runs, err = run.Open(ctx, c.engines.NATS, c.streams, c.names); err != nil {
		return nil, err
	}
	if s.timers, err = run.OpenTimers(ctx, c.engines.NATS, c.streams, c.names); err != nil {
		return nil, err
	}
	if s.lease, err = lease.Open(ctx, c.streams, c.names, "scheduler", holder, c.cfg.Log); err != nil {
		return nil, err
	}
	s.lease.Fit = func() bool { return c.clock.Check(time.Now()) == nil }
	s.scheduler = scheduler.New(scheduler.Config{
		NATS: c.engines.NATS, Names: c.names, Defs: c.defs, Facts: c.facts, Audiences: s.audiences, Ledger: c.ledger, Commits: c.commits, Tally: s.tally,
		Dead: s.dead, Witness: s.witness, Clock: c.clock, Now: c.now, Tracer: c.tracer, Log: c.cfg.Log, Kill: c.cfg.Kill,
	})
	if s.desk, err = s.ingest(ctx); err != nil {
		return nil, err
	}
	if err := s.measure(); err != nil {
		return nil, err
	}
	if err := s.listen(); err != nil {
		return nil, err
	}
	c.run("tally", s.tally.Run)
	c.run("lease", func(ctx context.Context) error { return s.lease.Run(ctx, s.lead) })
	return s, nil
}

// lead is one term: facts are projected, lanes released, dead letters and the
// tallies' checkpoint kept, events read again, until ctx ends or one of them can't go on.
func (s *side) lead(ctx context.Context) error {
	s.cfg.Kill.Pass(killpoint.AfterLease)
	q, share := queue.New(s.engines.Redis.Queue, s.cfg.Prefix), lane.NewShare(0)
	leader := scheduler.NewLeader(s.scheduler, lane.Config{
		Queue: q, Commits: s.commits, Share: share, Log: s.cfg.Log,
		Repair: 2*queue.TaskTimeout + lane.Horizon, Margin: deliver.ClaimMargin, Lease: queue.TaskTimeout, Kill: s.cfg.Kill,
	})
	out := s.outlet()
	flows, err := s.automate(ctx)
	if err != nil {
		return err
	}
	s.standing.set(leader)
	defer s.standing.set(nil)
	projector := facts.NewProjector(s.engines.NATS, s.engines.JetStream, s.view, s.names, leader, s.cfg.Log)
	projector.Kill, projector.Sure = s.cfg.Kill, s.lease.Sure
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { projector.Run(ctx); return nil })
	g.Go(func() error { return onNewEpoch(ctx, projector, leader.Lost) })
	g.Go(func() error { return blind(ctx, projector) })
	g.Go(func() error { return s.clock.Until(ctx, false) })
	g.Go(func() error { return s.derive(ctx, leader, out, flows) })
	g.Go(func() error { return flows.Run(ctx) })
	g.Go(func() error { out.Run(ctx); return nil })
	g.Go(func() error { s.puller().Run(ctx); return nil })
	g.Go(func() error { s.manned(ctx, q, share); return nil })
	g.Go(func() error { s.desk.CatchUp(ctx, ingest.Usual()); return nil })
	g.Go(func() error { return leader.Run(ctx) })
	keeper := &budget.Keeper{Gate: s.gate, Ledger: s.ledger, Defs: s.defs, Log: s.cfg.Log}
	g.Go(func() error { keeper.Run(ctx); return nil })
	return g.Wait()
}

// pageTimeout bounds one call that asks for labels. Nobody waits for it as an
// opt-out waits for a message on the wire.
const pageTimeout = 10 * time.Second

// puller makes what pulls labels for one term.
func (s *side) puller() *label.Puller {
	return label.New(label.Settings{
		Defs: s.defs, Facts: s.facts, Store: s.labels, Reader: s.pages, Account: s.secrets.account, Pace: label.Pace, Log: s.cfg.Log,
	})
}

// lastCheckpoint bounds how long the last checkpoint of a term may take.
const lastCheckpoint = 5 * time.Second

// derive keeps what is derived from the ledger, until ctx ends and the last of
// it is stored.
func (s *side) derive(ctx context.Context, leader *scheduler.Leader, out *outlet.Outlets, flows *automation.Driver) error {
	flush := func(ctx context.Context) error { return errors.Join(s.dead.Flush(ctx), flows.Flush(ctx)) }
	led := s.tally.Lead(ctx, flush, leader, s.dead, out, flows)
	select {
	case err := <-led:
		if ctx.Err() != nil { // flows take nothing in any more: the next leader is told again
			return nil //nolint:nilerr // nobody counts on this term any more
		}
		return err
	case <-ctx.Done():
	}
	select {
	case <-led:
		return nil
	case <-time.After(lastCheckpoint): // nobody counts any more: the process is ending
		return nil
	}
}

// blindFor is how long a leader may project nothing before it lets another
// try: it may be this process alone that does not reach Redis.
const blindFor = 15 * time.Second

// blind returns an error once the gate was closed for blindFor and the
// projection did not move.
func blind(ctx context.Context, p *facts.Projector) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	well, was := time.Now(), uint64(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		_, open, _ := p.Opened()
		if at := p.Watermark(); open || at != was {
			well, was = time.Now(), at
		}
		if time.Since(well) >= blindFor {
			return fmt.Errorf("facts could not be projected for %v", blindFor)
		}
	}
}

// countEvery is how often the leader asks how many workers there are, and
// countSoon how often while none is known.
const (
	countEvery = 2 * time.Second
	countSoon  = 200 * time.Millisecond
)

// alarmAfter is how long no worker may be known before the log says so: longer
// than one takes to start, and to tell Redis again after it was flushed.
const alarmAfter = 15 * time.Second

// manned tells the lanes' share what the workers can hold, as they come and
// go, until ctx ends. What was last known stands while Redis can't be asked:
// nothing is delivered meanwhile.
func (s *side) manned(ctx context.Context, q *queue.Queue, share *lane.Share) {
	known, missed, alarmed := 0, time.Now(), false
	for {
		wait := countSoon
		n, err := q.Slots()
		if err == nil {
			share.SetSlots(n)
			if n != known {
				s.cfg.Log.InfoContext(ctx, "workers counted", "slots", n)
			}
			known = n
		}
		if known > 0 && err == nil {
			missed, alarmed, wait = time.Now(), false, countEvery
		}
		if !alarmed && time.Since(missed) >= alarmAfter {
			alarmed = true
			s.cfg.Log.WarnContext(ctx, "no worker is known, or they can't be counted; little is handed out", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// onNewEpoch calls lost at every opening after the first: whatever made a
// new epoch necessary may have taken the queue along.
func onNewEpoch(ctx context.Context, p *facts.Projector, lost func()) error {
	seen := 0
	for {
		n, _, next := p.Opened()
		if n > seen && seen > 0 {
			lost()
		}
		seen = n
		select {
		case <-ctx.Done():
			return nil
		case <-next:
		}
	}
}
