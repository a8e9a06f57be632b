package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// What the settings promise is asked of the running server.
func TestLedgerCannotForget(t *testing.T) {
	h := open(t)
	e := claim(source(), 0, 0)
	commit(t, h.committer(t), e)
	name := h.names.Ledger(month, 0)
	s, err := h.js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for what, try := range map[string]func() error{
		"delete":        func() error { return s.DeleteMsg(t.Context(), e.Written) },
		"secure delete": func() error { return s.SecureDeleteMsg(t.Context(), e.Written) },
		"purge":         func() error { return s.Purge(t.Context()) },
		"purge of a job": func() error {
			return s.Purge(t.Context(), jetstream.WithPurgeSubject(h.names.Job(e.ID)))
		},
		"a record with a time to live": func() error {
			_, err := h.js.Publish(t.Context(), h.names.Job(e.ID), nil, jetstream.WithMsgTTL(time.Second))
			return err
		},
		"a record that rolls up the others": func() error {
			m := nats.NewMsg(h.names.Job(e.ID))
			m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
			_, err := h.js.PublishMsg(t.Context(), m)
			return err
		},
		"to allow deleting": func() error {
			c := Config(h.names, month, 0)
			c.DenyDelete, c.DenyPurge = false, false
			_, err := h.js.UpdateStream(t.Context(), c)
			return err
		},
	} {
		if err := try(); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want the server's refusal", what, err)
		}
	}
	if got := h.history(t, e.ID); len(got) != 1 {
		t.Errorf("%d records, want 1", len(got))
	}
}

