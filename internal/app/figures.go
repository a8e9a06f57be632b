package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/carillon-dev/carillon/internal/health"
	"github.com/carillon-dev/carillon/internal/lane"
	"github.com/carillon-dev/carillon/internal/scheduler"
)

// standing is the leader of this process while it leads.
type standing struct {
	now atomic.Pointer[scheduler.Leader]
}

func (s *standing) set(l *scheduler.Leader) { s.now.Store(l) }

// of sums a figure over the lanes; false while this process does not lead.
func (s *standing) of(figure func(sum float64, l lane.Load) float64) func(context.Context) (float64, bool) {
	return func(context.Context) (sum float64, leads bool) {
		l := s.now.Load()
		if l == nil {
			return 0, false
		}
		for _, load := range l.Loads("") {
			sum = figure(sum, load)
		}
		return sum, true
	}
}

// measure makes figures of the scheduler's side.
func (s *side) measure() error {
	m := s.metrics
	plus := func(of func(lane.Load) int) func(float64, lane.Load) float64 {
		return func(sum float64, l lane.Load) float64 { return sum + float64(of(l)) }
	}
	return errors.Join(
		s.measurePushes(),
		s.measureFlows(),
		m.Gauge("carillon_leading", "", "1 where this process leads", func(context.Context) (float64, bool) {
			if s.standing.now.Load() == nil {
				return 0, true
			}
			return 1, true
		}),
		m.Gauge("carillon_queue_age", "s", "how long jobs that may go have waited for workers: since the oldest was released that none has claimed, or since the workers' room ran out; of who leads",
			s.standing.of(func(sum float64, l lane.Load) float64 { return max(sum, l.Oldest.Round(time.Millisecond).Seconds()) })),
		m.Gauge("carillon_jobs_unclaimed", "", "jobs released and not claimed yet; of who leads", s.standing.of(plus(func(l lane.Load) int { return l.Unclaimed }))),
		m.Gauge("carillon_jobs_claimed", "", "jobs claimed and without an outcome; of who leads", s.standing.of(plus(func(l lane.Load) int { return l.Claimed }))),
		m.Gauge("carillon_senders_sidelined", "", "senders of which only single messages are tried; of who leads", s.standing.of(plus(func(l lane.Load) int {
			if l.Sidelined == nil {
				return 0
			}
			return 1
		}))),
		m.Gauge("carillon_jobs_held", "", "jobs that wait until a rule allows them; of who leads", s.standing.of(plus(func(l lane.Load) int { return l.Held }))),
	)
}

// up says why this process does not do its work: it has not begun, although
// others may have opened the gate, or messages can't go out.
func (c *core) up(ctx context.Context) error {
	if !c.begun.Load() {
		return errors.New("starting")
	}
	return c.ready(ctx)
}

// watch serves probes and figures where the configuration says so, and
// returns where; "" where it does not.
func (c *core) watch() (string, error) {
	if err := c.metrics.Gauge("carillon_gate_open", "", "1 where messages may go out through this process", func(ctx context.Context) (float64, bool) {
		if c.ready(ctx) != nil {
			return 0, true
		}
		return 1, true
	}); err != nil || c.cfg.Health == "" {
		return "", err
	}
	ln, err := net.Listen("tcp", c.cfg.Health)
	if err != nil {
		return "", fmt.Errorf("probes can't listen on %s: %w; set CARILLON_HEALTH to another host:port", c.cfg.Health, err)
	}
	srv := &health.Server{Ready: c.up, Metrics: c.metrics.Handler()}
	c.run("health", func(ctx context.Context) error { return srv.Serve(ctx, ln) })
	return ln.Addr().String(), nil
}
