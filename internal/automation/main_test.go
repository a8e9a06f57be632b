package automation

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/endpoint"
	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/errand"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/push"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/run"
	"github.com/carillon-dev/carillon/internal/secret"
	"github.com/carillon-dev/carillon/internal/steering"
	"github.com/carillon-dev/carillon/internal/stream"
)

var engines *engine.Engines

func TestMain(m *testing.M) {
	os.Exit(rig.Main(m, func(e *engine.Engines) { engines = e }))
}

// plain is a desk for events that change no facts.
type plain struct{}

// Prevail returns the events as they are.
func (plain) Prevail(_ context.Context, events []event.Event) ([][]ingest.Meant, error) {
	out := make([][]ingest.Meant, len(events))
	for i, e := range events {
		out[i] = []ingest.Meant{{Event: e}}
	}
	return out, nil
}

// house is an installation with what drivers work on.
type house struct {
	*rig.Rooms
	t      testing.TB
	runs   *run.Store
	timers *run.Timers
	marks  jetstream.KeyValue
	defs   Catalog
	desk   Desk
	plans  Planner
	learn  func(context.Context, string, []contact.Update) error
	pushed func(context.Context, push.Message) push.Result
	log    io.Writer

	mu   sync.Mutex
	skew time.Duration // of the drivers' clock
}

func open(t testing.TB) *house {
	t.Helper()
	r := rig.Open(t, engines)
	ctx := t.Context()
	h := &house{Rooms: r, t: t, desk: plain{}, log: io.Discard}
	var err error
	h.runs, err = run.Open(ctx, engines.NATS, r.Streams, r.Names)
	rig.Must(t, err)
	h.timers, err = run.OpenTimers(ctx, engines.NATS, r.Streams, r.Names)
	rig.Must(t, err)
	_, err = r.Streams.Open(ctx, ingest.Events(r.Names))
	rig.Must(t, err)
	_, err = r.Streams.Open(ctx, ledger.TallyConfig(r.Names))
	rig.Must(t, err)
	h.marks, err = engines.JetStream.KeyValue(ctx, r.Names.Tallies())
	rig.Must(t, err)
	cache, err := definition.NewCache(t.Context(), r.Defs)
	rig.Must(t, err)
	t.Cleanup(cache.Close)
	h.defs = NewDefined(cache, r.Defs)
	h.plans = errand.New(r.Ledger, r.Commits, r.Facts.Key)
	h.learn = func(ctx context.Context, sender string, us []contact.Update) error {
		_, err := r.Facts.Merge(ctx, sender, us)
		return err
	}
	h.pushed = func(context.Context, push.Message) push.Result { return push.Result{Status: 200} }
	r.Apply(t, rig.Bakery)
	return h
}

// now is the drivers' clock.
func (h *house) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.skew)
}

// later sets the drivers' clock ahead.
func (h *house) later(by time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.skew += by
}

func (h *house) driver() *Driver {
	return New(Config{
		JS: engines.JetStream, Names: h.Names, Catalog: h.defs, Tell: (&steering.Desk{Defs: h.Defs, Controls: h.Facts}).Tell, Desk: h.desk, Contacts: h.Facts, Learn: h.learn, Planner: h.plans,
		Runs: h.runs, Timers: h.timers, Marks: h.marks, Endpoint: h.endpoint, Push: h.pushed,
		Secret: func(string) (secret.Text, error) { return "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", nil },
		Counts: &Counts{}, Log: slog.New(slog.NewTextHandler(h.log, nil)), Now: h.now,
	})
}

func (h *house) endpoint(ctx context.Context, id string) (*endpoint.Spec, error) {
	e, _, err := h.Defs.Endpoint(ctx, id)
	return e, err
}

// drive runs a driver until stop or the test's end.
func (h *house) drive() (*Driver, func()) {
	d := h.driver()
	return d, rig.Loop(h.t.(*testing.T), d.Run)
}

// leads runs a driver that is told of outcomes, until stop or the test's end.
func (h *house) leads() (d *Driver, stop func()) {
	t := h.t.(*testing.T)
	d, end := h.drive()
	tally, err := ledger.OpenTally(t.Context(), h.Ledger, h.Names, h.Log)
	rig.Must(t, err)
	count := rig.Lead(t, tally, d)
	return d, func() { end(); count() }
}

