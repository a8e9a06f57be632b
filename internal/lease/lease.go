// Package lease lets one of many processes lead. Who leads renews a record in
// JetStream by compare-and-set; who follows takes it over once the record has
// not changed for a while by the follower's own clock, so that no two clocks
// are ever compared.
//
// A lease makes two leaders rare, not impossible: one that was stopped in the
// middle of a step wakes up believing. So nothing that a leader writes may
// rely on it; every write is a compare-and-set of its own.
package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// The times of a lease. The holder gives up a margin before anybody else may
// take over; a renewal that takes a second is one that a busy disk delayed.
const (
	every  = time.Second            // between two renewals
	look   = 500 * time.Millisecond // between two looks of a follower
	Limit  = 5 * time.Second        // unchanged for as long, the lease is free
	margin = time.Second
	rest   = 3 * time.Second // after leading failed here: somebody else may do better
	sure   = 2 * time.Second // see Sure
)

// record is what stands in the lease.
type record struct {
	Holder string `json:"holder"` // "": given back
	Term   uint64 `json:"term"`   // grows with every change of holder
	Beat   uint64 `json:"beat"`   // grows with every renewal
}

// store is the part of a bucket that a lease needs.
type store interface {
	Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error)
	Create(ctx context.Context, key string, value []byte, opts ...jetstream.KVCreateOpt) (uint64, error)
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
}

// Lease is one process' part in a lease.
type Lease struct {
	kv     store
	key    string
	holder string
	log    *slog.Logger

	renewed atomic.Pointer[time.Time] // when the last renewal that was acknowledged began, monotonic; nil: does not lead

	Fit func() bool // whether this process may begin to lead now; nil: it always may
}

// Config returns the settings of the bucket of leases.
func Config(names subject.Names) jetstream.StreamConfig {
	return stream.Bucket(names.Leases(), "who leads", 1)
}

// Open returns a lease under a key, creating its bucket where needed. The
// holder names this process; one that finds its own name in the record takes
// it over at once, so no two that run at a time may have the same.
func Open(ctx context.Context, p stream.Provider, names subject.Names, key, holder string, log *slog.Logger) (*Lease, error) {
	kv, err := p.KeyValue(ctx, Config(names))
	if err != nil {
		return nil, fmt.Errorf("leases: %w", err)
	}
	return &Lease{kv: kv, key: key, holder: holder, log: log}, nil
}

// seen is the record as a follower last saw it.
type seen struct {
	record
	rev uint64
	at  time.Time // when it was first seen so; monotonic
}

