package ingest_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/stream"
)

// soon reads again what is a moment old.
func soon() ingest.CatchUpPlan {
	return ingest.CatchUpPlan{Every: 10 * time.Millisecond, Limit: time.Hour}
}

func (w world) catchUp(t *testing.T, d *ingest.Desk, p ingest.CatchUpPlan) {
	t.Helper()
	rig.Loop(t, func(ctx context.Context) error { d.CatchUp(ctx, p); return nil })
}

// noFacts lets no contact's record be written until it is called again.
func (w world) noFacts(t *testing.T) (restore func()) {
	t.Helper()
	js := w.Engines.JetStream
	s, err := js.Stream(t.Context(), w.Names.FactsStream())
	rig.Must(t, err)
	whole := s.CachedInfo().Config
	less := whole
	less.Subjects = w.Names.FactsSubjects()[1:] // controls
	_, err = js.UpdateStream(t.Context(), less)
	rig.Must(t, err)
	return func() {
		t.Helper()
		_, err := js.UpdateStream(t.Context(), whole)
		rig.Must(t, err)
	}
}

// Facts that can't be written are no answer: the event is kept, and has its
// meaning once it is told again, or was read again by whoever leads.
func TestCutShort(t *testing.T) {
	t.Parallel()
	events := func() []event.Event { return []event.Event{wrote(0, at(0), "stop")} }
	w := newWorld(t)
	w.Settled(t, nil)
	restore := w.noFacts(t)
	begun := time.Now()
	if _, err := w.desk.Take(t.Context(), events()); err == nil {
		t.Fatal("answered without facts")
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("answered after %s", took)
	}
	restore()
	if _, kept := w.kept(t, events()[0]); !kept || w.contact(t, 0).Address != "" {
		t.Fatalf("kept: %v, known: %+v", kept, w.contact(t, 0))
	}
	w.catchUp(t, w.desk, soon())
	rig.Until(t, "the event has its meaning", func() bool { return w.contact(t, 0).OptedOut(contact.All) })
	rig.Until(t, "it is counted", func() bool { return w.desk.Stats().Recovered.Load() == 1 })
	if got := w.take(t, events()...); got != (ingest.Taken{Repeated: 1}) {
		t.Errorf("taken again: %+v", got)
	}
}

// What was cut short has its meaning before something takes its place.
func TestCutShortAndDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	m := wrote(0, at(0), "unsubscribe")
	restore := w.noFacts(t)
	if _, err := w.desk.Take(t.Context(), []event.Event{m}); err == nil {
		t.Fatal("answered without facts")
	}
	restore()
	w.take(t, deleted(m, at(1)))
	if r := w.contact(t, 0); !r.OptedOut(contact.All) || !r.LastInbound.Equal(at(0)) {
		t.Errorf("known: %+v", r)
	}
}

// A sender that is defined a moment after an event of its account has what the
// event says.
func TestSenderDefinedLater(t *testing.T) {
	t.Parallel()
	w := world{Rooms: rig.Open(t, engines)}
	w.Settled(t, nil)
	w.desk = w.open(t, nil)
	if got := w.take(t, wrote(0, at(0), "hello")); got != (ingest.Taken{New: 1, Senderless: 1}) {
		t.Errorf("taken: %+v", got)
	}
	w.Apply(t, rig.Bakery)
	rig.Until(t, "the sender is known", func() bool {
		s, err := w.desk.Senders.OfAccount(t.Context(), "messenger", account)
		return err == nil && len(s) == 1
	})
	w.catchUp(t, w.desk, soon())
	rig.Until(t, "the event has its meaning", func() bool { return w.contact(t, 0).LastInbound.Equal(at(0)) })
}

// Every event is read again once: the mark moves, and another process goes on
// from it. A mark beyond the stream, of another one, counts for nothing.
func TestReadAgainOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	kv, err := w.Engines.JetStream.KeyValue(t.Context(), w.Names.Tallies())
	rig.Must(t, err)
	mark := func() string {
		e, err := kv.Get(t.Context(), "events")
		if err != nil {
			return err.Error()
		}
		return string(e.Value())
	}
	_, err = kv.PutString(t.Context(), "events", `{"seq":999}`)
	rig.Must(t, err)
	for i := range 600 {
		e := told(event.Referral, i, at(i%60))
		e.Account = "999" // quick: of nobody
		w.take(t, e)
	}
	late := soon()
	late.Delay = time.Hour
	w.catchUp(t, w.open(t, nil), late)
	w.catchUp(t, w.desk, soon())
	rig.Until(t, "all are read", func() bool { return mark() == `{"seq":600}` })
	w.take(t, wrote(0, at(0), "hello"))
	rig.Until(t, "the next is read", func() bool { return mark() == `{"seq":601}` })
}

