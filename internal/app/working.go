package app

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/channel/meta"
	"github.com/carillon-dev/carillon/internal/channel/twilio"
	"github.com/carillon-dev/carillon/internal/config"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/deliver"
	"github.com/carillon-dev/carillon/internal/errand"
	"github.com/carillon-dev/carillon/internal/queue"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// work starts the worker's side.
func (c *core) work() (*deliver.Stats, error) {
	platforms, err := c.platforms()
	if err != nil {
		return nil, err
	}
	cache, err := definition.NewCache(context.Background(), c.defs)
	if err != nil {
		return nil, err
	}
	c.onStop("platform", func(context.Context) error { platforms.close(); cache.Close(); return nil })
	life, end := context.WithCancel(context.Background())
	w := &deliver.Worker{
		Life: life, Gate: c.gate, Commits: c.commits, Defs: cache, Flows: errand.NewReader(c.runs, cache, c.defs, c.facts), Platform: platforms.of, Account: c.secrets.account, Effects: c, Uses: c.uses, Lane: c,
		Tracer: c.tracer, Log: c.cfg.Log, Name: c.name(), Stats: &deliver.Stats{}, Courtesy: deliver.NewCourtesy(), Kill: c.cfg.Kill,
	}
	c.onStop("deliveries", func(context.Context) error { end(); return nil })
	c.run("worker", func(ctx context.Context) error {
		return c.take(ctx, func() *queue.Server {
			return queue.NewServer(c.engines.Redis.Queue, c.cfg.Prefix, c.cfg.Concurrency, w, c.cfg.Log)
		})
	})
	return w.Stats, c.count(w.Stats)
}

// take takes envelopes while this process' clock may be believed, until ctx
// ends. One whose clock is off would only give them back, sooner than others
// can take them; and by its clock it would find the leases of all others run out.
func (c *core) take(ctx context.Context, server func() *queue.Server) error {
	for ctx.Err() == nil {
		if err := c.clock.Until(ctx, true); err != nil || ctx.Err() != nil {
			return err
		}
		srv := server()
		if err := srv.Start(); err != nil {
			return err
		}
		_ = c.clock.Until(ctx, false) // the clock's own room says why
		drain(srv)
	}
	return nil
}

// platforms are where messages go, by channel.
type platforms struct {
	meta   *meta.Client
	twilio *twilio.Client
}

func (c *core) platforms() (p platforms, err error) {
	if p.meta, err = meta.New(meta.Options{BaseURL: c.cfg.MetaURL, Timeout: deliver.SendTimeout, Log: c.cfg.Log, Kill: c.cfg.Kill}); err != nil {
		return p, err
	}
	base := cmp.Or(c.cfg.TwilioURL, config.DefaultTwilio)
	p.twilio, err = twilio.New(twilio.Options{BaseURL: base, Timeout: deliver.SendTimeout, Log: c.cfg.Log, Kill: c.cfg.Kill})
	return p, err
}

func (p platforms) of(name string) channel.Platform {
	if name == string(policy.SMS) {
		return p.twilio
	}
	return p.meta
}

func (p platforms) close() {
	p.meta.Close()
	p.twilio.Close()
}

// count makes figures of what deliveries cost.
func (c *core) count(s *deliver.Stats) error {
	return errors.Join(
		c.metrics.Counter("carillon_envelopes", "envelopes taken from the queue", s.Envelopes.Load),
		c.metrics.Counter("carillon_platform_calls", "calls made to platforms", s.Calls.Load),
		c.metrics.Counter("carillon_messages_sent", "messages that platforms accepted", s.Sent.Load),
		c.metrics.Counter("carillon_jobs_given_back", "jobs that could not go yet and went back to their lane", s.Requeued.Load),
		c.metrics.Counter("carillon_claims_lost", "claims that another worker had won: jobs that were released twice", s.Lost.Load),
	)
}

// drain lets envelopes at work end.
func drain(srv *queue.Server) {
	done := make(chan struct{})
	go func() { srv.Stop(); close(done) }()
	select {
	case <-done:
	case <-time.After(queue.ShutdownTimeout + time.Second):
	}
}
