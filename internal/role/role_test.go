package role_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/consent"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/deadletter"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/deliver"
	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/idempotency"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/journal"
	"github.com/carillon-dev/carillon/internal/lane"
	"github.com/carillon-dev/carillon/internal/lease"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/outlet"
	"github.com/carillon-dev/carillon/internal/queue"
	"github.com/carillon-dev/carillon/internal/receipt"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/role"
	"github.com/carillon-dev/carillon/internal/run"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
	"github.com/carillon-dev/carillon/internal/use"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// house is a NATS and a Redis with one user for each role, who may do what
// the table says and nothing else.
type house struct {
	prefix string
	names  subject.Names
	nats   string // host:port
	socket string // of Redis
	owner  *engine.Engines
}

func newHouse(t *testing.T, prefix string) *house {
	t.Helper()
	h := &house{prefix: prefix}
	var err error
	h.names, err = subject.New(prefix)
	rig.Must(t, err)
	users := []map[string]any{{"user": "owner", "password": "owner"}}
	for _, r := range role.All() {
		s := r.NATS(h.names)
		users = append(users, map[string]any{"user": string(r), "password": string(r), "permissions": map[string]any{
			"publish": map[string]any{"allow": role.List(s.Publish)}, "subscribe": map[string]any{"allow": role.List(s.Subscribe)},
		}})
	}
	var conf bytes.Buffer
	enc := json.NewEncoder(&conf)
	enc.SetEscapeHTML(false) // the server's reader knows no \u003e
	rig.Must(t, enc.Encode(map[string]any{
		"host": "127.0.0.1", "port": -1, "jetstream": map[string]any{"store_dir": t.TempDir()},
		"accounts": map[string]any{"SHOP": map[string]any{"jetstream": "enabled", "users": users}},
	}))
	o := &server.Options{NoSigs: true}
	rig.Must(t, o.ProcessConfigString(conf.String()))
	o.NoSigs = true
	s, err := server.NewServer(o)
	rig.Must(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(rig.Patience) {
		t.Fatal("nats server is not ready")
	}
	h.nats = s.Addr().String()

	data := t.TempDir()
	h.owner, err = engine.Start(t.Context(), engine.Config{Data: data, NATSURL: "nats://owner:owner@" + h.nats, NATSSync: "always"})
	rig.Must(t, err)
	t.Cleanup(func() { _ = h.owner.Stop() })
	h.socket = filepath.Join(data, "redis.sock")
	for _, r := range role.All() {
		if rules := r.Redis(prefix); rules != nil {
			args := []any{"ACL", "SETUSER", string(r)}
			for _, rule := range fields(role.Line(rules)) {
				args = append(args, rule)
			}
			rig.Must(t, h.owner.Redis.Client.Do(t.Context(), append(args, "on", ">"+string(r))...).Err())
		}
	}
	return h
}

// fields splits an ACL into its rules; a selector is one of them.
func fields(line string) (out []string) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		end := strings.IndexByte(line, ' ')
		if line[0] == '(' {
			end = strings.IndexByte(line, ')') + 1
		}
		if end < 0 {
			end = len(line)
		}
		out, line = append(out, line[:end]), line[end:]
	}
	return out
}

// violations collects what the engines refused: NATS tells it only
// asynchronously, by a line of the log.
type violations struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (v *violations) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.buf.Write(p)
}

// refused returns the lines about a refusal.
func (v *violations) refused() (out []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for line := range strings.Lines(v.buf.String()) {
		if strings.Contains(line, "asynchronous error") || strings.Contains(line, "NOPERM") || strings.Contains(line, "Violation") {
			out = append(out, line)
		}
	}
	return out
}

// enter connects as a role, and asserts at the end that nothing was refused.
func (h *house) enter(t *testing.T, r role.Role) (*engine.Engines, *slog.Logger, *violations) {
	t.Helper()
	seen := &violations{}
	log := slog.New(slog.NewTextHandler(seen, &slog.HandlerOptions{Level: slog.LevelDebug}))
	e, err := engine.Start(t.Context(), engine.Config{
		NATSURL: fmt.Sprintf("nats://%s:%s@%s", r, r, h.nats), NATSInbox: r.Inbox(h.names), NATSSync: "always",
		RedisURL: fmt.Sprintf("unix://%s:%s@%s", r, r, h.socket), Log: log,
	})
	rig.Must(t, err)
	t.Cleanup(func() { _ = e.Stop() })
	return e, log, seen
}

