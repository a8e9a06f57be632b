package facts

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

const bakery = "bakery"

// house is a pair of engines with an empty facts stream.
type house struct {
	*engine.Engines
	names subject.Names
	keys  Keys
	store *Store
	view  *View
}

func open(t *testing.T) house {
	t.Helper()
	e, err := engine.Start(t.Context(), engine.Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	h := house{Engines: e, keys: NewKeys("t1")}
	if h.names, err = subject.New("t1"); err != nil {
		t.Fatal(err)
	}
	if h.store, err = Open(t.Context(), e.NATS, stream.Provider{JS: e.JetStream, Create: true}, h.names, contact.NewKeyer(make([]byte, 32))); err != nil {
		t.Fatal(err)
	}
	h.view = NewView(e.Redis.Client, e.Redis, h.keys, h.store.Identity())
	return h
}

// projecting is a projector at work, until stop or the end of the test.
type projecting struct {
	*Projector
	stop func()
}

func (h house) project(t *testing.T, w Watcher) projecting {
	t.Helper()
	p := NewProjector(h.NATS, h.JetStream, h.view, h.names, w, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { p.Run(ctx); close(ended) }()
	stop := sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(stop)
	return projecting{p, stop}
}

// opens waits until this projector knows that it is open: Redis shows it a
// moment earlier. It returns how many epochs the projector has opened.
func (p projecting) opens(t *testing.T) (epochs int) {
	t.Helper()
	eventually(t, "the projector is open", func() (open bool) {
		epochs, open, _ = p.Opened()
		return open
	})
	return epochs
}

// watched keeps what a projector told of controls.
type watched struct {
	mu  sync.Mutex
	all map[string][]Control
}

func (w *watched) Controlled(kind, id string, c Control) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[string][]Control{}
	}
	w.all[kind+"."+id] = append(w.all[kind+"."+id], c)
}

func (w *watched) last(kind, id string) Control {
	w.mu.Lock()
	defer w.mu.Unlock()
	if cs := w.all[kind+"."+id]; len(cs) > 0 {
		return cs[len(cs)-1]
	}
	return Control{}
}

func address(i int) string { return strconv.Itoa(1_000_000 + i) }

func (h house) key(i int) job.Key { return h.store.Key(bakery, address(i)) }

func named(i int, name string) contact.Update {
	return contact.Update{Address: address(i), Profile: &contact.Profile{Name: name}}
}

func (h house) merge(t *testing.T, us ...contact.Update) Merged {
	t.Helper()
	m, err := h.store.Merge(t.Context(), bakery, us)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// people merges contacts numbered [0, n).
func (h house) people(t *testing.T, n int) Merged {
	t.Helper()
	var us []contact.Update
	for i := range n {
		us = append(us, named(i, "p"+strconv.Itoa(i)))
	}
	return h.merge(t, us...)
}

func (h house) contact(t *testing.T, i int) contact.Record {
	t.Helper()
	r, found, err := h.store.Contact(t.Context(), bakery, h.key(i))
	if err != nil || !found {
		t.Fatalf("contact %d: %v, %v", i, found, err)
	}
	return r
}

func (h house) head(t *testing.T) uint64 {
	t.Helper()
	n, err := stream.Head(t.Context(), h.JetStream, h.names.FactsStream())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (h house) look(keys ...job.Key) (Look, error) {
	return h.view.Look(context.Background(), bakery, "menu~1", keys)
}

// shows waits until the projection is open and has come to a sequence.
func (h house) shows(t *testing.T, seq uint64) {
	t.Helper()
	eventually(t, "the projection is current", func() bool {
		l, err := h.look()
		return err == nil && l.Watermark >= seq
	})
}

// closed waits until the gate is closed for a reason.
func (h house) closed(t *testing.T, want error) {
	t.Helper()
	eventually(t, want.Error(), func() bool { _, err := h.look(); return errors.Is(err, want) })
}

// eventually polls cond, for what offers nothing to wait on.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(60 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within 60 s: %s", what)
		}
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
