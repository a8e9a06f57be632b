package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/api"
	"github.com/carillon-dev/carillon/internal/audience"
	"github.com/carillon-dev/carillon/internal/audit"
	"github.com/carillon-dev/carillon/internal/backup"
	"github.com/carillon-dev/carillon/internal/consent"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/crm"
	"github.com/carillon-dev/carillon/internal/deadletter"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/errand"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/idempotency"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/ingest/meta"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/journal"
	"github.com/carillon-dev/carillon/internal/label"
	"github.com/carillon-dev/carillon/internal/lane"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/mapping"
	"github.com/carillon-dev/carillon/internal/outcome"
	"github.com/carillon-dev/carillon/internal/outlet"
	"github.com/carillon-dev/carillon/internal/receipt"
	"github.com/carillon-dev/carillon/internal/run"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/internal/secret"
	"github.com/carillon-dev/carillon/internal/steering"
	"github.com/carillon-dev/carillon/internal/story"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
	"github.com/carillon-dev/carillon/internal/telemetry"
	"github.com/carillon-dev/carillon/internal/webhook"
	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/policy"
)

const token = "a-token-of-the-tests"

// house is a whole scheduler's side on real engines, without workers: jobs
// that are released come out of queue, and tests write their outcomes. It is
// started once, since that takes most of the time.
type house struct {
	config api.Config
	server *api.Server
	http   *httptest.Server
	held   *witness // holds every answer against the document
	log    *safeBuffer
	queue  queue
	close  func()

	desk    *ingest.Desk
	known   *definition.Cache
	facts   *facts.Store
	ledger  *ledger.Ledger
	commits *ledger.Committer
	tally   *ledger.Tally
	engines *engine.Engines
	access  *access.Store
	journal *journal.Journal
	keys    *idempotency.Store
	hooks   *webhook.Receiver
	witness *receipt.Witness
}

// theHouse is opened by the first test that needs it, since fuzzing starts
// this binary many times and needs none. A test that comes again (-count)
// finds a new one.
var theHouse struct { //nolint:gochecknoglobals // shared on purpose, see house
	mu    sync.Mutex
	now   *house
	users map[string]bool
}

func TestMain(m *testing.M) {
	code := m.Run()
	if h := theHouse.now; h != nil {
		h.close()
	}
	os.Exit(code)
}

