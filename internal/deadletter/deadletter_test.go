package deadletter_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/deadletter"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/pkg/reason"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func source(sender, name string) job.Source {
	return job.Source{Month: "202611", Sender: sender, Name: name}
}

// filled is a ledger with a history of each kind, followed into dead letters.
func filled(t *testing.T) *rig.Rooms {
	t.Helper()
	r := rig.Open(t, engines)
	rig.Must(t, r.Ledger.Ensure(t.Context(), "202611", 0))
	spring, winter := source("bakery", "spring~1"), source("shop", "spring-menu~2")
	for _, h := range []struct {
		id      job.ID
		records []ledger.Record
	}{
		{spring.Job(job.Key{1}), []ledger.Record{{State: job.Blocked, Reason: reason.OptedOut, Rule: "opted_out", Evidence: "opted out", At: noon, Trace: "t1"}}},
		{spring.Job(job.Key{2}), []ledger.Record{{State: job.Claimed, At: noon}, {State: job.Failed, Reason: reason.PlatformRejected, At: noon.Add(time.Minute), Attempt: 1, Code: 10, Subcode: 20, Detail: "no"}}},
		{winter.Job(job.Key{3}), []ledger.Record{{State: job.Claimed, At: noon}, {State: job.Unknown, Reason: reason.OutcomeUnknown, At: noon.Add(2 * time.Minute)}}},
		{winter.Job(job.Key{4}), []ledger.Record{{State: job.Claimed, At: noon}, {State: job.Sent, At: noon}}},                                                             // never dead
		{winter.Job(job.Key{5}), []ledger.Record{{State: job.Blocked, Reason: reason.OptedOut, At: noon}, {State: job.Blocked, Reason: reason.OptedOut, Discarded: true}}}, // discarded
		{winter.Job(job.Key{6}), []ledger.Record{{State: job.Blocked, Reason: reason.OptedOut, At: noon}, {State: job.Pending}}},                                           // redriven
		{winter.Job(job.Key{7}), []ledger.Record{{State: job.Claimed, At: noon}, {State: job.Unknown, Reason: reason.OutcomeUnknown, At: noon}, {State: job.Sent}}},        // came late
		{winter.Job(job.Key{8}), []ledger.Record{{State: job.Blocked, Reason: reason.OptedOut, At: noon}, {State: job.Pending}, {State: job.Blocked, Reason: reason.NeverWrote, At: noon}}},
	} {
		for _, rec := range h.records {
			r.Record(t, h.id, rec)
		}
	}
	replay(t, r)
	return r
}

func replay(t *testing.T, r *rig.Rooms) {
	t.Helper()
	for _, s := range []job.Source{source("bakery", "spring~1"), source("shop", "spring-menu~2")} {
		rig.Must(t, r.Ledger.OfSource(t.Context(), s, 0, func(e ledger.Entry) error { return r.Dead.Recorded(t.Context(), e) }))
	}
	rig.Must(t, r.Dead.Flush(t.Context()))
}

func list(t *testing.T, r *rig.Rooms, f deadletter.Filter) (out []deadletter.Letter) {
	t.Helper()
	rig.Must(t, r.Dead.Each(t.Context(), f, func(l deadletter.Letter) error { out = append(out, l); return nil }))
	return out
}