// A direct read is answered by any replica, which may not know of a claim.
func TestLedgerHasNoDirectReads(t *testing.T) {
	h := open(t)
	e := claim(source(), 0, 0)
	commit(t, h.committer(t), e)
	name := h.names.Ledger(month, 0)
	req, err := json.Marshal(map[string]string{"last_by_subj": h.names.Job(e.ID)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.nc.RequestWithContext(t.Context(), "$JS.API.DIRECT.GET."+name, req); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("direct read: %v, want no responders", err)
	}
}

func TestEnsureRefusesWhatForgets(t *testing.T) {
	h := open(t)
	for name, alter := range map[string]func(*jetstream.StreamConfig){
		"":                  func(*jetstream.StreamConfig) {},
		"deletes":           func(c *jetstream.StreamConfig) { c.DenyDelete = false },
		"purges":            func(c *jetstream.StreamConfig) { c.DenyPurge = false },
		"direct reads":      func(c *jetstream.StreamConfig) { c.AllowDirect = true },
		"no batches":        func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false },
		"discard old":       func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld },
		"age":               func(c *jetstream.StreamConfig) { c.MaxAge = 400 * 24 * time.Hour },
		"record's age":      func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true },
		"one per subject":   func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 },
		"memory":            func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage },
		"read once":         func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy },
		"while interesting": func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy },
		"lazily synced": func(c *jetstream.StreamConfig) {
			c.PersistMode, c.AllowAtomicPublish = jetstream.AsyncPersistMode, false
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := Config(h.names, "202701", 0)
			alter(&c)
			if _, err := h.js.CreateStream(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			err := h.ledger.Ensure(t.Context(), "202701", 0)
			if (err == nil) != (name == "") || err != nil && !strings.Contains(err.Error(), c.Name) {
				t.Errorf("Ensure: %v", err)
			}
			if err := h.js.DeleteStream(t.Context(), c.Name); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestEnsureIsRepeatable(t *testing.T) {
	h := open(t)
	commit(t, h.committer(t), claim(source(), 0, 0))
	if err := h.ledger.Ensure(t.Context(), month, 0); err != nil {
		t.Error(err)
	}
}

func TestPlace(t *testing.T) {
	h := open(t)
	place := func(n int) int {
		t.Helper()
		part, err := h.ledger.Place(t.Context(), month, n)
		if err != nil {
			t.Fatal(err)
		}
		return part
	}
	if got := place(2 * maxSubjects); got != 0 { // nowhere would it fit better
		t.Errorf("in an empty month: part %d, want 0", got)
	}
	commit(t, h.committer(t), claims(source(), 0, 2)...)
	if got := place(maxSubjects - 2); got != 0 {
		t.Errorf("what just fits: part %d, want 0", got)
	}
	if got := place(maxSubjects - 1); got != 1 {
		t.Errorf("what is one too many: part %d, want 1", got)
	}
}

func TestStreams(t *testing.T) {
	h := open(t)
	other, err := subject.New("t2")
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []struct {
		month string
		part  int
	}{{month, 10}, {month, 2}, {"202601", 3}} {
		if err := h.ledger.Ensure(t.Context(), place.month, place.part); err != nil {
			t.Fatal(err)
		}
	}
	if err := New(stream.Provider{JS: h.js, Create: true}, other).Ensure(t.Context(), month, 5); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{h.names.LedgerPrefix() + "old", h.names.LedgerPrefix() + "202601_x", "202601_7"} {
		if _, err := h.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := h.ledger.Streams(t.Context())
	want := []string{h.names.Ledger("202601", 3), h.names.Ledger(month, 0), h.names.Ledger(month, 2), h.names.Ledger(month, 10)}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

// lifeOf writes a job's records, one for each state, and returns them.
func lifeOf(t *testing.T, c *Committer, s job.Source, i int, states ...job.State) []Entry {
	t.Helper()
	var out []Entry
	var at Entry
	for _, to := range states {
		a := move(s, i, at, to)
		commit(t, c, a)
		at = a.Entry
		at.Seq = a.Written
		out = append(out, at)
	}
	return out
}

func TestReading(t *testing.T) {
	h := open(t)
	c, s := h.committer(t), source()
	life := lifeOf(t, c, s, 1, job.Claimed, job.Sent, job.Delivered)
	lifeOf(t, c, s, 2, job.Held)
	lifeOf(t, c, source(), 1, job.Blocked)

	last, found, err := h.ledger.Last(t.Context(), s.Job(contactKey(1)))
	if err != nil || !found || last.Seq != life[2].Seq || last.Record.State != job.Delivered || last.ID != life[2].ID {
		t.Errorf("Last: %+v, %v, %v", last, found, err)
	}
	if _, found, err := h.ledger.Last(t.Context(), s.Job(contactKey(3))); found || err != nil {
		t.Errorf("Last of a job without a record: %v, %v", found, err)
	}
	if got := states(h.history(t, s.Job(contactKey(1)))); !slices.Equal(got, []job.State{job.Claimed, job.Sent, job.Delivered}) {
		t.Errorf("History: %v", got)
	}
	if got := states(h.records(t, s)); !slices.Equal(got, []job.State{job.Claimed, job.Sent, job.Delivered, job.Held}) {
		t.Errorf("OfSource: %v", got)
	}
	var upTo []Entry
	err = h.ledger.OfSource(t.Context(), s, life[1].Seq, func(e Entry) error { upTo = append(upTo, e); return nil })
	if err != nil || len(upTo) != 2 {
		t.Errorf("OfSource up to the second: %d records, %v", len(upTo), err)
	}
	of, err := h.ledger.JobsOf(t.Context(), "bakery", contactKey(1))
	if err != nil || !slices.Equal(states(of), []job.State{job.Delivered, job.Blocked}) {
		t.Errorf("JobsOf: %v, %v", states(of), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := h.ledger.Last(ctx, life[0].ID); err == nil {
		t.Error("Last without a context gave an answer")
	}
}

// A contact's jobs are found in every month and part.
func TestJobsOfAContactEverywhere(t *testing.T) {
	h := open(t)
	c := h.committer(t)
	for i, place := range []job.Source{{Month: "202610"}, {Month: month, Part: 3}} {
		if err := h.ledger.Ensure(t.Context(), place.Month, place.Part); err != nil {
			t.Fatal(err)
		}
		place.Sender, place.Name = "bakery", name(i)
		lifeOf(t, c, place, 1, job.Claimed)
		place.Sender = "another"
		lifeOf(t, c, place, 1, job.Claimed)
	}
	of, err := h.ledger.JobsOf(t.Context(), "bakery", contactKey(1))
	if err != nil || len(of) != 2 || of[0].ID.Month != "202610" || of[1].ID.Part != 3 {
		t.Errorf("%+v, %v", of, err)
	}
}

func TestUnreadableRecord(t *testing.T) {
	h := open(t)
	id := source().Job(contactKey(0))
	if _, err := h.js.Publish(t.Context(), h.names.Job(id), []byte("{")); err != nil {
		t.Fatal(err)
	}
	if _, found, err := h.ledger.Last(t.Context(), id); err == nil || found {
		t.Errorf("Last: %v, %v; want an error", found, err)
	}
	if err := h.ledger.History(t.Context(), id, func(Entry) error { return nil }); err == nil {
		t.Error("History: no error")
	}
}

func states(es []Entry) []job.State {
	var out []job.State
	for _, e := range es {
		out = append(out, e.Record.State)
	}
	return out
}

func TestRecordRoundTrip(t *testing.T) {
	r := Record{
		State: job.Unknown, From: job.Claimed, Prev: 7, Nonce: "n", Attempt: 2, At: time.Unix(1, 2).UTC(),
		Reason: reason.OutcomeUnknown, FromReason: reason.RateCapped, Rule: "r", Evidence: "e", Facts: 9, Until: time.Unix(3, 0).UTC(),
		Deadline: time.Second, MessageID: "m", Code: 1, Subcode: 2, Status: 500, Detail: "d", Trace: "t", By: "b", Discarded: true,
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decode(data); err != nil || got != r {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestCheckNextOfAFlow asserts that a flow's job begins with its planned record,
// and that no other record is one.
func TestCheckNextOfAFlow(t *testing.T) {
	const step, spring = "order~run~1-2-1-0", "spring~1"
	plan := Record{From: job.Pending, State: job.Pending, Planned: true}
	planned := Entry{Seq: 4, Record: plan}
	again := Entry{Seq: 9, Record: Record{State: job.Pending}}
	for _, c := range []struct {
		name, of string
		prev     Entry
		next     Record
		ok       bool
	}{
		{"planned", step, Entry{}, plan, true},
		{"planned, of a broadcast", spring, Entry{}, plan, false},
		{"planned twice", step, planned, Record{From: job.Pending, State: job.Pending, Prev: 4, Planned: true}, false},
		{"planned as another state", step, Entry{}, Record{From: job.Pending, State: job.Claimed, Planned: true}, false},
		{"planned as sent", step, Entry{}, Record{From: job.Pending, State: job.Sent, Planned: true}, false},
		{"claimed without a plan", step, Entry{}, Record{From: job.Pending, State: job.Claimed}, false},
		{"claimed", step, planned, Record{From: job.Pending, State: job.Claimed, Prev: 4}, true},
		{"expired", step, planned, Record{From: job.Pending, State: job.Expired, Prev: 4}, true},
		{"sent, by nobody's claim", step, planned, Record{From: job.Pending, State: job.Sent, Prev: 4}, false},
		{"sent, as an echo of an earlier claim shows", step, again, Record{From: job.Pending, State: job.Sent, Prev: 9}, true},
	} {
		if err := CheckNext(job.Source{Name: c.of}, c.prev, c.next); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestCheckNext(t *testing.T) {
	at := func(s job.State, seq uint64) Entry { return Entry{Seq: seq, Record: Record{State: s}} }
	for _, c := range []struct {
		name string
		prev Entry
		next Record
		ok   bool
	}{
		{"first claim", Entry{}, Record{From: job.Pending, State: job.Claimed}, true},
		{"first hold", Entry{}, Record{From: job.Pending, State: job.Held}, true},
		{"first sent", Entry{}, Record{From: job.Pending, State: job.Sent}, false},
		{"first pending", Entry{}, Record{From: job.Pending, State: job.Pending}, false},
		{"first, but says it follows", Entry{}, Record{From: job.Pending, State: job.Claimed, Prev: 1}, false},
		{"first, but from claimed", Entry{}, Record{From: job.Claimed, State: job.Sent}, false},
		{"sent", at(job.Claimed, 4), Record{From: job.Claimed, State: job.Sent, Prev: 4}, true},
		{"another place", at(job.Claimed, 4), Record{From: job.Claimed, State: job.Sent, Prev: 3}, false},
		{"no place", at(job.Claimed, 4), Record{From: job.Claimed, State: job.Sent}, false},
		{"another state", at(job.Claimed, 4), Record{From: job.Unknown, State: job.Sent, Prev: 4}, false},
		{"claimed twice", at(job.Claimed, 4), Record{From: job.Claimed, State: job.Claimed, Prev: 4}, false},
		{"reopened", at(job.Unknown, 4), Record{From: job.Unknown, State: job.Pending, Prev: 4}, true},
		{"sent again", at(job.Sent, 4), Record{From: job.Sent, State: job.Pending, Prev: 4}, false},
		{"after the end", at(job.Read, 4), Record{From: job.Read, State: job.Delivered, Prev: 4}, false},
		{"discard", at(job.Blocked, 4), Record{From: job.Blocked, State: job.Blocked, Prev: 4, Discarded: true}, true},
		{"discard of unknown", at(job.Unknown, 4), Record{From: job.Unknown, State: job.Unknown, Prev: 4, Discarded: true}, true},
		{"repeat without discard", at(job.Blocked, 4), Record{From: job.Blocked, State: job.Blocked, Prev: 4}, false},
		{"discard of no dead letter", at(job.Sent, 4), Record{From: job.Sent, State: job.Sent, Prev: 4, Discarded: true}, false},
		{"discard elsewhere", at(job.Blocked, 4), Record{From: job.Blocked, State: job.Blocked, Prev: 5, Discarded: true}, false},
	} {
		if err := CheckNext(job.Source{Name: "spring~1"}, c.prev, c.next); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
