package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/run"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

var engines *engine.Engines

func TestMain(m *testing.M) {
	os.Exit(rig.Main(m, func(e *engine.Engines) { engines = e }))
}

// keyer is the one of internal/rig.
func keyer() contact.Keyer { return contact.NewKeyer([]byte(strings.Repeat("k", 32))) }

// house is an installation with a little of everything.
type house struct {
	*rig.Rooms
	prefix string
	runs   *run.Store
	due    flow.ID // a run that waits, of which no timer is kept
}

const people = 600

func furnish(t *testing.T) *house {
	t.Helper()
	ctx := t.Context()
	h := &house{prefix: fmt.Sprintf("b%08x", rand.Uint32())}
	h.Rooms = rig.OpenAs(t, engines, h.prefix, stream.Provider{JS: engines.JetStream, Create: true})
	_, err := h.Defs.PutSender(ctx, &sender.Spec{ID: "bakery", Channel: "messenger", Account: "1", Credential: "env:X"}, 0)
	rig.Must(t, err)
	for id, state := range map[string]broadcast.State{"draft": broadcast.Draft, "later": broadcast.Scheduled, "goes": broadcast.Running, "over": broadcast.Done} {
		b := &broadcast.Broadcast{Spec: broadcast.Spec{ID: id, Sender: "bakery", Message: message.Message{Text: "Hi"}}, State: state, Occurrence: 1}
		_, err := h.Defs.PutBroadcast(ctx, b, 0)
		rig.Must(t, err)
	}
	for id, state := range map[string]flow.Life{"cart": flow.Active, "gone": flow.Deleted} {
		_, err := h.Defs.PutFlow(ctx, &flow.Flow{ID: id, Version: 1, State: state}, 0)
		rig.Must(t, err)
	}
	_, err = h.Defs.Bind(ctx, "key", keyer().Fingerprint())
	rig.Must(t, err)
	h.touch(t, ctx, "first", 0, people)
	rig.Must(t, h.Ledger.Ensure(ctx, "202611", 0))
	for i := range 10 {
		_, err := engines.JetStream.Publish(ctx, h.Names.Job(job.ID{Source: job.Source{Month: "202611", Sender: "bakery", Name: "goes~1"}, Contact: h.Facts.Key("bakery", fmt.Sprint(i))}), []byte(`{}`))
		rig.Must(t, err)
	}
	h.runs, err = run.Open(ctx, engines.NATS, h.Streams, h.Names)
	rig.Must(t, err)
	h.due = flow.ID{Flow: "cart", Contact: h.Facts.Key("bakery", "1"), Slot: "s"}
	r := &flow.Run{State: flow.Waiting, Due: time.Now().Add(time.Hour), Owes: []flow.Effect{{Kind: flow.Call, ID: "c1", At: time.Now()}}}
	rig.Must(t, h.runs.Save(ctx, &run.Change{Whom: run.WhomOf(h.due), Runs: []*run.Entry{{ID: h.due, Run: r}}}))
	return h
}

// touch gives contacts a name.
func (h *house) touch(t *testing.T, ctx context.Context, name string, from, to int) {
	t.Helper()
	var us []contact.Update
	for i := from; i < to; i++ {
		us = append(us, contact.Update{Address: fmt.Sprint(i), Profile: &contact.Profile{At: time.Now(), Name: name}})
	}
	if _, err := h.Facts.Merge(ctx, "bakery", us); err != nil && ctx.Err() == nil {
		t.Error(err)
	}
}

func (h *house) source() Source {
	return Source{JS: engines.JetStream, Names: h.Names, Prefix: h.prefix, Key: keyer().Fingerprint(), By: "a test"}
}

// copied is a house's file.
func (h *house) copied(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	rig.Must(t, h.source().Write(t.Context(), &b))
	return b.Bytes()
}

func check(t *testing.T, b []byte) *Contents {
	t.Helper()
	c, err := Check(bytes.NewReader(b), nil)
	rig.Must(t, err)
	return c
}

