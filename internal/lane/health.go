package lane

import (
	"time"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// strikes is how many envelopes in a row may end badly before their sender is
// sidelined; each of them halves what it may have out.
const strikes = 3

// A sidelined sender is tried again with one message after a second, and
// after twice as long each time, up to maxProbe: a message that gets no answer
// is one whose fate nobody knows.
const (
	minProbe = time.Second
	maxProbe = 10 * time.Second
)

// Sidelined says why a sender's share fell to a trickle.
type Sidelined struct {
	Reason reason.Code `json:"reason"` // of the messages that came back or got no answer
	Since  time.Time   `json:"since"`
}

// health is how a sender's last envelopes ended. The zero value is good.
type health struct {
	bad   int // envelopes that ended badly, less those that ended well since; at most strikes
	aside *Sidelined
	tries int       // probes in a row that ended badly
	next  time.Time // no probe before
}

// judge takes in how one envelope ended, and whether it was a probe. It
// reports whether that sidelined the sender, or brought it back.
func (h *health) judge(well, probe bool, why reason.Code, now time.Time) (changed bool) {
	if well {
		h.bad, h.tries, h.next = max(0, h.bad-1), 0, time.Time{}
		changed = h.aside != nil && h.bad == 0
		if changed {
			h.aside = nil
		}
		return changed
	}
	h.bad = min(strikes, h.bad+1)
	switch {
	case h.aside == nil && h.bad == strikes:
		h.aside, h.next, changed = &Sidelined{Reason: why, Since: now.UTC()}, now.Add(minProbe), true
	case h.aside != nil && probe:
		h.tries++
		h.aside.Reason, h.next = why, now.Add(min(maxProbe, minProbe<<min(h.tries, 10)))
	}
	return changed
}

// parcel is an envelope with the workers.
type parcel struct {
	at      time.Time
	left    int  // jobs that have not left the workers
	probe   bool // of a sidelined sender
	claimed int  // jobs that were claimed
	bad     int  // of those, they that came back, or got no answer in time
	why     reason.Code
	urgent  bool // a flow's, whose room is its own

	uncounted bool // its room was given back
}

// ended takes in the outcome of a claimed job. It is bad where the platform
// gave no answer, or one that asks to try again: what it refuses for good
// keeps nobody waiting.
func (p *parcel) ended(o *released, r ledger.Record) {
	// A record that does not count the attempt is of a message that never
	// left: its worker was late, or a rule forbade it at the last moment. One
	// that a lane wrote is of a worker that died.
	back := r.State == job.Pending && r.Attempt > o.ref.Attempt
	if back || r.State == job.Unknown && r.By != writer {
		p.bad, p.why = p.bad+1, r.Reason
	}
}

// well tells whether fewer than half of its claimed jobs ended badly.
func (p *parcel) well() bool { return 2*p.bad < max(1, p.claimed) }
