package app

import (
	"context"
	"errors"

	"github.com/carillon-dev/carillon/internal/consent"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/receipt"
)

func (s *side) consent() *consent.Desk {
	return &consent.Desk{Facts: s.facts, Ledger: s.ledger, Kill: s.cfg.Kill}
}

// ingest opens the desk at which platforms and CRM systems hand in.
func (s *side) ingest(ctx context.Context) (*ingest.Desk, error) {
	c := s.core
	var err error
	if s.known, err = definition.NewCache(context.Background(), c.defs); err != nil {
		return nil, err
	}
	c.onStop("definitions", func(context.Context) error { s.known.Close(); return nil })
	receipts := &receipt.Desk{Ledger: c.ledger, Commits: c.commits, Key: c.facts.Key, Echoes: s.echoes, Stats: &receipt.Stats{}, Log: c.cfg.Log}
	desk, err := ingest.Open(ctx, ingest.Config{
		NATS: c.engines.NATS, Streams: c.streams, Names: c.names, Facts: c.facts, Consent: s.consent(), Senders: s.known,
		Receipts: receipts, Rulebook: c.rulebook.Rulebook, Log: c.cfg.Log, Now: c.clock.Agreed, Kill: c.cfg.Kill,
	})
	if err != nil {
		return nil, err
	}
	n, r := desk.Stats(), receipts.Stats
	return desk, errors.Join(
		c.metrics.Counter("carillon_events_kept", "events from platforms and CRM systems that were new", n.Kept.Load),
		c.metrics.Counter("carillon_events_repeated", "events that had been told before", n.Repeated.Load),
		c.metrics.Counter("carillon_events_senderless", "events about accounts that no sender is", n.Senderless.Load),
		c.metrics.Counter("carillon_events_blind", "answers to events that relied on a closed gate, since the facts were not known to be in force", n.Blind.Load),
		c.metrics.Counter("carillon_events_recovered", "contacts whose facts were made only when their events were read again", n.Recovered.Load),
		c.metrics.Counter("carillon_receipts_expired", "receipts given up, since no job was found to which they belong", n.Expired.Load),
		c.metrics.CounterBy("carillon_receipts", "messages that platforms told of, by what became of them", "state", r.Moved),
		c.metrics.Counter("carillon_receipts_stray", "receipts of messages that are not ours: another app's, or a person's at the inbox", r.Stray.Load),
		c.metrics.Counter("carillon_receipts_later", "receipts that were kept until the outcome of a job is known", r.Later.Load),
		c.metrics.Counter("carillon_unknown_resolved", "messages of which the answer was lost, and that an echo or a receipt showed to have been sent", r.Resolved.Load),
		c.metrics.Counter("carillon_optouts_outlasted", "messages that were still on their way when an opt-out was answered", n.Outlasted.Load),
	)
}
