package app

import (
	"context"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/api"
	"github.com/carillon-dev/carillon/internal/audit"
	"github.com/carillon-dev/carillon/internal/backup"
	"github.com/carillon-dev/carillon/internal/errand"
	"github.com/carillon-dev/carillon/internal/idempotency"
	"github.com/carillon-dev/carillon/internal/journal"
	"github.com/carillon-dev/carillon/internal/steering"
	"github.com/carillon-dev/carillon/internal/story"
	"github.com/carillon-dev/carillon/pkg/client"
)

// serve starts the API on the scheduler's side and returns its base URL.
func (s *side) serve(ctx context.Context) (string, error) {
	c := s.core
	if err := c.findToken(ctx); err != nil {
		return "", err
	}
	tokens, err := access.Open(ctx, c.streams, c.names, c.cfg.Log)
	if err != nil {
		return "", err
	}
	c.run("tokens", func(ctx context.Context) error { tokens.Run(ctx); return nil })
	log, err := journal.Open(ctx, c.engines.NATS, c.streams, c.names)
	if err != nil {
		return "", err
	}
	keys, err := idempotency.Open(ctx, c.streams, c.names)
	if err != nil {
		return "", err
	}
	hooks, err := s.hooks()
	if err != nil {
		return "", err
	}
	srv, err := api.New(api.Config{
		Defs: c.defs, Facts: c.facts, Ready: c.ready, Consent: s.consent(), Desk: s.desk, CRM: s.crm,
		Scheduler: s.scheduler, Clock: c.clock, Auditor: &audit.Auditor{Audiences: s.audiences, Ledger: c.ledger, Tally: s.tally, Witness: s.witness}, Dead: s.dead, Witness: s.witness,
		Teller: &story.Teller{Defs: c.defs, Facts: c.facts, Audiences: s.audiences, Ledger: c.ledger, Gate: c.gate, Witness: s.witness, Runs: c.runs, Programs: s.known, Says: errand.NewReader(c.runs, s.known, c.defs, c.facts)}, Feed: s.feed, Outlets: s.outlets, Labels: s.labels,
		Steering: &steering.Desk{Defs: c.defs, Controls: c.facts, Runs: s.runs, Timers: s.timers, Key: c.facts.Key, Now: c.now},
		Tally:    s.tally, Gate: c.gate, Policy: client.Policy{Rulebook: c.rulebook.Name, Digest: c.rulebook.Digest}, Token: string(c.token), Access: tokens,
		Journal: log, Keys: keys, Rate: c.cfg.APIRate, Tracer: c.tracer, Log: c.cfg.Log,
		Backup: backup.Source{JS: c.engines.JetStream, Names: c.names, Prefix: c.cfg.Prefix, Key: c.print, By: program()}.Write,
		Hooks:  hooks, Listening: listening(c.cfg), Credential: s.credential, HookSecret: c.called.check,
	})
	if err != nil {
		return "", err
	}
	ln, err := srv.Listen()
	if err != nil {
		return "", err
	}
	c.run("api", func(ctx context.Context) error { return srv.Serve(ctx, ln) })
	return ln.URL(), nil
}

// listening is where the API of a process listens.
func listening(cfg Config) api.Listening {
	return api.Listening{Address: cfg.Listen, Cert: cfg.TLSCert, Key: cfg.TLSKey, Proxies: cfg.TrustedProxies}
}

// credential says what is wrong with a sender's credential. Where workers are
// processes of their own, only they can know.
func (s *side) credential(ref string) error {
	if !s.alone {
		return nil
	}
	return s.secrets.check(ref)
}