// elsewhere starts a store of its own.
func elsewhere(t *testing.T) *engine.Engines {
	t.Helper()
	e, err := engine.Start(t.Context(), engine.Config{Data: t.TempDir(), Unsynced: true})
	rig.Must(t, err)
	t.Cleanup(func() { rig.Must(t, e.Stop()) })
	return e
}

func restore(t *testing.T, e *engine.Engines, b []byte) *Held {
	t.Helper()
	held, err := Target{NATS: e.NATS, JS: e.JetStream}.Restore(t.Context(), bytes.NewReader(b), check(t, b), keyer(), nil)
	rig.Must(t, err)
	return held
}

// stored reads a stream as it is, by sequence.
func stored(t *testing.T, js jetstream.JetStream, name string) map[uint64]string {
	t.Helper()
	out := map[uint64]string{}
	err := stream.Each(t.Context(), js, stream.Query{Stream: name}, func(m stream.Message) error {
		out[m.Seq] = fmt.Sprintf("%s %s %v %s", m.Subject, m.At.UTC().Format(time.RFC3339Nano), m.Header, m.Data)
		return nil
	})
	rig.Must(t, err)
	return out
}

// TestCopyWhileItChanges: what changes while it is copied is there as it was
// or as it is, never lost: nobody is forgotten who stood behind the place that
// the copy had come to.
func TestCopyWhileItChanges(t *testing.T) {
	t.Parallel()
	h := furnish(t)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	var rounds atomic.Int64
	writers.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			from := rand.IntN(people - 100)
			h.touch(t, ctx, fmt.Sprint("round ", n), from, from+100)
			rounds.Add(1)
		}
	})
	rig.Until(t, "facts change", func() bool { return rounds.Load() > 2 })
	var files [][]byte
	for range 3 {
		files = append(files, h.copied(t))
	}
	stop()
	writers.Wait()
	before := stored(t, engines.JetStream, h.Names.FactsStream())
	for _, b := range files {
		e := elsewhere(t)
		restore(t, e, b)
		got := map[string]bool{}
		for seq, r := range stored(t, e.JetStream, h.Names.FactsStream()) {
			subj, _, _ := strings.Cut(r, " ")
			if got[subj] {
				t.Fatalf("%s is there twice", subj)
			}
			got[subj] = true
			if was, same := before[seq]; same && was != r && !strings.Contains(subj, "control") {
				t.Fatalf("record %d is %s, and was %s", seq, r, was)
			}
		}
		for i := range people {
			if subj := h.Names.Facts("bakery", h.Facts.Key("bakery", fmt.Sprint(i))); !got[subj] {
				t.Fatalf("contact %d is lost", i)
			}
		}
	}
}

// TestWhereACopyEnds: where nothing is replaced, at what was the end as it began,
// whatever is written meanwhile; else at a moment at which nothing newer is there.
func TestWhereACopyEnds(t *testing.T) {
	t.Parallel()
	s, err := engines.JetStream.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ENDS", Subjects: []string{"ends"}})
	rig.Must(t, err)
	for range 10 {
		_, err := engines.JetStream.Publish(t.Context(), "ends", []byte("x"))
		rig.Must(t, err)
	}
	for replaced, want := range map[bool]uint64{false: 5, true: 10} {
		cons, err := s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
		rig.Must(t, err)
		c := &copying{f: &writer{tar: tar.NewWriter(io.Discard)}, part: newPart(), head: 5, replaced: replaced, out: &Stream{Name: "ENDS"}}
		for done := false; !done; {
			done, err = c.some(t.Context(), cons)
			rig.Must(t, err)
		}
		if c.out.Messages != want || c.out.Last != want {
			t.Errorf("replaced %t: %d records, the last is %d, want %d", replaced, c.out.Messages, c.out.Last, want)
		}
	}
}

