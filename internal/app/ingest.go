package app

import (
	"context"
	"errors"

	"github.com/carillon-dev/carillon/internal/consent"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/ingest"
)

func (s *side) consent() *consent.Desk { return &consent.Desk{Facts: s.facts, Ledger: s.ledger} }

// ingest opens the desk at which platforms and CRM systems hand in.
func (s *side) ingest(ctx context.Context) (*ingest.Desk, error) {
	c := s.core
	life, cancel := context.WithCancel(context.Background())
	senders, err := definition.NewCache(life, c.defs)
	if err != nil {
		cancel()
		return nil, err
	}
	c.onStop("senders", func(context.Context) error { defer cancel(); return senders.Close() })
	desk, err := ingest.Open(ctx, ingest.Config{
		NATS: c.engines.NATS, Streams: c.streams, Names: c.names, Facts: c.facts, Consent: s.consent(), Senders: senders,
		Rulebook: c.rulebook.Rulebook, Log: c.cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	n := desk.Stats()
	return desk, errors.Join(
		c.metrics.Counter("carillon_events_kept", "events from platforms and CRM systems that were new", n.Kept.Load),
		c.metrics.Counter("carillon_events_repeated", "events that had been told before", n.Repeated.Load),
		c.metrics.Counter("carillon_events_senderless", "events about accounts that no sender is", n.Senderless.Load),
		c.metrics.Counter("carillon_events_blind", "answers to events that relied on a closed gate, since the facts were not known to be in force", n.Blind.Load),
		c.metrics.Counter("carillon_events_recovered", "contacts whose facts were made only when their events were read again", n.Recovered.Load),
		c.metrics.Counter("carillon_receipts_expired", "receipts given up, since no job was found to which they belong", n.Expired.Load),
		c.metrics.Counter("carillon_optouts_outlasted", "messages that were still on their way when an opt-out was answered", n.Outlasted.Load),
	)
}
