package ledger

import (
	"sync"
	"time"
)

// A server that changes hands refuses for a second or two; one that nobody
// asked for a while may have got over it.
const (
	refusedFor  = 3 * time.Second
	refusedLast = 10 * time.Second
)

// refusals are writes that could not be decided since the last one that was
// done. The zero value has none.
type refusals struct {
	mu          sync.Mutex
	first, then time.Time // of the first and of the newest one; zero: there is none
	why         error     // of the newest one
}

func (r *refusals) add(now time.Time, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first.IsZero() {
		r.first = now
	}
	r.then, r.why = now, why
}

// over forgets them: something was written.
func (r *refusals) over() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.first, r.why = time.Time{}, nil
}

// last is the newest one, where they go on.
func (r *refusals) last(now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first.IsZero() || r.then.Sub(r.first) < refusedFor || now.Sub(r.then) >= refusedLast {
		return nil
	}
	return r.why
}
