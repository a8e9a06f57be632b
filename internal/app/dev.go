package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"

	"github.com/nats-io/nuid"

	"github.com/carillon-dev/carillon/internal/deliver"
	"github.com/carillon-dev/carillon/internal/role"
	"github.com/carillon-dev/carillon/internal/sandbox"
	"github.com/carillon-dev/carillon/internal/secret"
	"github.com/carillon-dev/carillon/pkg/client"
)

// Dev is everything in one process: engines, both sides, and the sandbox
// where no platform is named.
type Dev struct {
	core    *core
	api     string
	sandbox string
	box     *sandbox.Sandbox // nil where the platform is another
	stats   *deliver.Stats
}

// StartDev starts everything. Started again on the same data it goes on where
// it was, killed or not.
func StartDev(ctx context.Context, cfg Config) (*Dev, error) {
	if err := listening(cfg).Check(); err != nil { // before anything is started behind a door that stays open
		return nil, err
	}
	c, err := open(ctx, cfg, role.Scheduler)
	if err != nil {
		return nil, err
	}
	d := &Dev{core: c}
	if err := d.start(ctx); err != nil {
		return nil, errors.Join(err, c.stop(cfg.Drain))
	}
	return d, nil
}

func (d *Dev) start(ctx context.Context) (err error) {
	c := d.core
	if c.cfg.MetaURL == "" {
		if err := d.startSandbox(); err != nil {
			return err
		}
	}
	s, err := c.schedule(ctx, d.holder())
	if err != nil {
		return err
	}
	s.alone = true
	if d.stats, err = c.work(); err != nil {
		return err
	}
	d.api, err = s.serve(ctx)
	return err
}

// holder names this process in the lease. On an embedded server nobody else
// can hold it, so that a process which was killed leads again at once.
func (d *Dev) holder() string {
	if d.core.cfg.NATSURL == "" {
		return "carillon dev"
	}
	return d.core.name() + "/" + nuid.Next()
}

// startSandbox serves the stand-in platform on a port of its own, as real a
// peer as any.
func (d *Dev) startSandbox() error {
	c := d.core
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	o := sandbox.Options{RatePerSecond: c.cfg.SandboxRate, Log: c.cfg.Log}
	if c.cfg.TLSCert != "" {
		if o.TLS, err = pinned(c.cfg.TLSCert); err != nil {
			ln.Close()
			return err
		}
	}
	d.box = sandbox.New(o)
	c.run("sandbox", func(ctx context.Context) error { return d.box.Serve(ctx, ln) })
	d.sandbox = "http://" + ln.Addr().String()
	c.cfg.MetaURL, c.secrets.fallback = d.sandbox, "sandbox"
	if c.cfg.TwilioURL == "" {
		c.cfg.TwilioURL = d.sandbox
	}
	c.called.fallback = secret.Text(rand.Text()) // the sandbox alone may call: nobody else knows it
	return nil
}

// API returns the base URL of the API.
func (d *Dev) API() string { return d.api }

// Sandbox returns the base URL of the sandbox, "" where the platform is
// another.
func (d *Dev) Sandbox() string { return d.sandbox }

// Hear has the sandbox tell a hook what happens, as a platform does that is
// subscribed to it. It does nothing where the platform is another.
func (d *Dev) Hear(ctx context.Context, hook string) error {
	if d.box == nil {
		return nil
	}
	h, _, err := d.core.defs.Hook(ctx, hook)
	if err != nil {
		return fmt.Errorf("sandbox: hook %s: %w", hook, err)
	}
	signs, err := d.core.called.resolve(h.Secrets[0])
	if err != nil {
		return fmt.Errorf("sandbox: hook %s: %w", hook, err)
	}
	token, err := d.core.called.resolve(h.VerifyToken)
	if err != nil {
		return fmt.Errorf("sandbox: hook %s: %w", hook, err)
	}
	_, err = d.box.Subscribe(ctx, sandbox.Webhook{
		URL: d.api + h.Path(), AppSecret: string(signs), VerifyToken: string(token), AppID: h.AppID, Items: toldAtOnce,
	})
	return err
}

// toldAtOnce is how many events the sandbox tells in one call: the sample has
// some ten thousand within seconds.
const toldAtOnce = 200

// Heard reports whether everything that the sandbox has to tell was told.
func (d *Dev) Heard() bool {
	if d.box == nil {
		return true
	}
	for _, w := range d.box.Subscriptions() {
		if w.Waiting > 0 {
			return false
		}
	}
	return true
}

// Rulebook returns what messages are judged by.
func (d *Dev) Rulebook() Rulebook { return d.core.rulebook }

// Token returns the API's token.
func (d *Dev) Token() string { return string(d.core.token) }

// Client returns a client of the API, which trusts its certificate.
func (d *Dev) Client() (*client.Client, error) {
	if d.core.cfg.TLSCert == "" {
		return client.New(d.api, d.Token()), nil
	}
	conf, err := pinned(d.core.cfg.TLSCert)
	if err != nil {
		return nil, err
	}
	return client.New(d.api, d.Token(), client.WithTLS(conf)), nil
}

// Stats returns what deliveries cost so far.
func (d *Dev) Stats() *deliver.Stats { return d.stats }

// Failed is sent what ends the process: a room that can't go on.
func (d *Dev) Failed() <-chan error { return d.core.fatal }

// Stop stops everything, what was started last first.
func (d *Dev) Stop() error { return d.core.stop(d.core.cfg.Drain) }