// clean asserts that neither engine refused anything.
func (h *house) clean(t *testing.T, who string, e *engine.Engines, v *violations) {
	t.Helper()
	rig.Must(t, e.NATS.FlushTimeout(rig.Patience)) // refusals come before the answer to this
	for _, line := range v.refused() {
		t.Errorf("the %s was refused: %s", who, line)
	}
	entries, err := h.owner.Redis.Client.ACLLog(t.Context(), 100).Result()
	rig.Must(t, err)
	for _, x := range entries {
		if x.Username == who {
			t.Errorf("redis refused the %s %s (%s, %s)", who, x.Object, x.Reason, x.Context)
		}
	}
}

const bakery = rig.Bakery + `
---
kind: Broadcast
id: spring
sender: bakery
message: {text: "Hello {{.name}}"}
`

// worker is what app wires around deliver.Worker, with a platform of its own.
type worker struct {
	*rig.Rooms
	t *testing.T
}

// Send accepts, except for the contacts that one case each needs.
func (w *worker) Send(_ context.Context, _ channel.Account, m channel.Message) channel.Result {
	switch m.Recipient {
	case rig.Address(1):
		return channel.Result{Outcome: channel.Refused, Action: channel.BlockContact, Reason: reason.RecipientUnavailable}
	case rig.Address(2):
		return channel.Result{Outcome: channel.Refused, Reason: reason.PlatformRejected}
	}
	return channel.Result{Outcome: channel.Accepted, MessageID: "m"}
}

// SendBatch is not called: the sender doesn't batch.
func (w *worker) SendBatch(context.Context, channel.Account, []channel.Message) []channel.Result {
	w.t.Error("a batch was sent")
	return nil
}

// GiveBack tells the scheduler.
func (w *worker) GiveBack(_ context.Context, s job.Source, jobs []job.Ref, notBefore time.Time, why reason.Code) {
	data, err := json.Marshal(scheduler.Returned{Source: s, Jobs: jobs, Wait: time.Until(notBefore), Reason: why})
	if err == nil {
		err = w.Engines.NATS.Publish(w.Names.Returned(s.Sender), data)
	}
	if err != nil {
		w.t.Error(err)
	}
}

// Learn writes facts.
func (w *worker) Learn(ctx context.Context, sender string, us []contact.Update) error {
	_, err := w.Facts.Merge(ctx, sender, us)
	return err
}

// OptOut writes a fact.
func (w *worker) OptOut(ctx context.Context, sender, address string, at time.Time) error {
	_, err := w.Facts.Merge(ctx, sender, []contact.Update{{Address: address, OptOut: &contact.OptOut{Scope: contact.All, At: at}}})
	return err
}

// PauseSender writes a control.
func (w *worker) PauseSender(ctx context.Context, id string, _ time.Time, why reason.Code, detail string) (bool, error) {
	_, err := w.Facts.EditControl(ctx, facts.SenderControl, id, func(old facts.Control) (facts.Control, bool) {
		return facts.Control{State: facts.Paused, Reason: why, Why: detail, Rev: old.Rev + 1, At: time.Now().UTC()}, true
	})
	return true, err
}

func (h *house) work(t *testing.T, log *slog.Logger, e *engine.Engines) *worker {
	t.Helper()
	w := &worker{Rooms: rig.OpenAs(t, e, h.prefix, stream.Provider{JS: e.JetStream, Patience: rig.Patience}), t: t}
	cache, err := definition.NewCache(t.Context(), w.Defs)
	rig.Must(t, err)
	t.Cleanup(cache.Close)
	uses, err := use.Open(t.Context(), e.NATS, w.Streams, w.Names)
	rig.Must(t, err)
	d := &deliver.Worker{
		Life: t.Context(), Gate: w.Gate, Commits: w.Commits, Defs: cache, Platform: func(string) channel.Platform { return w }, Effects: w, Uses: uses, Lane: w, Tracer: w.Tracer, Log: log, Name: "w", Stats: &deliver.Stats{},
		Account: func(*sender.Spec) (channel.Account, error) { return channel.Account{}, nil },
	}
	srv := queue.NewServer(e.Redis.Queue, h.prefix, 2, d, log)
	rig.Must(t, srv.Start())
	t.Cleanup(srv.Stop)
	return w
}

