package lane

import (
	"cmp"
	"container/heap"
	"context"
	"slices"
	"time"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/rate"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Members gives a source's contacts in send order, a chunk at a time; none
// past the end.
type Members interface {
	Chunk(ctx context.Context, i int) ([]job.Key, error)
}

// Found is what a full reading of a source's ledger found: where releasing
// has to go on.
type Found struct {
	UpTo uint64            // ledger sequence that was read up to
	Any  []job.Key         // jobs with a record, sorted: the snapshot's reader skips them
	Open map[job.Key]Where // those that have not ended
}

// Where is the place of a job that has not ended.
type Where struct {
	Seq      uint64
	State    job.State // Pending, Held or Claimed
	Attempt  int
	Until    time.Time     // not before
	Reason   reason.Code   // why it is held
	Deadline time.Duration // of the claim
}

// Find reads a source's ledger into a Found. each calls its argument with
// every record, oldest first.
func Find(each func(func(ledger.Entry) error) error) (Found, error) {
	f := Found{Open: map[job.Key]Where{}}
	err := each(func(e ledger.Entry) error {
		f.UpTo = e.Seq
		f.Any = append(f.Any, e.ID.Contact)
		if len(f.Any) >= 1<<16 && len(f.Any) == cap(f.Any) {
			f.Any = sorted(f.Any)
		}
		if e.Record.Discarded {
			return nil
		}
		if e.Record.State.Ended() {
			delete(f.Open, e.ID.Contact)
			return nil
		}
		f.Open[e.ID.Contact] = whereOf(e)
		return nil
	})
	f.Any = sorted(f.Any)
	return f, err
}

func sorted(ks []job.Key) []job.Key {
	slices.SortFunc(ks, compareKeys)
	return slices.Compact(ks)
}

func compareKeys(a, b job.Key) int { return slices.Compare(a[:], b[:]) }

func whereOf(e ledger.Entry) Where {
	r := e.Record
	return Where{Seq: e.Seq, State: r.State, Attempt: r.Attempt, Until: r.Until, Reason: r.Reason, Deadline: r.Deadline}
}

// feed releases the jobs of one source.
type feed struct {
	source  job.Source
	trace   string
	members Members
	pace    *pacer // nil: the sender's rate alone
	paused  bool

	loading bool           // its ledger is still being read
	later   []ledger.Entry // records that came meanwhile
	known   uint64         // ledger sequence up to which its records were taken in
	rest    time.Time      // until then nothing is released: workers gave jobs back
	unread  time.Time      // until then the next chunk is not read: it could not be

	skip  []job.Key            // sorted
	early map[job.Key]struct{} // recorded before the snapshot's reader came to them
	chunk []job.Key
	next  int // of the chunk
	index int // of the chunk in the snapshot
	ended bool

	ready  queue // may go when due
	held   queue // become pending when due
	out    map[job.Key]*released
	idle   int  // of out, those that are not claimed
	closed bool // its source has ended: only outcomes are awaited
}

// released is a job that was handed to the workers and has no outcome yet.
type released struct {
	ref     job.Ref
	at      time.Time
	call    *call
	claimed uint64        // ledger sequence of the claim; 0: none yet
	seen    time.Time     // when the claim was first seen
	stands  time.Duration // how long it stands
	settled bool          // calling it unknown is under way
	parcel  *parcel       // it went in; nil: of another leader's
}

// call is what was taken from the lane's pace for jobs that go together.
type call struct {
	left    int  // jobs that may still be claimed
	claimed bool // one was, so the call counts
}

func newFeed(s job.Source, traceparent string, m Members, pace int) *feed {
	f := &feed{source: s, trace: traceparent, members: m, loading: true, out: map[job.Key]*released{}, early: map[job.Key]struct{}{}}
	if pace > 0 {
		f.pace = &pacer{charge: rate.Limit{PerSecond: pace, Burst: 1}.Call()}
	}
	return f
}

// start takes in what the ledger said, and then what came meanwhile.
func (f *feed) start(found Found, now time.Time) {
	f.loading, f.known = false, found.UpTo
	if !f.closed {
		f.skip = found.Any
	}
	for k, w := range found.Open {
		if !f.closed || w.State == job.Claimed {
			f.place(k, w, now)
		}
	}
	for _, e := range f.later {
		f.recorded(e, now)
	}
	f.later = nil
}

func (f *feed) place(k job.Key, w Where, now time.Time) {
	it := item{ref: job.Ref{Contact: k, Seq: w.Seq, Attempt: w.Attempt}, at: w.Until, reason: w.Reason}
	switch w.State {
	case job.Pending:
		heap.Push(&f.ready, it)
	case job.Held:
		heap.Push(&f.held, it)
	case job.Claimed:
		it.ref.Attempt-- // a claim counts itself, a reference what was before it
		f.out[k] = &released{ref: it.ref, at: now, call: &call{claimed: true}, claimed: w.Seq, seen: now, stands: w.Deadline}
	}
}

// spared is what was taken and is given back: pace that turned out not to be
// needed, and envelopes of which nothing is with the workers any more.
type spared struct {
	calls, jobs int
	parcels     []*parcel
}

// recorded follows one record and returns the pace that it gives back: a job
// that settled without a claim took none. Whoever tells of records may be
// behind what was read at the start, or repeat itself.
func (f *feed) recorded(e ledger.Entry, now time.Time) spared {
	if f.loading {
		f.later = append(f.later, e)
		return spared{}
	}
	if e.Record.Discarded || e.Seq <= f.known {
		return spared{}
	}
	f.known = e.Seq
	k := e.ID.Contact
	f.overtaken(k, e.Record)
	if e.Record.State == job.Claimed {
		f.claimed(k, e, now)
		return spared{}
	}
	if o := f.out[k]; o != nil && o.claimed != 0 && o.parcel != nil {
		o.parcel.ended(o, e.Record)
	}
	back := f.drop(k)
	if !e.Record.State.Ended() && !f.closed {
		f.place(k, whereOf(e), now)
	}
	return back
}

// overtaken notes that a task which this feed does not know of moved a job
// that waits here: one from before a restart, or one that was released again.
func (f *feed) overtaken(k job.Key, r ledger.Record) {
	if r.From != job.Pending || f.out[k] != nil || f.ready.remove(k) {
		return
	}
	if r.Prev == 0 && !f.ended {
		f.early[k] = struct{}{}
	}
}

func (f *feed) claimed(k job.Key, e ledger.Entry, now time.Time) {
	o := f.out[k]
	switch {
	case o == nil:
		o = &released{ref: job.Ref{Contact: k, Attempt: e.Record.Attempt - 1}, at: now, call: &call{}}
		f.out[k] = o
	case o.claimed == 0:
		f.idle--
		if o.parcel != nil {
			o.parcel.claimed++
		}
	}
	o.claimed, o.seen, o.stands, o.call.claimed = e.Seq, now, e.Record.Deadline, true
}

// drop forgets a job that is with the workers.
func (f *feed) drop(k job.Key) spared {
	o := f.out[k]
	if o == nil {
		return spared{}
	}
	delete(f.out, k)
	var back spared
	if o.claimed == 0 {
		f.idle--
		back.jobs = 1
	}
	if o.call.left--; o.call.left == 0 && !o.call.claimed {
		back.calls = 1
	}
	if p := o.parcel; p != nil {
		if p.left--; p.left == 0 {
			back.parcels = append(back.parcels, p)
		}
	}
	return back
}

func (s *spared) add(o spared) {
	s.calls, s.jobs, s.parcels = s.calls+o.calls, s.jobs+o.jobs, append(s.parcels, o.parcels...)
}

// parcels are the envelopes that are with the workers.
func (f *feed) parcels() map[*parcel]struct{} {
	ps := map[*parcel]struct{}{}
	for _, o := range f.out {
		if o.parcel != nil {
			ps[o.parcel] = struct{}{}
		}
	}
	return ps
}

// givenBack takes jobs back that a worker could not let go yet.
func (f *feed) givenBack(refs []job.Ref, notBefore time.Time) spared {
	var back spared
	for _, r := range refs {
		o := f.out[r.Contact]
		if o == nil || o.claimed != 0 || o.ref.Seq != r.Seq {
			continue // it has moved on, or was released again meanwhile
		}
		back.add(f.drop(r.Contact))
		heap.Push(&f.ready, item{ref: r, at: notBefore})
		// Why it came back holds for its neighbours too. Releasing those
		// meanwhile would only carry the audience through the queue and back.
		if notBefore.After(f.rest) {
			f.rest = notBefore
		}
	}
	return back
}

// available counts up to n jobs that may go now, without taking them, and
// tells whether the next chunk has to be read to find any.
func (f *feed) available(n int, now time.Time) (have int, hungry bool) {
	have = f.ready.due(now, n)
	if have >= n || f.ended {
		return have, false
	}
	f.skipRecorded()
	if left := len(f.chunk) - f.next; left > 0 {
		return min(n, have+left), false
	}
	return have, have == 0
}

// chunkTimeout bounds how long a chunk may take to read; then it is tried
// again.
const chunkTimeout = 5 * time.Second

// read reads the i-th chunk of the audience. It needs no lock: what it reads
// never changes.
func (f *feed) read(ctx context.Context, i int) ([]job.Key, error) {
	ctx, cancel := context.WithTimeout(ctx, chunkTimeout)
	defer cancel()
	return f.members.Chunk(ctx, i)
}

// fill takes in the i-th chunk, none at the end, unless the feed was closed
// while it was read.
func (f *feed) fill(i int, chunk []job.Key) {
	switch {
	case f.ended || f.index != i:
	case chunk == nil:
		f.ended, f.chunk, f.skip = true, nil, nil
		clear(f.early)
	default:
		f.chunk, f.next, f.index = chunk, 0, i+1
	}
}

// skipRecorded moves past contacts that have a record.
func (f *feed) skipRecorded() {
	for f.next < len(f.chunk) && f.recordedBefore(f.chunk[f.next]) {
		f.next++
	}
}

func (f *feed) recordedBefore(k job.Key) bool {
	if _, ok := f.early[k]; ok {
		return true
	}
	if len(f.skip) == 0 {
		return false
	}
	_, ok := slices.BinarySearchFunc(f.skip, k, compareKeys)
	return ok
}

// take returns up to n jobs that may go now: those given back first, then the
// next of the snapshot. Together means that they go in one call.
func (f *feed) take(n int, together, probe bool, now time.Time) []job.Ref {
	refs := make([]job.Ref, 0, n)
	for len(refs) < n && len(f.ready) > 0 && !f.ready[0].at.After(now) {
		refs = append(refs, heap.Pop(&f.ready).(item).ref)
	}
	for len(refs) < n && f.next < len(f.chunk) {
		if k := f.chunk[f.next]; !f.recordedBefore(k) {
			refs = append(refs, job.Ref{Contact: k})
		}
		f.next++
	}
	c, p := &call{left: len(refs)}, &parcel{at: now, left: len(refs), probe: probe}
	for _, r := range refs {
		if !together {
			c = &call{left: 1}
		}
		f.out[r.Contact] = &released{ref: r, at: now, call: c, parcel: p}
	}
	f.idle += len(refs)
	return refs
}

// oldest is how long ago the first of the unclaimed jobs was released.
func (f *feed) oldest(now time.Time) time.Duration {
	var age time.Duration
	for _, o := range f.out {
		if o.claimed == 0 {
			age = max(age, now.Sub(o.at))
		}
	}
	return age
}

// abandoned makes jobs that were released before a moment and have no record
// ready to be released again: the claim makes that harmless. The pace that
// they took is spent; somebody may have used it.
func (f *feed) abandoned(before, now time.Time) spared {
	var back spared
	for k, o := range f.out {
		if o.claimed == 0 && o.at.Before(before) {
			back.parcels = append(back.parcels, f.drop(k).parcels...)
			heap.Push(&f.ready, item{ref: o.ref, at: now})
		}
	}
	return back
}

// item is a job that waits for a moment.
type item struct {
	ref    job.Ref
	at     time.Time
	reason reason.Code
}

// queue is a heap of items, the earliest first.
type queue []item

// Len, Less, Swap, Push and Pop make a queue a heap.
func (q queue) Len() int { return len(q) }

// Less orders by time, then by contact, so that runs are alike.
func (q queue) Less(i, j int) bool {
	if c := q[i].at.Compare(q[j].at); c != 0 {
		return c < 0
	}
	return cmp.Compare(string(q[i].ref.Contact[:]), string(q[j].ref.Contact[:])) < 0
}

// Swap swaps two items.
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push adds an item at the end.
func (q *queue) Push(x any) { *q = append(*q, x.(item)) }

// Pop removes the last item.
func (q *queue) Pop() any {
	old := *q
	it := old[len(old)-1]
	*q = old[:len(old)-1]
	return it
}

// remove takes a contact's item out, and reports whether there was one. It
// looks at every item, which what overtakes them is rare enough for.
func (q *queue) remove(k job.Key) bool {
	for i := range *q {
		if (*q)[i].ref.Contact == k {
			heap.Remove(q, i)
			return true
		}
	}
	return false
}

// due counts items that are due, up to n.
func (q queue) due(now time.Time, n int) int {
	have := 0
	var visit func(i int)
	visit = func(i int) {
		if i >= len(q) || have >= n || q[i].at.After(now) {
			return
		}
		have++
		visit(2*i + 1)
		visit(2*i + 2)
	}
	visit(0)
	return have
}

// popDue removes and returns items that are due, up to n.
func (q *queue) popDue(now time.Time, n int) []item {
	var out []item
	for len(out) < n && len(*q) > 0 && !(*q)[0].at.After(now) {
		out = append(out, heap.Pop(q).(item))
	}
	return out
}

// pacer is the rate room's arithmetic with its state.
type pacer struct {
	charge rate.Charge
	state  rate.State
}

// room tells when n calls fit so that the last of them goes within ahead: now
// or earlier where they do.
func (p *pacer) room(n int, now time.Time, ahead time.Duration) time.Time {
	t := now.UnixMicro()
	last := max(t, max(t, p.state.TAT)+int64(n-1)*p.charge.Cost-p.charge.Tolerance)
	return now.Add(time.Duration(last-t)*time.Microsecond - ahead)
}

func (p *pacer) spend(n int, now time.Time) {
	p.state.TAT = max(now.UnixMicro(), p.state.TAT) + int64(n)*p.charge.Cost
}

func (p *pacer) refund(n int) { p.state.TAT -= int64(n) * p.charge.Cost }
