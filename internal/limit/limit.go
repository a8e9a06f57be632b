// Package limit says whether a caller may be answered now. It holds a token
// bucket for each caller in the memory of one process, and never more of them
// than it was made for, whoever calls. It does no I/O.
package limit

import (
	"container/list"
	"sync"
	"time"

	"github.com/carillon-dev/carillon/internal/rate"
)

// Limiter holds the buckets. It is safe for concurrent use.
type Limiter struct {
	charge rate.Charge
	most   int

	mu      sync.Mutex
	begun   time.Time  // when it was asked first: time counts from here, by the monotonic clock where that is told
	recent  *list.List // of *bucket, the most recently used first
	buckets map[string]*list.Element
}

type bucket struct {
	name   string
	state  rate.State
	missed int // by Count since it last let one through
}

// New returns a limiter that lets each name through perSecond times a second,
// 1 to 1,000,000, and burst times at once after a rest, from 1. Above most
// names, from 1, the one that was quiet for longest is forgotten, and begins
// with a full bucket when it comes again.
func New(perSecond, burst, most int) *Limiter {
	cost := (time.Second / time.Duration(perSecond)).Microseconds()
	return &Limiter{
		charge: rate.Charge{Cost: cost, Tolerance: int64(burst-1) * cost}, most: most,
		recent: list.New(), buckets: map[string]*list.Element{},
	}
}

// Take takes one token of a name's bucket, in whole microseconds of now. With
// none there it takes nothing and returns how long it will be until there is
// one, more than 0.
func (l *Limiter) Take(name string, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, at := l.of(name), l.since(now)
	var g rate.Grant
	if b.state, g = rate.Take(b.state, at, l.charge, 0); g.OK {
		return 0
	}
	return time.Duration(g.Slot-at) * time.Microsecond
}

// Count is Take for what nobody waits for: it takes a token and returns how
// many calls for this name have found none since the last that did. With none
// there it counts this one, and ok is false.
func (l *Limiter) Count(name string, now time.Time) (missed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.of(name)
	var g rate.Grant
	if b.state, g = rate.Take(b.state, l.since(now), l.charge, 0); !g.OK {
		b.missed++
		return 0, false
	}
	missed, b.missed = b.missed, 0
	return missed, true
}

// since is now in microseconds. A machine whose clock is set back would refuse
// everybody for as long as that.
func (l *Limiter) since(now time.Time) int64 {
	if l.begun.IsZero() {
		l.begun = now
	}
	return now.Sub(l.begun).Microseconds()
}

// of returns a name's bucket, forgetting another one where there are too many.
func (l *Limiter) of(name string) *bucket {
	if e, ok := l.buckets[name]; ok {
		l.recent.MoveToFront(e)
		return e.Value.(*bucket)
	}
	if len(l.buckets) >= l.most {
		delete(l.buckets, l.recent.Remove(l.recent.Back()).(*bucket).name)
	}
	b := &bucket{name: name}
	l.buckets[name] = l.recent.PushFront(b)
	return b
}

// Seconds is a wait as a Retry-After header has it: whole seconds, rounded
// up, at least 1.
func Seconds(wait time.Duration) int {
	return max(1, int((wait+time.Second-1)/time.Second))
}
