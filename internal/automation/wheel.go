package automation

import (
	"container/heap"
	"sync"
	"time"

	"github.com/carillon-dev/carillon/internal/run"
)

// entry is one timer in memory.
type entry struct {
	run.Timer
	minute run.Minute
	kept   time.Time // when it was stored
	next   time.Time // when it is looked at
	later  time.Time // when it is to be looked at once more; zero: it is handled
}

// minute is what is known of one minute's timers.
type minute struct {
	open   int    // in memory and not handled
	last   uint64 // sequence of its newest message that is in memory
	loaded bool   // all that was there is in memory
	stale  bool   // some was put aside while it was loaded: it is to be loaded once more
	aside  bool   // some were put aside: it stays until they are loaded again
}

// wheel holds the timers of the next few minutes, the earliest first. It is
// safe for concurrent use.
type wheel struct {
	mu      sync.Mutex
	heap    entries
	minutes map[run.Minute]*minute
	upTo    map[bool]time.Time // by calls or not: the newest minute that is taken in
}

func newWheel() *wheel {
	return &wheel{minutes: map[run.Minute]*minute{}, upTo: map[bool]time.Time{}}
}

// reach has a minute's timers be taken in from now on, as those of all before.
func (w *wheel) reach(m run.Minute) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m.At.After(w.upTo[m.Calls]) {
		w.upTo[m.Calls] = m.At
	}
	v := w.of(m)
	v.loaded, v.stale = false, false
}

// wants tells whether a minute is to be loaded: it was not yet, or its loading
// was cut short, or some of it was put aside.
func (w *wheel) wants(m run.Minute) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.minutes[m]
	return v == nil || !v.loaded
}

// loaded notes that all of a minute is in memory, unless what was put aside
// meanwhile is to be taken up.
func (w *wheel) loaded(m run.Minute) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.of(m)
	v.loaded = !v.stale
}

func (w *wheel) of(m run.Minute) *minute {
	v := w.minutes[m]
	if v == nil {
		v = &minute{}
		w.minutes[m] = v
	}
	return v
}

// add takes timers in, unless their minute is not reached yet: they are loaded
// with it.
func (w *wheel) add(g run.Group) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if g.Minute.At.After(w.upTo[g.Minute.Calls]) {
		return
	}
	// A minute that nobody looked for may have had some kept before it was
	// reached, which were not taken in: it is loaded, although some are here twice
	// then.
	m := w.of(g.Minute)
	m.last = max(m.last, g.Seq)
	m.open += len(g.Timers)
	for _, t := range g.Timers {
		heap.Push(&w.heap, &entry{Timer: t, minute: g.Minute, kept: g.Kept, next: t.At})
	}
}

// due takes out what is due at a moment, at most so much.
func (w *wheel) due(at time.Time, most int) (out []*entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(out) < most && len(w.heap) > 0 && !w.heap[0].next.After(at) {
		out = append(out, heap.Pop(&w.heap).(*entry))
	}
	return out
}

// next returns when the earliest is due, and false where there is none.
func (w *wheel) next() (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.heap) == 0 {
		return time.Time{}, false
	}
	return w.heap[0].next, true
}

// again puts an entry that was taken out back, to be looked at later.
func (w *wheel) again(e *entry, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e.next = at
	heap.Push(&w.heap, e)
}

// handled notes that an entry is not needed any more.
func (w *wheel) handled(e *entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.of(e.minute).open--
}

// putAside notes that an entry leaves memory without having been handled.
func (w *wheel) putAside(e *entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.of(e.minute)
	m.open--
	m.aside = true
}

// over returns the minutes before a moment of which all is handled, each with
// the sequence up to which that is so.
func (w *wheel) over(before time.Time) map[run.Minute]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[run.Minute]uint64{}
	for k, m := range w.minutes {
		if m.loaded && m.open == 0 && !m.aside && k.At.Add(time.Minute).Before(before) {
			out[k] = m.last
		}
	}
	return out
}

// forget drops a minute that was purged up to a sequence.
func (w *wheel) forget(k run.Minute, upTo uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := w.minutes[k]; m != nil && m.open == 0 && m.last == upTo && m.loaded && !m.aside {
		delete(w.minutes, k)
	}
}

// takeUp has the minutes loaded again of which something was put aside.
func (w *wheel) takeUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.minutes {
		if m.aside {
			m.aside, m.loaded, m.stale = false, false, true
		}
	}
}

// size is how many timers are in memory.
func (w *wheel) size() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.heap)
}

// entries is a heap.
type entries []*entry

func (h entries) Len() int           { return len(h) }
func (h entries) Less(i, j int) bool { return h[i].next.Before(h[j].next) }
func (h entries) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *entries) Push(x any)        { *h = append(*h, x.(*entry)) }
func (h *entries) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return x
}
