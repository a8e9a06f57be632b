package lane

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// rush is what a lane has of flows: single jobs, each in an envelope of its
// own, ahead of all broadcasts. They share the lane's pace with these, and
// their sender's health.
type rush struct {
	jobs   map[job.ID]*single
	flows  map[string]*group
	turns  []*group         // in the order in which they take turns
	known  map[shelf]uint64 // ledger sequence up to which records were taken in
	states map[string]FlowState
	idle   int // with the workers, and not claimed
}

// shelf is one stream of the ledger.
type shelf struct {
	month string
	part  int
}

func shelfOf(s job.Source) shelf { return shelf{s.Month, s.Part} }

func newRush() rush {
	return rush{jobs: map[job.ID]*single{}, flows: map[string]*group{}, known: map[shelf]uint64{}, states: map[string]FlowState{}}
}

func (r *rush) group(flow string) *group {
	g := r.flows[flow]
	if g == nil {
		g = newGroup(flow, r.states[flow])
		r.flows[flow], r.turns = g, append(r.turns, g)
	}
	return g
}

// forget drops a single, and its flow with the last of it.
func (r *rush) forget(s *single) {
	g := r.flows[s.id.Flow()]
	delete(r.jobs, s.id)
	if g.leave(s); len(g.out)+g.ready.Len()+g.held.Len() == 0 {
		delete(r.flows, g.flow)
		r.turns = slices.DeleteFunc(r.turns, func(o *group) bool { return o == g })
	}
}

// Standing is an open job of a flow, as the ledger has it.
type Standing struct {
	Where
	Expires time.Time // nobody wants it any more; zero: never
	Trace   string    // trace id
}

// SetFlow tells how a flow stands.
func (l *Lane) SetFlow(flow string, state FlowState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rush.states[flow] = state
	if g := l.rush.flows[flow]; g != nil {
		g.state = state
	}
	l.poke()
}

// Adopt takes in the open jobs of flows that a reading of one stream of the
// ledger found, up to a sequence. What is recorded after it comes by Recorded.
func (l *Lane) Adopt(month string, part int, upTo uint64, open map[job.ID]Standing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	at := shelf{month, part}
	l.rush.known[at] = max(l.rush.known[at], upTo)
	for id, w := range open {
		s := l.single(id)
		s.trace, s.ref.Ends = w.Trace, w.Expires
		l.place(s, w.Where, now)
	}
	l.poke()
}

// single returns a job, which begins here where it is new.
func (l *Lane) single(id job.ID) *single {
	s := l.rush.jobs[id]
	if s == nil {
		s = &single{id: id, waits: -1, expires: -1}
		l.rush.jobs[id] = s
	}
	return s
}

// place puts a job that is nowhere where its newest record says.
func (l *Lane) place(s *single, w Where, now time.Time) {
	g := l.rush.group(s.id.Flow())
	s.ref = job.Ref{Contact: s.id.Contact, Seq: w.Seq, Attempt: w.Attempt, Ends: s.ref.Ends}
	s.at, s.held, s.why = w.Until, w.State == job.Held, w.Reason
	if w.State != job.Claimed {
		g.wait(s)
		return
	}
	s.ref.Attempt-- // a claim counts itself, a reference what was before it
	s.out = &released{ref: s.ref, at: now, call: &call{claimed: true}, claimed: w.Seq, seen: now, stands: w.Deadline}
	g.out[s.id] = s
}

// recordedSingle follows one record of a flow's job. Whoever tells of records
// may be behind what was read, or repeat itself.
func (l *Lane) recordedSingle(e ledger.Entry, now time.Time) {
	r, at := e.Record, shelfOf(e.ID.Source)
	if e.Seq <= l.rush.known[at] {
		return
	}
	l.rush.known[at] = e.Seq
	if r.Discarded {
		return
	}
	s := l.rush.jobs[e.ID]
	switch {
	case r.State == job.Claimed && s != nil && s.out != nil && !s.away:
		l.claimedSingle(s, e, now)
		return
	case s != nil:
		l.recall(s, r)
	case r.State.Ended():
		return
	}
	if r.State.Ended() {
		l.rush.forget(s)
		return
	}
	s = l.single(e.ID)
	if s.trace = cmp.Or(s.trace, r.Trace); !r.Expires.IsZero() {
		s.ref.Ends = r.Expires
	}
	l.place(s, whereOf(e), now)
}

// claimedSingle follows the claim of a job that was released here.
func (l *Lane) claimedSingle(s *single, e ledger.Entry, now time.Time) {
	o := s.out
	if o.claimed == 0 {
		l.rush.idle--
		if o.parcel != nil {
			o.parcel.claimed++
		}
	}
	o.claimed, o.seen, o.stands, o.call.claimed = e.Seq, now, e.Record.Deadline, true
}