// Run follows until the lease is free, then calls lead, and so on until ctx
// ends. The context of lead ends when the lease is lost; Run waits for lead to
// return, and gives the lease back where it still has it. What lead returns
// while it holds the lease is logged: somebody tries again.
func (l *Lease) Run(ctx context.Context, lead func(context.Context) error) error {
	var last seen
	var again time.Time // not before
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		last = l.observe(ctx, last)
		if l.free(last) && !time.Now().Before(again) && (l.Fit == nil || l.Fit()) {
			if held, ok := l.take(ctx, last); ok {
				var err error
				if last, err = l.term(ctx, held, lead); err != nil {
					again = time.Now().Add(rest)
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// observe looks at the record. What can't be read is as it was.
func (l *Lease) observe(ctx context.Context, last seen) seen {
	ctx, cancel := context.WithTimeout(ctx, every)
	defer cancel()
	e, err := l.kv.Get(ctx, l.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return seen{at: time.Now()}
	}
	if err != nil || e.Revision() == last.rev {
		return last
	}
	now := seen{rev: e.Revision(), at: time.Now()}
	if err := json.Unmarshal(e.Value(), &now.record); err != nil {
		now.Holder = "" // nobody can hold what can't be read
	}
	return now
}

func (l *Lease) free(s seen) bool {
	switch {
	case s.at.IsZero(): // never read yet
		return false
	case s.Holder == "" || s.Holder == l.holder:
		return true
	}
	return time.Since(s.at) >= Limit
}

// take writes this process into the record as it was seen.
func (l *Lease) take(ctx context.Context, last seen) (seen, bool) {
	next := record{Holder: l.holder, Term: last.Term + 1}
	return l.write(ctx, next, last.rev)
}

// write replaces the record at a revision; 0: there is none. The time of the
// result is from before the write, so that it never lasts longer than others
// believe.
func (l *Lease) write(ctx context.Context, next record, rev uint64) (seen, bool) {
	ctx, cancel := context.WithTimeout(ctx, every)
	defer cancel()
	b, err := json.Marshal(next)
	if err != nil {
		return seen{}, false // three plain fields always marshal
	}
	at := time.Now()
	if rev == 0 {
		rev, err = l.kv.Create(ctx, l.key, b)
	} else {
		rev, err = l.kv.Update(ctx, l.key, b, rev)
	}
	return seen{next, rev, at}, err == nil
}

// term leads until the lease is lost or lead returns.
func (l *Lease) term(ctx context.Context, held seen, lead func(context.Context) error) (seen, error) {
	l.log.InfoContext(ctx, "this process leads", "holder", l.holder, "term", held.Term)
	lctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Not by the loop below, which may just be waiting for an answer.
	out := time.AfterFunc(time.Until(held.until()), func() { cancel(errLost) })
	defer out.Stop()
	began := held.at // of its own, as held is written below
	l.renewed.Store(&began)
	defer l.renewed.Store(nil)
	done := make(chan error, 1)
	go func() { done <- lead(lctx) }()
	held, err := l.renew(lctx, held, done, out)
	if ctx.Err() != nil {
		err = nil
	}
	if err != nil {
		l.log.WarnContext(ctx, "this process does not lead any more", "holder", l.holder, "term", held.Term, "cause", err)
	}
	return held, err
}

// Sure tells whether this process leads and a majority of the servers has
// acknowledged that since 2 s ago. A server that was cut off goes on answering
// reads of a stream that it led, while the others elect another leader 4 s
// after they last heard of it, who speaks once a second: for 3 s after a
// majority was reached through it, what it answers is still the newest.
func (l *Lease) Sure() bool {
	at := l.renewed.Load()
	return at != nil && time.Since(*at) < sure
}

// errLost says that the lease ran out, or is somebody else's.
var errLost = errors.New("the lease was lost")

// until is when the holder gives up.
func (s seen) until() time.Time { return s.at.Add(Limit - margin) }

// renew renews until the term is over, and returns once lead has. The term is
// over when ctx ends: at a stop, or when out has run down.
func (l *Lease) renew(ctx context.Context, held seen, done <-chan error, out *time.Timer) (seen, error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if ctx.Err() == nil && err == nil {
				err = errors.New("it ended by itself")
			}
			return l.giveBack(ctx, held), err
		case <-ctx.Done():
			err := <-done
			if lost := context.Cause(ctx); errors.Is(lost, errLost) {
				err = errors.Join(fmt.Errorf("%w: it could not be renewed for %v", lost, Limit-margin), err)
			}
			return l.giveBack(ctx, held), err
		case <-tick.C:
			next := held.record
			next.Beat++
			now, ok := l.write(ctx, next, held.rev)
			if !ok {
				if now = l.observe(ctx, held); now.rev != held.rev && now.Holder != l.holder {
					out.Reset(0) // ends ctx
					<-ctx.Done()
					<-done
					return now, fmt.Errorf("%w to %s", errLost, now.Holder)
				}
				now.at = held.at // what was stored without an answer is as old as the one before, to be safe
			}
			held = now
			l.renewed.Store(&now.at)
			if out.Stop() {
				out.Reset(time.Until(held.until()))
			}
		}
	}
}

// giveBack frees the lease for others at once.
func (l *Lease) giveBack(ctx context.Context, held seen) seen {
	now, ok := l.write(context.WithoutCancel(ctx), record{Term: held.Term}, held.rev)
	if !ok {
		return held
	}
	return now
}
