package app

import (
	"context"
	"errors"

	"github.com/nats-io/nuid"

	"github.com/carillon-dev/carillon/internal/role"
)

// Process is one of the two sides, running by itself.
type Process struct {
	core   *core
	api    string
	health string
}

// StartScheduler starts the scheduler's side with the API. Any number may run
// on the same engines; one of them leads.
func StartScheduler(ctx context.Context, cfg Config) (*Process, error) {
	if err := listening(cfg).Check(); err != nil {
		return nil, err
	}
	return start(ctx, cfg, role.Scheduler, func(ctx context.Context, p *Process) error {
		s, err := p.core.schedule(ctx, p.core.name()+"/"+nuid.Next())
		if err != nil {
			return err
		}
		p.api, err = s.serve(ctx)
		return err
	})
}

// StartWorker starts the worker's side. Any number may run on the same
// engines, and come and go at any moment.
func StartWorker(ctx context.Context, cfg Config) (*Process, error) {
	return start(ctx, cfg, role.Worker, func(_ context.Context, p *Process) error {
		_, err := p.core.work()
		return err
	})
}

func start(ctx context.Context, cfg Config, r role.Role, begin func(context.Context, *Process) error) (*Process, error) {
	c, err := open(ctx, cfg, r)
	if err != nil {
		return nil, err
	}
	p := &Process{core: c}
	// Probes before the work: whoever runs the process sees it start.
	if p.health, err = c.watch(); err == nil {
		err = begin(ctx, p)
	}
	if err != nil {
		return nil, errors.Join(err, c.stop(cfg.Drain))
	}
	c.begun.Store(true)
	return p, nil
}

// API returns the base URL of the API, "" where there is none.
func (p *Process) API() string { return p.api }

// Health returns the address of probes and figures, "" where there are none.
func (p *Process) Health() string { return p.health }

// Rulebook returns what messages are judged by.
func (p *Process) Rulebook() Rulebook { return p.core.rulebook }

// Failed is sent what ends the process: a room that can't go on.
func (p *Process) Failed() <-chan error { return p.core.fatal }

// Stop stops everything, what was started last first. Envelopes at work may
// end, and their outcomes are recorded.
func (p *Process) Stop() error { return p.core.stop(p.core.cfg.Drain) }
