package scheduler_test

import (
	"cmp"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/carillon-dev/carillon/internal/audit"
	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/lane"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/receipt"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// world is a scheduler on real engines with a worker that settles jobs in the
// ledger as it is told to.
type world struct {
	*rig.Rooms
	t     *testing.T
	sched *scheduler.Scheduler
	lead  *scheduler.Leader
	tally *ledger.Tally
	stop  []func()
	began chan struct{} // a freeze has begun
	queue lane.Queue    // nil: the world's own
	share *lane.Share

	mu      sync.Mutex
	end     func(i int) (ledger.Record, bool) // of the i-th released job; false: leave it
	n       int
	deaf    func(ledger.Entry) bool // what the scheduler is not told; nil: it hears all
	witness *receipt.Witness        // of unknown outcomes
}

// Recorded tells the scheduler, unless it is deaf to it.
func (w *world) Recorded(ctx context.Context, e ledger.Entry) error {
	w.mu.Lock()
	deaf := w.deaf != nil && w.deaf(e)
	w.mu.Unlock()
	if deaf {
		return nil
	}
	return w.lead.Recorded(ctx, e)
}

// Enqueue settles an envelope.
func (w *world) Enqueue(ctx context.Context, e job.Envelope, _ bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range e.Jobs {
		rec, ok := w.end(w.n)
		w.n++
		if !ok {
			continue
		}
		claim := &ledger.Append{Entry: ledger.Entry{ID: e.Source.Job(r.Contact), Record: ledger.Record{
			State: job.Claimed, From: job.Pending, Prev: r.Seq, Attempt: r.Attempt + 1, At: time.Now(), Deadline: 100 * time.Millisecond}}}
		w.Commits.Commit(ctx, ledger.Bulk, []*ledger.Append{claim})
		if claim.Err != nil || rec.State == job.Claimed {
			continue
		}
		if rec.From, rec.Prev = job.Claimed, claim.Written; rec.At.IsZero() {
			rec.At = time.Now()
		}
		w.Commits.Commit(ctx, ledger.Bulk, []*ledger.Append{{Entry: ledger.Entry{ID: claim.ID, Record: rec}}})
	}
	return nil
}

func all(s job.State, why reason.Code) func(int) (ledger.Record, bool) {
	return func(int) (ledger.Record, bool) { return ledger.Record{State: s, Reason: why}, true }
}

// only settles the first n jobs as sent.
func only(n int) func(int) (ledger.Record, bool) {
	return func(i int) (ledger.Record, bool) { return ledger.Record{State: job.Sent}, i < n }
}

func (w *world) set(end func(int) (ledger.Record, bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end, w.n = end, 0
}

const spring = `
---
kind: Broadcast
id: spring
sender: bakery
message: {text: "Hello"}
`

func newWorld(t *testing.T, contacts int, docs string) *world {
	t.Helper()
	w := &world{Rooms: rig.Open(t, engines), t: t, began: make(chan struct{}, 1), end: all(job.Sent, ""), share: lane.NewShare(24)}
	w.Apply(t, rig.Bakery+docs)
	w.Contacts(t, "bakery", contacts)
	w.Settled(t, nil)
	w.boot()
	return w
}

// tracer tells when a freeze begins.
type tracer struct {
	trace.Tracer
	began chan struct{}
}

// Start starts a span.
func (tr tracer) Start(ctx context.Context, name string, o ...trace.SpanStartOption) (context.Context, trace.Span) {
	if name == "freeze audience" {
		select {
		case tr.began <- struct{}{}:
		default:
		}
	}
	return tr.Tracer.Start(ctx, name, o...) //nolint:spancheck // the caller's, who ends it
}

// boot starts a scheduler that leads, and its tally.
func (w *world) boot() {
	w.t.Helper()
	tally, err := ledger.OpenTally(w.t.Context(), w.Ledger, w.Names, w.Log)
	rig.Must(w.t, err)
	w.tally = tally
	echoes, err := receipt.OpenEchoes(w.t.Context(), w.Streams, w.Names)
	rig.Must(w.t, err)
	w.witness = &receipt.Witness{Echoes: echoes, Defs: w.Defs}
	w.sched = scheduler.New(scheduler.Config{
		Dead: w.Dead, Witness: w.witness,
		NATS: engines.NATS, Names: w.Names, Defs: w.Defs, Facts: w.Facts, Audiences: w.Audiences, Ledger: w.Ledger, Commits: w.Commits, Tally: tally,
		Tracer: tracer{w.Tracer, w.began}, Log: w.Log,
	})
	lead := scheduler.NewLeader(w.sched, lane.Config{
		Queue: cmp.Or[lane.Queue](w.queue, w), Commits: w.Commits, Share: w.share, Log: w.Log, Repair: time.Minute, Margin: 100 * time.Millisecond, Lease: time.Minute,
	})
	w.mu.Lock() // others may be telling the one before
	w.lead = lead
	w.mu.Unlock()
	counting := rig.Lead(w.t, tally, w, w.Dead)
	w.stop = []func(){rig.Loop(w.t, w.lead.Run), counting}
}

// hand starts a scheduler anew that hands envelopes to somebody else.
func (w *world) hand(q lane.Queue, share *lane.Share) {
	w.queue, w.share = q, share
	w.restart()
}

// restart is a crash: what the tally had not checkpointed is counted again.
func (w *world) restart() {
	w.t.Helper()
	for _, stop := range w.stop {
		stop()
	}
	w.boot()
}

func (w *world) broadcast(id string) *broadcast.Broadcast {
	w.t.Helper()
	b, _, err := w.Defs.Broadcast(w.t.Context(), id)
	rig.Must(w.t, err)
	return b
}

func (w *world) until(id string, s broadcast.State) *broadcast.Broadcast {
	w.t.Helper()
	var b *broadcast.Broadcast
	rig.Until(w.t, id+" becomes "+string(s), func() bool { b = w.broadcast(id); return b.State == s })
	return b
}

func (w *world) frozen(id string) *broadcast.Broadcast {
	w.t.Helper()
	var b *broadcast.Broadcast
	rig.Until(w.t, id+" is frozen", func() bool { b = w.broadcast(id); return b.Snapshot != nil })
	return b
}

// counted waits until n jobs of a broadcast are in a state.
func (w *world) counted(b *broadcast.Broadcast, s job.State, n int) {
	w.t.Helper()
	rig.Until(w.t, string(s), func() bool { return w.tally.Of(b.Source()).States[s] == n })
}

func (w *world) launch(id string) {
	w.t.Helper()
	_, err := w.sched.Launch(w.t.Context(), id, unasked)
	rig.Must(w.t, err)
}

// unasked approves whatever is launched.
func unasked(*definition.Planned, *sender.Spec, time.Time) ([]broadcast.Acknowledged, error) {
	return nil, nil
}

// audit asserts that the broadcast balances and how its audience is counted.
func (w *world) audit(id string, want map[job.Bucket]int) []job.ID {
	w.t.Helper()
	var ids []job.ID
	a := audit.Auditor{Audiences: w.Audiences, Ledger: w.Ledger, Tally: w.tally}
	r, err := a.Run(w.t.Context(), w.broadcast(id), func(m audit.Member) error { ids = append(ids, m.Job); return nil })
	rig.Must(w.t, err)
	if !r.Balanced() {
		w.t.Errorf("%s does not balance: %q", id, r.Problems)
	}
	for k, n := range r.Buckets {
		if n != want[k] {
			w.t.Errorf("%s: %d %s, want %d", id, n, k, want[k])
		}
	}
	return ids
}

func TestLaunchToDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 120, spring)
	w.launch("spring")
	b := w.until("spring", broadcast.Done)
	w.audit("spring", map[job.Bucket]int{job.InSent: 120})
	if b.ClosedAt.IsZero() || b.Frozen == nil || b.Frozen.Seen != 120 {
		t.Errorf("%+v", b)
	}
	if _, err := w.sched.Launch(t.Context(), "spring", unasked); err == nil || !strings.Contains(err.Error(), "can't launch a broadcast that is done") {
		t.Errorf("launched twice: %v", err)
	}
	if _, err := w.sched.Launch(t.Context(), "winter", unasked); err == nil {
		t.Error("launched what is not defined")
	}
}

func TestEmptyAudienceIsDoneAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, strings.Replace(spring, "sender: bakery", "sender: bakery\naudience: {labels: [nobody]}", 1))
	w.launch("spring")
	w.until("spring", broadcast.Done)
	w.audit("spring", nil)
}

// In each state a scheduler that starts anew goes on where the old one was.
func TestRestartInEachState(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30, spring+`
---
kind: Broadcast
id: later
sender: bakery
message: {text: "Hello"}
schedule: {at: "`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"}
`)
	ctx := t.Context()
	w.set(only(10))
	w.launch("later")
	w.restart()
	if b := w.broadcast("later"); b.State != broadcast.Scheduled || b.Snapshot != nil {
		t.Errorf("later is %s", b.State)
	}
	if _, err := w.sched.Pause(ctx, "later"); err != nil {
		t.Fatal(err)
	}
	if b, err := w.sched.Resume(ctx, "later"); err != nil || b.State != broadcast.Scheduled {
		t.Errorf("resumed before it is due: %+v, %v", b, err)
	}
	w.launch("spring")
	b := w.frozen("spring")
	w.counted(b, job.Sent, 10)
	w.restart() // running, with 20 released and lost
	w.counted(b, job.Sent, 10)
	_, err := w.sched.Pause(ctx, "spring")
	rig.Must(t, err)
	for _, stop := range w.stop { // paused
		stop()
	}
	w.set(all(job.Sent, "")) // an envelope on its way to the queue still finds nobody
	w.boot()
	w.counted(b, job.Sent, 10)
	if got := w.broadcast("spring").State; got != broadcast.Paused {
		t.Errorf("spring is %s", got)
	}
	_, err = w.sched.Resume(ctx, "spring")
	rig.Must(t, err)
	w.until("spring", broadcast.Done)
	w.audit("spring", map[job.Bucket]int{job.InSent: 30})
	w.restart() // done
	w.audit("spring", map[job.Bucket]int{job.InSent: 30})
	if got := w.broadcast("spring"); got.State != broadcast.Done {
		t.Errorf("spring is %s after a restart", got.State)
	}
}

func TestCancelWithOpenClaims(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 20, spring)
	w.set(func(i int) (ledger.Record, bool) { // two workers die with a claim
		return ledger.Record{State: map[bool]job.State{true: job.Claimed, false: job.Sent}[i < 2]}, i < 5
	})
	w.launch("spring")
	b := w.frozen("spring")
	w.counted(b, job.Sent, 3)
	stopped, err := w.sched.Cancel(t.Context(), "spring")
	rig.Must(t, err)
	if !stopped.InForce || stopped.InFlight > 2 {
		t.Errorf("answered %+v", stopped)
	}
	w.restart()
	w.counted(b, job.Unknown, 2)
	w.audit("spring", map[job.Bucket]int{job.InSent: 3, job.InUnknown: 2, job.InCancelled: 15})
}

func TestCancelBeforeItIsFrozen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5, strings.Replace(spring, "sender: bakery", "sender: bakery\nschedule: {at: \""+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+"\"}", 1))
	w.launch("spring")
	_, err := w.sched.Cancel(t.Context(), "spring")
	rig.Must(t, err)
	w.restart()
	if b := w.broadcast("spring"); b.State != broadcast.Cancelled || b.Snapshot != nil {
		t.Errorf("%+v", b)
	}
	w.audit("spring", nil)
}

// Whatever comes during the freeze stays in force after it.
func TestPauseAndCancelDuringFreeze(t *testing.T) {
	t.Parallel()
	for verb, want := range map[string]broadcast.State{"pause": broadcast.Paused, "cancel": broadcast.Cancelled} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			duringFreeze(t, verb, want)
		})
	}
}

func duringFreeze(t *testing.T, verb string, want broadcast.State) {
	w := newWorld(t, 400, spring)
	w.set(only(0)) // else it might be done before it is stopped
	w.launch("spring")
	select {
	case <-w.began:
	case <-time.After(rig.Patience):
		t.Fatal("no freeze has begun")
	}
	stop := w.sched.Cancel
	if verb == "pause" {
		stop = w.sched.Pause
	}
	_, err := stop(t.Context(), "spring")
	rig.Must(t, err)
	c, _, err := w.Facts.Control(t.Context(), facts.SourceControl, "spring~1")
	rig.Must(t, err)
	if b := w.broadcast("spring"); b.State != want || c.State != string(want) {
		t.Errorf("it is %s, its control says %s", b.State, c.State)
	}
	if verb == "cancel" {
		return
	}
	if b := w.frozen("spring"); b.State != want {
		t.Errorf("once it is frozen it is %s", b.State)
	}
	w.set(all(job.Sent, ""))
	_, err = w.sched.Resume(t.Context(), "spring")
	rig.Must(t, err)
	w.lead.Lost() // what was released before the pause
	w.until("spring", broadcast.Done)
	w.audit("spring", map[job.Bucket]int{job.InSent: 400})
}

func TestExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10, spring+"expires_after: 10s\n") // time enough for the first four
	w.set(only(4))
	w.launch("spring")
	w.until("spring", broadcast.Expired)
	w.audit("spring", map[job.Bucket]int{job.InSent: 4, job.InExpired: 6})
}

func TestRedriveAndDiscard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10, spring)
	ctx := t.Context()
	w.set(func(i int) (ledger.Record, bool) {
		if i < 4 {
			return ledger.Record{State: job.Failed, Reason: reason.PlatformRejected}, true
		}
		return ledger.Record{State: job.Sent}, true
	})
	w.launch("spring")
	b := w.until("spring", broadcast.Done)
	ids := w.audit("spring", map[job.Bucket]int{job.InSent: 6, job.InFailed: 4})
	dead, sent := ids[:4], ids[4]

	got, err := w.sched.Redrive(ctx, []job.ID{dead[0], sent}, "ada", true)
	rig.Must(t, err)
	if got[0].Refused != "" || got[1].Refused != "it is sent, not a dead letter" {
		t.Errorf("dry run says %+v", got)
	}
	w.audit("spring", map[job.Bucket]int{job.InSent: 6, job.InFailed: 4})

	if got, err = w.sched.Discard(ctx, dead[3:], "ada", false); err != nil || got[0].Refused != "" {
		t.Fatalf("discard: %+v, %v", got, err)
	}
	w.audit("spring", map[job.Bucket]int{job.InSent: 6, job.InFailed: 4})

	w.set(all(job.Sent, ""))
	got, err = w.sched.Redrive(ctx, []job.ID{dead[0], dead[1], dead[0], sent}, "ada", false)
	rig.Must(t, err)
	if got[0].Refused != "" || got[1].Refused != "" || got[2].Refused == "" || got[3].Refused == "" {
		t.Errorf("redrive says %+v", got)
	}
	w.counted(b, job.Sent, 8)
	w.until("spring", broadcast.Done)
	w.audit("spring", map[job.Bucket]int{job.InSent: 8, job.InFailed: 2})

	// A crash between the record and the reopening is made good at the start.
	for _, stop := range w.stop {
		stop()
	}
	w.Record(t, dead[2], ledger.Record{State: job.Pending, By: "ada"})
	w.boot()
	w.counted(b, job.Sent, 9)
	w.until("spring", broadcast.Done)
	w.audit("spring", map[job.Bucket]int{job.InSent: 9, job.InFailed: 1})
}

func TestRedriveIsRefusedAfterTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, spring)
	w.set(func(i int) (ledger.Record, bool) {
		return ledger.Record{State: job.Failed, Reason: reason.PlatformRejected}, i == 0
	})
	w.launch("spring")
	b := w.frozen("spring")
	w.counted(b, job.Failed, 1)
	_, err := w.sched.Cancel(t.Context(), "spring")
	rig.Must(t, err)
	var dead []job.ID
	rig.Must(t, w.Ledger.OfSource(t.Context(), b.Source(), 0, func(e ledger.Entry) error {
		if e.Record.State == job.Failed {
			dead = append(dead, e.ID)
		}
		return nil
	}))
	other := dead[0]
	other.Name = "winter~1"
	got, err := w.sched.Redrive(t.Context(), append(dead, other), "ada", false)
	rig.Must(t, err)
	if got[0].Refused != "its broadcast was cancelled" || got[1].Refused != "its broadcast is not defined any more" {
		t.Errorf("redrive says %+v", got)
	}
	w.audit("spring", map[job.Bucket]int{job.InFailed: 1, job.InCancelled: 2})
}

// A broadcast that has nothing left to release, as far as its lane was told,
// and yet somebody pending is read anew.
func TestStallReadsTheLedgerAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 6, spring)
	w.deaf = func(e ledger.Entry) bool { return e.Record.From == job.Failed }
	w.set(func(i int) (ledger.Record, bool) {
		if i == 0 {
			return ledger.Record{State: job.Failed, Reason: reason.PlatformRejected}, true
		}
		if i == 1 {
			w.revive()
		}
		return ledger.Record{State: job.Sent}, true
	})
	w.launch("spring")
	b := w.frozen("spring")
	w.counted(b, job.Sent, 6)
	w.until("spring", broadcast.Done)
	w.audit("spring", map[job.Bucket]int{job.InSent: 6})
}

// revive reopens every failed job of the ledger.
func (w *world) revive() {
	b := w.broadcast("spring")
	var dead []job.ID
	rig.Must(w.t, w.Ledger.OfSource(w.t.Context(), b.Source(), 0, func(e ledger.Entry) error {
		if e.Record.State == job.Failed {
			dead = append(dead, e.ID)
		}
		return nil
	}))
	for _, id := range dead {
		w.Record(w.t, id, ledger.Record{State: job.Pending, By: "ada"})
	}
}

// A scheduler whose counts are behind the ledger does not say that nothing is
// on its way.
func TestLineOfOneThatIsBehind(t *testing.T) {
	t.Parallel()
	r := rig.Open(t, engines)
	r.Apply(t, rig.Bakery)
	keys := r.Contacts(t, "bakery", 3)
	r.Settled(t, nil)
	b := r.Running(t, broadcast.Spec{ID: "spring", Sender: "bakery", Message: message.Message{Text: "x"}}, keys)
	tally, err := ledger.OpenTally(t.Context(), r.Ledger, r.Names, r.Log) // and does not run
	rig.Must(t, err)
	s := scheduler.New(scheduler.Config{
		NATS: engines.NATS, Names: r.Names, Defs: r.Defs, Facts: r.Facts, Audiences: r.Audiences, Ledger: r.Ledger, Commits: r.Commits, Tally: tally,
		Tracer: r.Tracer, Log: r.Log,
	})
	r.Record(t, b.Source().Job(keys[0]), ledger.Record{State: job.Claimed, Attempt: 1, Deadline: time.Minute})
	if got, err := s.Pause(t.Context(), "spring"); err != nil || !got.InForce || got.Counted {
		t.Errorf("%+v, %v", got, err)
	}
	if n, counted := s.SenderLine(t.Context(), "bakery"); counted {
		t.Errorf("it counts %d", n)
	}
}
