package receipt

import (
	"fmt"
	"time"
)

// clocks is how far the clocks of two processes of ours may be apart. Where
// they are further apart the evidence is wrong by as much.
const clocks = 2 * time.Second

// Evidence is what a sender's echoes say of its messages of which the answer
// was lost. It is evidence for a person, not proof: an echo can be lost too.
type Evidence struct {
	Come  Come
	Now   time.Time     // the moment that is asked about, by the clock of who asks
	After time.Duration // how long an echo is waited for
}

// LikelyNotSent tells whether a message whose outcome was called unknown at a
// moment (the ledger's) is likely not sent: it had left by then, if ever; an
// echo has come of one that left after it; its own was waited for; and its
// claim has ended, so that nobody can be sending it.
func (e Evidence) LikelyNotSent(unknown time.Time) bool {
	return !e.Come.Left.IsZero() && e.Come.Left.After(unknown.Add(clocks)) && !e.Now.Before(unknown.Add(max(e.After, Settled)))
}

// Text says in words what is known of such a message.
func (e Evidence) Text(unknown time.Time) string {
	waited := e.Now.Sub(unknown).Truncate(time.Second)
	switch {
	case e.LikelyNotSent(unknown):
		return fmt.Sprintf("likely not sent: no echo of it has come in %s, while echoes of messages have come that left after it, the newest one after %s", waited, stamp(e.Come.Left))
	case e.Come.Left.IsZero():
		return "nothing is known of it: no echo of this sender has ever come; is the app subscribed to them?"
	case !e.Come.Left.After(unknown.Add(clocks)):
		return fmt.Sprintf("nothing is known of it yet: no echo has come of a message that left after it; the newest is of one from %s", stamp(e.Come.Left))
	default:
		return fmt.Sprintf("its echo may still come: it is waited for until %s", stamp(unknown.Add(max(e.After, Settled))))
	}
}

// TooSoon returns until when a message whose outcome was called unknown at a
// moment can't be redriven, whoever asks: its claim may not have ended.
func TooSoon(unknown, now time.Time) (until time.Time, soon bool) {
	until = unknown.Add(Settled)
	return until, now.Before(until)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
