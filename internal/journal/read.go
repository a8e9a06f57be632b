package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/carillon-dev/carillon/internal/stream"
)

// Filter picks entries. Zero fields pick all.
type Filter struct {
	After  uint64    // only entries behind this place in the log
	Since  time.Time // included
	Until  time.Time // excluded
	Caller string    // id or name
	Sender string
	Verb   string
}

func (f Filter) match(e *Entry) bool {
	return !e.At.Before(f.Since) && (f.Until.IsZero() || e.At.Before(f.Until)) &&
		(f.Caller == "" || f.Caller == e.Caller.ID || f.Caller == e.Caller.Name) &&
		(f.Sender == "" || f.Sender == e.Sender) &&
		(f.Verb == "" || f.Verb == e.Verb)
}

// ResultWithin is how long after its entry a result is looked for. The
// longest thing to do, an import, takes minutes; what a crash left without
// a result keeps the entries behind it waiting for no longer than this.
const ResultWithin = 24 * time.Hour

// MaxWaiting is how many entries are held in memory at most, behind one whose
// result has not come: about 10 MB. With more, the first of them is given out
// without a result.
const MaxWaiting = 10_000

// Each calls fn with every entry that the filter picks, oldest first, each
// with its result where there is one.
func (j *Journal) Each(ctx context.Context, f Filter, fn func(Entry) error) error {
	q := stream.Query{Stream: j.names.JournalStream(), Since: f.Since}
	if f.After > 0 {
		q.From, q.Since = f.After+1, time.Time{}
	}
	if f.Sender != "" {
		q.Subject = j.names.JournalOf(f.Sender)
	}
	p := &pairing{filter: f, fn: fn, waiting: map[uint64]*Entry{}}
	if err := stream.Each(ctx, j.js, q, p.take); err != nil && !errors.Is(err, errPast) {
		return fmt.Errorf("audit log: %w", err)
	}
	return p.release(func(*Entry) bool { return true })
}

// errPast ends reading where nothing that is looked for can follow.
var errPast = errors.New("past the end")

// pairing brings entries and their results together in the order of the
// entries.
type pairing struct {
	filter  Filter
	fn      func(Entry) error
	queue   []*Entry          // those that were not given out, oldest first
	waiting map[uint64]*Entry // those of them without a result
}

func (p *pairing) take(m stream.Message) error {
	var r record
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return fmt.Errorf("record %d: %w", m.Seq, err)
	}
	if r.Result != nil {
		r.Result.At = m.At
	}
	if e := r.Entry; e != nil {
		e.Seq, e.At, e.Result = m.Seq, m.At, r.Result
		if !p.filter.match(e) {
			return nil
		}
		p.queue = append(p.queue, e)
		if e.Result == nil {
			p.waiting[e.Seq] = e
		}
	} else if e := p.waiting[r.Of]; e != nil {
		e.Result = r.Result
		delete(p.waiting, r.Of)
	}
	err := p.release(func(e *Entry) bool {
		return e.Result != nil || m.At.Sub(e.At) > ResultWithin || len(p.queue) > MaxWaiting
	})
	if until := p.filter.Until; err == nil && len(p.queue) == 0 && !until.IsZero() && !m.At.Before(until) {
		return errPast
	}
	return err
}

// release gives out the entries that are ready, up to the first that isn't.
func (p *pairing) release(ready func(*Entry) bool) error {
	for len(p.queue) > 0 && ready(p.queue[0]) {
		e := p.queue[0]
		p.queue[0] = nil // the slice goes on from behind it, and must not hold it
		p.queue = p.queue[1:]
		delete(p.waiting, e.Seq)
		if err := p.fn(*e); err != nil {
			return err
		}
	}
	return nil
}
