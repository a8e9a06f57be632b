package app

import (
	"errors"

	"github.com/carillon-dev/carillon/internal/crm"
	"github.com/carillon-dev/carillon/internal/ingest/cloudevent"
	"github.com/carillon-dev/carillon/internal/mapping"
)

// listen opens the intake of CRM systems' events, and listens to those on NATS.
func (s *side) listen() error {
	press := &crm.Pressure{Waiting: s.desk.Unheard, Most: uint64(s.cfg.EventBacklog), Log: s.cfg.Log}
	s.crm = &crm.Intake{Defs: s.defs, Desk: s.desk, Cache: mapping.NewCache(), Flows: s.known.Hearing, Press: press}
	l := &crm.Listener{Intake: s.crm, NATS: s.engines.NATS, Subject: s.names.CRMEvents(), Decode: cloudevent.Decode, Log: s.cfg.Log}
	s.run("crm", l.Run)
	return errors.Join(
		s.metrics.Counter("carillon_crm_events", "CloudEvents of CRM systems that were taken, repeats too", s.crm.Taken),
		s.metrics.Counter("carillon_crm_nobody", "those of them that named no contact", s.crm.Nobody),
		s.metrics.Counter("carillon_crm_refused", "messages of CRM systems by NATS that were not taken", l.Refused),
		s.metrics.Counter("carillon_crm_later", "calls of CRM systems, by any way, that were asked to come back, since flows are too far behind", press.Refused),
	)
}
