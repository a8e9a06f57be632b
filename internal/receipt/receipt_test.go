package receipt_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/receipt"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/pkg/reason"
)

const month = "202611"

// world is an installation with a desk.
type world struct {
	*rig.Rooms
	desk  *receipt.Desk
	noon  time.Time // when messages leave, some hours ago
	names int
}

func open(t *testing.T) *world {
	t.Helper()
	r := rig.Open(t, engines)
	rig.Must(t, r.Ledger.Ensure(t.Context(), month, 0))
	echoes, err := receipt.OpenEchoes(t.Context(), r.Streams, r.Names)
	rig.Must(t, err)
	w := &world{Rooms: r, noon: time.Now().UTC().Add(-3 * time.Hour).Truncate(time.Second)}
	w.desk = &receipt.Desk{Ledger: r.Ledger, Commits: r.Commits, Key: r.Facts.Key, Echoes: echoes, Stats: &receipt.Stats{}, Log: r.Log}
	return w
}

// id is a new job for a contact of the bakery.
func (w *world) id(address string) job.ID {
	w.names++
	return job.Source{Month: month, Sender: "bakery", Name: fmt.Sprintf("menu~%d", w.names)}.Job(w.Facts.Key("bakery", address))
}

// job makes a job with a history of the given states at noon, a second apart.
// Those that say so carry the message id "mid of" the job.
func (w *world) job(t *testing.T, address string, states ...job.State) job.ID {
	t.Helper()
	id := w.id(address)
	for i, s := range states {
		r := ledger.Record{State: s, At: w.noon.Add(time.Duration(i) * time.Second), Attempt: 1, Rule: "standard_window", Trace: "t1"}
		if s == job.Sent {
			r.MessageID = mid(id)
		}
		if s.Ended() && s.Told() == 0 {
			r.Reason = reason.OutcomeUnknown
		}
		w.Record(t, id, r)
	}
	return id
}

func mid(id job.ID) string { return "mid." + id.Name }

func (w *world) last(t *testing.T, id job.ID) ledger.Entry {
	t.Helper()
	e, _, err := w.Ledger.Last(t.Context(), id)
	rig.Must(t, err)
	return e
}