// recall takes a job from wherever it is: its next record is r.
func (l *Lane) recall(s *single, r ledger.Record) {
	g := l.rush.group(s.id.Flow())
	o := s.out
	if o == nil {
		g.leave(s)
		return
	}
	if o.claimed != 0 && o.parcel != nil {
		o.parcel.ended(o, r)
	}
	l.settled(l.back(g, s))
}

// back takes a job back from the workers, and returns what that spares.
func (l *Lane) back(g *group, s *single) (spare spared) {
	o := s.out
	delete(g.out, s.id)
	s.out = nil
	if s.away {
		s.away = false
		return spare
	}
	if o.claimed == 0 {
		l.rush.idle--
	}
	if o.call.left--; o.call.left == 0 && !o.call.claimed {
		spare.calls = 1
	}
	if p := o.parcel; p != nil {
		p.left--
		spare.parcels = []*parcel{p}
	}
	return spare
}

// singlesBack takes jobs back that a worker could not let go yet.
func (l *Lane) singlesBack(src job.Source, refs []job.Ref, notBefore time.Time) {
	for _, r := range refs {
		s := l.rush.jobs[src.Job(r.Contact)]
		if s == nil || s.out == nil || s.away || s.out.claimed != 0 || s.ref.Seq != r.Seq {
			continue // it has moved on, or was released again meanwhile
		}
		g := l.rush.group(s.id.Flow())
		l.settled(l.back(g, s))
		s.at = notBefore
		g.wait(s)
		// Why it came back holds for its neighbours too, as for a broadcast's.
		if notBefore.After(g.rest) {
			g.rest = notBefore
		}
	}
}

// nextSingle picks the next job of a flow. Flows take turns.
func (l *Lane) nextSingle(now time.Time) todo {
	out := todo{wait: idle}
	for i, g := range l.rush.turns {
		t := l.fromGroup(g, now)
		if t.envelope != nil {
			l.rush.turns = slices.Concat(l.rush.turns[i+1:], l.rush.turns[:i+1])
			return t
		}
		out.wait, out.refused = min(out.wait, t.wait), out.refused || t.refused
	}
	return out
}

// fromGroup picks what to do for one flow.
func (l *Lane) fromGroup(g *group, now time.Time) todo {
	s := g.ready.first()
	if s == nil || g.state != FlowRunning {
		return todo{wait: min(idle, g.soonest(now))}
	}
	from := s.at
	if g.rest.After(from) {
		from = g.rest
	}
	if l.health.aside != nil && l.health.next.After(from) {
		from = l.health.next
	}
	if at := l.pace.room(1, now, ahead); at.After(from) {
		from = at
	}
	switch {
	case from.After(now):
		return todo{wait: min(idle, max(time.Millisecond, from.Sub(now)))}
	case l.rush.idle >= l.most:
		return todo{wait: idle} // an outcome wakes the lane
	case !s.ref.Ends.IsZero() && !s.ref.Ends.After(now):
		return todo{wait: sweepEvery} // the next sweep ends it
	}
	p := &parcel{at: now, left: 1, probe: l.health.aside != nil, urgent: l.health.aside == nil}
	if p.urgent && !l.seat.rush() || !p.urgent && !l.seat.take(1) {
		return todo{wait: idle, refused: true}
	}
	g.release(s, &released{ref: s.ref, at: now, call: &call{left: 1}, parcel: p}, false)
	l.rush.idle++
	l.pace.spend(1, now)
	return todo{envelope: &envelope{source: s.id.Source, trace: parentOf(s.trace), jobs: []job.Ref{s.ref}}}
}

// soonest is how long nothing of a group is due.
func (g *group) soonest(now time.Time) time.Duration {
	wait := idle
	if s := g.held.first(); s != nil {
		wait = min(wait, max(sweepEvery, s.at.Sub(now)))
	}
	return wait
}

// parentOf continues a trace of which the ledger has the id alone: nobody
// knows its spans, so the parent is one that is not there.
func parentOf(trace string) string {
	const hex, half = 32, 16
	if len(trace) != hex {
		return ""
	}
	return "00-" + trace + "-" + trace[half:] + "-01"
}

// abandonSingles makes jobs that were released before a moment and have no
// record ready to be released again, as a broadcast's.
func (l *Lane) abandonSingles(before, now time.Time) {
	for _, g := range slices.Clone(l.rush.turns) {
		for _, s := range g.out {
			if s.out.claimed != 0 || !s.out.at.Before(before) {
				continue
			}
			for _, p := range l.back(g, s).parcels { // the pace that it took is spent
				l.uncount(p)
			}
			if s.at = now; s.held {
				s.at = now.Add(idle)
			}
			g.wait(s)
		}
	}
}