func openHouse() (*house, error) {
	dir, err := os.MkdirTemp("", "carillon-api")
	if err != nil {
		return nil, err
	}
	h := &house{log: &safeBuffer{}, queue: queue{make(chan job.Envelope, 100)}}
	e, err := engine.Start(context.Background(), engine.Config{Data: dir})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	h.close = func() {
		if h.http != nil {
			h.http.Close()
		}
		cancel()
		wg.Wait()
		if err := errors.Join(e.Stop(), os.RemoveAll(dir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	if err := h.build(ctx, e, &wg); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

func (h *house) build(ctx context.Context, e *engine.Engines, wg *sync.WaitGroup) error {
	h.engines = e
	var names subject.Names
	log := telemetry.NewLogger(h.log, false, nil)
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())).Tracer("test")
	streams := stream.Provider{JS: e.JetStream, Create: true}
	defs, err := definition.Open(ctx, streams, names)
	if err != nil {
		return err
	}
	if h.facts, err = facts.Open(ctx, e.NATS, streams, names, contact.NewKeyer(bytes.Repeat([]byte{7}, 32))); err != nil {
		return err
	}
	audiences, err := audience.Open(ctx, streams, names)
	if err != nil {
		return err
	}
	dead, err := deadletter.Open(ctx, e.NATS, streams, names)
	if err != nil {
		return err
	}
	h.ledger = ledger.New(streams, names)
	h.commits = ledger.NewCommitter(ctx, e.NATS, e.JetStream, names)
	if h.tally, err = ledger.OpenTally(ctx, h.ledger, names, log); err != nil {
		return err
	}
	keys := facts.NewKeys("")
	view := facts.NewView(e.Redis.Client, e.Redis, keys, h.facts.Identity())
	g := gate.New(e.Redis.Client, keys, view, policy.Default())
	echoes, err := receipt.OpenEchoes(ctx, streams, names)
	if err != nil {
		return err
	}
	h.witness = &receipt.Witness{Echoes: echoes, Defs: defs}
	sched := scheduler.New(scheduler.Config{
		Dead: dead, Witness: h.witness,
		NATS: e.NATS, Names: names, Defs: defs, Facts: h.facts, Audiences: audiences, Ledger: h.ledger, Commits: h.commits, Tally: h.tally,
		Tracer: tracer, Log: log,
	})
	if err := settle(ctx, e, view, names, keys, log); err != nil {
		return err
	}
	leader := scheduler.NewLeader(sched, lane.Config{Queue: h.queue, Commits: h.commits, Share: lane.NewShare(24), Log: log, Repair: time.Hour, Margin: time.Hour, Lease: time.Hour})
	projector := facts.NewProjector(e.NATS, e.JetStream, view, names, leader, log)
	h.tally.Lead(ctx, dead.Flush, leader, dead)
	wg.Go(func() { projector.Run(ctx) })
	wg.Go(func() { _ = h.tally.Run(ctx) })
	wg.Go(func() { _ = leader.Run(ctx) })
	if h.access, err = access.Open(ctx, streams, names, log); err != nil {
		return err
	}
	wg.Go(func() { h.access.Run(ctx) })
	if h.journal, err = journal.Open(ctx, e.NATS, streams, names); err != nil {
		return err
	}
	if h.keys, err = idempotency.Open(ctx, streams, names); err != nil {
		return err
	}
	if err := h.open(ctx, defs, streams, names); err != nil {
		return err
	}
	outlets, err := outlet.Open(ctx, streams, names)
	if err != nil {
		return err
	}
	runs, err := run.Open(ctx, e.NATS, streams, names)
	if err != nil {
		return err
	}
	labels, err := label.Open(ctx, streams, names)
	if err != nil {
		return err
	}
	timers, err := run.OpenTimers(ctx, e.NATS, streams, names)
	if err != nil {
		return err
	}
	h.config = api.Config{
		Steering: &steering.Desk{Defs: defs, Controls: h.facts, Runs: runs, Timers: timers, Key: h.facts.Key, Now: time.Now},
		Defs:     defs, Facts: h.facts, Ready: view.Open, Consent: &consent.Desk{Facts: h.facts, Ledger: h.ledger}, Desk: h.desk, CRM: &crm.Intake{Defs: defs, Desk: h.desk, Cache: mapping.NewCache(), Flows: h.known.Hearing}, Scheduler: sched,
		Auditor: &audit.Auditor{Audiences: audiences, Ledger: h.ledger, Tally: h.tally, Witness: h.witness}, Dead: dead, Witness: h.witness,
		Teller: &story.Teller{Defs: defs, Facts: h.facts, Audiences: audiences, Ledger: h.ledger, Gate: g, Witness: h.witness, Runs: runs, Programs: h.known, Says: errand.NewReader(runs, h.known, defs, h.facts)}, Feed: &outcome.Feed{JS: e.JetStream, Ledger: h.ledger}, Outlets: outlets, Labels: labels,
		Tally: h.tally, Gate: g, Policy: client.Policy{Rulebook: "built-in", Digest: "0123456789ab"}, Token: token, Access: h.access,
		Journal: h.journal, Keys: h.keys, Hooks: h.hooks, Rate: 100_000, Tracer: tracer, Log: log,
		Backup:     backup.Source{JS: e.JetStream, Names: names, Key: "fingerprint", By: "a test"}.Write,
		HookSecret: func(ref string) error { _, err := hookSecret(ref); return err },
		Credential: func(ref string) error {
			if strings.Contains(ref, "MISSING") {
				return fmt.Errorf("%s is not set", ref)
			}
			return nil
		},
	}
	if h.server, err = api.New(h.config); err != nil {
		return err
	}
	if h.held, err = newWitness(h.server); err != nil {
		return err
	}
	h.http = httptest.NewServer(h.held)
	_, open, next := projector.Opened()
	if !open {
		<-next
	}
	return nil
}

// open opens the doors for platforms, with secrets by name.
func (h *house) open(ctx context.Context, defs *definition.Store, streams stream.Provider, names subject.Names) (err error) {
	if h.known, err = definition.NewCache(ctx, defs); err != nil {
		return err
	}
	if h.desk, err = ingest.Open(ctx, ingest.Config{
		NATS: h.engines.NATS, Streams: streams, Names: names, Facts: h.facts, Consent: &consent.Desk{Facts: h.facts, Ledger: h.ledger},
		Senders: h.known, Rulebook: policy.Default(), Log: slog.New(slog.DiscardHandler),
	}); err != nil {
		return err
	}
	h.hooks, err = webhook.New(webhook.Config{
		Hook: defs.Hook, Secret: hookSecret, Readers: map[hook.Type]webhook.Reader{hook.Meta: meta.Reader{}}, Log: telemetry.NewLogger(h.log, false, nil),
		Take: func(ctx context.Context, _ *hook.Spec, events []event.Event) error {
			_, err := h.desk.Take(ctx, events)
			return err
		},
	})
	return err
}

// hookSecret resolves references to secrets that are their own names.
func hookSecret(ref string) (secret.Text, error) {
	if strings.Contains(ref, "MISSING") {
		return "", fmt.Errorf("%s is not set", ref)
	}
	return secret.Text(strings.TrimPrefix(ref, "env:")), nil
}

// settle has a first projector open the gate an hour ago, so that facts are
// acknowledged at once: in an epoch that has only begun, most of what an
// answer waits for them would be over before the first could be.
func settle(ctx context.Context, e *engine.Engines, view *facts.View, names subject.Names, keys facts.Keys, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	first := facts.NewProjector(e.NATS, e.JetStream, view, names, nil, log)
	_, _, opened := first.Opened()
	ended := make(chan struct{})
	go func() { first.Run(ctx); close(ended) }()
	<-opened
	cancel()
	<-ended
	return e.Redis.Client.HSet(context.Background(), keys.Meta(), "opened", time.Now().Add(-time.Hour).UnixMicro()).Err()
}

// enter returns the house of this run of the tests.
func enter(t *testing.T) *house {
	t.Helper()
	theHouse.mu.Lock()
	defer theHouse.mu.Unlock()
	if theHouse.now != nil && theHouse.users[t.Name()] {
		theHouse.now.close()
		theHouse.now = nil
	}
	if theHouse.now == nil {
		h, err := openHouse()
		if err != nil {
			t.Fatal(err)
		}
		theHouse.now, theHouse.users = h, map[string]bool{}
	}
	theHouse.users[t.Name()] = true
	return theHouse.now
}

// setup returns the house. What the test's requests were answered must be as
// the document says.
func setup(t *testing.T) *house {
	t.Helper()
	h := enter(t)
	t.Cleanup(func() {
		for _, v := range h.held.take() {
			t.Error("not as the document says: " + v)
		}
	})
	return h
}

func (h *house) client(t *testing.T) *client.Client {
	c := client.New(h.http.URL, token)
	t.Cleanup(c.Close)
	return c
}

// withSender applies a sender of the given id.
func (h *house) withSender(t *testing.T, id string) {
	t.Helper()
	if _, err := h.client(t).Apply(t.Context(), "sender.yaml", strings.NewReader(senderYAML(id))); err != nil {
		t.Fatal(err)
	}
}

func senderYAML(id string) string {
	return "kind: Sender\nid: " + id + "\nchannel: messenger\naccount: \"1" + fmt.Sprint(len(id)) + "\"\ncredential: env:TOKEN\nrate: {per_second: 100}\n"
}

func broadcastYAML(id, sender, text string) string {
	return "kind: Broadcast\nid: " + id + "\nsender: " + sender + "\nmessage: {text: " + text + "}\n"
}

// move appends one record to a job's history and returns its sequence.
func (h *house) move(t *testing.T, id job.ID, r ledger.Record) uint64 {
	t.Helper()
	e := &ledger.Append{Entry: ledger.Entry{ID: id, Record: r}}
	if e.Record.At.IsZero() {
		e.Record.At = time.Now().UTC()
	}
	h.commits.Commit(t.Context(), ledger.Bulk, []*ledger.Append{e})
	if e.Err != nil {
		t.Fatal(e.Err)
	}
	return e.Written
}

// queue hands released envelopes to the test.
type queue struct{ out chan job.Envelope }

// Enqueue keeps the envelope.
func (q queue) Enqueue(ctx context.Context, e job.Envelope, _ bool) error {
	select {
	case q.out <- e:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// released waits for n jobs of a broadcast.
func (q queue) released(t *testing.T, source string, n int) []job.ID {
	t.Helper()
	var ids []job.ID
	for len(ids) < n {
		select {
		case e := <-q.out:
			if e.Source.Name != source {
				continue
			}
			for _, j := range e.Jobs {
				ids = append(ids, e.Source.Job(j.Contact))
			}
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(60 * time.Second):
			t.Fatalf("%d of %d jobs of %s were released", len(ids), n, source)
		}
	}
	return ids
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// request sends one request with the token.
func (h *house) request(t *testing.T, method, path, body string, header ...string) (int, http.Header, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, h.http.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := h.http.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, b.Bytes()
}

func flowYAML(id, sender string) string {
	return "kind: Flow\nid: " + id + "\ntype: auto_reply\nsender: " + sender + "\ntrigger: {inbound: [message]}\nsteps: [{id: told, send: {text: Hello}}]\n"
}
