package app

import (
	"context"
	"errors"

	"github.com/carillon-dev/carillon/internal/outlet"
	"github.com/carillon-dev/carillon/internal/secret"
)

// outlet makes the outlets of one term.
func (s *side) outlet() *outlet.Outlets {
	return outlet.New(outlet.Settings{
		Names: s.names, Defs: s.defs, Facts: s.facts, Feed: s.feed, Store: s.outlets, Push: s.pusher.Push,
		Secret: s.signing, Patience: outlet.Standard(), Counts: &s.pushed, Log: s.cfg.Log,
	})
}

// signing is a secret that pushes are signed with. What stands in for one that
// the sandbox would take would sign nothing.
func (s *side) signing(ref string) (secret.Text, error) { return secrets{}.resolve(ref) }

// measurePushes makes figures of what goes out to endpoints.
func (s *side) measurePushes() error {
	m, c := s.metrics, &s.pushed
	led := func(of func() int64) func(context.Context) (float64, bool) {
		return func(context.Context) (float64, bool) { return float64(of()), s.standing.now.Load() != nil }
	}
	return errors.Join(
		m.Counter("carillon_pushes_taken", "pushes of outcomes that endpoints took", c.Taken.Load),
		m.Counter("carillon_pushes_failed", "tries of pushes that endpoints did not take", c.Failed.Load),
		m.Counter("carillon_pushes_given_up", "pushes of outcomes that were given up", c.Dead.Load),
		m.Gauge("carillon_outcomes_behind", "", "records of the ledger after the cursor of the endpoint that lags most; of who leads", led(c.Behind.Load)),
		m.Gauge("carillon_pushes_waiting", "", "pushes that were begun and not taken yet; of who leads", led(c.Waiting.Load)),
		m.Gauge("carillon_endpoints_off", "", "endpoints that nothing is pushed to any more; of who leads", led(c.Off.Load)),
	)
}
