package audit_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/audit"
	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/pkg/reason"
)

func keys(n int) (out []job.Key) {
	k := contact.NewKeyer([]byte(strings.Repeat("k", 32)))
	for i := range n {
		out = append(out, k.Key("bakery", rig.Address(i)))
	}
	return out
}

type world struct {
	*rig.Rooms
	auditor audit.Auditor
	b       *broadcast.Broadcast
	keys    []job.Key
}

func newWorld(t *testing.T, id string, n int) world {
	t.Helper()
	r := rig.Open(t, engines)
	w := world{Rooms: r, keys: keys(n)}
	w.b = r.Running(t, broadcast.Spec{ID: id, Sender: "bakery", Message: message.Message{Text: "Hello"}}, w.keys)
	tally, _ := r.Count(t)
	w.auditor = audit.Auditor{Audiences: r.Audiences, Ledger: r.Ledger, Tally: tally}
	return w
}

func (w world) id(i int) job.ID { return w.b.Source().Job(w.keys[i]) }

// next returns a legal record that may follow a state.
func next(rt *rapid.T, from job.State) (ledger.Record, bool) {
	moves := slices.DeleteFunc(job.Moves(from), func(to job.State) bool { return to == job.Sent && (from == job.Pending || from == job.Held) }) // not of one that nobody tried
	if len(moves) == 0 {
		return ledger.Record{}, false
	}
	r := ledger.Record{State: rapid.SampledFrom(moves).Draw(rt, "to")}
	if r.State != job.Claimed && r.State != job.Sent && r.State != job.Delivered && r.State != job.Read {
		r.Reason = rapid.SampledFrom([]reason.Code{reason.OptedOut, reason.QuietHours, reason.PlatformRejected}).Draw(rt, "why")
	}
	if from.Dead() && rapid.Bool().Draw(rt, "discard") {
		r = ledger.Record{State: from, Reason: reason.OptedOut, Discarded: true}
	}
	return r, true
}

// At every moment of any legal history the audience is the sum of its
// buckets, and every member stands in the bucket of its state.
func TestBalancedAtEveryMoment(t *testing.T) {
	const n = 8
	w := newWorld(t, "spring", n)
	states := map[job.Key]ledger.Record{}
	rapid.Check(t, func(rt *rapid.T) {
		for range rapid.IntRange(1, 6).Draw(rt, "records") {
			i := rapid.IntRange(0, n-1).Draw(rt, "who")
			last, ok := states[w.keys[i]]
			if !ok {
				last.State = job.Pending
			}
			rec, ok := next(rt, last.State)
			if !ok {
				continue
			}
			if rec.Discarded {
				rec.Reason = last.Reason
			}
			w.Record(t, w.id(i), rec)
			states[w.keys[i]] = rec
		}
		b := *w.b
		b.State = rapid.SampledFrom([]broadcast.State{broadcast.Running, broadcast.Paused, broadcast.Cancelled, broadcast.Expired}).Draw(rt, "broadcast")
		want := map[job.Bucket]int{}
		r, err := w.auditor.Run(t.Context(), &b, func(m audit.Member) error {
			s := states[m.Job.Contact].State
			if s == "" {
				s = job.Pending
			}
			want[m.Bucket]++
			if m.State != s || m.Bucket != s.Bucket(b.State.Closing()) {
				rt.Errorf("%s is %s in %s, want %s", m.Job, m.State, m.Bucket, s)
			}
			return nil
		})
		if err != nil {
			rt.Fatal(err)
		}
		sum, reasons := 0, 0
		for k, c := range r.Buckets {
			sum += c
			if c != want[k] {
				rt.Errorf("%d %s, listed %d", c, k, want[k])
			}
		}
		for _, c := range r.ByReason {
			reasons += c
		}
		if sum != n || r.Audience != n || !r.Balanced() || !r.Frozen {
			rt.Fatalf("%+v", r)
		}
		if unsent := n - r.Buckets[job.InSent] - r.Buckets[job.InPending]; reasons != unsent {
			rt.Fatalf("%d reasons of %d that ended unsent: %+v", reasons, unsent, r)
		}
	})
}

func TestDamageIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage func(t *testing.T, w world)
		want   string
	}{
		"none":                    {func(*testing.T, world) {}, ""},
		"an illegal move":         {func(t *testing.T, w world) { w.Record(t, w.id(0), ledger.Record{State: job.Sent}) }, "a job can't go from pending to sent"},
		"an end without a reason": {func(t *testing.T, w world) { w.Record(t, w.id(0), ledger.Record{State: job.Blocked}) }, "blocked without a reason"},
		"a move from elsewhere": {func(t *testing.T, w world) {
			a := &ledger.Append{Entry: ledger.Entry{ID: w.id(0), Record: ledger.Record{State: job.Sent, From: job.Claimed, At: time.Now()}}}
			w.Commits.Commit(t.Context(), ledger.Bulk, []*ledger.Append{a})
			rig.Must(t, a.Err)
		}, "record says that it follows claimed"},
		"a discard of what is not dead": {func(t *testing.T, w world) {
			w.Record(t, w.id(0), ledger.Record{State: job.Claimed})
			w.Record(t, w.id(0), ledger.Record{State: job.Claimed, Discarded: true})
		}, "can't go from claimed to claimed"},
		"a job of nobody": {func(t *testing.T, w world) {
			w.Record(t, w.b.Source().Job(job.Key{1}), ledger.Record{State: job.Claimed})
		}, "1 jobs in the ledger belong to nobody"},
		"another audience": {func(t *testing.T, w world) { w.b.Snapshot.Digest = strings.Repeat("0", 64) }, "is not the one that was frozen"},
		"a wrong reason left": {func(t *testing.T, w world) {
			w.Record(t, w.id(0), ledger.Record{State: job.Blocked, Reason: reason.OptedOut})
			last, _, err := w.Ledger.Last(t.Context(), w.id(0))
			rig.Must(t, err)
			a := &ledger.Append{Entry: ledger.Entry{ID: w.id(0), Record: ledger.Record{State: job.Pending, From: job.Blocked, FromReason: reason.NeverWrote, Prev: last.Seq, At: time.Now()}}}
			w.Commits.Commit(t.Context(), ledger.Bulk, []*ledger.Append{a})
			rig.Must(t, a.Err)
		}, "the running tally says that those blocked"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "spring", 3)
			w.Record(t, w.id(1), ledger.Record{State: job.Claimed})
			c.damage(t, w)
			r, err := w.auditor.Run(t.Context(), w.b, nil)
			rig.Must(t, err)
			if got := strings.Join(r.Problems, "\n"); r.Balanced() != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("problems %q, want %q", got, c.want)
			}
		})
	}
}

// Members that another tally counts, or that are gone from the store, show.
func TestDamageOfWhatIsStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "spring", 3)
	objects, err := w.Engines.JetStream.ObjectStore(t.Context(), w.Names.Audiences())
	rig.Must(t, err)
	twice := append(w.keys[0][:], w.keys[1][:]...)
	twice = append(append([]byte(nil), twice...), w.keys[1][:]...)
	_, err = objects.PutBytes(t.Context(), w.b.Snapshot.Object+".0", twice)
	rig.Must(t, err)
	w.Record(t, w.id(1), ledger.Record{State: job.Claimed})
	r, err := w.auditor.Run(t.Context(), w.b, nil)
	rig.Must(t, err)
	if got := strings.Join(r.Problems, "\n"); !strings.Contains(got, "stands twice") || !strings.Contains(got, "digest") {
		t.Errorf("problems %q", got)
	}
	rig.Must(t, objects.Delete(t.Context(), w.b.Snapshot.Object+".0"))
	if _, err := w.auditor.Run(t.Context(), w.b, nil); err == nil {
		t.Error("audited an audience that is gone")
	}
}

func TestTallyDriftIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "spring", 2)
	w.Record(t, w.id(0), ledger.Record{State: job.Claimed})
	rig.Must(t, w.auditor.Tally.CatchUp(t.Context(), w.b.Source()))
	// The tally of the same ledger under a damaged checkpoint.
	kv, err := w.Engines.JetStream.KeyValue(t.Context(), w.Names.Tallies())
	rig.Must(t, err)
	_, err = kv.PutString(t.Context(), "checkpoint", `{"`+w.Names.Ledger(w.b.Month, 0)+`":1}`)
	rig.Must(t, err)
	tally, _ := w.Count(t)
	a := audit.Auditor{Audiences: w.Audiences, Ledger: w.Ledger, Tally: tally}
	r, err := a.Run(t.Context(), w.b, nil)
	rig.Must(t, err)
	if got := strings.Join(r.Problems, "\n"); !strings.Contains(got, "the running tally says 0 claimed, the ledger has 1") {
		t.Errorf("problems %q", got)
	}
}

func TestNotFrozenYet(t *testing.T) {
	t.Parallel()
	a := audit.Auditor{}
	r, err := a.Run(t.Context(), &broadcast.Broadcast{}, nil)
	if err != nil || r.Frozen || !r.Balanced() || len(r.Buckets) != len(job.Buckets()) {
		t.Errorf("%+v, %v", r, err)
	}
}
