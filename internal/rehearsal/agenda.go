package rehearsal

import (
	"cmp"
	"container/heap"
	"time"
)

// rank says what comes first of what happens in the same moment.
type rank int

const (
	answers rank = iota // messages are looked at, outcomes come
	clocks              // waiting ends, after what is told in that very moment
)

// entry is one thing to do at a moment.
type entry struct {
	at   time.Time
	rank rank
	seq  int // of two things of one rank the one that was noted first
	do   func() error
}

// agenda is what is to be done, the earliest first. Its zero value is empty.
type agenda struct {
	entries []entry
	noted   int
}

// note puts something on the agenda.
func (a *agenda) note(at time.Time, r rank, do func() error) {
	a.noted++
	heap.Push((*byTime)(a), entry{at, r, a.noted, do})
}

// next is when something is to be done and of which rank it is, and false where
// nothing is.
func (a *agenda) next() (time.Time, rank, bool) {
	if len(a.entries) == 0 {
		return time.Time{}, 0, false
	}
	return a.entries[0].at, a.entries[0].rank, true
}

// take takes the first entry off.
func (a *agenda) take() entry { return heap.Pop((*byTime)(a)).(entry) }

// byTime is an agenda as container/heap asks for it.
type byTime agenda

func (b *byTime) Len() int      { return len(b.entries) }
func (b *byTime) Swap(i, j int) { b.entries[i], b.entries[j] = b.entries[j], b.entries[i] }

func (b *byTime) Less(i, j int) bool {
	x, y := &b.entries[i], &b.entries[j]
	return cmp.Or(x.at.Compare(y.at), cmp.Compare(x.rank, y.rank), cmp.Compare(x.seq, y.seq)) < 0
}

func (b *byTime) Push(e any) { b.entries = append(b.entries, e.(entry)) }

func (b *byTime) Pop() any {
	last := len(b.entries) - 1
	e := b.entries[last]
	b.entries = b.entries[:last]
	return e
}