func (h *house) schedule(t *testing.T, log *slog.Logger, e *engine.Engines) (*rig.Rooms, *scheduler.Scheduler, *ledger.Tally) {
	t.Helper()
	r := rig.OpenAs(t, e, h.prefix, stream.Provider{JS: e.JetStream, Create: true})
	_, err := r.Defs.Bind(t.Context(), "key", "k")
	rig.Must(t, err)
	tally, err := ledger.OpenTally(t.Context(), r.Ledger, r.Names, log)
	rig.Must(t, err)
	echoes, err := receipt.OpenEchoes(t.Context(), r.Streams, r.Names)
	rig.Must(t, err)
	s := scheduler.New(scheduler.Config{
		Dead: r.Dead, Witness: &receipt.Witness{Echoes: echoes, Defs: r.Defs},
		NATS: e.NATS, Names: r.Names, Defs: r.Defs, Facts: r.Facts, Audiences: r.Audiences, Ledger: r.Ledger, Commits: r.Commits, Tally: tally,
		Tracer: r.Tracer, Log: log,
	})
	_, err = use.Open(t.Context(), e.NATS, r.Streams, r.Names)
	rig.Must(t, err)
	l, err := lease.Open(t.Context(), r.Streams, r.Names, "scheduler", "s", log)
	rig.Must(t, err)
	rig.Loop(t, tally.Run)
	rig.Loop(t, func(ctx context.Context) error {
		return l.Run(ctx, func(ctx context.Context) error {
			leader := scheduler.NewLeader(s, lane.Config{
				Queue: queue.New(e.Redis.Queue, h.prefix), Commits: r.Commits, Share: lane.NewShare(2), Log: log,
				Repair: time.Minute, Margin: time.Second, Lease: time.Minute,
			})
			projector := facts.NewProjector(e.NATS, e.JetStream, r.View, r.Names, leader, log)
			g, ctx := errgroup.WithContext(ctx)
			g.Go(func() error { projector.Run(ctx); return nil })
			g.Go(func() error { return <-tally.Lead(ctx, r.Dead.Flush, leader, r.Dead) })
			g.Go(func() error { return leader.Run(ctx) })
			return g.Wait()
		})
	})
	rig.Until(t, "the gate opens", func() bool { return r.View.Open(t.Context()) == nil })
	return r, s, tally
}

// tokens makes a token, is let in by it, and revokes it.
func (h *house) tokens(t *testing.T, r *rig.Rooms, log *slog.Logger) {
	t.Helper()
	store, err := access.Open(t.Context(), r.Streams, r.Names, log)
	rig.Must(t, err)
	k, text, err := store.Create(t.Context(), access.Root(), access.Grant{Name: "ada", Role: access.Viewer})
	rig.Must(t, err)
	if _, err := store.Admit(text); err != nil {
		t.Error(err)
	}
	_, err = store.Revoke(t.Context(), access.Root(), k.ID)
	rig.Must(t, err)
	if _, err := store.Admit(text); err == nil {
		t.Error("a revoked token is let in")
	}
}

// receipts takes in the echo of the first contact's job and a read of it.
func receipts(t *testing.T, r *rig.Rooms, id job.ID) {
	t.Helper()
	echoes, err := receipt.OpenEchoes(t.Context(), r.Streams, r.Names)
	rig.Must(t, err)
	d := &receipt.Desk{Ledger: r.Ledger, Commits: r.Commits, Key: r.Facts.Key, Echoes: echoes, Stats: &receipt.Stats{}, Log: r.Log}
	told := event.Event{Type: event.Echo, Channel: "messenger", Sender: "bakery", Person: rig.Address(0), Job: id.String(), Time: time.Now()}
	read := event.Event{Type: event.Read, Channel: "messenger", Sender: "bakery", Person: rig.Address(0), Watermark: time.Now()}
	if later, err := d.Apply(t.Context(), []event.Event{told, read}); err != nil || len(later) != 0 {
		t.Errorf("receipts: %d are left, %v", len(later), err)
	}
}

