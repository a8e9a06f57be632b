// Package rig puts the rooms on real engines for tests: one pair of engines
// for a test binary, and on them as many installations as there are tests,
// kept apart by their prefix. It is imported by tests alone and never decides
// anything.
package rig

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/carillon-dev/carillon/internal/audience"
	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/deadletter"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/plan"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// Patience is how long a test waits for what must happen before it fails.
const Patience = time.Minute

// Main starts engines for a test binary, runs its tests and stops them. It
// returns the exit code.
func Main(m *testing.M, use func(*engine.Engines)) int {
	dir, err := os.MkdirTemp("", "rig-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	e, err := engine.Start(context.Background(), engine.Config{Data: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	use(e)
	code := m.Run()
	if err := e.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// Rooms are one installation on the engines.
type Rooms struct {
	Engines   *engine.Engines
	Names     subject.Names
	Streams   stream.Provider
	Defs      *definition.Store
	Facts     *facts.Store
	Audiences *audience.Store
	Dead      *deadletter.Store
	Ledger    *ledger.Ledger
	Commits   *ledger.Committer
	Keys      facts.Keys
	View      *facts.View
	Gate      *gate.Gate
	Tracer    trace.Tracer
	Log       *slog.Logger
	prefix    string
}

// Open opens a new installation that ends with the test.
func Open(t testing.TB, e *engine.Engines) *Rooms {
	t.Helper()
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails
	return OpenAs(t, e, "t"+hex.EncodeToString(id[:]), stream.Provider{JS: e.JetStream, Create: true})
}

// OpenAs opens the installation of a prefix, or one more process' rooms of
// it, with what the provider may do.
func OpenAs(t testing.TB, e *engine.Engines, prefix string, p stream.Provider) *Rooms {
	t.Helper()
	r := &Rooms{Engines: e, Streams: p, prefix: prefix, Tracer: noop.NewTracerProvider().Tracer(""), Log: slog.New(slog.DiscardHandler)}
	nc, js, ctx := e.NATS, e.JetStream, t.Context()
	var err error
	r.Names, err = subject.New(r.prefix)
	Must(t, err)
	r.Defs, err = definition.Open(ctx, r.Streams, r.Names)
	Must(t, err)
	r.Facts, err = facts.Open(ctx, nc, r.Streams, r.Names, contact.NewKeyer([]byte(strings.Repeat("k", 32))))
	Must(t, err)
	t.Cleanup(func() { _ = r.Facts.Close() })
	r.Audiences, err = audience.Open(ctx, r.Streams, r.Names)
	Must(t, err)
	r.Dead, err = deadletter.Open(ctx, nc, r.Streams, r.Names)
	Must(t, err)
	r.Ledger = ledger.New(r.Streams, r.Names)
	cctx, cancel := context.WithCancel(context.Background())
	r.Commits = ledger.NewCommitter(cctx, nc, js, r.Names)
	t.Cleanup(func() { cancel(); r.Commits.Wait() })
	r.Keys = facts.NewKeys(r.prefix)
	r.View = facts.NewView(e.Redis.Client, e.Redis, r.Keys, r.Facts.Identity())
	r.Gate = gate.New(e.Redis.Client, r.Keys, r.View, policy.Default())
	return r
}

// Must ends the test on an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Until waits for a condition that nothing announces.
func Until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(Patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within %s: %s", Patience, what)
		}
	}
}

