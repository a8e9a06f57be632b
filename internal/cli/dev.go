package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/app"
	"github.com/carillon-dev/carillon/internal/config"
	"github.com/carillon-dev/carillon/internal/telemetry"
	"github.com/carillon-dev/carillon/pkg/client"
)

const devHelp = `All of Carillon in one process, until interrupted: NATS embedded, Redis as a child
process, the API, both sides, and the sandbox as the platform. Started again on the
same data it goes on where it was, killed or not. The sample is an invented bakery
chain: 6,000 contacts of three senders and three broadcasts, which are sent, audited
and explained, and beside them three flows that are told what happens in a shop.

What it can be told otherwise stands below, and in docs/configuration.md.`

// readyTimeout is how long the checks may take to open after a start: the
// rebuild of a few million facts.
const readyTimeout = 2 * time.Minute

func newDevCommand(s *session) *cobra.Command {
	var sample, once, verbose bool
	var load func() (config.Config, error)
	cmd := &cobra.Command{
		Use: "dev", Short: "All of Carillon in one process, with sample data", Long: devHelp, Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.serves = true
			settings, err := load()
			if err != nil {
				return err
			}
			level := slog.LevelWarn
			if verbose {
				level = slog.LevelInfo
			}
			cfg := app.Config{Config: settings, Log: telemetry.NewLogger(s.err, settings.LogFormat == "json", level)}
			return s.dev(cmd.Context(), cfg, sample, once)
		},
	}
	load = s.settings(cmd, config.Dev)
	cmd.Flags().BoolVar(&sample, "sample", true, "send the sample broadcasts; =false starts empty")
	cmd.Flags().BoolVar(&once, "once", false, "end after the sample")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "log what happens, not only what goes wrong")
	return cmd
}

// dev runs everything until it is interrupted or a room fails.
func (s *session) dev(ctx context.Context, cfg app.Config, sample, once bool) (err error) {
	d, err := app.StartDev(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Stop()) }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-d.Failed():
			cancel(err)
		case <-ctx.Done():
		}
	}()
	c, err := d.Client()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := s.announce(ctx, d, c); err != nil {
		return err
	}
	if sample {
		t := tour{session: s, client: c, sandbox: d.Sandbox(), hear: d.Hear, heard: d.Heard}
		if err := t.run(ctx); err != nil || once {
			return err
		}
		fmt.Fprintln(s.err, "\nstill running: try carillon in another shell; Ctrl-C stops it")
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); !isInterrupt(cause) {
		return cause
	}
	return nil
}

func isInterrupt(err error) bool {
	_, ok := errors.AsType[interrupted](err)
	return ok
}

// announce waits until the checks are open and says where everything is.
func (s *session) announce(ctx context.Context, d *app.Dev, c *client.Client) error {
	if err := awaitReady(ctx, c); err != nil {
		return err
	}
	if s.json {
		return s.writeJSON(struct {
			API      string        `json:"api"`
			Sandbox  string        `json:"sandbox,omitempty"`
			Rulebook client.Policy `json:"rulebook"`
		}{d.API(), d.Sandbox(), client.Policy{Rulebook: d.Rulebook().Name, Digest: d.Rulebook().Digest}})
	}
	fmt.Fprintf(s.out, "Carillon answers at %s\n", d.API())
	if d.Sandbox() != "" {
		fmt.Fprintf(s.out, "the platform is the sandbox at %s\n", d.Sandbox())
	}
	fmt.Fprintf(s.out, "messages are judged by the rulebook %s\n", d.Rulebook())
	return nil
}

func awaitReady(ctx context.Context, c *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
				return cause
			}
			return fmt.Errorf("not ready after %s: %w", readyTimeout, err)
		}
	}
}