// legal fails the test unless a job's history is a legal one.
func (w *world) legal(t interface{ Fatalf(string, ...any) }, id job.ID) {
	var prev ledger.Entry
	err := w.Ledger.History(context.Background(), id, func(e ledger.Entry) error {
		err := ledger.CheckNext(e.ID.Source, prev, e.Record)
		prev = e
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
}

// Constructors of receipts for a contact of the bakery.
func (w *world) echo(address string, id job.ID) event.Event {
	return event.Event{Type: event.Echo, Channel: "messenger", Sender: "bakery", Person: address, MessageID: mid(id), Job: id.String(), Time: w.noon.Add(time.Second)}
}

func (w *world) told(typ event.Type, address string, mids ...string) event.Event {
	return event.Event{Type: typ, Channel: "messenger", Sender: "bakery", Person: address, MessageIDs: mids, Time: w.noon.Add(time.Minute)}
}

func (w *world) upTo(typ event.Type, address string, mark time.Time) event.Event {
	return event.Event{Type: typ, Channel: "messenger", Sender: "bakery", Person: address, Watermark: mark, Time: mark}
}

func (w *world) apply(t *testing.T, events ...event.Event) []event.Event {
	t.Helper()
	later, err := w.desk.Apply(t.Context(), events)
	rig.Must(t, err)
	return later
}

// Where each kind of receipt takes a job, and what waits.
func TestApply(t *testing.T) {
	t.Parallel()
	w := open(t)
	n := 0
	for name, c := range map[string]struct {
		was   []job.State
		tell  func(a string, id job.ID) event.Event
		want  job.State
		later bool
	}{
		"an echo of a sent one":       {[]job.State{job.Claimed, job.Sent}, w.echo, job.Sent, false},
		"an echo of an unknown one":   {[]job.State{job.Claimed, job.Unknown}, w.echo, job.Sent, false},
		"an echo of a claimed one":    {[]job.State{job.Claimed}, w.echo, job.Sent, false},
		"an echo of a redriven one":   {[]job.State{job.Claimed, job.Unknown, job.Pending}, w.echo, job.Sent, false},
		"an echo of one held again":   {[]job.State{job.Claimed, job.Unknown, job.Pending, job.Held}, w.echo, job.Sent, false},
		"an echo of a second claim":   {[]job.State{job.Claimed, job.Unknown, job.Pending, job.Claimed}, w.echo, job.Claimed, true},
		"an echo of a blocked one":    {[]job.State{job.Claimed, job.Unknown, job.Pending, job.Blocked}, w.echo, job.Blocked, false},
		"an echo of a failed one":     {[]job.State{job.Claimed, job.Failed}, w.echo, job.Failed, false},
		"an echo of one never tried":  {nil, w.echo, "", false},
		"delivered, by message":       {[]job.State{job.Claimed, job.Sent}, w.by(event.Delivered), job.Delivered, false},
		"read, by message":            {[]job.State{job.Claimed, job.Sent}, w.by(event.Read), job.Read, false},
		"delivered, once read":        {[]job.State{job.Claimed, job.Sent, job.Read}, w.by(event.Delivered), job.Read, false},
		"failed, by a carrier":        {[]job.State{job.Claimed, job.Sent}, w.by(event.Failed), job.Failed, false},
		"delivered, once failed":      {[]job.State{job.Claimed, job.Sent, job.Failed}, w.by(event.Delivered), job.Failed, false},
		"delivered, of an unknown":    {[]job.State{job.Claimed, job.Unknown}, w.by(event.Delivered), job.Unknown, true},
		"delivered, of a claimed":     {[]job.State{job.Claimed}, w.by(event.Delivered), job.Claimed, true},
		"failed, naming an unknown":   {[]job.State{job.Claimed, job.Unknown}, w.naming(event.Failed), job.Failed, false},
		"read, naming an unknown":     {[]job.State{job.Claimed, job.Unknown}, w.naming(event.Read), job.Read, false},
		"a watermark, over it":        {[]job.State{job.Claimed, job.Sent}, w.mark(event.Read, time.Minute), job.Read, false},
		"a watermark, just over it":   {[]job.State{job.Claimed, job.Sent}, w.mark(event.Read, time.Second-receipt.Skew), job.Read, false},
		"a watermark, just before it": {[]job.State{job.Claimed, job.Sent}, w.mark(event.Read, time.Second-receipt.Skew-1), job.Sent, false},
		"a watermark, of an unknown":  {[]job.State{job.Claimed, job.Unknown}, w.mark(event.Read, time.Minute), job.Unknown, true},
		"a watermark, long before":    {[]job.State{job.Claimed, job.Unknown}, w.mark(event.Read, -time.Minute), job.Unknown, false},
	} {
		t.Run(name, func(t *testing.T) {
			n++
			a := rig.Address(n)
			id := w.job(t, a, c.was...)
			later := w.apply(t, c.tell(a, id))
			if got := w.last(t, id).Record; got.State != c.want || (len(later) == 1) != c.later {
				t.Errorf("%s, later %v; want %s, later %t", got.State, later, c.want, c.later)
			}
			w.legal(t, id)
		})
	}
}

func (w *world) by(typ event.Type) func(string, job.ID) event.Event {
	return func(a string, id job.ID) event.Event { return w.told(typ, a, mid(id)) }
}

func (w *world) naming(typ event.Type) func(string, job.ID) event.Event {
	return func(a string, id job.ID) event.Event {
		e := w.told(typ, a)
		e.Job, e.MessageID = id.String(), mid(id)
		return e
	}
}

func (w *world) mark(typ event.Type, after time.Duration) func(string, job.ID) event.Event {
	return func(a string, _ job.ID) event.Event { return w.upTo(typ, a, w.noon.Add(after)) }
}

// What a receipt's record keeps of the message, and what it says itself.
func TestRecords(t *testing.T) {
	t.Parallel()
	w := open(t)
	a, b := rig.Address(1), rig.Address(2)
	unknown, sent := w.job(t, a, job.Claimed, job.Unknown), w.job(t, b, job.Claimed, job.Sent)
	if later := w.apply(t, w.told(event.Delivered, a, mid(unknown)), w.echo(a, unknown)); len(later) != 0 {
		t.Errorf("%d receipts wait although the echo came with them", len(later))
	}
	carrier := w.told(event.Failed, b, mid(sent))
	carrier.Code, carrier.Why, carrier.Reason = 30003, "unreachable", reason.RecipientUnavailable
	w.apply(t, carrier)

	var states []job.State
	rig.Must(t, w.Ledger.History(t.Context(), unknown, func(e ledger.Entry) error { states = append(states, e.Record.State); return nil }))
	got := w.last(t, unknown).Record
	if fmt.Sprint(states) != "[claimed unknown sent delivered]" || got.MessageID != mid(unknown) || got.Rule != "standard_window" || got.Trace != "t1" ||
		got.Attempt != 1 || got.By != ledger.ByReceipt || !got.Left().Equal(w.noon.Add(time.Second)) || got.Reason != "" {
		t.Errorf("%v, in the end %+v", states, got)
	}
	failed := w.last(t, sent).Record
	if failed.Reason != reason.RecipientUnavailable || failed.Code != 30003 || failed.Detail != "unreachable" || failed.MessageID != mid(sent) {
		t.Errorf("%+v", failed)
	}
	if s := w.desk.Stats; s.Sent.Load() != 1 || s.Resolved.Load() != 1 || s.Delivered.Load() != 1 || s.Failed.Load() != 1 {
		t.Errorf("counted %d sent, %d resolved, %d delivered, %d failed", s.Sent.Load(), s.Resolved.Load(), s.Delivered.Load(), s.Failed.Load())
	}
}

// A job's id in another account's echo, or in that of another person, proves
// nothing; nor does what is no id of ours.
func TestForeignEchoes(t *testing.T) {
	t.Parallel()
	w := open(t)
	a := rig.Address(1)
	id := w.job(t, a, job.Claimed, job.Unknown)
	for name, change := range map[string]func(*event.Event){
		"another sender":     func(e *event.Event) { e.Sender = "shop" },
		"no sender":          func(e *event.Event) { e.Sender = "" },
		"another person":     func(e *event.Event) { e.Person = rig.Address(2) },
		"no person":          func(e *event.Event) { e.Person = "" },
		"no metadata":        func(e *event.Event) { e.Job = "" },
		"another's metadata": func(e *event.Event) { e.Job = "campaign-7" },
		"a month that is not there": func(e *event.Event) {
			other := id
			other.Month = "201901"
			e.Job = other.String()
		},
		"no platform's": func(e *event.Event) { e.Channel = "" },
	} {
		e := w.echo(a, id)
		change(&e)
		if later := w.apply(t, e); len(later) != 0 {
			t.Errorf("%s: kept for later", name)
		}
		if got := w.last(t, id).Record.State; got != job.Unknown {
			t.Errorf("%s: the job is %s", name, got)
		}
	}
	if n := w.desk.Stats.Stray.Load(); n != 7 {
		t.Errorf("%d strays counted, want 7", n)
	}
}

// A thousand receipts of as many contacts are applied at once, and again.
func TestThousand(t *testing.T) {
	t.Parallel()
	w := open(t)
	const n = 1000
	src := job.Source{Month: month, Sender: "bakery", Name: "large~1"}
	var all []event.Event
	var entries []*ledger.Append
	for i := range n {
		id := src.Job(w.Facts.Key("bakery", rig.Address(i)))
		entries = append(entries, &ledger.Append{Entry: ledger.Entry{ID: id, Record: ledger.Record{State: job.Claimed, From: job.Pending, At: w.noon}}})
		e := w.echo(rig.Address(i), id)
		e.MessageID = fmt.Sprint("mid.", i)
		d := w.told(event.Delivered, rig.Address(i), e.MessageID)
		all = append(all, d, e)
	}
	for half := range 2 {
		w.Commits.Commit(t.Context(), ledger.Bulk, entries[half*n/2:(half+1)*n/2])
	}
	if later := w.apply(t, all...); len(later) != 0 {
		t.Errorf("%d receipts are left", len(later))
	}
	for i := range n {
		id := src.Job(w.Facts.Key("bakery", rig.Address(i)))
		if got := w.last(t, id).Record; got.State != job.Delivered || got.MessageID != fmt.Sprint("mid.", i) {
			t.Fatalf("the %d-th is %s as %s", i, got.State, got.MessageID)
		}
	}
}

// TestEchoOfAFlowsFirstClaim asserts that the echo of a flow's message settles
// its first claim, which follows the planned record alone, and leaves a later
// one to whoever claimed it.
func TestEchoOfAFlowsFirstClaim(t *testing.T) {
	t.Parallel()
	w := open(t)
	for _, c := range []struct {
		name   string
		states []job.State
		want   job.State
	}{
		{"planned only", nil, job.Pending},
		{"first claim", []job.State{job.Claimed}, job.Sent},
		{"second claim", []job.State{job.Claimed, job.Pending, job.Claimed}, job.Claimed},
		{"came back", []job.State{job.Claimed, job.Pending}, job.Sent},
	} {
		id := w.id("4711")
		id.Name = fmt.Sprintf("order~run%d~1-2-1-0", w.names)
		w.Record(t, id, ledger.Record{State: job.Pending, Planned: true, At: w.noon})
		for i, s := range c.states {
			w.Record(t, id, ledger.Record{State: s, At: w.noon.Add(time.Duration(i+1) * time.Second), Attempt: 1})
		}
		w.apply(t, w.echo("4711", id))
		if got := w.last(t, id).Record.State; got != c.want {
			t.Errorf("%s: it is %s, want %s", c.name, got, c.want)
		}
		w.legal(t, id)
	}
}
