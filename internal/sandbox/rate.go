package sandbox

import (
	"slices"
	"sort"
	"time"
)

// lateness is how far back a window remembers, so that a call whose body was
// slow still counts at the moment it arrived.
const lateness = int64(bodyTimeout + time.Second)

// window counts calls in every sliding second, exactly: arrivals are kept in
// order, also those that are told late. A second is half open: two calls
// exactly one second apart are never in the same one.
type window struct {
	times  []int64 // sorted, nanoseconds since 1970; live from head on
	head   int
	peak   int   // the most calls in any second so far
	peakAt int64 // when the last of them arrived
}

// add counts a call that arrived at t and returns the most calls in any
// second that holds it.
func (w *window) add(t int64) int {
	w.forget(t)
	i := len(w.times)
	for i > w.head && w.times[i-1] > t {
		i--
	}
	w.times = slices.Insert(w.times, i, t)
	worst := 0
	// The fullest second that holds t ends at t or at a call after it.
	for r := i; r < len(w.times) && w.times[r]-t < int64(time.Second); r++ {
		n := w.secondTo(r)
		worst = max(worst, n)
		if n > w.peak {
			w.peak, w.peakAt = n, w.times[r]
		}
	}
	return worst
}

// secondTo counts the calls of the second that ends with call r.
func (w *window) secondTo(r int) int {
	start := w.times[r] - int64(time.Second)
	live := w.times[w.head : r+1]
	return len(live) - sort.Search(len(live), func(i int) bool { return live[i] > start })
}

// forget drops what no late call can share a second with.
func (w *window) forget(t int64) {
	if len(w.times) == w.head {
		return
	}
	horizon := max(t, w.times[len(w.times)-1]) - lateness
	for w.head < len(w.times) && w.times[w.head] < horizon {
		w.head++
	}
	if w.head > 1024 && w.head > len(w.times)/2 {
		w.times = w.times[:copy(w.times, w.times[w.head:])]
		w.head = 0
	}
}