// TestRestoreHoldsEverything: the same records at the same places and times,
// and nothing that goes on by itself.
func TestRestoreHoldsEverything(t *testing.T) {
	t.Parallel()
	h := furnish(t)
	b, e := h.copied(t), elsewhere(t)
	held := restore(t, e, b)
	if want := (Held{[]string{"bakery"}, []string{"goes", "later"}, []string{"cart"}, 2}); fmt.Sprint(*held) != fmt.Sprint(want) {
		t.Errorf("held %+v, want %+v", *held, want)
	}
	for _, s := range check(t, b).Manifest.Streams {
		was, is := stored(t, engines.JetStream, s.Name), stored(t, e.JetStream, s.Name)
		for seq, r := range was {
			if is[seq] != r {
				t.Errorf("%s at %d is %q, and was %q", s.Name, seq, is[seq], r)
			}
		}
		if grew := len(is) - len(was); grew > 0 && !slices.Contains([]string{"KV_" + h.Names.Definitions(), h.Names.FactsStream(), h.Names.TimersStream()}, s.Name) {
			t.Errorf("%s has %d records more", s.Name, grew)
		}
	}
	r := rig.OpenAs(t, e, h.prefix, stream.Provider{JS: e.JetStream})
	h.paused(t, r)
	note, err := r.Defs.Bound(t.Context(), RestoredKey)
	rig.Must(t, err)
	if n, err := ParseRestored(note); err != nil || n.Check() != nil || !n.Taken.Equal(check(t, b).Head.Taken) {
		t.Errorf("remembers %q, %v", note, err)
	}
	if r.Facts.Identity() == h.Facts.Identity() {
		t.Error("Redis can't tell the restored facts from those that it has")
	}
}

// paused checks what rechecks see.
func (h *house) paused(t *testing.T, r *rig.Rooms) {
	t.Helper()
	for kind, ids := range map[string][]string{facts.SenderControl: {"bakery"}, facts.SourceControl: {"goes~1", "later~1"}} {
		for _, id := range ids {
			c, _, err := r.Facts.Control(t.Context(), kind, id)
			if err != nil || c.State != facts.Paused {
				t.Errorf("control of %s: %+v, %v", id, c, err)
			}
		}
	}
	for id, want := range map[string]broadcast.State{"draft": broadcast.Draft, "later": broadcast.Paused, "goes": broadcast.Paused, "over": broadcast.Done} {
		if b, rev, err := r.Defs.Broadcast(t.Context(), id); err != nil || b.State != want || want == broadcast.Paused && rev <= spare {
			t.Errorf("%s is %s at revision %d, %v", id, b.State, rev, err)
		}
	}
	if f, _, err := r.Defs.Flow(t.Context(), "cart"); err != nil || f.State != flow.Paused {
		t.Errorf("the flow is %s, %v", f.State, err)
	}
}

// TestControlThatIsNewerThanItsDefinition: the facts are copied after the
// definitions. A control of a later revision must not let go what is paused.
func TestControlThatIsNewerThanItsDefinition(t *testing.T) {
	t.Parallel()
	h := furnish(t)
	_, err := h.Facts.SetControl(t.Context(), facts.SourceControl, "goes~1", facts.Control{State: facts.Running, Rev: 99})
	rig.Must(t, err)
	e := elsewhere(t)
	restore(t, e, h.copied(t))
	h.paused(t, rig.OpenAs(t, e, h.prefix, stream.Provider{JS: e.JetStream}))
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	h := furnish(t)
	b := h.copied(t)
	c := check(t, b)
	here := Target{NATS: engines.NATS, JS: engines.JetStream}
	other := contact.NewKeyer([]byte(strings.Repeat("x", 32)))
	for _, try := range []struct {
		name string
		k    contact.Keyer
		want string
	}{
		{"what is there", keyer(), "the store is not empty: it has KV_"},
		{"another key", other, "the key is not that of the backup"},
	} {
		_, err := here.Restore(t.Context(), bytes.NewReader(b), c, try.k, nil)
		if err == nil || !strings.Contains(err.Error(), try.want) {
			t.Errorf("%s: %v", try.name, err)
		}
	}
}

