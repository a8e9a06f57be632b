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
	"github.com/carillon-dev/carillon/internal/mapping"
	"github.com/carillon-dev/carillon/internal/webhook"
)

// readers are who reads the calls of each type of hook. What a CRM tells is
// mapped by its hook's document.
func readers(mappings *mapping.Cache) map[hook.Type]webhook.Reader {
	return map[hook.Type]webhook.Reader{
		hook.Meta:       meta.Reader{},
		hook.Twilio:     twilio.Reader{},
		hook.HubSpot:    mapping.Mapped{Reader: hubspot.Reader{}, Cache: mappings},
		hook.Salesforce: mapping.Mapped{Reader: salesforce.Reader{}, Cache: mappings},
	}
}

// hooks returns what takes the calls of hooks. Their secrets are those of this
// process, and nothing stands in for one that is missing: whoever knew it could
// speak for the platform.
func (s *side) hooks() (*webhook.Receiver, error) {
	r, err := webhook.New(webhook.Config{
		Hook: s.defs.Hook, Secret: s.called.resolve, Readers: readers(s.mappings), Log: s.cfg.Log,
		Take: func(ctx context.Context, events []event.Event) error { _, err := s.desk.Take(ctx, events); return err },
	})
	if err != nil {
		return nil, err
	}
	return r, errors.Join(
		s.metrics.CounterBy("carillon_hook_calls", "calls of hooks, by what came of them", "result", r.Results),
		s.metrics.CounterBy("carillon_hook_events", "events that calls of hooks told, repeats too, by type; those of CRM systems are one", "type", r.Events),
	)
}