// Loop runs something until the returned function or the test ends it.
func Loop(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil && ctx.Err() == nil {
			t.Errorf("ended by itself: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// Project projects facts to Redis and returns once the gate is open.
func (r *Rooms) Project(t *testing.T, watch facts.Watcher) (*facts.Projector, func()) {
	t.Helper()
	p := facts.NewProjector(r.Engines.NATS, r.Engines.JetStream, r.View, r.Names, watch, r.Log)
	stop := Loop(t, func(ctx context.Context) error { p.Run(ctx); return nil })
	Until(t, "the gate opens", func() bool { _, open, _ := p.Opened(); return open })
	return p, stop
}

// Settled projects as Project does, in an epoch that has been open for an
// hour: slots are given and facts acknowledged at once, instead of some
// seconds later, which is most of what an answer waits for them.
func (r *Rooms) Settled(t *testing.T, watch facts.Watcher) (*facts.Projector, func()) {
	t.Helper()
	_, stop := r.Project(t, nil)
	stop()
	r.Rested(t)
	return r.Project(t, watch)
}

// Rested lets slots be given at once: it sets back when the epoch opened.
func (r *Rooms) Rested(t *testing.T) {
	t.Helper()
	Must(t, r.Engines.Redis.Client.HSet(t.Context(), r.Keys.Meta(), "opened", time.Now().Add(-time.Hour).UnixMicro()).Err())
}

// Count follows the ledger with a tally until stop or the test's end.
func (r *Rooms) Count(t *testing.T, watchers ...ledger.Watcher) (tally *ledger.Tally, stop func()) {
	t.Helper()
	tally, err := ledger.OpenTally(t.Context(), r.Ledger, r.Names, r.Log)
	Must(t, err)
	return tally, Lead(t, tally, watchers...)
}

// Lead runs a tally that leads until stop or the test's end. Watchers that
// keep something durable have a Flush.
func Lead(t *testing.T, tally *ledger.Tally, watchers ...ledger.Watcher) (stop func()) {
	t.Helper()
	flush := func(ctx context.Context) error {
		for _, w := range watchers {
			if f, ok := w.(interface{ Flush(context.Context) error }); ok {
				if err := f.Flush(ctx); err != nil {
					return err
				}
			}
		}
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	led := tally.Lead(ctx, flush, watchers...) // before Run, which then begins with it
	run := Loop(t, tally.Run)
	stop = sync.OnceFunc(func() { cancel(); <-led; run() })
	t.Cleanup(stop)
	return stop
}

// Apply stores documents.
func (r *Rooms) Apply(t testing.TB, yaml string) {
	t.Helper()
	docs, err := definition.Decode("test.yaml", []byte(yaml))
	Must(t, err)
	_, err = r.Defs.Apply(t.Context(), "test.yaml", docs, definition.Check{})
	Must(t, err)
}

// Bakery is a sender of 1,000 messages a second.
const Bakery = `
kind: Sender
id: bakery
channel: messenger
account: "1234567890"
credential: env:NONE
rate: {per_second: 1000}
`

// Address is the address of the i-th contact.
func Address(i int) string { return fmt.Sprintf("1000%06d", i) }

// Contacts makes n contacts of a sender known who wrote an hour ago, and
// returns their keys.
func (r *Rooms) Contacts(t *testing.T, sender string, n int) []job.Key {
	t.Helper()
	us := make([]contact.Update, n)
	keys := make([]job.Key, n)
	for i := range us {
		us[i] = contact.Update{Address: Address(i), LastInbound: time.Now().Add(-time.Hour), Profile: &contact.Profile{Name: fmt.Sprint("N", i)}}
		keys[i] = r.Facts.Key(sender, us[i].Address)
	}
	_, err := r.Facts.Merge(t.Context(), sender, us)
	Must(t, err)
	return keys
}

// Update merges one update and returns once the gate sees it.
func (r *Rooms) Update(t *testing.T, sender string, u contact.Update) {
	t.Helper()
	m, err := r.Facts.Merge(t.Context(), sender, []contact.Update{u})
	Must(t, err)
	r.Seen(t, m.Seq)
}

// Seen waits until the gate sees a facts' sequence.
func (r *Rooms) Seen(t *testing.T, seq uint64) {
	t.Helper()
	Until(t, "the projection comes along", func() bool {
		l, err := r.View.Look(t.Context(), "none", "none", nil)
		return err == nil && l.Watermark >= seq
	})
}

// Running stores a broadcast as it is once its audience is frozen: launched,
// due, with snapshot, control and a ledger.
func (r *Rooms) Running(t *testing.T, spec broadcast.Spec, keys []job.Key) *broadcast.Broadcast {
	t.Helper()
	ctx, now := t.Context(), time.Now().UTC()
	b := &broadcast.Broadcast{
		Spec: spec, State: broadcast.Running, Occurrence: 1, LaunchedAt: now, DueAt: now, EndsAt: now.Add(time.Hour),
		Month: now.Format("200601"), Frozen: &broadcast.FreezeLog{At: now, Seen: len(keys)},
	}
	ms := make([]plan.Member, len(keys))
	for i, k := range keys {
		ms[i].Key = k
	}
	snap, err := r.Audiences.Save(ctx, broadcast.SourceName(spec.ID, 1), ms)
	Must(t, err)
	b.Snapshot = &snap
	Must(t, r.Ledger.Ensure(ctx, b.Month, b.Part))
	rev, err := r.Defs.PutBroadcast(ctx, b, 0)
	Must(t, err)
	r.Control(t, facts.SourceControl, b.Source().Name, facts.Control{State: facts.Running, EndsAt: b.EndsAt, Rev: rev})
	return b
}

// Control writes a control record, newer than the one before.
func (r *Rooms) Control(t *testing.T, kind, id string, c facts.Control) uint64 {
	t.Helper()
	seq, err := r.Facts.EditControl(t.Context(), kind, id, func(old facts.Control) (facts.Control, bool) {
		c.Rev = max(c.Rev, old.Rev+1)
		return c, true
	})
	Must(t, err)
	return seq
}

// Record appends one record to a job's history, whatever it was, and returns
// its sequence.
func (r *Rooms) Record(t testing.TB, id job.ID, rec ledger.Record) uint64 {
	t.Helper()
	last, found, err := r.Ledger.Last(t.Context(), id)
	Must(t, err)
	rec.From = job.Pending
	if found {
		rec.From, rec.FromReason, rec.Prev = last.Record.State, last.Record.Reason, last.Seq
	}
	if rec.At.IsZero() {
		rec.At = time.Now().UTC()
	}
	a := &ledger.Append{Entry: ledger.Entry{ID: id, Record: rec}}
	r.Commits.Commit(t.Context(), ledger.Bulk, []*ledger.Append{a})
	Must(t, a.Err)
	return a.Written
}

// States returns the states of a job's history, oldest first.
func (r *Rooms) States(t testing.TB, id job.ID) []job.State {
	t.Helper()
	var out []job.State
	Must(t, r.Ledger.History(t.Context(), id, func(e ledger.Entry) error {
		out = append(out, e.Record.State)
		return nil
	}))
	return out
}