// overdueSingles collects the records that time asks for: of jobs that nobody
// wants any more, of held ones that are due, and of claims that nobody may
// still be working on. It also finds what was released and never recorded.
func (l *Lane) overdueSingles(now time.Time) []*ledger.Append {
	l.abandonSingles(now.Add(-l.cfg.Repair), now)
	manned := l.cfg.Share.manned()
	var out []*ledger.Append
	for _, g := range l.rush.turns {
		for _, s := range g.over(now, maxDue) {
			out = append(out, appendSingle(s, ending(g.state, s, now)))
			g.release(s, &released{ref: s.ref, at: now}, true)
		}
		if g.state == FlowRunning {
			for _, s := range g.held.due(now, maxDue) {
				out = append(out, appendSingle(s, ledger.Record{State: job.Pending, Attempt: s.ref.Attempt, At: now}))
				g.release(s, &released{ref: s.ref, at: now}, true)
			}
		}
		for _, s := range g.out {
			o := s.out
			if p := o.parcel; p != nil && manned && now.Sub(p.at) >= l.cfg.Lease {
				l.uncount(p)
			}
			if o.claimed != 0 && !o.settled && now.Sub(o.seen) >= o.stands+l.cfg.Margin {
				o.settled = true
				a := &ledger.Append{Entry: ledger.Entry{ID: s.id, Record: forgotten(o, now)}}
				a.Record.Trace = s.trace
				out = append(out, a)
			}
		}
	}
	return out
}

// ending is the record of a waiting job that nobody wants any more.
func ending(flow FlowState, s *single, now time.Time) ledger.Record {
	r := ledger.Record{State: job.Expired, Reason: reason.Expired, Attempt: s.ref.Attempt, At: now, Evidence: "nobody wants it after " + s.ref.Ends.UTC().Format(time.RFC3339)}
	if flow == FlowClosed {
		r.State, r.Reason, r.Evidence = job.Cancelled, reason.Cancelled, "its flow was deleted"
	}
	return r
}

// appendSingle is the append of a record that follows a waiting job's last one.
func appendSingle(s *single, r ledger.Record) *ledger.Append {
	r.From, r.Prev, r.By, r.Trace = job.Pending, s.ref.Seq, writer, s.trace
	if s.held {
		r.From, r.FromReason = job.Held, s.why
	}
	return &ledger.Append{Entry: ledger.Entry{ID: s.id, Record: r}}
}

// commitSingles writes records of jobs that have moved on if they conflict, a
// stream of the ledger at a time.
func (l *Lane) commitSingles(ctx context.Context, entries []*ledger.Append) {
	byShelf := map[shelf][]*ledger.Append{}
	for _, e := range entries {
		at := shelfOf(e.ID.Source)
		byShelf[at] = append(byShelf[at], e)
	}
	for _, all := range byShelf {
		for part := range slices.Chunk(all, stream.MaxBatch) {
			l.cfg.Commits.Commit(ctx, ledger.Urgent, part)
			for _, e := range part {
				if e.Err != nil && !errors.Is(e.Err, ledger.ErrConflict) && ctx.Err() == nil {
					l.retrySingle(e)
				}
			}
		}
	}
}

// retrySingle makes sure that a record which could not be written is tried
// again.
func (l *Lane) retrySingle(e *ledger.Append) {
	l.cfg.Log.Warn("a record could not be written; trying again", "job", e.ID.String(), "error", e.Err)
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.rush.jobs[e.ID]
	switch {
	case s == nil || s.out == nil:
	case !s.away:
		s.out.settled = false
	default:
		g := l.rush.group(s.id.Flow())
		l.back(g, s)
		s.at = time.Now().Add(retryQueue)
		g.wait(s)
	}
}

// load adds what the flows have in hand.
func (r *rush) load(out *Load, now time.Time) {
	for _, g := range r.turns {
		out.Sources++
		out.Held, out.Waiting = out.Held+g.held.Len(), out.Waiting+g.ready.Len()
		out.Claimed += len(g.out)
		for _, s := range g.out {
			switch {
			case s.away:
				out.Claimed--
			case s.out.claimed == 0:
				out.Oldest = max(out.Oldest, now.Sub(s.out.at))
			}
		}
	}
	out.Unclaimed, out.Claimed = out.Unclaimed+r.idle, out.Claimed-r.idle
}

// Stand takes one record of the ledger into the open jobs of flows, for Adopt.
// It is told of every record of a job, oldest first.
func Stand(open map[job.ID]Standing, e ledger.Entry) {
	r := e.Record
	switch {
	case r.Discarded || e.ID.Flow() == "":
		return
	case r.State.Ended():
		delete(open, e.ID)
		return
	}
	s := open[e.ID]
	s.Where, s.Trace = whereOf(e), cmp.Or(s.Trace, r.Trace)
	if !r.Expires.IsZero() {
		s.Expires = r.Expires
	}
	open[e.ID] = s
}
