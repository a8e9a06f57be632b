package outlet_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/outcome"
	"github.com/carillon-dev/carillon/internal/outlet"
	"github.com/carillon-dev/carillon/internal/push"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/secret"
	"github.com/carillon-dev/carillon/pkg/reason"
)

var engines *engine.Engines //nolint:gochecknoglobals // one pair for the test binary

func TestMain(m *testing.M) { os.Exit(rig.Main(m, func(e *engine.Engines) { engines = e })) }

const month = "202611"

var whsec = "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32))) //nolint:gochecknoglobals // a value

// crm is a receiver that a user would write, on the official library.
type crm struct {
	*httptest.Server
	mu      sync.Mutex
	answer  func(id string, outs []outcome.Outcome) int
	pushes  map[string][]string // ids of outcomes by webhook-id
	got     map[string]int      // taken outcomes, by id
	seen    []outcome.Outcome
	unknown []error // pushes that are not known to be ours, or that changed
}

func receiver(t *testing.T, answer func(id string, outs []outcome.Outcome) int) *crm {
	t.Helper()
	c := &crm{answer: answer, pushes: map[string][]string{}, got: map[string]int{}}
	c.Server = httptest.NewServer(http.HandlerFunc(c.take))
	t.Cleanup(c.Close)
	return c
}

func (c *crm) take(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	wh, err := standardwebhooks.NewWebhook(whsec)
	if err == nil {
		err = wh.Verify(body, r.Header)
	}
	var m struct {
		Type string
		Data struct{ Outcomes []outcome.Outcome }
	}
	if err == nil {
		err = json.Unmarshal(body, &m)
	}
	id, ids := r.Header.Get("webhook-id"), []string{}
	for _, o := range m.Data.Outcomes {
		ids = append(ids, o.ID)
	}
	status := 200
	if c.answer != nil {
		status = c.answer(id, m.Data.Outcomes)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if was, ok := c.pushes[id]; ok && !slices.Equal(was, ids) {
		err = fmt.Errorf("push %s had %d outcomes and has %d", id, len(was), len(ids))
	}
	if err != nil || m.Type != "carillon.outcomes" {
		c.unknown = append(c.unknown, fmt.Errorf("%s %s: %w", id, m.Type, err))
	}
	c.pushes[id] = ids
	if status == 200 {
		for _, o := range m.Data.Outcomes {
			c.got[o.ID]++
			c.seen = append(c.seen, o)
		}
	}
	w.WriteHeader(status)
}

func (c *crm) taken() int { c.mu.Lock(); defer c.mu.Unlock(); return len(c.got) }

func (c *crm) check(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, err := range c.unknown {
		t.Error(err)
	}
}

// house is an installation whose outcomes are pushed.
type house struct {
	*rig.Rooms
	store    *outlet.Store
	patience outlet.Patience
}

func open(t *testing.T) *house {
	t.Helper()
	r := rig.Open(t, engines)
	s, err := outlet.Open(t.Context(), r.Streams, r.Names)
	rig.Must(t, err)
	rig.Must(t, r.Ledger.Ensure(t.Context(), month, 0))
	return &house{r, s, outlet.Patience{Waits: []time.Duration{time.Millisecond}, GiveUp: time.Hour, Rest: time.Millisecond}}
}

// lead pushes until the returned function is called, as one term of a leader.
func (h *house) lead(t *testing.T) (stop func()) {
	t.Helper()
	c := push.New(nil)
	o := outlet.New(outlet.Settings{
		Names: h.Names, Defs: h.Defs, Facts: h.Facts, Feed: &outcome.Feed{JS: engines.JetStream, Ledger: h.Ledger}, Store: h.store, Push: c.Push,
		Secret: func(string) (secret.Text, error) { return secret.Text(whsec), nil }, Patience: h.patience, Counts: &outlet.Counts{}, Log: h.Log,
	})
	_, uncount := h.Count(t, o)
	end := rig.Loop(t, func(ctx context.Context) error { o.Run(ctx); return nil })
	return func() { end(); uncount(); c.Close() }
}

func (h *house) endpoint(t *testing.T, id string, c *crm, more string) {
	t.Helper()
	h.Apply(t, fmt.Sprintf("kind: Endpoint\nid: %s\nurl: %s/in\nsecrets: [env:A]\nallow_private: true\n%s", id, c.URL, more))
}

// record records n jobs that were blocked, and returns their outcomes' ids.
func (h *house) record(t *testing.T, in string, from, n int) (ids []string) {
	t.Helper()
	src := job.Source{Month: in, Sender: "bakery", Name: "menu~1"}
	for i := from; i < from+n; i++ {
		id := src.Job(h.Facts.Key("bakery", rig.Address(i)))
		rec := ledger.Record{State: job.Blocked, Reason: reason.WindowClosed}
		o, _ := outcome.Of(ledger.Entry{ID: id, Seq: h.Record(t, id, rec), Record: rec})
		ids = append(ids, o.ID)
	}
	return ids
}

func (c *crm) has(t *testing.T, ids []string) {
	t.Helper()
	rig.Until(t, fmt.Sprintf("%d outcomes arrive", len(ids)), func() bool { return c.taken() >= len(ids) })
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		if c.got[id] == 0 {
			t.Errorf("%s never arrived", id)
		}
	}
}

