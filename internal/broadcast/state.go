package broadcast

import (
	"fmt"
	"slices"

	"github.com/carillon-dev/carillon/internal/job"
)

// State is where a broadcast stands.
type State string

// The states. A running broadcast without a snapshot is still freezing its
// audience.
const (
	Draft     State = "draft"     // applied, not launched
	Scheduled State = "scheduled" // launched, due later
	Running   State = "running"   // due: its audience is frozen and going out
	Paused    State = "paused"    // nothing leaves until resumed
	Done      State = "done"      // nothing is pending
	Cancelled State = "cancelled" // closed by a person
	Expired   State = "expired"   // closed by its end with recipients left
)

// Verb is what a person or the clock does to a broadcast.
type Verb string

// The verbs.
const (
	Launch  Verb = "launch"  // by a person: due now or at its time
	Due     Verb = "due"     // its time has come
	Pause   Verb = "pause"   //
	Resume  Verb = "resume"  //
	Cancel  Verb = "cancel"  //
	Finish  Verb = "finish"  // nothing is pending
	Expire  Verb = "expire"  // its end has come
	Reopen  Verb = "reopen"  // a redrive gave it something to do again
	Replace Verb = "replace" // a changed document was applied
)

// Next returns the state that a verb leads to, or an error that names the
// state. It is the one table of legal moves; docs/states.md draws it.
func Next(s State, v Verb) (State, error) {
	type move struct {
		from []State
		to   State
	}
	m := map[Verb]move{
		Launch:  {[]State{Draft}, Scheduled},
		Due:     {[]State{Scheduled}, Running},
		Pause:   {[]State{Scheduled, Running}, Paused},
		Resume:  {[]State{Paused}, Running},
		Cancel:  {[]State{Draft, Scheduled, Running, Paused}, Cancelled},
		Finish:  {[]State{Running, Paused}, Done},
		Expire:  {[]State{Scheduled, Running, Paused}, Expired},
		Reopen:  {[]State{Done}, Running},
		Replace: {[]State{Draft}, Draft},
	}[v]
	if !slices.Contains(m.from, s) {
		return s, fmt.Errorf("can't %s a broadcast that is %s", v, s)
	}
	return m.to, nil
}

// Over tells whether the broadcast has ended: nothing of it leaves any more
// unless a redrive reopens it.
func (s State) Over() bool { return s == Done || s == Cancelled || s == Expired }

// Closing returns what jobs that never got an outcome count as.
func (s State) Closing() job.State {
	switch s {
	case Cancelled:
		return job.Cancelled
	case Expired:
		return job.Expired
	case Draft, Scheduled, Running, Paused, Done:
		return ""
	}
	return ""
}