// told takes in a message, has it taken back, and forgets who wrote it.
func told(t *testing.T, r *rig.Rooms) {
	t.Helper()
	senders, err := definition.NewCache(t.Context(), r.Defs)
	rig.Must(t, err)
	t.Cleanup(senders.Close)
	d, err := ingest.Open(t.Context(), ingest.Config{
		NATS: r.Engines.NATS, Streams: r.Streams, Names: r.Names, Facts: r.Facts, Consent: &consent.Desk{Facts: r.Facts, Ledger: r.Ledger},
		Senders: senders, Rulebook: policy.Default(), Log: r.Log,
	})
	rig.Must(t, err)
	bakery, _, err := r.Defs.Sender(t.Context(), "bakery")
	rig.Must(t, err)
	e := event.Event{
		Source: "meta/shop", ID: "m1", Type: event.Message, Time: time.Now(), Channel: bakery.Channel, Account: bakery.Account,
		Person: "4711", MessageID: "m1", Text: "hello",
	}
	for _, typ := range []event.Type{event.Message, event.Deleted} {
		e.Type = typ
		if got, err := d.Take(t.Context(), []event.Event{e}); err != nil || got.Senderless != 0 {
			t.Errorf("%s: %+v, %v", typ, got, err)
		}
	}
	if _, err := d.Erase(t.Context(), "bakery", "4711", time.Now()); err != nil {
		t.Error(err)
	}
}

// pushed turns an endpoint off and on again.
func pushed(t *testing.T, r *rig.Rooms) {
	t.Helper()
	s, err := outlet.Open(t.Context(), r.Streams, r.Names)
	rig.Must(t, err)
	_, err = s.TurnOff(t.Context(), "crm", "a person did")
	rig.Must(t, err)
	_, err = s.TurnOn(t.Context(), "crm")
	rig.Must(t, err)
}

// runs writes where a run stands and when it is due, and has a worker read it.
func runs(t *testing.T, scheduler, worker *rig.Rooms) {
	t.Helper()
	ctx, now := t.Context(), time.Now()
	mine, err := run.Open(ctx, scheduler.Engines.NATS, scheduler.Streams, scheduler.Names)
	rig.Must(t, err)
	timers, err := run.OpenTimers(ctx, scheduler.Engines.NATS, scheduler.Streams, scheduler.Names)
	rig.Must(t, err)
	id := flow.ID{Flow: "cart", Contact: job.Key{1}, Slot: flow.SlotOf()}
	rig.Must(t, timers.Append(ctx, []run.Timer{{Run: id, At: now}, {Run: id, At: now, Call: "1-1-1-0"}}))
	rig.Must(t, mine.Save(ctx, &run.Change{Whom: run.WhomOf(id), Runs: []*run.Entry{{ID: id, Run: &flow.Run{State: flow.Waiting}, Also: []job.Key{{2}}}}, Memory: &flow.Memory{}}))
	rig.Must(t, timers.Purge(ctx, run.Minute{At: now.UTC().Truncate(time.Minute)}, 1))
	if n, err := mine.Count(ctx, "cart"); err != nil || len(n) != 1 {
		t.Errorf("runs are counted as %v, %v", n, err)
	}
	if of, err := mine.Of(ctx, "cart", job.Key{2}); err != nil || len(of) != 1 {
		t.Errorf("%d runs of a contact, %v", len(of), err)
	}
	if ms, err := timers.Minutes(ctx, now.Add(time.Minute)); err != nil || len(ms) != 1 {
		t.Errorf("minutes with timers: %v, %v", ms, err)
	}
	theirs, err := run.Open(ctx, worker.Engines.NATS, worker.Streams, worker.Names)
	rig.Must(t, err)
	if _, _, found, err := theirs.Get(ctx, id); err != nil || !found {
		t.Errorf("the worker finds a run: %t, %v", found, err)
	}
}