// TestOutcomesArrive: signed, with whom they are about, in a month that comes
// while pushing too, and nothing from before the endpoint was there.
func TestOutcomesArrive(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.record(t, month, 1000, 2) // before
	_, err := h.Facts.Merge(t.Context(), "bakery", []contact.Update{{Address: rig.Address(0), Profile: &contact.Profile{Attributes: map[string]string{"crm_id": "A1", "city": "Oslo"}}}})
	rig.Must(t, err)
	c := receiver(t, nil)
	h.endpoint(t, "crm", c, "batch: 7\nattributes: [crm_id]\n")
	ids := h.record(t, month, 0, 20)
	defer h.lead(t)()
	c.has(t, ids)
	rig.Must(t, h.Ledger.Ensure(t.Context(), "202612", 0))
	ids = append(ids, h.record(t, "202612", 0, 3)...)
	c.has(t, ids)
	c.check(t)
	if n := c.taken(); n != len(ids) {
		t.Errorf("%d outcomes arrived, %d are there", n, len(ids))
	}
	i := slices.IndexFunc(c.seen, func(o outcome.Outcome) bool { return o.Contact.ID == rig.Address(0) })
	if i < 0 || c.seen[i].Contact.Attributes["crm_id"] != "A1" || len(c.seen[i].Contact.Attributes) != 1 || c.seen[i].Reason != reason.WindowClosed || c.seen[i].State != job.Blocked {
		t.Errorf("%d: %+v", i, c.seen)
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	h := open(t)
	c := receiver(t, nil)
	h.endpoint(t, "crm", c, "events: {reasons: [opted_out]}\n")
	h.record(t, month, 0, 5)
	src := job.Source{Month: month, Sender: "bakery", Name: "menu~1"}
	h.Record(t, src.Job(job.Key{1}), ledger.Record{State: job.Blocked, Reason: reason.OptedOut})
	defer h.lead(t)()
	rig.Until(t, "it arrives", func() bool { return c.taken() == 1 })
	if c.seen[0].Reason != reason.OptedOut {
		t.Errorf("%+v", c.seen)
	}
	rig.Until(t, "the cursor is past the rest", func() bool {
		st, _, err := h.store.State(t.Context(), "crm")
		return err == nil && len(st.Waiting) == 0 && st.Cursor[h.Names.Ledger(month, 0)] == 6
	})
}

// TestNothingIsLostAcrossTerms: leaders are stopped in the middle of pushes,
// again and again, the receiver fails at every third one, and outcomes come
// in all the while: each arrives, and a push that is repeated is the same.
func TestNothingIsLostAcrossTerms(t *testing.T) {
	t.Parallel()
	h := open(t)
	var mu sync.Mutex
	calls, called := 0, make(chan struct{}, 1000)
	c := receiver(t, func(string, []outcome.Outcome) int {
		mu.Lock()
		defer mu.Unlock()
		calls++
		called <- struct{}{}
		if calls%3 == 0 {
			return 503
		}
		return 200
	})
	h.endpoint(t, "crm", c, "batch: 2\n")
	var ids []string
	for term := range 4 {
		ids = append(ids, h.record(t, month, 10*term, 10)...)
		stop := h.lead(t)
		select {
		case <-called: // something is on its way
		case <-time.After(rig.Patience):
			t.Fatal("nothing is pushed")
		}
		stop()
	}
	defer h.lead(t)()
	c.has(t, ids)
	c.check(t)
}

// TestSlowEndpointHoldsNobody: one that never answers keeps its own outcomes
// waiting, nobody else's.
func TestSlowEndpointHoldsNobody(t *testing.T) {
	t.Parallel()
	h := open(t)
	held := make(chan struct{})
	slow := receiver(t, func(string, []outcome.Outcome) int { <-held; return 200 })
	quick := receiver(t, nil)
	h.endpoint(t, "slow", slow, "")
	h.endpoint(t, "quick", quick, "batch: 1\n")
	ids := h.record(t, month, 0, 15)
	defer h.lead(t)()
	defer close(held)
	quick.has(t, ids)
	if n := slow.taken(); n != 0 {
		t.Errorf("%d were taken by who never answers", n)
	}
}

// TestRefusedPush: a push that is always refused lets the others pass, is
// given up, can be seen, and is tried again when somebody says so.
func TestRefusedPush(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.patience = outlet.Patience{Waits: []time.Duration{2 * time.Second}, GiveUp: time.Nanosecond, Rest: time.Millisecond}
	var mu sync.Mutex
	bad, mended := "", false
	c := receiver(t, func(_ string, outs []outcome.Outcome) int {
		mu.Lock()
		defer mu.Unlock()
		if bad == "" {
			bad = outs[0].ID
		}
		if outs[0].ID == bad && !mended {
			return 422
		}
		return 200
	})
	h.endpoint(t, "crm", c, "batch: 1\n")
	ids := h.record(t, month, 0, 6)
	defer h.lead(t)()
	rig.Until(t, "others pass", func() bool {
		st, _, err := h.store.State(t.Context(), "crm")
		if err == nil && st.Off != "" { // it was given up before any other was begun, on a slow machine
			_, err = h.store.TurnOn(t.Context(), "crm")
		}
		return err == nil && c.taken() == len(ids)-1
	})
	var dead []outlet.Push
	rig.Until(t, "it is given up", func() bool {
		var err error
		dead, err = h.store.Dead(t.Context(), "crm")
		return err == nil && len(dead) == 1
	})
	if p := dead[0]; p.Status != 422 || p.Attempts < 2 || p.Count != 1 || p.Error != "answered 422" {
		t.Errorf("%+v", p)
	}
	mu.Lock()
	mended = true
	mu.Unlock()
	_, err := h.store.Replay(t.Context(), "crm", time.Time{})
	rig.Must(t, err)
	c.has(t, ids)
	rig.Until(t, "the list is empty", func() bool { dead, err := h.store.Dead(t.Context(), "crm"); return err == nil && len(dead) == 0 })
	c.check(t)
}

// TestDroppedMonth: a push whose month was dropped from the ledger before it was
// taken is given up, and keeps no other waiting.
func TestDroppedMonth(t *testing.T) {
	t.Parallel()
	h := open(t)
	var mu sync.Mutex
	status := 503
	c := receiver(t, func(string, []outcome.Outcome) int { mu.Lock(); defer mu.Unlock(); return status })
	h.endpoint(t, "crm", c, "")
	lost := h.record(t, month, 0, 3)
	stop := h.lead(t)
	rig.Until(t, "a push waits", func() bool {
		st, _, err := h.store.State(t.Context(), "crm")
		return err == nil && len(st.Waiting) == 1 && st.Failures > 0
	})
	stop()
	rig.Must(t, engines.JetStream.DeleteStream(t.Context(), h.Names.Ledger(month, 0)))
	rig.Must(t, h.Ledger.Ensure(t.Context(), "202612", 0))
	ids := h.record(t, "202612", 0, 3)
	mu.Lock()
	status = 200
	mu.Unlock()
	defer h.lead(t)()
	c.has(t, ids)
	rig.Until(t, "the lost push is given up", func() bool {
		dead, err := h.store.Dead(t.Context(), "crm")
		return err == nil && len(dead) == 1 && dead[0].Count == len(lost) && strings.Contains(dead[0].Error, "dropped")
	})
	c.check(t)
}

// TestGoneIsTurnedOff: by 410 nothing more is pushed, nothing is lost, and it
// goes on when it is turned on. A replay brings all of it again.
func TestGoneIsTurnedOff(t *testing.T) {
	t.Parallel()
	h := open(t)
	var mu sync.Mutex
	status := 410
	c := receiver(t, func(string, []outcome.Outcome) int { mu.Lock(); defer mu.Unlock(); return status })
	h.endpoint(t, "crm", c, "")
	before := time.Now().Add(-time.Hour)
	ids := h.record(t, month, 0, 3)
	defer h.lead(t)()
	rig.Until(t, "it is off", func() bool { st, _, err := h.store.State(t.Context(), "crm"); return err == nil && st.Off != "" })
	mu.Lock()
	status = 200
	mu.Unlock()
	ids = append(ids, h.record(t, month, 3, 3)...)
	_, err := h.store.TurnOn(t.Context(), "crm")
	rig.Must(t, err)
	c.has(t, ids)
	_, err = h.store.Replay(t.Context(), "crm", before)
	rig.Must(t, err)
	rig.Until(t, "all of it comes again", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, id := range ids {
			if c.got[id] < 2 {
				return false
			}
		}
		return true
	})
	c.check(t)
	_, err = h.store.TurnOff(t.Context(), "crm", "for a test")
	rig.Must(t, err)
	if st, _, err := h.store.State(t.Context(), "crm"); err != nil || st.Off != "for a test" {
		t.Errorf("%+v, %v", st, err)
	}
}