// TestCutShort: a restore that did not end leaves what no process starts on,
// and can't be gone on with.
func TestCutShort(t *testing.T) {
	t.Parallel()
	h := furnish(t)
	b := h.copied(t)
	e := elsewhere(t)
	ctx, cancel := context.WithCancel(t.Context())
	at := Target{NATS: e.NATS, JS: e.JetStream}
	_, err := at.Restore(ctx, bytes.NewReader(b), check(t, b), keyer(), func(p Progress) {
		if p.Stream == h.Names.FactsStream() {
			cancel()
		}
	})
	if err == nil {
		t.Fatal("it ended")
	}
	r := rig.OpenAs(t, e, h.prefix, stream.Provider{JS: e.JetStream, Create: true})
	note, err := r.Defs.Bound(t.Context(), RestoredKey)
	rig.Must(t, err)
	if n, err := ParseRestored(note); err != nil || n.Check() == nil {
		t.Errorf("remembers %q, %v", note, err)
	}
	if _, err := at.Restore(t.Context(), bytes.NewReader(b), check(t, b), keyer(), nil); err == nil {
		t.Error("it was gone on with")
	}
}

// TestDamageIsFound: whatever byte is changed and wherever it is cut, a file
// is refused, or holds what it held.
func TestDamageIsFound(t *testing.T) {
	t.Parallel()
	b := furnish(t).copied(t)
	whole, err := json.Marshal(check(t, b))
	rig.Must(t, err)
	end := bytes.LastIndex(b, []byte(sumName)) // what follows it is the archive's own end
	for n := 0; n < end; n += 97 {
		if _, err := Check(bytes.NewReader(b[:n]), nil); err == nil {
			t.Fatalf("cut at %d of %d, it passes", n, len(b))
		}
	}
	refused := 0
	for n := 0; n < len(b); n += 61 {
		bad := bytes.Clone(b)
		bad[n] ^= 0x20
		c, err := Check(bytes.NewReader(bad), nil)
		if err != nil {
			refused++
			if strings.ContainsAny(err.Error(), "\n") {
				t.Errorf("not one line: %v", err)
			}
			continue
		}
		if is, err := json.Marshal(c); err != nil || !bytes.Equal(is, whole) {
			t.Fatalf("changed at %d, it passes and says something else", n)
		}
	}
	if refused < len(b)/61/2 {
		t.Errorf("%d of %d changes were found", refused, len(b)/61)
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	n, err := subject.New("acme")
	rig.Must(t, err)
	got := strings.Join(order(n, []string{"acme_USES", "acme_LEDGER_202612_0", "acme_LEDGER_202611_1", "acme_LEDGER_202611_0", "LEDGER_202611_0", "acme_EVENTS", "acme_RUNS", "KV_acme_LEASES", "KV_acme_DEFS", "KV_acme_TALLIES", "acme_FACTS", "other"}), " ")
	if want := "KV_acme_DEFS KV_acme_TALLIES acme_RUNS acme_EVENTS acme_FACTS acme_LEDGER_202611_0 acme_LEDGER_202611_1 acme_LEDGER_202612_0 acme_USES"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestHeadersAreWrittenAsTheyStand(t *testing.T) {
	t.Parallel()
	h := nats.Header{"b": {"2", "3"}, "A": {"1"}}
	if got := string(wireHeader(h)); got != "NATS/1.0\r\nA: 1\r\nb: 2\r\nb: 3\r\n\r\n" {
		t.Errorf("%q", got)
	}
	if wireHeader(nil) != nil {
		t.Error("no headers are no bytes")
	}
}

// FuzzCheck reads any file without a panic.
func FuzzCheck(f *testing.F) {
	var b bytes.Buffer
	w := &writer{tar: tar.NewWriter(&b)}
	head, err := w.json(headName, Head{Format: Format, Plan: []Planned{{Name: "S"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	if _, err := w.json(manifestName, Manifest{Head: head}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("not a backup"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := Check(bytes.NewReader(data), nil); err == nil && len(data) < 1024 {
			t.Errorf("%q passes", data)
		}
	})
}
