package app

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/carillon-dev/carillon/internal/channel/meta"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/deliver"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/lane"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/queue"
	"github.com/carillon-dev/carillon/internal/scheduler"
)

// control is the scheduler's side, for whoever serves it.
type control struct {
	scheduler *scheduler.Scheduler
	tally     *ledger.Tally
	projector *facts.Projector
}

// schedule starts the scheduler's side: projector, tally and lanes.
func (c *core) schedule(ctx context.Context) (control, error) {
	tally, err := ledger.OpenTally(ctx, c.ledger, c.names, c.cfg.Log)
	if err != nil {
		return control{}, err
	}
	sched := scheduler.New(scheduler.Config{
		NATS: c.engines.NATS, Names: c.names, Defs: c.defs, Facts: c.facts, Audiences: c.audiences, Ledger: c.ledger, Tally: tally,
		Lane: lane.Config{
			Queue: queue.New(c.engines.Redis.Queue, c.cfg.Prefix), Commits: c.commits, Log: c.cfg.Log,
			Repair: 2*queue.TaskTimeout + lane.Horizon, Margin: deliver.ClaimMargin,
		},
		Tracer: c.tracer, Log: c.cfg.Log,
	})
	projector := facts.NewProjector(c.engines.NATS, c.engines.JetStream, c.view, c.names, sched, c.cfg.Log)
	tally.Watch(sched, nil)
	tally.Watch(c.dead, c.dead.Flush)
	c.run("projector", func(ctx context.Context) error { projector.Run(ctx); return nil })
	c.run("tally", tally.Run)
	c.run("scheduler", sched.Run)
	c.run("epochs", func(ctx context.Context) error { return onNewEpoch(ctx, projector, sched.Lost) })
	return control{sched, tally, projector}, nil
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

// work starts the worker's side.
func (c *core) work() (*deliver.Stats, error) {
	platform, err := meta.New(meta.Options{BaseURL: c.cfg.MetaURL, Timeout: deliver.SendTimeout, Log: c.cfg.Log})
	if err != nil {
		return nil, err
	}
	cctx, cancel := context.WithCancel(context.Background())
	cache, err := definition.NewCache(cctx, c.defs)
	if err != nil {
		cancel()
		return nil, err
	}
	c.onStop("platform", func(context.Context) error { defer cancel(); platform.Close(); return cache.Close() })
	host, err := os.Hostname()
	if err != nil {
		host = "worker"
	}
	life, end := context.WithCancel(context.Background())
	w := &deliver.Worker{
		Life: life, Gate: c.gate, Commits: c.commits, Defs: cache, Platform: platform, Account: c.secrets.account, Effects: c, Lane: c,
		Tracer: c.tracer, Log: c.cfg.Log, Name: fmt.Sprintf("%s/%d", host, os.Getpid()), Stats: &deliver.Stats{},
	}
	srv := queue.NewServer(c.engines.Redis.Queue, c.cfg.Prefix, c.cfg.Concurrency, w, c.cfg.Log)
	if err := srv.Start(); err != nil {
		end()
		return nil, err
	}
	var once sync.Once
	c.onStop("worker", func(stop context.Context) error {
		once.Do(func() { drain(stop, srv); end() })
		return nil
	})
	return w.Stats, nil
}

// drain lets envelopes at work end, at most as long as the stop may take.
func drain(ctx context.Context, srv *queue.Server) {
	done := make(chan struct{})
	go func() { srv.Stop(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	case <-time.After(queue.ShutdownTimeout + time.Second):
	}
}
