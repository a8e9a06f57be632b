package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/carillon-dev/carillon/internal/clock"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/memory"
	"github.com/carillon-dev/carillon/internal/role"
	"github.com/carillon-dev/carillon/internal/run"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/internal/secret"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
	"github.com/carillon-dev/carillon/internal/telemetry"
	"github.com/carillon-dev/carillon/internal/use"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// core is what both sides work with: the engines, and the rooms on them.
type core struct {
	*stack
	cfg      Config
	rulebook Rulebook
	engines  *engine.Engines
	names    subject.Names
	role     role.Role
	streams  stream.Provider
	tracer   trace.Tracer
	metrics  *telemetry.Metrics
	defs     *definition.Store
	facts    *facts.Store
	uses     *use.Store
	runs     *run.Store
	view     *facts.View
	keys     facts.Keys
	ledger   *ledger.Ledger
	commits  *ledger.Committer
	gate     *gate.Gate
	clock    *clock.Watch
	secrets  secrets
	called   secrets                  // of hooks: who calls them
	begun    atomic.Bool              // everything is started
	print    string                   // of the installation's key
	keyed    func(text string) string // a text's hash under the installation's key
	token    secret.Text              // of the API; "" before findToken
}

// patience is how long a worker waits for a scheduler to make what it needs.
const patience = time.Minute

// open connects to or starts the engines and opens the rooms on them. As a
// worker it makes nothing that is missing.
func open(ctx context.Context, cfg Config, r role.Role) (*core, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	book, err := OpenRulebook(cfg.Rulebook) // before anything is started on a bad one
	if err != nil {
		return nil, err
	}
	cfg.Log.InfoContext(ctx, "messages are judged by a rulebook", "rulebook", book.Name, "sha256", book.Digest)
	if cfg.Kill != nil {
		cfg.Log.WarnContext(ctx, "this process is to kill itself at a point of its code; this is for tests alone", "at", cfg.Kill.String())
	}
	share := memory.Whole
	if cfg.RedisURL == "" {
		share = memory.Shared
	}
	if limit := memory.Keep(os.DirFS("/"), share); limit > 0 {
		cfg.Log.InfoContext(ctx, "memory is kept within what was granted; GOMEMLIMIT would say otherwise", "bytes", limit)
	}
	c := &core{stack: newStack(), cfg: cfg, rulebook: book, role: r}
	if err := c.open(ctx); err != nil {
		_ = c.stop(cfg.Drain) // the cause of the failed start is what counts
		return nil, err
	}
	return c, nil
}

func (c *core) open(ctx context.Context) (err error) {
	cfg := c.cfg
	if c.names, err = subject.New(cfg.Prefix); err != nil {
		return err
	}
	traces, err := telemetry.OpenTraces(ctx, "carillon")
	if err != nil {
		return err
	}
	c.onStop("traces", func(context.Context) error { return traces.Close() })
	c.tracer = traces.Tracer()
	if c.metrics, err = telemetry.OpenMetrics(); err != nil {
		return err
	}
	if err := checkDir(cfg); err != nil {
		return err
	}
	if c.engines, err = engine.Start(ctx, engine.Config{
		Data: cfg.Data, NATSURL: string(cfg.NATSURL), RedisURL: string(cfg.RedisURL), Log: cfg.Log,
		NATSInbox: c.role.Inbox(c.names), NATSCredentials: cfg.NATSCredentials, NATSNKey: cfg.NATSNKey, NATSSync: cfg.NATSSync,
		NATSCA: cfg.NATSCA, NATSCert: cfg.NATSCert, NATSKey: cfg.NATSKey,
		RedisCA: cfg.RedisCA, RedisCert: cfg.RedisCert, RedisKey: cfg.RedisKey,
	}); err != nil {
		return err
	}
	c.onStop("engines", func(context.Context) error { return c.engines.Stop() })
	if err := c.checkCounts(ctx); err != nil {
		return err
	}
	if err := c.rooms(ctx); err != nil {
		return err
	}
	if c.engines.Marks != nil {
		c.run("marks", c.keepMarks)
	}
	return nil
}

