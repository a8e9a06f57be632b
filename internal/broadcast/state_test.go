package broadcast

import (
	"fmt"
	"slices"
	"testing"

	"github.com/carillon-dev/carillon/internal/job"
)

func states() []State { return []State{Draft, Scheduled, Running, Paused, Done, Cancelled, Expired} }

// TestNext asks every verb of every state; what is not in the table here must
// be refused with an error that names both.
func TestNext(t *testing.T) {
	t.Parallel()
	legal := map[Verb]map[State]State{
		Launch:  {Draft: Scheduled},
		Due:     {Scheduled: Running},
		Pause:   {Scheduled: Paused, Running: Paused},
		Resume:  {Paused: Running},
		Cancel:  {Draft: Cancelled, Scheduled: Cancelled, Running: Cancelled, Paused: Cancelled},
		Finish:  {Running: Done, Paused: Done},
		Expire:  {Scheduled: Expired, Running: Expired, Paused: Expired},
		Reopen:  {Done: Running},
		Replace: {Draft: Draft},
		"sing":  {},
	}
	for v, from := range legal {
		for _, s := range append(states(), "") {
			got, err := Next(s, v)
			to, ok := from[s]
			switch {
			case ok && (err != nil || got != to):
				t.Errorf("Next(%s, %s) = %s, %v; want %s", s, v, got, err, to)
			case !ok && (got != s || err == nil || err.Error() != fmt.Sprintf("can't %s a broadcast that is %s", v, s)):
				t.Errorf("Next(%s, %s) = %s, %v; want it refused", s, v, got, err)
			}
		}
	}
}

// TestOverAndClosing holds the two against each other and against the moves:
// what is over can't be paused or cancelled, and nothing else is.
func TestOverAndClosing(t *testing.T) {
	t.Parallel()
	closing := map[State]job.State{Cancelled: job.Cancelled, Expired: job.Expired}
	for _, s := range states() {
		if s.Closing() != closing[s] {
			t.Errorf("%s.Closing() = %q, want %q", s, s.Closing(), closing[s])
		}
		_, err := Next(s, Cancel)
		if s.Over() != (err != nil) || s.Over() != slices.Contains([]State{Done, Cancelled, Expired}, s) {
			t.Errorf("%s.Over() = %t, cancelling it: %v", s, s.Over(), err)
		}
	}
	if State("").Closing() != "" {
		t.Error("a state that is none closes something")
	}
}
