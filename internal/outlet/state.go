package outlet

import (
	"slices"
	"time"

	"github.com/carillon-dev/carillon/internal/outcome"
	"github.com/carillon-dev/carillon/internal/push"
)

// State is where an endpoint stands. The zero State is that of one which
// nothing was ever pushed to.
type State struct {
	Cursor   outcome.Cursor `json:"cursor,omitempty"`  // how far outcomes were made into pushes; nil: not begun
	Waiting  []Push         `json:"waiting,omitempty"` // pushes that were begun and not taken yet, at most maxWaiting
	Failures int            `json:"failures,omitempty"`
	Rest     time.Time      `json:"rest,omitzero"`     // nothing is pushed before
	Taken    time.Time      `json:"taken,omitzero"`    // when a push was taken last
	Error    string         `json:"error,omitempty"`   // of the last failure, while there are any
	Off      string         `json:"off,omitempty"`     // why nothing is pushed any more; empty: it is
	OffAt    time.Time      `json:"off_at,omitzero"`   // since when
	Replay   time.Time      `json:"replay,omitzero"`   // an order: go back to this moment
	Redrive  bool           `json:"redrive,omitempty"` // an order: try what was given up again
}

// Push is one message to an endpoint: the outcomes of one of the ledger's
// streams after one record and up to another.
type Push struct {
	ID       string    `json:"id"` // webhook-id
	Stream   string    `json:"stream"`
	After    uint64    `json:"after"`
	To       uint64    `json:"to"`
	Count    int       `json:"count"` // outcomes
	Attempts int       `json:"attempts,omitempty"`
	First    time.Time `json:"first,omitzero"` // try
	Last     time.Time `json:"last,omitzero"`  // try
	Next     time.Time `json:"next,omitzero"`  // not before
	Status   int       `json:"status,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// Patience is how long pushes are tried.
type Patience struct {
	Waits  []time.Duration // after the first try, the second and so on; the last one stands for all that follow
	GiveUp time.Duration   // after the first try; not before every wait was used
	Rest   time.Duration   // of the endpoint after a failure; each further one in a row doubles it, up to lastRest
}

// Standard is the schedule that Standard Webhooks recommends: ten tries in
// three days.
func Standard() Patience {
	return Patience{
		Waits: []time.Duration{
			5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
		},
		GiveUp: 72 * time.Hour,
		Rest:   time.Second,
	}
}

const (
	// maxWaiting bounds what stands beside the cursor. A push that alone is
	// refused lets others pass; once so many were not taken, none is begun.
	maxWaiting = 20
	// lastRest is how long an endpoint is left alone at the most, and how often
	// one that is down is tried.
	lastRest = 5 * time.Minute
	// outage is how many failures in a row are the endpoint's and not one
	// push's: when it is over, whatever waits may go at once.
	outage = 3
)

// step is what is to be done with an endpoint next.
type step int

const (
	rest  step = iota // nothing, for a time
	try               // a push that waits
	begin             // a new push
)

// next says what to do: with try, which push; with rest, for how long at the
// most. news tells whether there may be outcomes after the cursor.
func (s *State) next(now time.Time, news bool) (do step, i int, wait time.Duration) {
	if s.Off != "" {
		return rest, 0, lastRest
	}
	if now.Before(s.Rest) {
		return rest, 0, s.Rest.Sub(now)
	}
	i = s.soonest()
	switch {
	case i >= 0 && !s.Waiting[i].Next.After(now):
		return try, i, 0
	case news && len(s.Waiting) < maxWaiting:
		return begin, 0, 0
	case len(s.Waiting) >= maxWaiting: // nothing else would show that the endpoint is back
		return try, i, 0
	case i >= 0:
		return rest, 0, s.Waiting[i].Next.Sub(now)
	}
	return rest, 0, lastRest
}

// soonest returns the index of the push that is due first, -1 where none is.
func (s *State) soonest() int {
	at := -1
	for i, p := range s.Waiting {
		if at < 0 || p.Next.Before(s.Waiting[at].Next) {
			at = i
		}
	}
	return at
}

// took notes that the i-th push was taken.
func (s *State) took(i int, now time.Time) {
	s.Waiting = slices.Delete(slices.Clone(s.Waiting), i, i+1)
	if s.Failures >= outage {
		for i := range s.Waiting {
			p := &s.Waiting[i]
			if soon := p.Last.Add(lastRest); p.Next.After(soon) {
				p.Next = soon
			}
		}
	}
	s.Failures, s.Rest, s.Error, s.Taken = 0, time.Time{}, "", now
}

// failed notes that the i-th push was not taken, and returns it where it is
// given up. spread is 0 to 1: endpoints that failed together come apart by it.
func (s *State) failed(i int, r push.Result, now time.Time, pt Patience, spread float64) (dead *Push) {
	s.Waiting = slices.Clone(s.Waiting)
	p := &s.Waiting[i]
	p.Attempts, p.Last, p.Status, p.Error = p.Attempts+1, now, r.Status, r.Err.Error()
	if p.First.IsZero() {
		p.First = now
	}
	jitter := func(d time.Duration) time.Duration { return d + time.Duration(spread*0.2*float64(d)) }
	p.Next = now.Add(max(jitter(pt.Waits[min(p.Attempts, len(pt.Waits))-1]), r.Pause))
	s.Failures, s.Error = s.Failures+1, p.Error
	s.Rest = now.Add(max(jitter(min(pt.Rest<<min(s.Failures-1, 20), lastRest)), r.Pause))
	if r.Gone() {
		s.turnOff("the endpoint answered 410: it wants no more", now)
		return nil
	}
	if p.Attempts <= len(pt.Waits) || now.Sub(p.First) < pt.GiveUp {
		return nil
	}
	gone := *p
	if !s.Taken.After(gone.First) {
		s.turnOff("nothing was taken since "+gone.First.UTC().Format(time.RFC3339)+": "+gone.Error, now)
	}
	s.Waiting = slices.Delete(s.Waiting, i, i+1)
	return &gone
}

func (s *State) turnOff(why string, now time.Time) { s.Off, s.OffAt = why, now }

// turnOn lets everything go at once that waited.
func (s *State) turnOn() {
	s.Off, s.OffAt, s.Failures, s.Rest = "", time.Time{}, 0, time.Time{}
	s.Waiting = slices.Clone(s.Waiting)
	for i := range s.Waiting {
		s.Waiting[i].Next = time.Time{}
	}
}