// log writes what somebody did and reads it back, and keeps an answer.
func (h *house) log(t *testing.T, r *rig.Rooms) {
	t.Helper()
	j, err := journal.Open(t.Context(), r.Engines.NATS, r.Streams, r.Names)
	rig.Must(t, err)
	keys, err := idempotency.Open(t.Context(), r.Streams, r.Names)
	rig.Must(t, err)
	b, err := j.Begin(t.Context(), journal.Entry{Caller: journal.Caller{ID: "root"}, Verb: "launch", Sender: "bakery"})
	rig.Must(t, err)
	rig.Must(t, b.End(t.Context(), journal.Result{Status: 200}))
	n := 0
	rig.Must(t, j.Each(t.Context(), journal.Filter{}, func(e journal.Entry) error { n++; return nil }))
	if n != 1 {
		t.Errorf("the log lists %d entries", n)
	}
	k := idempotency.NewKey("root", "secret", "key")
	kept, _, err := keys.Begin(t.Context(), k, "POST /")
	rig.Must(t, err)
	rig.Must(t, kept.Keep(t.Context(), k.Body().Sum(nil), idempotency.Answer{Status: 200}))
	freed, _, err := keys.Begin(t.Context(), idempotency.NewKey("root", "secret", "another"), "POST /")
	rig.Must(t, err)
	rig.Must(t, freed.Free(t.Context()))
}

// A broadcast from its documents to its audit, a redrive and a pause, by a
// scheduler and a worker who may do only what the table says.
func TestRolesSuffice(t *testing.T) {
	for _, prefix := range []string{"", "acme"} {
		t.Run("prefix "+prefix, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, prefix)
			se, slog, sv := h.enter(t, role.Scheduler)
			r, s, tally := h.schedule(t, slog, se)
			we, wlog, wv := h.enter(t, role.Worker)
			w := h.work(t, wlog, we)
			if v, err := w.Defs.Bind(t.Context(), "key", "another"); err != nil || v != "k" {
				t.Errorf("the worker is bound to %q, %v", v, err)
			}

			q := queue.New(se.Redis.Queue, prefix)
			rig.Until(t, "the scheduler has counted the worker", func() bool {
				n, err := q.Slots()
				rig.Must(t, err)
				return n == 2
			})
			h.tokens(t, r, slog)
			h.log(t, r)
			r.Apply(t, bakery)
			r.Contacts(t, "bakery", 5)
			r.Update(t, "bakery", contact.Update{Address: rig.Address(3), OptOut: &contact.OptOut{Scope: contact.All, At: time.Now()}})
			_, err := s.Launch(t.Context(), "spring", func(*definition.Planned, *sender.Spec, time.Time) ([]broadcast.Acknowledged, error) { return nil, nil })
			rig.Must(t, err)
			var b *broadcast.Broadcast
			rig.Until(t, "the broadcast is done", func() bool {
				b, _, err = r.Defs.Broadcast(t.Context(), "spring")
				rig.Must(t, err)
				return b.State == broadcast.Done
			})
			rig.Must(t, tally.CatchUpAll(t.Context()))
			if _, err := s.LaneLoads(t.Context(), "bakery"); err != nil { // asks the leader
				t.Error(err)
			}
			if got := tally.Of(b.Source()).States; got[job.Sent] != 2 || got[job.Failed] != 2 || got[job.Blocked] != 1 {
				t.Errorf("ended as %v; want 2 sent, 2 failed, 1 blocked", got)
			}
			receipts(t, r, b.Source().Job(r.Facts.Key("bakery", rig.Address(0))))
			told(t, r)
			pushed(t, r)
			runs(t, r, w.Rooms)
			rig.Must(t, r.Dead.Flush(t.Context()))
			letters := 0
			rig.Must(t, r.Dead.Each(t.Context(), deadletter.Filter{}, func(deadletter.Letter) error { letters++; return nil }))
			if letters != 3 {
				t.Errorf("%d dead letters, want 3", letters)
			}
			if jobs, err := r.Ledger.JobsOf(t.Context(), "bakery", r.Facts.Key("bakery", rig.Address(0))); err != nil || len(jobs) != 1 {
				t.Errorf("%d jobs of a contact, %v", len(jobs), err)
			}
			n := 0
			rig.Must(t, r.Audiences.Each(t.Context(), *b.Snapshot, func(job.Key) error { n++; return nil }))
			if n != 5 {
				t.Errorf("an audience of %d, want 5", n)
			}
			if err := w.Ledger.Answers(t.Context()); err != nil {
				t.Error(err)
			}
			failed := b.Source().Job(r.Facts.Key("bakery", rig.Address(2)))
			before, _, err := r.Ledger.Last(t.Context(), failed)
			rig.Must(t, err)
			if _, err := s.Redrive(t.Context(), []job.ID{failed}, "somebody", false); err != nil {
				t.Error(err)
			}
			if after, _, err := r.Ledger.Last(t.Context(), failed); err != nil || after.Seq <= before.Seq {
				t.Errorf("redriven, a job is at %d, %v; was at %d", after.Seq, err, before.Seq)
			}
			m, err := r.Facts.Merge(t.Context(), "bakery", []contact.Update{{Address: rig.Address(9), LastInbound: time.Now()}})
			rig.Must(t, err)
			for _, of := range []*facts.Store{r.Facts, w.Facts} {
				rig.Must(t, of.InForce(t.Context(), m.Seq))
			}
			if _, err := w.PauseSender(t.Context(), "bakery", time.Now(), reason.SenderRestricted, "test"); err != nil {
				t.Error(err)
			}
			w.GiveBack(t.Context(), b.Source(), nil, time.Now(), reason.RateCapped)
			rig.Until(t, "the pause comes along", func() bool {
				c, _, err := r.Facts.Control(t.Context(), facts.SenderControl, "bakery")
				return err == nil && c.State == facts.Paused
			})
			h.clean(t, "scheduler", se, sv)
			h.clean(t, "worker", we, wv)
		})
	}
}

