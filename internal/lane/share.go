package lane

import (
	"container/heap"
	"slices"
	"sync"
)

// Share divides what the workers can hold among the lanes of one leader, in
// envelopes, by weight and need. A lane asks before each envelope, and gives
// the room back when the last job of it has left the workers.
//
//   - All lanes together have at most a quarter more envelopes out than there
//     are slots, so that the queue behind the workers is short, whatever waits.
//   - Beyond that, and up to twice as much, a lane gets room that has none out,
//     or less than its weight's part: whoever comes anew doesn't wait until the
//     others are done.
//   - One lane has at most three quarters of the slots, so that there always is
//     one free for another, even where its platform leaves all of them hanging.
//   - Lanes that were sidelined have one envelope at a time, and together an
//     eighth of the slots.
//   - Room that nobody who waits may have is nobody's: whoever asks gets it.
//   - Urgent envelopes don't wait for what others have out: they take room
//     beside it, as much as all slots and a quarter more, and one lane three
//     quarters. What they take the others lack.
//
// It keeps no time and does nothing by itself.
type Share struct {
	mu      sync.Mutex
	slots   int     // of the workers that are known; 0: none are
	out     int     // envelopes, granted ones included
	probes  int     // of out, those of sidelined lanes
	weights int     // of the lanes in need that are not sidelined
	served  int64   // what the lane had been served that got room last
	urgent  int     // of out, urgent ones
	hasty   []*seat // lanes that wait for room for an urgent envelope
	line    line    // lanes that wait for room
	aside   []*seat // sidelined lanes that wait for it, in their order
}

// NewShare returns a share of the given number of slots.
func NewShare(slots int) *Share { return &Share{slots: slots} }

// unmanned is how many slots are reckoned with while no worker is known: some
// envelopes may wait for the first one.
const unmanned = 4

// SetSlots tells how many envelopes all workers together work at.
func (h *Share) SetSlots(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.slots = n
	h.settle()
}

// manned tells whether a worker is known that could work at what is out.
func (h *Share) manned() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.slots > 0
}

func (h *Share) reckoned() int {
	if h.slots <= 0 {
		return unmanned
	}
	return h.slots
}

// budget is how many envelopes may be out without anybody's guarantee.
func (h *Share) budget() int { n := h.reckoned(); return n + (n+3)/4 }

// most is how many a single lane may have out.
func (h *Share) most() int { return max(1, h.reckoned()*3/4) }

// trickle is how many all sidelined lanes may have out.
func (h *Share) trickle() int { return max(1, h.reckoned()/8) }

// perJob is what one job adds to what a lane of weight 1 was served.
const perJob = 1 << 20

// seat is a lane's place at the share.
type seat struct {
	share     *Share
	wake      func() // must not block
	weight    int
	halved    int // how often its own most is halved
	sidelined bool

	out     int   // envelopes, a granted one included
	urgent  int   // of out, urgent ones
	probing bool  // what is out is a sidelined lane's one
	granted bool  // room was handed over and is not used yet
	served  int64 // jobs by weight, so that equals take turns
	turn    int   // place in the line, from 1; 0: does not wait
}

func (h *Share) join(wake func()) *seat { return &seat{share: h, weight: 1, wake: wake} }

func (s *seat) setWeight(n int) {
	s.share.mu.Lock()
	defer s.share.mu.Unlock()
	s.change(func() { s.weight = n })
	if s.turn > 0 {
		heap.Fix(&s.share.line, s.turn-1)
	}
	s.share.settle()
}

// restrict halves how many the lane may have out, so often, or sidelines it.
func (s *seat) restrict(halved int, sidelined bool) {
	s.share.mu.Lock()
	defer s.share.mu.Unlock()
	if s.sidelined != sidelined {
		s.leave()
	}
	s.change(func() { s.halved, s.sidelined = halved, sidelined })
	s.share.settle()
	s.wake()
}

// change keeps the sum of the weights of lanes in need.
func (s *seat) change(do func()) {
	s.share.weights -= s.needs()
	do()
	s.share.weights += s.needs()
}

func (s *seat) needs() int {
	if s.sidelined || s.out == 0 && s.turn == 0 {
		return 0
	}
	return s.weight
}

// take asks for room for one envelope of n jobs. Where there is none the lane
// is woken when there is, and keeps its place until it rests.
func (s *seat) take(n int) bool {
	h := s.share
	h.mu.Lock()
	defer h.mu.Unlock()
	if !s.granted && !s.ask() {
		return false
	}
	s.granted = false
	h.served = max(h.served, s.served) // who was away saves nothing up
	s.served = h.served + int64(n)*perJob/int64(s.weight)
	return true
}

