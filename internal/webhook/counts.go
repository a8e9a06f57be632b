package webhook

import (
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/hook"
)

// Count is what came in by one hook since this process began.
type Count struct {
	Calls   int64     // taken whole
	Events  int64     // that they told, repeats too
	Refused int64     // not known to be the platform's
	Unread  int64     // the platform's, and not to be read
	Lost    int64     // not kept, so that the platform calls again
	Last    time.Time // the newest call that was taken; zero: none was
}

// counts holds one Count for each hook that exists or did, and how many
// events there were of each type.
type counts struct {
	mu     *sync.Mutex
	hooks  map[string]*Count
	events map[string]int64
}

func newCounts() counts {
	return counts{&sync.Mutex{}, map[string]*Count{}, map[string]int64{}}
}

// of returns a hook's count. The lock must be held.
func (c counts) of(id string) *Count {
	if c.hooks[id] == nil {
		c.hooks[id] = &Count{}
	}
	return c.hooks[id]
}

func (c counts) refused(id string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(err, hook.ErrRefused) {
		c.of(id).Refused++
		return
	}
	c.of(id).Unread++
}

func (c counts) lost(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(id).Lost++
}

// crm is what events of a CRM are counted as: their types are its own, and
// could be any number.
const crm = "crm"

func (c counts) took(id string, events []event.Event, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.of(id)
	n.Calls++
	n.Events += int64(len(events))
	if at.After(n.Last) {
		n.Last = at
	}
	for i := range events {
		typ := string(events[i].Type)
		if events[i].Channel == "" {
			typ = crm
		}
		c.events[typ]++
	}
}

// Count returns what came in by a hook.
func (r *Receiver) Count(id string) Count {
	r.counts.mu.Lock()
	defer r.counts.mu.Unlock()
	if n := r.counts.hooks[id]; n != nil {
		return *n
	}
	return Count{}
}

// Results returns how many calls there were, by what came of them: taken,
// refused, unread and lost.
func (r *Receiver) Results() map[string]int64 {
	r.counts.mu.Lock()
	defer r.counts.mu.Unlock()
	out := map[string]int64{"taken": 0, "refused": 0, "unread": 0, "lost": 0}
	for _, n := range r.counts.hooks {
		out["taken"] += n.Calls
		out["refused"] += n.Refused
		out["unread"] += n.Unread
		out["lost"] += n.Lost
	}
	return out
}

// Events returns how many events were taken, by type; those of CRMs are one.
func (r *Receiver) Events() map[string]int64 {
	r.counts.mu.Lock()
	defer r.counts.mu.Unlock()
	return maps.Clone(r.counts.events)
}
