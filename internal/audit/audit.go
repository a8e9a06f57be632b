// Package audit proves promise P1 of one broadcast or flow: it counts who was
// meant to get it into buckets, from the snapshot or the planned records and the
// full ledger, checks that every history is a legal one, and holds the running
// tally against the count. It reads everything and changes nothing.
package audit

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/carillon-dev/carillon/internal/audience"
	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/plan"
	"github.com/carillon-dev/carillon/internal/receipt"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Report is the account of one broadcast, or of one part of a flow, at one moment.
type Report struct {
	Audience  int
	Buckets   map[job.Bucket]int
	ByReason  map[reason.Code]int // of everything that ended and was not sent
	Held      map[reason.Code]int // of what is pending because somebody waits for something
	Delivered int                 // of the sent, those that the platform says were delivered, or read
	Read      int                 // of those, the ones that were read
	Claimed   int                 // of what is pending, those on the wire or about to be
	Doubtful  int                 // not sent by the last outcome, yet an earlier attempt's answer was lost: they may have it
	Likely    int                 // of the unknown, those that are likely not sent
	Redriven  int                 // jobs that went again by the sender's standing order, whatever became of them
	Frozen    bool                // false: the audience is not fixed yet, and counts as empty
	Seq       uint64              // ledger sequence of the moment
	Problems  []string            // why it does not balance; empty: it does
}

// Balanced tells whether every check held.
func (r Report) Balanced() bool { return len(r.Problems) == 0 }

// Auditor reads what a report needs.
type Auditor struct {
	Audiences *audience.Store
	Ledger    *ledger.Ledger
	Tally     *ledger.Tally
	Witness   *receipt.Witness // of unknown outcomes
}

// maxProblems bounds how many problems a report names.
const maxProblems = 20

// Run counts one broadcast. member, where it is not nil, is called for every
// contact of the audience in send order.
func (a *Auditor) Run(ctx context.Context, b *broadcast.Broadcast, member func(Member) error) (Report, error) {
	r := newReport()
	if b.Snapshot == nil {
		return r, nil
	}
	src := b.Source()
	if err := a.catchUp(ctx, src); err != nil {
		return r, fmt.Errorf("audit %s: the tally does not catch up: %w", b.Spec.ID, err)
	}
	tally, upTo := a.Tally.At(src)
	r.Frozen, r.Audience, r.Seq = true, b.Snapshot.Count, upTo
	evidence, err := a.Witness.Evidence(ctx, src.Sender)
	if err != nil {
		return r, fmt.Errorf("audit %s: %w", b.Spec.ID, err)
	}
	c := newCount(&r, evidence, func(id job.ID) job.Key { return id.Contact })
	if upTo > 0 {
		if err := a.Ledger.OfSource(ctx, src, upTo, c.record); err != nil {
			return r, fmt.Errorf("audit %s: %w", b.Spec.ID, err)
		}
	}
	if err := members(ctx, &c, a.Audiences, b, member); err != nil {
		return r, fmt.Errorf("audit %s: %w", b.Spec.ID, err)
	}
	c.holdAgainst(tally)
	return r, nil
}

func newReport() Report {
	r := Report{Buckets: map[job.Bucket]int{}, ByReason: map[reason.Code]int{}, Held: map[reason.Code]int{}}
	for _, k := range job.Buckets() {
		r.Buckets[k] = 0
	}
	return r
}

// catchUpTimeout bounds how long an audit waits for the running tally.
const catchUpTimeout = 10 * time.Second

func (a *Auditor) catchUp(ctx context.Context, src job.Source) error {
	ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	return a.Tally.CatchUp(ctx, src)
}

// Member is one contact of the audience with where its job stands.
type Member struct {
	Job    job.ID
	Bucket job.Bucket
	State  job.State
	Reason reason.Code
}

// place is where a job stands, kept small: an audit of a million jobs holds
// one for each.
type place struct {
	seq     uint64
	state   job.State
	reason  reason.Code
	seen    bool // in the snapshot
	planned bool // its last record is the planned one
	doubt   bool // an attempt was unknown once
	likely  bool // it is unknown, and likely not sent
	again   bool // the standing order redrove it
}

// count is where the jobs of a report stand. A broadcast's are told apart by
// their contact, which is a third of what a flow's need.
type count[K comparable] struct {
	report   *Report
	evidence receipt.Evidence
	key      func(job.ID) K
	jobs     map[K]place
}

func newCount[K comparable](r *Report, evidence receipt.Evidence, key func(job.ID) K) count[K] {
	return count[K]{report: r, evidence: evidence, key: key, jobs: map[K]place{}}
}

func (c *count[K]) problem(format string, args ...any) {
	if len(c.report.Problems) < maxProblems {
		c.report.Problems = append(c.report.Problems, fmt.Sprintf(format, args...))
	}
}

