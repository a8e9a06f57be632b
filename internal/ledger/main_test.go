package ledger

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

const month = "202611"

// house is a server with an empty ledger of one month.
type house struct {
	server *server.Server
	nc     *nats.Conn
	js     jetstream.JetStream
	names  subject.Names
	ledger *Ledger
}

// open starts a server in the test's process, set up as the engines set it
// up, except for syncing, which no test of one process could tell.
func open(t *testing.T) house {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	h := house{server: s}
	h.names, err = subject.New("t1")
	if err != nil {
		t.Fatal(err)
	}
	h.nc = connect(t, s)
	if h.js, err = jetstream.New(h.nc); err != nil {
		t.Fatal(err)
	}
	h.ledger = New(stream.Provider{JS: h.js, Create: true}, h.names)
	if err := h.ledger.Ensure(t.Context(), month, 0); err != nil {
		t.Fatal(err)
	}
	return h
}

func connect(t *testing.T, p nats.InProcessConnProvider) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(p), nats.ReconnectWait(time.Millisecond), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// committer starts a committer that ends with the test.
func (h house) committer(t *testing.T) *Committer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := NewCommitter(ctx, h.nc, h.js, h.names)
	t.Cleanup(func() { cancel(); c.Wait() })
	return c
}

// source returns a source that no other test has.
func source() job.Source {
	return job.Source{Month: month, Sender: "bakery", Name: hex.EncodeToString([]byte(nuid.Next()))}
}

func contactKey(i int) job.Key { return job.Key{byte(i >> 8), byte(i)} }

// claim returns the append of a claim of the source's i-th job.
func claim(s job.Source, i int, prev uint64) *Append {
	return move(s, i, Entry{Seq: prev, Record: Record{State: job.Pending}}, job.Claimed)
}

// move returns the append that moves the source's i-th job on from an entry.
func move(s job.Source, i int, from Entry, to job.State) *Append {
	was := from.Record.State
	if was == "" {
		was = job.Pending
	}
	return &Append{Entry: Entry{ID: s.Job(contactKey(i)), Record: Record{
		State: to, From: was, Prev: from.Seq, FromReason: from.Record.Reason, At: time.Now().UTC(),
	}}}
}

func claims(s job.Source, from, to int) []*Append {
	var out []*Append
	for i := from; i < to; i++ {
		out = append(out, claim(s, i, 0))
	}
	return out
}

// commit writes entries and fails the test unless all were written.
func commit(t *testing.T, c *Committer, entries ...*Append) {
	t.Helper()
	c.Commit(t.Context(), Bulk, entries)
	for _, e := range entries {
		if e.Err != nil || e.Written == 0 {
			t.Fatalf("%s to %s: at %d, %v", e.ID, e.Record.State, e.Written, e.Err)
		}
	}
}

// history returns every record of a job.
func (h house) history(t *testing.T, id job.ID) []Entry {
	t.Helper()
	var out []Entry
	if err := h.ledger.History(t.Context(), id, func(e Entry) error { out = append(out, e); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func (h house) records(t *testing.T, s job.Source) []Entry {
	t.Helper()
	var out []Entry
	if err := h.ledger.OfSource(t.Context(), s, 0, func(e Entry) error { out = append(out, e); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

// contiguous fails the test unless the entries were written one behind the
// other.
func contiguous(t *testing.T, entries []*Append) {
	t.Helper()
	for i, e := range entries {
		if want := entries[0].Written + uint64(i); e.Err != nil || e.Written != want {
			t.Fatalf("entry %d of %d: at %d, %v; want %d", i, len(entries), e.Written, e.Err, want)
		}
	}
}

func sequences(entries []*Append) []uint64 {
	var out []uint64
	for _, e := range entries {
		out = append(out, e.Written)
	}
	return out
}

// unique tells whether no number stands twice.
func unique(ns []uint64) bool {
	ns = slices.Sorted(slices.Values(ns))
	return len(slices.Compact(slices.Clone(ns))) == len(ns)
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

// received waits for a channel to be closed or to deliver.
func received[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(60 * time.Second):
		t.Fatalf("not within 60 s: %s", what)
		panic("unreachable")
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func name(i int) string { return fmt.Sprintf("s%d", i) }
