package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/carillon-dev/carillon/internal/automation"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/endpoint"
	"github.com/carillon-dev/carillon/internal/errand"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/steering"
)

// automate makes the driver of flows of one term.
func (s *side) automate(ctx context.Context) (*automation.Driver, error) {
	marks, err := s.streams.KeyValue(ctx, ledger.TallyConfig(s.names))
	if err != nil {
		return nil, fmt.Errorf("flows: %w", err)
	}
	planner := errand.New(s.ledger, s.commits, s.facts.Key)
	planner.Kill = s.cfg.Kill
	return automation.New(automation.Config{
		JS: s.engines.JetStream, Names: s.names, Catalog: automation.NewDefined(s.known, s.defs), Tell: (&steering.Desk{Defs: s.defs, Controls: s.facts}).Tell, Desk: s.desk, Contacts: s.facts,
		Learn: func(ctx context.Context, sender string, us []contact.Update) error {
			_, err := s.facts.Merge(ctx, sender, us)
			return err
		},
		Planner: planner, Runs: s.runs, Timers: s.timers, Marks: marks,
		Endpoint: func(ctx context.Context, id string) (*endpoint.Spec, error) {
			e, _, err := s.defs.Endpoint(ctx, id)
			return e, err
		},
		Push: s.pusher.Push, Secret: s.signing, Counts: &s.automated, Clock: s.clock, Log: s.cfg.Log, Kill: s.cfg.Kill,
	}), nil
}

// measureFlows makes figures of what flows do.
func (s *side) measureFlows() error {
	m, c := s.metrics, &s.automated
	led := func(of func() int64) func(context.Context) (float64, bool) {
		return func(context.Context) (float64, bool) { return float64(of()), s.standing.now.Load() != nil }
	}
	return errors.Join(
		m.Counter("carillon_flow_events", "events that flows took in, those that none of them hears too", c.Heard.Load),
		m.Counter("carillon_flow_runs_begun", "runs of flows that began", c.Started.Load),
		m.CounterBy("carillon_flow_runs_ended", "runs of flows that ended, by how", "state", c.Ended.All),
		m.Counter("carillon_flow_timers", "runs that were woken since their time had come", c.Woken.Load),
		m.Counter("carillon_flow_outcomes", "outcomes of messages and calls that runs were told", c.Settled.Load),
		m.Counter("carillon_flow_refused", "what flows could not take in, since an expression failed or a run could not go on", c.Refused.Load),
		m.Counter("carillon_flow_calls_taken", "calls of flows that endpoints took", c.CallsTaken.Load),
		m.Counter("carillon_flow_calls_failed", "tries of calls of flows that endpoints did not take", c.CallsFailed.Load),
		m.Counter("carillon_flow_calls_given_up", "calls of flows that were given up", c.CallsGivenUp.Load),
		m.Gauge("carillon_flow_events_behind", "", "events that flows have not taken in yet; of who leads", led(c.Behind.Load)),
		m.Gauge("carillon_flow_timers_loaded", "", "timers of runs in memory; of who leads", led(c.Loaded.Load)),
		m.Gauge("carillon_flow_calls_waiting", "", "calls of flows without an outcome; of who leads", led(c.Calls.Load)),
		m.Gauge("carillon_flow_lateness", "s", "how late a run was woken last; of who leads", func(context.Context) (float64, bool) {
			return float64(c.Late.Load()) / 1000, s.standing.now.Load() != nil
		}),
	)
}