// record checks that a record may follow the one before it.
func (c *count[K]) record(e ledger.Entry) error {
	k := c.key(e.ID)
	p := c.jobs[k]
	if err := ledger.CheckNext(e.ID.Source, ledger.Entry{Seq: p.seq, Record: ledger.Record{State: p.state, Planned: p.planned}}, e.Record); err != nil {
		c.problem("%s at %d: %v", e.ID, e.Seq, err)
	}
	if e.Record.State.Ended() && e.Record.State.Bucket("") != job.InSent && e.Record.Reason == "" {
		c.problem("%s at %d: %s without a reason", e.ID, e.Seq, e.Record.State)
	}
	if e.Record.Discarded {
		p.seq = e.Seq
	} else {
		p = place{
			seq: e.Seq, state: e.Record.State, reason: e.Record.Reason, planned: e.Record.Planned, doubt: p.doubt || e.Record.State == job.Unknown,
			likely: e.Record.State == job.Unknown && c.evidence.LikelyNotSent(e.Record.At), again: p.again || e.Record.By == ledger.ByStandingOrder,
		}
	}
	c.jobs[k] = p
	return nil
}

func members(ctx context.Context, c *count[job.Key], store *audience.Store, b *broadcast.Broadcast, member func(Member) error) error {
	var digest plan.Digest
	src, closing := b.Source(), b.State.Closing()
	n, found := 0, 0
	err := store.Each(ctx, *b.Snapshot, func(k job.Key) error {
		digest.Add(k)
		n++
		p, ok := c.jobs[k]
		if !ok {
			p.state = job.Pending
		} else {
			if p.seen {
				c.problem("contact %s stands twice in the audience", k)
			}
			p.seen = true
			found++
			c.jobs[k] = p
		}
		m := c.member(src.Job(k), p, closing)
		if member != nil {
			return member(m)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if n != b.Snapshot.Count || digest.String() != b.Snapshot.Digest {
		c.problem("the audience as stored is not the one that was frozen: %d contacts, digest %s; want %d, %s", n, digest, b.Snapshot.Count, b.Snapshot.Digest)
	}
	if found != len(c.jobs) {
		c.problem("%d jobs in the ledger belong to nobody in the audience", len(c.jobs)-found)
	}
	return nil
}

// member counts one member with where its job stands.
func (c *count[K]) member(id job.ID, p place, closing job.State) Member {
	m := Member{Job: id, Bucket: p.state.Bucket(closing), State: p.state, Reason: p.reason}
	if p.doubt && m.Bucket != job.InSent && m.Bucket != job.InUnknown {
		c.report.Doubtful++
	}
	if p.likely {
		c.report.Likely++
	}
	if p.again {
		c.report.Redriven++
	}
	c.add(&m)
	return m
}

// add counts one member and fills in the reason that its bucket gives it.
func (c *count[K]) add(m *Member) {
	r := c.report
	r.Buckets[m.Bucket]++
	switch m.Bucket {
	case job.InCancelled:
		m.Reason = reason.Cancelled
	case job.InExpired:
		m.Reason = reason.Expired
	case job.InPending:
		if m.State == job.Held {
			r.Held[m.Reason]++
		}
		if m.State == job.Claimed {
			r.Claimed++
		}
		return
	case job.InSent:
		if m.State != job.Sent {
			r.Delivered++
		}
		if m.State == job.Read {
			r.Read++
		}
		return
	case job.InBlocked, job.InFailed, job.InUnknown:
	}
	r.ByReason[m.Reason]++
}

// holdAgainst compares the running tally with the full count.
func (c *count[K]) holdAgainst(t ledger.Counts) {
	full := map[job.State]int{}
	reasons := map[job.State]map[reason.Code]int{}
	for _, p := range c.jobs {
		full[p.state]++
		if p.reason == "" || p.state == job.Pending || p.state == job.Claimed {
			continue // as ledger.Counts: why one on its way came back is history
		}
		if reasons[p.state] == nil {
			reasons[p.state] = map[reason.Code]int{}
		}
		reasons[p.state][p.reason]++
	}
	for _, s := range job.States() {
		if full[s] != t.States[s] {
			c.problem("the running tally says %d %s, the ledger has %d", t.States[s], s, full[s])
		}
		if got, want := t.Reasons[string(s)], reasons[s]; !maps.Equal(got, want) {
			c.problem("the running tally says that those %s are so for %v, the ledger for %v", s, got, want)
		}
	}
	sum := 0
	for _, n := range c.report.Buckets {
		sum += n
	}
	if sum != c.report.Audience {
		c.problem("the buckets hold %d of an audience of %d", sum, c.report.Audience)
	}
}