// What a role has no business with is refused, whatever it is asked for.
func TestRolesAreBounded(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "")
	se, slog, _ := h.enter(t, role.Scheduler)
	r, _, _ := h.schedule(t, slog, se)
	rig.Must(t, r.Ledger.Ensure(t.Context(), "202611", 0))
	rig.Must(t, h.owner.Redis.Client.Set(t.Context(), "{other}:meta", "x", 0).Err())

	change := []string{
		"$JS.API.STREAM.UPDATE.LEDGER_202611_0", "$JS.API.STREAM.DELETE.LEDGER_202611_0", "$JS.API.STREAM.PURGE.LEDGER_202611_0",
		"$JS.API.STREAM.MSG.DELETE.LEDGER_202611_0", "$JS.API.STREAM.DELETE.FACTS", "$JS.API.STREAM.PURGE.FACTS", "$JS.API.STREAM.MSG.DELETE.FACTS",
		"$JS.API.STREAM.SNAPSHOT.FACTS", "$JS.API.STREAM.RESTORE.FACTS", "$JS.API.STREAM.LEADER.STEPDOWN.FACTS", "$JS.API.STREAM.PURGE.KV_DEFS", "$JS.API.ACCOUNT.PURGE.SHOP",
		"$SYS.REQ.SERVER.PING", "elsewhere",
	}
	for _, c := range []struct {
		role               role.Role
		publish, subscribe []string
	}{
		{role.Scheduler, append([]string{"returned.bakery"}, change...), []string{">", "_INBOX.>", role.Worker.Inbox(h.names) + ".>", "facts.>", "ledger.>"}},
		{role.Worker, append([]string{
			"$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.PURGE.OBJ_AUDIENCES", "$KV.LEASES.scheduler", "lanes", "$JS.API.CONSUMER.CREATE.FACTS", "$JS.API.CONSUMER.CREATE.FACTS.c.facts.bakery.k",
			"$JS.API.CONSUMER.CREATE.LEDGER_202611_0", "$JS.API.CONSUMER.DURABLE.CREATE.KV_DEFS.c", "$KV.DEFS.sender.bakery", "$KV.TALLIES.checkpoint", "$O.AUDIENCES.M.x", "dead.x", "applied", "control.source.spring~1", "events.x",
		}, change...), []string{">", "_INBOX.>", role.Scheduler.Inbox(h.names) + ".>", "facts.>", "ledger.>", "returned.*"}},
		{role.Reader, append([]string{"facts.bakery.k", "control.sender.bakery", "ledger.x", "dead.x", "$KV.DEFS.sender.bakery", "$O.AUDIENCES.M.x", "applied", "returned.bakery", "$JS.API.STREAM.CREATE.X"}, change...), []string{">", "_INBOX.>", "applied", role.Worker.Inbox(h.names) + ".>"}},
	} {
		t.Run(string(c.role), func(t *testing.T) {
			for _, to := range c.publish {
				if err := h.try(t, c.role, func(nc *nats.Conn) error { return nc.Publish(to, []byte("{}")) }); err == nil {
					t.Errorf("may publish to %s", to)
				}
			}
			for _, to := range c.subscribe {
				if err := h.try(t, c.role, func(nc *nats.Conn) error { _, err := nc.SubscribeSync(to); return err }); err == nil {
					t.Errorf("may subscribe to %s", to)
				}
			}
			if err := h.try(t, c.role, func(nc *nats.Conn) error { return nc.Publish("$JS.API.INFO", nil) }); err != nil {
				t.Errorf("what is granted: %v", err)
			}
		})
	}
	t.Run("reader reads", func(t *testing.T) { h.reads(t) })
	t.Run("redis", func(t *testing.T) { h.redisIsBounded(t) })
}

