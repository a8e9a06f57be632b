package lane

import (
	"container/heap"
	"slices"
	"time"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// single is one job of a flow that has no outcome. It stands in one of its
// group's agendas, or is with the workers.
type single struct {
	id      job.ID
	ref     job.Ref     // what a claim must find, and when nobody wants it any more
	at      time.Time   // ready: not before; held: until
	held    bool        // which of the two it is
	why     reason.Code // it is held
	trace   string      // trace id
	out     *released   // with the workers, or being ended; nil: it waits here
	away    bool        // out, since a record that ends it is under way: no worker has it
	waits   int         // its place among those that are ready or held; -1: it has none
	expires int         // its place among those that end; -1: it has none
}

// agenda is a heap of singles, the earliest first. It knows where in it each
// one stands, so that any can leave it at once, however many there are.
type agenda struct {
	list  []*single
	at    func(*single) time.Time
	place func(*single) *int
}

// waiting orders by when a single is due.
func waiting() agenda {
	return agenda{at: func(s *single) time.Time { return s.at }, place: func(s *single) *int { return &s.waits }}
}

// endings orders by when nobody wants a single any more.
func endings() agenda {
	return agenda{at: func(s *single) time.Time { return s.ref.Ends }, place: func(s *single) *int { return &s.expires }}
}

// Len, Less, Swap, Push and Pop make an agenda a heap.
func (a *agenda) Len() int { return len(a.list) }

// Less orders by time, then by who was planned first.
func (a *agenda) Less(i, j int) bool {
	if c := a.at(a.list[i]).Compare(a.at(a.list[j])); c != 0 {
		return c < 0
	}
	return a.list[i].ref.Seq < a.list[j].ref.Seq
}

// Swap swaps two singles.
func (a *agenda) Swap(i, j int) {
	a.list[i], a.list[j] = a.list[j], a.list[i]
	*a.place(a.list[i]), *a.place(a.list[j]) = i, j
}

// Push adds a single at the end.
func (a *agenda) Push(x any) {
	s := x.(*single)
	*a.place(s) = len(a.list)
	a.list = append(a.list, s)
}

// Pop removes the last single.
func (a *agenda) Pop() any {
	s := a.list[len(a.list)-1]
	a.list[len(a.list)-1] = nil
	a.list = a.list[:len(a.list)-1]
	*a.place(s) = -1
	return s
}

// remove takes a single out, where it is in.
func (a *agenda) remove(s *single) {
	if i := *a.place(s); i >= 0 {
		heap.Remove(a, i)
	}
}

// first returns the earliest single, nil where there is none.
func (a *agenda) first() *single {
	if len(a.list) == 0 {
		return nil
	}
	return a.list[0]
}

// due returns up to n singles whose time has come, without removing them.
func (a *agenda) due(now time.Time, n int) []*single {
	var out []*single
	var visit func(i int)
	visit = func(i int) {
		if i >= len(a.list) || len(out) >= n || a.at(a.list[i]).After(now) {
			return
		}
		out = append(out, a.list[i])
		visit(2*i + 1)
		visit(2*i + 2)
	}
	visit(0)
	return out
}

// FlowState is how a flow stands, for the lanes that its messages go by.
type FlowState uint8

// The states of flows. Nothing of one that is not known yet is released.
const (
	FlowUnknown FlowState = iota
	FlowRunning
	FlowPaused
	FlowClosed // its open jobs are cancelled
)

// group is the open jobs of one flow.
type group struct {
	flow    string
	state   FlowState
	rest    time.Time // until then nothing is released: workers gave jobs back
	ready   agenda
	held    agenda
	endings agenda             // of those that wait and have an end
	out     map[job.ID]*single // with the workers, or away
}

func newGroup(flow string, state FlowState) *group {
	return &group{flow: flow, state: state, ready: waiting(), held: waiting(), endings: endings(), out: map[job.ID]*single{}}
}

// wait lets a single wait here, as what its newest record says.
func (g *group) wait(s *single) {
	if s.held {
		heap.Push(&g.held, s)
	} else {
		heap.Push(&g.ready, s)
	}
	if !s.ref.Ends.IsZero() {
		heap.Push(&g.endings, s)
	}
}

// leave takes a single out of where it waits.
func (g *group) leave(s *single) {
	if s.held {
		g.held.remove(s)
	} else {
		g.ready.remove(s)
	}
	g.endings.remove(s)
}

// release takes a single that is ready and hands it to the workers, or away.
func (g *group) release(s *single, o *released, away bool) {
	g.leave(s)
	s.out, s.away = o, away
	g.out[s.id] = s
}

// over are the waiting singles that nobody wants any more, up to n: all of a
// flow that is closed, and those whose end has come.
func (g *group) over(now time.Time, n int) []*single {
	if g.state != FlowClosed {
		return g.endings.due(now, n)
	}
	out := slices.Clone(g.ready.list[:min(n, len(g.ready.list))])
	return append(out, g.held.list[:min(n-len(out), len(g.held.list))]...)
}
