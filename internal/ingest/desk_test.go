package ingest_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/rig"
)

func TestMessagesBecomeFacts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	key := w.Facts.Key("bakery", rig.Address(0))
	if got := w.take(t, wrote(0, at(0), "hello"), wrote(0, at(5), "a loaf, please")); got != (ingest.Taken{New: 2}) {
		t.Errorf("taken: %+v", got)
	}
	l, err := w.View.Look(t.Context(), "bakery", "none", []job.Key{key})
	if err != nil || l.Contacts[0] == nil || !l.Contacts[0].LastInbound.Equal(at(5)) {
		t.Errorf("in force: %+v, %v", l.Contacts, err)
	}
	if got := w.take(t, wrote(0, at(0), "hello")); got != (ingest.Taken{Repeated: 1}) {
		t.Errorf("taken again: %+v", got)
	}
	if r := w.contact(t, 0); !r.LastInbound.Equal(at(5)) || r.OpenedBy != "message" {
		t.Errorf("known: %+v", r)
	}
}

// What is about an account of nobody's is kept, and says nothing of anybody.
func TestEventsOfNoSender(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := wrote(0, at(0), "hello")
	e.Account = "999"
	crm := event.Event{Source: "crm", ID: "1", Type: "deal.won", Time: at(0), Data: []byte(`{"a":1}`)}
	if got := w.take(t, e, crm); got != (ingest.Taken{New: 2, Senderless: 1}) {
		t.Errorf("taken: %+v", got)
	}
	if r := w.contact(t, 0); r.Address != "" {
		t.Errorf("known: %+v", r)
	}
}

// While nobody projects, an answer is given once the gate is certainly closed
// to what it was before.
func TestBlindAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stop := w.Settled(t, nil)
	stop()
	begun := time.Now()
	w.take(t, wrote(0, at(0), "hello"))
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("answered after %s", took)
	}
	if err := w.View.Open(t.Context()); err == nil {
		t.Error("answered with the gate open to older facts")
	}
}

// A platform whose clock is wrong opens no window in the future, and telling
// it again doesn't make it later.
func TestClockAhead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	now := at(0)
	w.desk = w.open(t, func(c *ingest.Config) { c.Now = func() (time.Time, bool) { return now, true } })
	limit := now.Add(5 * time.Minute)
	never := wrote(2, limit.Add(1), "hello")
	untimed := told(event.Reaction, 3, time.Time{})
	w.take(t, wrote(1, limit, "hello"), never, untimed)
	now = now.Add(3 * time.Hour)
	w.take(t, never, untimed)
	for i, want := range map[int]time.Time{1: limit, 2: at(0), 3: at(0)} {
		if got := w.contact(t, i).LastInbound; !got.Equal(want) {
			t.Errorf("contact %d: %s, want %s", i, got, want)
		}
	}
}

// Where nobody knows what time it is, an opt-out of later stays as late as the
// platform says: dated back, it would lose against the return before it.
func TestClockNotAgreedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	w.desk = w.open(t, func(c *ingest.Config) { c.Now = func() (time.Time, bool) { return at(0), false } })
	w.take(t, wrote(1, at(30), "START"), wrote(1, at(40), "STOP"), told(event.Reaction, 2, time.Time{}))
	if r := w.contact(t, 1); !r.OptedOut(contact.All) || !r.OptOuts[0].At.Equal(at(40)) {
		t.Errorf("the opt-out does not stand: %+v", r)
	}
	if got := w.contact(t, 2).LastInbound; !got.Equal(at(0)) {
		t.Errorf("what was told with no time: %s", got)
	}
}

// A block pauses every sender of the account, in force when it is answered,
// and its end resumes them.
func TestBlockPauses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Apply(t, strings.Replace(rig.Bakery, "id: bakery", "id: bakery-two", 1))
	rig.Until(t, "both senders are known", func() bool {
		s, err := w.desk.Senders.OfAccount(t.Context(), "messenger", account)
		return err == nil && len(s) == 2
	})
	w.Settled(t, nil)
	tell := func(minute int, action string) {
		e := told(event.Enforced, 0, at(minute))
		e.Person, e.Action = "", action
		w.take(t, e)
	}
	states := func() (out []string) {
		for _, id := range []string{"bakery", "bakery-two"} {
			l, err := w.View.Look(t.Context(), id, "none", nil)
			rig.Must(t, err)
			if l.Sender == nil {
				out = append(out, "none")
			} else {
				out = append(out, l.Sender.State)
			}
		}
		return out
	}
	for i, c := range []struct{ action, want string }{
		{"puzzled", "none"}, {ingest.Warn, facts.Running}, {ingest.Block, facts.Paused}, {ingest.Unblock, facts.Running},
	} {
		tell(i, c.action)
		if got := states(); !slices.Equal(got, []string{c.want, c.want}) {
			t.Errorf("after %s: %v", c.action, got)
		}
	}
	w.take(t, wrote(0, at(0), "hello"))
	for _, id := range []string{"bakery", "bakery-two"} {
		if _, found, err := w.Facts.Contact(t.Context(), id, w.Facts.Key(id, rig.Address(0))); !found || err != nil {
			t.Errorf("%s does not know who wrote: %v", id, err)
		}
	}
}

// Whoever pauses or resumes by hand keeps what the platform told, so that the
// same block told again does not pause what was resumed.
func TestBlockIsNotRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	e := told(event.Enforced, 0, at(0))
	e.Person, e.Action = "", ingest.Block
	w.take(t, e)
	w.Control(t, facts.SenderControl, "bakery", facts.Control{State: facts.Running})
	w.take(t, e)
	c, _, err := w.Facts.Control(t.Context(), facts.SenderControl, "bakery")
	if err != nil || c.State != facts.Running || c.Enforcement == nil || c.Enforcement.Action != ingest.Block {
		t.Errorf("%+v, %v", c, err)
	}
}

// The answer to an opt-out waits for messages on their way, and no longer than
// the platform does.
func TestOptOutWaitsForClaims(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	rig.Must(t, w.Ledger.Ensure(t.Context(), "202611", 0))
	claim := func(i int) job.ID {
		id := job.Source{Month: "202611", Sender: "bakery", Name: "spring~1"}.Job(w.Facts.Key("bakery", rig.Address(i)))
		w.Record(t, id, ledger.Record{State: job.Claimed})
		return id
	}
	lasting, ending := claim(0), claim(1)
	first, second := make(chan ingest.Taken, 1), make(chan ingest.Taken, 1)
	take := func(to chan ingest.Taken, i int) {
		out, err := w.desk.Take(t.Context(), []event.Event{wrote(i, at(0), "stop")})
		if err != nil {
			t.Error(err)
		}
		to <- out
	}
	begun := time.Now()
	go take(first, 0)
	go take(second, 1)
	rig.Until(t, "the gate sees the opt-outs", func() bool {
		l, err := w.View.Look(t.Context(), "bakery", "none", []job.Key{lasting.Contact, ending.Contact})
		return err == nil && l.Contacts[0] != nil && l.Contacts[1] != nil
	})
	select {
	case out := <-second:
		t.Fatalf("answered %+v with a claim open", out)
	default:
	}
	w.Record(t, ending, ledger.Record{State: job.Sent})
	if out := <-second; out.InFlight != 0 {
		t.Errorf("answered %+v", out)
	}
	if out := <-first; out.InFlight != 1 {
		t.Errorf("answered %+v with a claim that lasts", out)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("answered after %s", took)
	}
	if n := w.desk.Stats().Outlasted.Load(); n != 1 {
		t.Errorf("%d outlasted", n)
	}
}