func TestFilters(t *testing.T) {
	r := filled(t)
	for name, c := range map[string]struct {
		f    deadletter.Filter
		want []byte // first bytes of the keys
	}{
		"all":                        {deadletter.Filter{}, []byte{1, 2, 3, 8}},
		"reason":                     {deadletter.Filter{Reason: reason.OptedOut}, []byte{1}},
		"state":                      {deadletter.Filter{State: job.Unknown}, []byte{3}},
		"sender":                     {deadletter.Filter{Sender: "shop"}, []byte{3, 8}},
		"broadcast":                  {deadletter.Filter{Source: "spring"}, []byte{1, 2}},
		"occurrence":                 {deadletter.Filter{Source: "spring-menu~2"}, []byte{3, 8}},
		"another occurrence":         {deadletter.Filter{Source: "spring-menu~1"}, nil},
		"since, included":            {deadletter.Filter{Since: noon.Add(2 * time.Minute)}, []byte{3}},
		"since, 1 ns later":          {deadletter.Filter{Since: noon.Add(2*time.Minute + 1)}, nil},
		"until, excluded":            {deadletter.Filter{Until: noon.Add(2 * time.Minute)}, []byte{1, 2, 8}},
		"until, 1 ns later":          {deadletter.Filter{Until: noon.Add(2*time.Minute + 1)}, []byte{1, 2, 3, 8}},
		"several, of which one says": {deadletter.Filter{Sender: "shop", Reason: reason.OptedOut}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []byte
			for _, l := range list(t, r, c.f) {
				id, err := job.ParseID(l.Job)
				rig.Must(t, err)
				got = append(got, id.Contact[0])
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestLetterHoldsWhatPeopleAskFor(t *testing.T) {
	r := filled(t)
	got, ok, err := r.Dead.Get(t.Context(), source("bakery", "spring~1").Job(job.Key{2}))
	rig.Must(t, err)
	want := deadletter.Letter{
		Job: source("bakery", "spring~1").Job(job.Key{2}).String(), Sender: "bakery", Source: "spring~1", State: job.Failed, Reason: reason.PlatformRejected,
		At: noon.Add(time.Minute), Attempt: 1, Code: 10, Subcode: 20, Detail: "no", Seq: 3,
	}
	if d := cmp.Diff(want, got); d != "" || !ok {
		t.Errorf("found %v, -want +got:\n%s", ok, d)
	}
	for _, k := range []job.Key{{4}, {5}, {6}, {7}, {99}} {
		if l, ok, err := r.Dead.Get(t.Context(), source("shop", "spring-menu~2").Job(k)); ok || err != nil {
			t.Errorf("contact %d: %+v, %v", k[0], l, err)
		}
	}
}

// Taken in again from the ledger, whole or from the middle, the list is the
// same.
func TestReplayGivesTheSameList(t *testing.T) {
	r := filled(t)
	want := list(t, r, deadletter.Filter{})
	replay(t, r)
	same := func(what string, r *rig.Rooms) {
		t.Helper()
		got := list(t, r, deadletter.Filter{})
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: -want +got:\n%s", what, d)
		}
	}
	same("on top of itself", r)
	s, err := r.Engines.JetStream.Stream(t.Context(), r.Names.DeadStream())
	rig.Must(t, err)
	rig.Must(t, s.Purge(t.Context()))
	replay(t, r)
	same("from nothing", r)
}

func TestEachEnds(t *testing.T) {
	r := filled(t)
	n := 0
	rig.Must(t, r.Dead.Each(t.Context(), deadletter.Filter{}, func(deadletter.Letter) error { n++; return deadletter.ErrEnough }))
	if n != 1 {
		t.Errorf("listed %d after enough", n)
	}
	broken := errors.New("the reader hung up")
	if err := r.Dead.Each(t.Context(), deadletter.Filter{}, func(deadletter.Letter) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

// While letters can't be written the ledger is followed on, and nothing of
// them is lost.
func TestFailedFlushKeepsTheLetters(t *testing.T) {
	r := rig.Open(t, engines)
	js := r.Engines.JetStream
	rig.Must(t, js.DeleteStream(t.Context(), r.Names.DeadStream()))
	const n = 2000 // as many as wait in memory, so that the last asks for a flush
	id := source("bakery", "spring~1")
	for i := range n {
		e := ledger.Entry{ID: id.Job(job.Key{byte(i), byte(i >> 8)}), Seq: uint64(i + 1), Record: ledger.Record{State: job.Blocked, Reason: reason.OptedOut}}
		rig.Must(t, r.Dead.Recorded(t.Context(), e))
	}
	if err := r.Dead.Flush(t.Context()); err == nil {
		t.Fatal("flushed into a stream that is not there")
	}
	_, err := deadletter.Open(t.Context(), r.Engines.NATS, r.Streams, r.Names)
	rig.Must(t, err)
	// A disk that is busy may take longer for all of them than one flush waits.
	rig.Until(t, "the letters are written", func() bool { return r.Dead.Flush(t.Context()) == nil })
	if got := len(list(t, r, deadletter.Filter{})); got != n {
		t.Errorf("%d letters, want %d", got, n)
	}
}

// slow is a store that takes a few letters and then answers no more.
type slow struct {
	jetstream.JetStream
	left int
}

func (s *slow) PublishAsync(subject string, data []byte, opts ...jetstream.PublishOpt) (jetstream.PubAckFuture, error) {
	if s.left == 0 {
		return nil, errors.New("no answer")
	}
	s.left--
	return s.JetStream.PublishAsync(subject, data, opts...)
}

// A store too slow for all letters at once still comes to an end: each flush
// goes on where the last one stopped.
func TestSlowStoreGetsThere(t *testing.T) {
	r := rig.Open(t, engines)
	store := &slow{JetStream: r.Engines.JetStream}
	dead, err := deadletter.Open(t.Context(), r.Engines.NATS, stream.Provider{JS: store, Create: true}, r.Names)
	rig.Must(t, err)
	const n, each = 700, 150
	id := source("bakery", "spring~1")
	for i := range n {
		e := ledger.Entry{ID: id.Job(job.Key{byte(i), byte(i >> 8)}), Seq: uint64(i + 1), Record: ledger.Record{State: job.Blocked, Reason: reason.OptedOut}}
		rig.Must(t, dead.Recorded(t.Context(), e))
	}
	flushes := 0
	for done := false; !done && flushes < 20; flushes++ {
		store.left = each
		done = dead.Flush(t.Context()) == nil
	}
	if got := len(list(t, r, deadletter.Filter{})); got != n || flushes > n/100 {
		t.Errorf("%d letters of %d after %d flushes", got, n, flushes)
	}
}

// Who was paused and replaced can't bring back what its successor took away,
// nor put an older letter over a newer one.
func TestOlderNeverReplacesNewer(t *testing.T) {
	r := rig.Open(t, engines)
	successor, err := deadletter.Open(t.Context(), r.Engines.NATS, r.Streams, r.Names)
	rig.Must(t, err)
	s := source("bakery", "spring~1")
	redriven, again := s.Job(job.Key{1}), s.Job(job.Key{2})
	blocked := ledger.Record{State: job.Blocked, Reason: reason.OptedOut, At: noon}
	unknown := ledger.Record{State: job.Unknown, Reason: reason.OutcomeUnknown, At: noon}
	entry := func(id job.ID, seq uint64, r ledger.Record) ledger.Entry {
		return ledger.Entry{ID: id, Seq: seq, Record: r}
	}
	early := []ledger.Entry{entry(redriven, 1, blocked), entry(again, 2, unknown)}
	late := []ledger.Entry{
		entry(redriven, 3, ledger.Record{State: job.Pending, From: job.Blocked, Prev: 1}),
		entry(again, 4, ledger.Record{State: job.Failed, Reason: reason.PlatformRejected, From: job.Unknown, Prev: 2, At: noon}),
	}
	write := func(to *deadletter.Store, es ...ledger.Entry) {
		t.Helper()
		for _, e := range es {
			rig.Must(t, to.Recorded(t.Context(), e))
		}
		rig.Must(t, to.Flush(t.Context()))
	}
	check := func(when string) {
		t.Helper()
		got := list(t, r, deadletter.Filter{})
		if len(got) != 1 || got[0].Job != again.String() || got[0].Seq != 4 || got[0].State != job.Failed {
			t.Errorf("%s: %+v", when, got)
		}
	}
	write(successor, append(early, late...)...)
	check("taken together")
	write(r.Dead, early...)
	check("after the one that was paused")
	write(r.Dead, late...)
	check("after it has caught up")
}
