// Package killpoint names the places in the code at which a process may be
// killed to see what is left, and kills it there where it was told to. Rooms
// pass their points; a plan, which is handed down to them, counts the passes.
//
// It never does anything without a plan, and no process has one unless
// somebody sets CARILLON_KILL.
//
// Invariant: a pass that a plan names does not return. The process ends by
// SIGKILL, as by a power failure: nothing is flushed, closed or said.
package killpoint

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// Point is a place in the code.
type Point string

// The points of a worker, in the order in which an envelope passes them.
const (
	BeforeClaim      Point = "before-claim"      // looked at, with slots, and not claimed
	AfterClaim       Point = "after-claim"       // claimed, and not rechecked
	AfterRecheck     Point = "after-recheck"     // about to be written to the wire
	AfterWrite       Point = "after-write"       // the request is written, its answer is not there
	BeforeOutcome    Point = "before-outcome"    // the answer is there, its outcome is not in the ledger
	AfterOutcome     Point = "after-outcome"     // its outcome is in the ledger, what else the answer asks for is not done
	BetweenEnvelopes Point = "between-envelopes" // all of it is done, and the queue does not know
)

// The points of a scheduler that leads.
const (
	AfterLease      Point = "after-lease"      // it has the lease, and did nothing with it
	WhileRebuilding Point = "while-rebuilding" // some of the facts are projected to an empty Redis; each batch is a pass
	WhileFreezing   Point = "while-freezing"   // an audience is stored, its broadcast does not name it
	AfterFreeze     Point = "after-freeze"     // the broadcast names its audience, no lane has it
	WhilePlanning   Point = "while-planning"   // a lane has the broadcast, and not what its ledger says
	BetweenReleases Point = "between-releases" // an envelope is with the queue; each is a pass
	TallyKept       Point = "tally-kept"       // counts are stored, how far they go is not
	DeadLetterKept  Point = "dead-letter-kept" // dead letters are stored, how far the ledger was read is not
)

// The points of what comes in.
const (
	WebhookKept    Point = "webhook-kept"    // the events of a platform's call are durable, and mean nothing yet
	WebhookApplied Point = "webhook-applied" // they are in force, and the call is not answered
	OptOutRecorded Point = "optout-recorded" // an opt-out is durable, and not known to be in force
	ImportKept     Point = "import-kept"     // some of an import is durable; each batch is a pass
	EventKept      Point = "event-kept"      // a CRM's events are durable, and mean nothing yet
)

// The points of flows.
const (
	TimerKept  Point = "timer-kept"  // when runs are to be looked at is durable, the runs are not
	RunKept    Point = "run-kept"    // runs are durable, what they ask for is not begun
	JobPlanned Point = "job-planned" // a message is planned, and its run does not know; each message is a pass
	TimerWoken Point = "timer-woken" // the time of runs has come, and they have not moved
)

// Points returns all of them: worker, scheduler, what comes in, flows.
func Points() []Point {
	return []Point{
		BeforeClaim, AfterClaim, AfterRecheck, AfterWrite, BeforeOutcome, AfterOutcome, BetweenEnvelopes,
		AfterLease, WhileRebuilding, WhileFreezing, AfterFreeze, WhilePlanning, BetweenReleases, TallyKept, DeadLetterKept,
		WebhookKept, WebhookApplied, OptOutRecorded, ImportKept, EventKept,
		TimerKept, RunKept, JobPlanned, TimerWoken,
	}
}

// Plan says at which pass of which points the process dies. A nil Plan, which
// is what every process has by default, says never.
type Plan struct {
	left map[Point]*atomic.Int64 // passes until then; never written after Parse
	kill func()
}

// Parse reads POINT:N[,POINT:N]: at its N-th pass of the point, counted from
// 1, the process dies. Each point may stand once.
func Parse(s string) (*Plan, error) {
	p := &Plan{left: map[Point]*atomic.Int64{}, kill: die}
	for one := range strings.SplitSeq(s, ",") {
		name, count, _ := strings.Cut(strings.TrimSpace(one), ":")
		pt := Point(name)
		n, err := strconv.ParseInt(count, 10, 64)
		switch {
		case !slices.Contains(Points(), pt):
			return nil, fmt.Errorf("%q: there is no such point; there are %s", name, listed())
		case err != nil || n < 1:
			return nil, fmt.Errorf("%q: want POINT:N, such as %s:3, N counted from 1", one, pt)
		case p.left[pt] != nil:
			return nil, fmt.Errorf("%q: %s stands twice", s, pt)
		}
		p.left[pt] = &atomic.Int64{}
		p.left[pt].Store(n)
	}
	return p, nil
}

func listed() string {
	var names []string
	for _, p := range Points() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

// String names the points of a plan, sorted; "" for none.
func (p *Plan) String() string {
	if p == nil {
		return ""
	}
	var out []string
	for _, pt := range slices.Sorted(maps.Keys(p.left)) {
		out = append(out, string(pt)+":"+strconv.FormatInt(p.left[pt].Load(), 10))
	}
	return strings.Join(out, ",")
}

// Pass counts one pass of a point. Where the plan says so it does not return.
// It may be called by many at a time.
func (p *Plan) Pass(pt Point) {
	if p == nil {
		return
	}
	if left := p.left[pt]; left != nil && left.Add(-1) == 0 {
		p.kill()
	}
}

// die ends this process by SIGKILL, and keeps the caller until it has come.
func die() {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil { // it must not go on past the point
		panic(fmt.Sprintf("kill point: the process could not kill itself: %v", err))
	}
	select {}
}