func (c *core) rooms(ctx context.Context) error {
	nc, js := c.engines.NATS, c.engines.JetStream
	c.streams = stream.Provider{JS: js, Patience: patience, Log: c.cfg.Log}
	if c.role != role.Worker {
		c.streams.Create, c.streams.Replicas = true, stream.Replicas(c.cfg.NATSReplicas, c.engines.Clustered())
	}
	var err error
	if c.defs, err = definition.Open(ctx, c.streams, c.names); err != nil {
		return err
	}
	if err := c.checkForm(ctx); err != nil {
		return err
	}
	key, err := c.key(ctx)
	if err != nil {
		return err
	}
	c.print = contact.NewKeyer(key).Fingerprint()
	c.keyed = func(text string) string { return keyed(key, text) }
	if c.facts, err = facts.Open(ctx, nc, c.streams, c.names, contact.NewKeyer(key)); err != nil {
		return err
	}
	c.facts.Kill = c.cfg.Kill
	if c.uses, err = use.Open(ctx, nc, c.streams, c.names); err != nil {
		return err
	}
	if c.runs, err = run.Open(ctx, nc, c.streams, c.names); err != nil {
		return err
	}
	c.onStop("facts", func(context.Context) error { return c.facts.Close() })
	c.ledger = ledger.New(c.streams, c.names)
	cctx, cancel := context.WithCancel(context.Background())
	c.commits = ledger.NewCommitter(cctx, nc, js, c.names)
	c.onStop("committer", func(context.Context) error { cancel(); c.commits.Wait(); return nil })
	c.keys = facts.NewKeys(c.cfg.Prefix)
	c.view = facts.NewView(c.engines.Redis.Client, c.engines.Redis, c.keys, c.facts.Identity())
	c.gate = gate.New(c.engines.Redis.Client, c.keys, c.view, c.rulebook.Rulebook)
	return c.tell(ctx)
}

// tell begins to compare this process' clock with others', once before anything
// relies on it.
func (c *core) tell(ctx context.Context) error {
	c.clock = clock.New(c.cfg.Log)
	c.gate.Clock = c.clock
	c.clock.Ask(ctx, c.facts.Time)
	c.run("clock", func(ctx context.Context) error { c.clock.Run(ctx, c.facts.Time); return nil })
	return c.metrics.Gauge("carillon_clock_skew", "s", "how far this process' clock is from others' for sure", func(context.Context) (float64, bool) {
		return c.clock.Skew(time.Now()).Seconds(), true
	})
}

// now is the time that is believed, or was: see clock.Watch.Agreed.
func (c *core) now() time.Time {
	t, _ := c.clock.Agreed()
	return t
}

// ready says why messages can't go out through this process just now.
func (c *core) ready(ctx context.Context) error {
	if err := c.clock.Check(time.Now()); err != nil {
		return fmt.Errorf("the gate is closed: %w", err)
	}
	if err := c.engines.Writes(); err != nil {
		return fmt.Errorf("%w; it goes on by itself once there is room", err)
	}
	if err := c.view.Open(ctx); err != nil {
		return fmt.Errorf("the gate is closed: %w; it goes on by itself", err)
	}
	if err := c.ledger.Answers(ctx); err != nil {
		return fmt.Errorf("the ledger can't be read: %w", err)
	}
	if err := c.commits.Writes(); err != nil {
		return fmt.Errorf("the ledger takes no records: %w; is the disk of NATS full, or was it? A server whose disk was full takes none until it is started again", err)
	}
	return nil
}

// name tells this process from all others.
func (c *core) name() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

// GiveBack tells the leader of jobs that may not go yet. It may get lost:
// then they are released again later.
func (c *core) GiveBack(ctx context.Context, s job.Source, jobs []job.Ref, notBefore time.Time, why reason.Code) {
	data, err := json.Marshal(scheduler.Returned{Source: s, Jobs: jobs, Wait: time.Until(notBefore), Reason: why})
	if err == nil {
		err = c.engines.NATS.Publish(c.names.Returned(s.Sender), data)
	}
	if err != nil {
		c.cfg.Log.WarnContext(ctx, "jobs could not be given back; they are released again later", "source", s.Name, "error", err)
	}
}

// Learn takes in what answers say of contacts.
func (c *core) Learn(ctx context.Context, sender string, us []contact.Update) error {
	_, err := c.facts.Merge(ctx, sender, us)
	return err
}

// OptOut records an opt-out of everything that a platform told of in place of an
// answer.
func (c *core) OptOut(ctx context.Context, sender, address string, at time.Time) error {
	out := contact.OptOut{Scope: contact.All, At: at, Source: "the platform refused a message: the contact opted out"}
	_, err := c.facts.Merge(ctx, sender, []contact.Update{{Address: address, OptOut: &out, Standing: true}})
	return err
}

// PauseSender stops a sender until somebody resumes it, for what an answer to
// a call that began at since said. An answer to a call from before somebody
// resumed it is out of date. It reports whether the sender was going.
func (c *core) PauseSender(ctx context.Context, id string, since time.Time, why reason.Code, detail string) (paused bool, err error) {
	_, err = c.facts.EditControl(ctx, facts.SenderControl, id, func(old facts.Control) (facts.Control, bool) {
		if paused = old.State != facts.Paused && !old.At.After(since); !paused {
			return old, false
		}
		return facts.Control{State: facts.Paused, Reason: why, Why: detail, Rev: old.Rev + 1, At: time.Now().UTC()}, true
	})
	return paused && err == nil, err
}