func (s *seat) ask() bool {
	h := s.share
	switch {
	case s.full():
		return false // what it has out wakes it
	case h.fits(s):
		s.leave()
		s.count()
		return true
	case s.sidelined:
		if !slices.Contains(h.aside, s) {
			h.aside = append(h.aside, s)
		}
	case s.turn == 0:
		s.served = max(s.served, h.served)
		s.change(func() { heap.Push(&h.line, s) })
	}
	return false
}

// rush asks for room for one urgent envelope of one job. Where there is none
// the lane is woken when there may be. A sidelined lane's jobs are all alike:
// it takes room for them as for others.
func (s *seat) rush() bool {
	h := s.share
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case s.urgent >= max(1, h.most()>>s.halved): // what it has out wakes it
		return false
	case h.urgent >= h.budget():
		if !slices.Contains(h.hasty, s) {
			h.hasty = append(h.hasty, s)
		}
		return false
	}
	h.out, h.urgent = h.out+1, h.urgent+1
	s.change(func() { s.out, s.urgent = s.out+1, s.urgent+1 })
	if s.turn > 0 {
		heap.Fix(&h.line, s.turn-1)
	}
	return true
}

// full tells whether a lane has as much out as it may have, whoever waits.
func (s *seat) full() bool {
	if s.sidelined {
		return s.out > 0
	}
	return s.out-s.urgent >= max(1, s.share.most()>>s.halved)
}

// fits tells whether there is room for one more of a lane that is not full.
// Where there is none for the first in line there is none for the others.
func (h *Share) fits(s *seat) bool {
	if s.sidelined {
		return h.probes < h.trickle()
	}
	under := s.out == 0 || s.out*max(h.weights, s.weight) < h.budget()*s.weight
	return h.out < h.budget() || under && h.out < 2*h.budget()
}

func (s *seat) count() {
	s.share.out++
	s.change(func() { s.out++ })
	if s.sidelined {
		s.probing = true
		s.share.probes++
	}
}

// rest says that the lane has nothing to go now.
func (s *seat) rest() {
	s.share.mu.Lock()
	defer s.share.mu.Unlock()
	s.leave()
	if s.granted {
		s.granted = false
		s.uncount()
	}
	s.share.settle()
}

// free gives the room of one envelope back.
func (s *seat) free() {
	s.share.mu.Lock()
	defer s.share.mu.Unlock()
	s.uncount()
	s.share.settle()
}

// rushed gives the room of one urgent envelope back.
func (s *seat) rushed() {
	s.share.mu.Lock()
	defer s.share.mu.Unlock()
	s.urgent--
	s.share.urgent--
	for _, w := range s.share.hasty {
		w.wake()
	}
	s.share.hasty = nil
	s.uncount()
	s.share.settle()
}

func (s *seat) uncount() {
	s.share.out--
	s.change(func() { s.out-- })
	if s.probing {
		s.probing = false
		s.share.probes--
	}
	if s.turn > 0 {
		heap.Fix(&s.share.line, s.turn-1)
	}
}

func (s *seat) leave() {
	if s.turn > 0 {
		s.change(func() { heap.Remove(&s.share.line, s.turn-1) })
	}
	if i := slices.Index(s.share.aside, s); i >= 0 {
		s.share.aside = slices.Delete(s.share.aside, i, i+1)
	}
}

// settle hands free room over to those who wait.
func (h *Share) settle() {
	for len(h.line) > 0 {
		s := h.line[0]
		if !s.full() && !h.fits(s) {
			break
		}
		h.grant(s)
	}
	for len(h.aside) > 0 && (h.aside[0].full() || h.fits(h.aside[0])) {
		h.grant(h.aside[0])
	}
}

// grant takes a lane out of its line and hands it room, unless it is full.
func (h *Share) grant(s *seat) {
	s.leave()
	if !s.full() {
		s.count()
		s.granted = true
		s.wake()
	}
}

// line is a heap of seats: first who has least out for its weight, then who
// was served least.
type line []*seat

// Len, Less, Swap, Push and Pop make a line a heap.
func (l line) Len() int { return len(l) }

// Less compares without dividing.
func (l line) Less(i, j int) bool {
	a, b := l[i], l[j]
	if x, y := a.out*b.weight, b.out*a.weight; x != y {
		return x < y
	}
	return a.served < b.served
}

// Swap swaps two seats.
func (l line) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].turn, l[j].turn = i+1, j+1
}

// Push adds a seat at the end.
func (l *line) Push(x any) {
	s := x.(*seat)
	*l = append(*l, s)
	s.turn = len(*l)
}

// Pop removes the last seat.
func (l *line) Pop() any {
	old := *l
	s := old[len(old)-1]
	*l = old[:len(old)-1]
	s.turn = 0
	return s
}