// book takes receipts once their job is known.
type book struct {
	mu    sync.Mutex
	known map[string]bool
	took  []string
	fails error
}

func (b *book) Apply(_ context.Context, events []event.Event) (later []event.Event, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range events {
		if b.known[e.Job] {
			b.took = append(b.took, e.ID)
		} else {
			later = append(later, e)
		}
	}
	return later, b.fails
}

func (b *book) learn(job string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known[job] = true
}

func (b *book) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.took)
}

func echo(job string, at time.Time) event.Event {
	e := told(event.Echo, 0, at)
	e.ID, e.Job, e.MessageID = "echo-"+job, job, "out-"+job
	return e
}

// A receipt that can be matched is not kept; one that can't waits, goes on
// waiting, and is taken when its job is known.
func TestReceiptsWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := &book{known: map[string]bool{"one": true}}
	d := w.open(t, func(c *ingest.Config) { c.Receipts = b })
	take := func(e event.Event) ingest.Taken {
		out, err := d.Take(t.Context(), []event.Event{e})
		rig.Must(t, err)
		return out
	}
	if got := take(echo("one", time.Now())); got != (ingest.Taken{}) || b.count() != 1 {
		t.Errorf("taken: %+v, %v", got, b.took)
	}
	if got := take(echo("two", time.Now())); got != (ingest.Taken{New: 1}) {
		t.Errorf("kept: %+v", got)
	}
	old := echo("three", time.Now().Add(-time.Hour))
	take(old)
	w.catchUp(t, d, soon())
	head := func() uint64 {
		n, err := stream.Head(t.Context(), w.Engines.JetStream, w.Names.EventsStream())
		rig.Must(t, err)
		return n
	}
	rig.Until(t, "the receipt is read again more than once", func() bool { return head() > 4 })
	b.learn("two")
	rig.Until(t, "the receipt is taken", func() bool { return b.count() == 2 })
	if n := d.Stats().Expired.Load(); n != 1 {
		t.Errorf("%d receipts given up, want the old one", n)
	}
}

// Receipts that can't be recorded are told again.
func TestReceiptsFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.open(t, func(c *ingest.Config) { c.Receipts = &book{fails: errors.New("no ledger")} })
	if _, err := d.Take(t.Context(), []event.Event{echo("one", at(0))}); err == nil {
		t.Error("answered without a ledger")
	}
	w.Settled(t, nil)
	if _, err := d.Take(t.Context(), []event.Event{echo("one", at(0)), wrote(1, at(0), "stop")}); err == nil {
		t.Error("answered without a ledger")
	}
	if r := w.contact(t, 1); !r.OptedOut(contact.All) {
		t.Errorf("an opt-out waits for another's receipt: %+v", r)
	}
	e := echo("one", at(0))
	e.Account = "999"
	if got, err := d.Take(t.Context(), []event.Event{e}); err != nil || got.New != 0 {
		t.Errorf("a stranger's receipt: %+v, %v", got, err)
	}
}

// TestUnheard: what flows have not heard is counted from where they are, and
// where that is not known nothing waits.
func TestUnheard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	var told []event.Event
	for i := range 5 {
		told = append(told, wrote(i, at(i), "hello"))
	}
	w.take(t, told...)
	kv, err := w.Engines.JetStream.KeyValue(t.Context(), w.Names.Tallies())
	rig.Must(t, err)
	for said, want := range map[string]uint64{"": 0, `{"seq":3}`: 2, `{"seq":5}`: 0, `{"seq":6}`: 0} {
		if said != "" {
			_, err := kv.Put(t.Context(), ingest.FlowsKey, []byte(said))
			rig.Must(t, err)
		} else {
			rig.Must(t, kv.Delete(t.Context(), ingest.FlowsKey))
		}
		if n, err := w.desk.Unheard(t.Context()); err != nil || n != want {
			t.Errorf("%q: %d, %v, want %d", said, n, err, want)
		}
	}
}