// try does something on a connection of its own and returns what the server
// said against it.
func (h *house) try(t *testing.T, r role.Role, do func(*nats.Conn) error) error {
	t.Helper()
	refused := make(chan error, 10)
	nc, err := nats.Connect("nats://"+h.nats, nats.UserInfo(string(r), string(r)), nats.CustomInboxPrefix(r.Inbox(h.names)),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	rig.Must(t, err)
	closed := make(chan struct{})
	nc.SetClosedHandler(func(*nats.Conn) { close(closed) }) // after every other callback
	rig.Must(t, do(nc))
	rig.Must(t, nc.FlushTimeout(rig.Patience))
	nc.Close()
	<-closed
	select {
	case err := <-refused:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("%v, want a permission violation", err)
		}
		return err
	default:
		return nil
	}
}

// reads asserts that a person with a tool can read a stream to its end.
func (h *house) reads(t *testing.T) {
	nc, err := nats.Connect("nats://"+h.nats, nats.UserInfo(string(role.Reader), string(role.Reader)), nats.CustomInboxPrefix(role.Reader.Inbox(h.names)),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { t.Error(err) }))
	rig.Must(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	rig.Must(t, err)
	_, err = h.owner.JetStream.Publish(t.Context(), "facts.bakery.k", []byte("{}"))
	rig.Must(t, err)
	n := 0
	rig.Must(t, stream.Each(t.Context(), js, stream.Query{Stream: h.names.FactsStream()}, func(stream.Message) error { n++; return nil }))
	if n == 0 {
		t.Error("nothing was read")
	}
	kv, err := js.KeyValue(t.Context(), h.names.Definitions())
	rig.Must(t, err)
	if _, err := kv.Get(t.Context(), "installation.key"); err != nil {
		t.Error(err)
	}
}

func (h *house) redisIsBounded(t *testing.T) {
	const steal, forge, clobber = "return redis.call('get','{other}:meta')", "return redis.call('hset','{carillon}:meta','beat','1')", "return redis.call('set','{carillon}:f:bakery:k','x')"
	for r, cmds := range map[role.Role][][]any{
		role.Scheduler: {
			{"GET", "{other}:meta"}, {"SET", "x", "y"}, {"FLUSHALL"}, {"CONFIG", "GET", "*"}, {"ACL", "LIST"}, {"KEYS", "*"}, {"EVAL", steal, 0},
			{"SUBSCRIBE", "asynq:cancel"}, {"CLIENT", "KILL", "TYPE", "normal"}, {"MONITOR"},
		},
		role.Worker: {
			{"GET", "{other}:meta"}, {"SET", "{carillon}:f:bakery:k", "{}"}, {"SET", "{carillon}:c:sender:bakery", "{}"}, {"HSET", "{carillon}:meta", "beat", "1"},
			{"EVAL", steal, 0}, {"EVAL", forge, 0}, {"EVAL", clobber, 0}, {"DEL", "{carillon}:meta"}, {"UNLINK", "{carillon}:meta"}, {"FLUSHALL"},
			{"CONFIG", "GET", "*"}, {"SCAN", "0"}, {"PUBLISH", "other", "x"}, {"REPLICAOF", "no", "one"}, {"SHUTDOWN"}, {"SCRIPT", "FLUSH"},
		},
	} {
		e, _, _ := h.enter(t, r)
		for _, cmd := range cmds {
			err := e.Redis.Queue.Do(t.Context(), cmd...).Err()
			if err == nil || !strings.Contains(err.Error(), "NOPERM") && !strings.Contains(err.Error(), "can't access at least one of the keys") {
				t.Errorf("the %s's %v: %v, want it refused", r, cmd, err)
			}
		}
	}
}
