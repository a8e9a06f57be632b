package receipt

import (
	"fmt"
	"slices"
	"time"

	"github.com/carillon-dev/carillon/internal/deliver"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Skew is how much later than a watermark a message may have been recorded as
// sent and still be covered by it. The watermark is by the platform's clock,
// the record by a worker's, and written when the answer came: up to
// deliver.SendTimeout after the platform had the message. What is left of it,
// a second and a half, is how far the clocks may be apart. It errs on one
// side: what was sent within Skew after a watermark is called read with it.
const Skew = deliver.SendTimeout + 1500*time.Millisecond

// Settled is how long after a claim nobody can still be sending by it.
const Settled = deliver.ClaimDeadline + deliver.ClaimMargin

// openFor is for how long a job without a known outcome is a reason to keep
// receipts that may name it.
const openFor = 24 * time.Hour

type contactOf struct {
	sender string
	key    job.Key
}

// owns tells whether a job is one of this contact by this sender. An event's
// sender is the one whose account the platform named: what comes from another
// account, or of another person, proves nothing about the job.
func (c contactOf) owns(id job.ID) bool { return id.Sender == c.sender && id.Contact == c.key }

// thread is one contact of one sender with what was told of it.
type thread struct {
	contactOf
	told  []int    // events, by index
	named []job.ID // jobs that they name
	all   bool     // one names none: every job of the contact has to be read
	jobs  map[job.ID]ledger.Entry
	fresh map[job.ID]uint64 // of a flow's, the claim that is the first one

	want  map[job.ID]*wish
	wait  []int // events that may be about a job whose fate is open
	heard []ledger.Entry
	stray int // receipts of no job of ours
}

// wish is how far receipts take one job.
type wish struct {
	at        ledger.Entry // where it is
	to        job.State
	of        []int     // the events that say so
	fresh     bool      // the claim that it has is the first one, of a flow's job
	named     bool      // its own id came back: it was sent, whatever the ledger says
	messageID string    // of the message, where named
	left      time.Time // by the platform's clock, where an echo says so
	why       reason.Code
	code      int
	detail    string
	step      ledger.Record // the next move, as next made it
	resolved  bool          // it was made sent
}

// match finds out what each event is about.
func (t *thread) match(events []event.Event, now time.Time) {
	for _, i := range t.told {
		e := &events[i]
		found, open := t.about(i, e, now)
		switch {
		case open:
			t.wait = append(t.wait, i)
		case !found:
			t.stray++
		}
	}
}

// about notes what the i-th event says of which jobs. It reports whether it
// was about any, and whether it may be about one whose fate is open.
func (t *thread) about(i int, e *event.Event, now time.Time) (found, open bool) {
	to := stateOf(e.Type)
	if id, err := job.ParseID(e.Job); err == nil && t.owns(id) {
		at, ok := t.jobs[id]
		if !ok {
			return false, false
		}
		t.heard = append(t.heard, at)
		t.wish(at, to, i, e, true)
		return true, false
	}
	if e.Type == event.Echo {
		return false, false // another app's, or a person's at the inbox
	}
	for _, mid := range append(slices.Clone(e.MessageIDs), e.MessageID) {
		if mid == "" {
			continue
		}
		if at, ok := t.sentAs(mid); ok {
			t.wish(at, to, i, e, false)
			found = true
		} else if t.open(now, time.Time{}) {
			open = true
		}
	}
	if !e.Watermark.IsZero() {
		covers := e.Watermark.Add(Skew)
		for _, at := range t.jobs {
			if left := at.Record.Left(); !left.IsZero() && !left.After(covers) && at.Record.State != job.Failed {
				t.wish(at, to, i, e, false)
				found = true
			}
		}
		open = open || t.open(now, covers.Add(Settled))
	}
	return found, open
}

// ambiguous tells whether an echo of the job may be of an earlier attempt
// while this one is still on its way. Then whoever relies on claims having an
// outcome (promise P3) must not be told that this one has.
func ambiguous(r ledger.Record, fresh bool) bool {
	return r.State == job.Claimed && r.Prev != 0 && !fresh
}

// sentAs returns the job whose message has a platform's id.
func (t *thread) sentAs(mid string) (ledger.Entry, bool) {
	for _, at := range t.jobs {
		if at.Record.MessageID == mid && at.Record.State.Told() > 0 {
			return at, true
		}
	}
	return ledger.Entry{}, false
}

// open tells whether the contact has a job that may have been sent, and of
// which nobody knows as what: one that moved there before a moment, or at any
// time for the zero one.
func (t *thread) open(now, before time.Time) bool {
	for _, at := range t.jobs {
		r := at.Record
		again := r.Prev != 0 && (r.State == job.Pending || r.State == job.Held) // an earlier attempt may have arrived
		mayBe := r.State == job.Claimed || r.State == job.Unknown || again
		if mayBe && now.Sub(r.At) < openFor && (before.IsZero() || !r.At.After(before)) {
			return true
		}
	}
	return false
}

// wish adds what one event says of a job to what the others say.
func (t *thread) wish(at ledger.Entry, to job.State, i int, e *event.Event, named bool) {
	w := t.want[at.ID]
	if w == nil {
		w = &wish{at: at, to: to, fresh: at.Seq != 0 && t.fresh[at.ID] == at.Seq}
		t.want[at.ID] = w
	}
	w.of = append(w.of, i)
	if to.Told() > w.to.Told() {
		w.to = to
	}
	if named {
		if w.named = true; e.MessageID != "" {
			w.messageID = e.MessageID
		}
		if e.Type == event.Echo && (w.left.IsZero() || e.Time.Before(w.left)) {
			w.left = e.Time
		}
	}
	if to == job.Failed {
		w.why, w.code, w.detail = reason.PlatformRejected, e.Code, e.Why
		if e.Reason != "" {
			w.why = e.Reason
		}
	}
}

func (t *thread) wishes() []*wish {
	out := make([]*wish, 0, len(t.want))
	for _, w := range t.want {
		out = append(out, w)
	}
	return out
}

func stateOf(typ event.Type) job.State {
	switch typ {
	case event.Delivered:
		return job.Delivered
	case event.Read:
		return job.Read
	case event.Failed:
		return job.Failed
	default:
		return job.Sent
	}
}

// next makes the next step of a job from where it is, and reports whether
// there is one. What stands as refused or closed stays so: nothing goes out
// by it, and an audit counts it as doubtful.
func (w *wish) next(now time.Time) bool {
	r := w.at.Record
	step := ledger.Record{
		From: r.State, FromReason: r.Reason, Prev: w.at.Seq, Attempt: r.Attempt, At: now, Rule: r.Rule, Facts: r.Facts,
		MessageID: r.MessageID, Trace: r.Trace, By: ledger.ByReceipt, SentAt: r.Left(),
	}
	switch r.State {
	case job.Unknown, job.Pending, job.Held, job.Claimed:
		if !w.named || w.at.Seq == 0 || r.Planned || ambiguous(r, w.fresh) {
			return false
		}
		step.State, step.MessageID, step.SentAt = job.Sent, w.messageID, w.left
		step.Evidence = fmt.Sprintf("the platform told of it by this job's id when it was %s", r.State)
	case job.Sent, job.Delivered, job.Read:
		if w.to.Told() <= r.State.Told() {
			return false
		}
		step.State = w.to
		if w.to == job.Failed {
			step.Reason, step.Code, step.Detail = w.why, w.code, w.detail
		}
	case job.Failed, job.Blocked, job.Cancelled, job.Expired:
		return false
	}
	w.step = step
	return true
}
