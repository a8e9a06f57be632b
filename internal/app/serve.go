package app

import (
	"context"
	"fmt"
	"net"
	"path/filepath"

	"github.com/carillon-dev/carillon/internal/api"
	"github.com/carillon-dev/carillon/internal/audit"
	"github.com/carillon-dev/carillon/internal/consent"
	"github.com/carillon-dev/carillon/internal/story"
	"github.com/carillon-dev/carillon/pkg/client"
)

// serve starts the API on the scheduler's side and returns where it listens.
func (c *core) serve(side control) (string, error) {
	token, err := c.token()
	if err != nil {
		return "", err
	}
	srv, err := api.New(api.Config{
		Defs: c.defs, Facts: c.facts, Projector: side.projector, Consent: &consent.Desk{Facts: c.facts, Ledger: c.ledger},
		Scheduler: side.scheduler, Auditor: &audit.Auditor{Audiences: c.audiences, Ledger: c.ledger, Tally: side.tally}, Dead: c.dead,
		Teller: &story.Teller{Defs: c.defs, Facts: c.facts, Audiences: c.audiences, Ledger: c.ledger, Gate: c.gate},
		Tally:  side.tally, Gate: c.gate, Policy: client.Policy{Rulebook: c.rulebook.Name, Digest: c.rulebook.Digest}, Token: token, Tracer: c.tracer, Log: c.cfg.Log,
		Credential: func(ref string) error { _, err := c.secrets.resolve(ref); return err },
	})
	if err != nil {
		return "", err
	}
	ln, err := net.Listen("tcp", c.cfg.Listen)
	if err != nil {
		return "", fmt.Errorf("the API can't listen on %s: %w; set CARILLON_LISTEN to another host:port", c.cfg.Listen, err)
	}
	c.run("api", func(ctx context.Context) error { return srv.Serve(ctx, ln) })
	return ln.Addr().String(), nil
}

// token returns the API's token, and leaves it where a local client looks.
func (c *core) token() (string, error) {
	path := filepath.Join(c.cfg.Data, "token")
	if c.cfg.Token != "" {
		return string(c.cfg.Token), nil
	}
	secret, err := secretFile(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", secret), nil
}
