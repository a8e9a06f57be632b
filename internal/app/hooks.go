package app

import (
	"context"
	"errors"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/ingest/hubspot"
	"github.com/carillon-dev/carillon/internal/ingest/meta"
	"github.com/carillon-dev/carillon/internal/ingest/salesforce"
	"github.com/carillon-dev/carillon/internal/ingest/twilio"
	"github.com/carillon-dev/carillon/internal/webhook"
)

// readers are who reads the calls of each type of hook.
func readers() map[hook.Type]webhook.Reader {
	return map[hook.Type]webhook.Reader{
		hook.Meta:       meta.Reader{},
		hook.Twilio:     twilio.Reader{},
		hook.HubSpot:    hubspot.Reader{},
		hook.Salesforce: salesforce.Reader{},
	}
}

// take hands in what a call told: a platform says itself whom it is about, of
// a CRM that has to be found out.
func (s *side) take(ctx context.Context, h *hook.Spec, events []event.Event) error {
	if h.Type.CRM() {
		return s.crm.Hear(ctx, h, events)
	}
	_, err := s.desk.Take(ctx, events)
	return err
}

// hooks returns what takes the calls of hooks. Their secrets are those of this
// process, and nothing stands in for one that is missing: whoever knew it could
// speak for the platform.
func (s *side) hooks() (*webhook.Receiver, error) {
	r, err := webhook.New(webhook.Config{
		Hook: s.defs.Hook, Secret: s.called.resolve, Readers: readers(), Take: s.take, Log: s.cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	return r, errors.Join(
		s.metrics.CounterBy("carillon_hook_calls", "calls of hooks, by what came of them", "result", r.Results),
		s.metrics.CounterBy("carillon_hook_events", "events that calls of hooks told, repeats too, by type; those of CRM systems are one", "type", r.Events),
	)
}
