package scheduler_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/lane"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// workers are a few slots that take envelopes in their order. One sender's
// calls get no answer, until the platform is well.
type workers struct {
	*world
	tasks   chan job.Envelope
	hangs   string
	timeout chan struct{} // ends one call without an answer
	well    chan struct{} // closed: the platform answers again

	wmu   sync.Mutex
	held  int // slots that the sender that hangs has
	most  int // at a time
	large int // jobs of its largest envelope since it held none
}

// Enqueue puts an envelope at the end of the queue.
func (w *workers) Enqueue(_ context.Context, e job.Envelope, _ bool) error {
	w.tasks <- e
	return nil
}

func (w *workers) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.tasks:
			claims, end := w.claim(ctx, e), ledger.Record{State: job.Sent}
			if e.Source.Sender == w.hangs && !w.answers(ctx, len(e.Jobs)) {
				end = ledger.Record{State: job.Unknown, Reason: reason.OutcomeUnknown}
			}
			w.settle(ctx, claims, end)
		}
	}
}

// answers keeps a slot until the platform answers, or the call times out.
func (w *workers) answers(ctx context.Context, jobs int) (ok bool) {
	w.hold(1, jobs)
	defer w.hold(-1, 0)
	select {
	case <-w.well:
		return true
	case <-w.timeout:
	case <-ctx.Done():
	}
	return false
}

func (w *workers) hold(n, jobs int) {
	w.wmu.Lock()
	defer w.wmu.Unlock()
	w.held += n
	w.most, w.large = max(w.most, w.held), max(w.large, jobs)
	if w.held == 0 {
		w.large = 0
	}
}

// hanging is how many slots the sender that hangs holds, how many it held at
// the most, and how many jobs the largest of its envelopes there has.
func (w *workers) hanging() (held, most, large int) {
	w.wmu.Lock()
	defer w.wmu.Unlock()
	return w.held, w.most, w.large
}

// expire lets one call time out, if one hangs.
func (w *workers) expire() {
	select {
	case w.timeout <- struct{}{}:
	default:
	}
}

func (w *workers) claim(ctx context.Context, e job.Envelope) (won []*ledger.Append) {
	claims := make([]*ledger.Append, len(e.Jobs))
	for i, r := range e.Jobs {
		claims[i] = &ledger.Append{Entry: ledger.Entry{ID: e.Source.Job(r.Contact), Record: ledger.Record{
			State: job.Claimed, From: job.Pending, Prev: r.Seq, Attempt: r.Attempt + 1, At: time.Now(), Deadline: time.Minute}}}
	}
	w.Commits.Commit(ctx, ledger.Bulk, claims)
	for _, c := range claims {
		if c.Err == nil {
			won = append(won, c)
		}
	}
	return won
}

func (w *workers) settle(ctx context.Context, claims []*ledger.Append, end ledger.Record) {
	ends := make([]*ledger.Append, len(claims))
	for i, c := range claims {
		end.From, end.Prev, end.Attempt, end.At = job.Claimed, c.Written, c.Record.Attempt, time.Now()
		ends[i] = &ledger.Append{Entry: ledger.Entry{ID: c.ID, Record: end}}
	}
	w.Commits.Commit(ctx, ledger.Bulk, ends)
}

// One sender's platform hangs with more waiting than there are workers. Others
// that come after it are done while it hangs; it is sidelined and shown, with
// one single message on trial, and goes on when the platform answers again.
func TestAStuckSenderBesideOthers(t *testing.T) {
	t.Parallel()
	const slots, others = 4, 6
	var docs strings.Builder
	for i := range others {
		fmt.Fprintf(&docs, "\n---\nkind: Sender\nid: shop-%[1]d\nchannel: messenger\naccount: \"2%[1]d\"\ncredential: env:SHOP\n---\nkind: Broadcast\nid: news-%[1]d\nsender: shop-%[1]d\nmessage: {text: \"Hello\"}\n", i)
	}
	w := newWorld(t, 400, spring+docs.String())
	for i := range others {
		w.Contacts(t, fmt.Sprintf("shop-%d", i), 5)
	}
	pool := &workers{world: w, tasks: make(chan job.Envelope, 1000), hangs: "bakery", timeout: make(chan struct{}), well: make(chan struct{})}
	w.hand(pool, lane.NewShare(slots))
	for range slots {
		defer rig.Loop(t, pool.run)()
	}
	w.launch("spring")
	sidelined := func() *lane.Sidelined {
		loads, err := w.sched.LaneLoads(t.Context(), "bakery")
		rig.Must(t, err)
		if len(loads) == 0 {
			return nil
		}
		return loads[0].Sidelined
	}
	rig.Until(t, "it has all that it may have", func() bool { held, _, _ := pool.hanging(); return held == slots*3/4 })
	for i := range others {
		w.launch(fmt.Sprintf("news-%d", i))
	}
	for i := range others {
		id := fmt.Sprintf("news-%d", i)
		w.until(id, broadcast.Done)
		w.audit(id, map[job.Bucket]int{job.InSent: 5})
	}
	if held, most, _ := pool.hanging(); held == 0 || most > slots*3/4 {
		t.Errorf("meanwhile the stuck sender held %d of %d slots, %d at the end", most, slots, held)
	}
	rig.Until(t, "it is sidelined", func() bool { pool.expire(); return sidelined() != nil })
	if a := sidelined(); a.Reason != reason.OutcomeUnknown {
		t.Errorf("it is sidelined as %+v", a)
	}
	rig.Until(t, "a single message of it is on trial", func() bool {
		held, _, large := pool.hanging()
		if large > 1 { // from before
			pool.expire()
		}
		return held == 1 && large == 1
	})
	close(pool.well)
	rig.Until(t, "it has recovered", func() bool { return sidelined() == nil })
	w.until("spring", broadcast.Done)
}