// tell keeps an event as intake does.
func (h *house) tell(e event.Event) uint64 {
	h.t.Helper()
	data, err := e.Encode()
	rig.Must(h.t, err)
	seq, err := stream.Publish(h.t.Context(), engines.NATS, stream.Expect(h.Names.Event("crm/"+e.Source, e.ID), data, 0))
	if stream.Conflict(err) {
		return 0
	}
	rig.Must(h.t, err)
	return seq
}

// order is an event of a CRM about the i-th contact.
func order(typ, id string, i int, data map[string]any) event.Event {
	b, _ := json.Marshal(data)
	return event.Event{Source: "shop", ID: id, Type: event.Type(typ), Time: time.Now().UTC(), Sender: "bakery", Person: rig.Address(i), Data: b}
}

// of returns the runs of the i-th contact.
func (h *house) of(flowID string, i int) []run.Stored {
	h.t.Helper()
	out, err := h.runs.Of(h.t.Context(), flowID, h.Facts.Key("bakery", rig.Address(i)))
	rig.Must(h.t, err)
	return out
}

// states counts the runs of a flow.
func (h *house) states(flowID string) map[flow.State]int {
	h.t.Helper()
	out := map[flow.State]int{}
	n, err := h.runs.Count(h.t.Context(), flowID)
	rig.Must(h.t, err)
	for k, c := range n {
		out[k.State] += c
	}
	return out
}

// until waits for so many runs of a flow in a state.
func (h *house) until(flowID string, s flow.State, want int) {
	h.t.Helper()
	rig.Until(h.t, fmt.Sprintf("%d runs of %s are %s", want, flowID, s), func() bool { return h.states(flowID)[s] == want })
}

// jobs returns every job of a flow with its states.
func (h *house) jobs(flowID string) map[job.ID]int {
	h.t.Helper()
	out := map[job.ID]int{}
	names, err := h.Ledger.Streams(h.t.Context())
	rig.Must(h.t, err)
	for _, name := range names {
		rig.Must(h.t, stream.Each(h.t.Context(), engines.JetStream, stream.Query{Stream: name}, func(m stream.Message) error {
			id, err := h.Names.ParseJob(m.Subject)
			if err == nil && id.Flow() == flowID {
				out[id]++
			}
			return err
		}))
	}
	return out
}

// sent gives every job of a flow that is planned an outcome.
func (h *house) sent(flowID string, s job.State) {
	h.t.Helper()
	for id := range h.jobs(flowID) {
		if last, _, err := h.Ledger.Last(h.t.Context(), id); err == nil && last.Record.State == job.Pending {
			h.Record(h.t, id, ledger.Record{State: job.Claimed})
			h.Record(h.t, id, ledger.Record{State: s})
		}
	}
}

// waits is a flow that sends, waits for a purchase, and sends again.
const waits = `
kind: Flow
id: cart
type: automation
sender: bakery
contact: event.data.id
trigger: {events: [cart.left]}
exit: [{events: [order.placed]}]
steps:
  - {id: wait, wait: {for: 1h}}
  - {id: remind, send: {text: Still there}}
  - {id: after, wait: {for: 24h}}
  - {id: again, send: {text: Still there}}
`

func about(i int) map[string]any { return map[string]any{"id": rig.Address(i)} }

func itoa(i int) string { return strconv.Itoa(i) }

// planned waits for so many messages of a flow.
func (h *house) planned(flowID string, want int) {
	h.t.Helper()
	rig.Until(h.t, fmt.Sprintf("%d messages of %s are planned", want, flowID), func() bool { return len(h.jobs(flowID)) == want })
}

// waiting waits for so many runs that are due after more than a time.
func (h *house) waiting(flowID string, want int, after time.Duration) {
	h.t.Helper()
	rig.Until(h.t, fmt.Sprintf("%d runs of %s wait", want, flowID), func() bool {
		n := 0
		rig.Must(h.t, h.runs.Each(h.t.Context(), flowID, func(r run.Stored) error {
			if !r.Run.Due.Before(h.now().Add(after - time.Minute)) {
				n++
			}
			return nil
		}))
		return n == want
	})
}
