package rate

import "time"

// State is all that is remembered of a sender: TAT, microseconds since the
// epoch. The zero value has granted nothing; a state whose TAT isn't after now
// is as good as that, and may be forgotten. Where a state was lost, use After
// instead, since slots of the lost one may still be on their way.
type State struct{ TAT int64 }

// After returns the state to begin with where one was lost at the moment now
// and slots may have been granted up to maxWait ahead: nothing goes until the
// last of them can no longer share a second with it. Where another machine's
// clock goes on, by how much the two may differ belongs into maxWait.
// tolerance is the largest that charges on this state have.
func After(now, maxWait, tolerance int64) State {
	return State{TAT: now + maxWait + windowMicros + tolerance}
}

// Grant is the answer to one call.
type Grant struct {
	OK   bool  // refused when false, and the state is as it was
	Slot int64 // the moment of the call's place; where refused, when to ask again
	TAT  int64 // the state's TAT after the grant, for Refund; 0 where refused
}

// Take asks for one call at the moment now, which may wait up to maxWait (>=
// 0) for its slot. The call is to go in [Slot, Slot + SlotLife].
//
// Slots don't decrease from one call to the next while the charge is the same
// and now doesn't decrease. Where now does, as after a clock was set back,
// what was granted still counts.
func Take(s State, now int64, c Charge, maxWait int64) (State, Grant) {
	slot := max(now, s.TAT-c.Tolerance)
	if slot-now > maxWait {
		return s, Grant{Slot: slot}
	}
	s.TAT = max(now, s.TAT) + c.Cost
	return s, Grant{OK: true, Slot: slot, TAT: s.TAT}
}

// TakeUpTo asks for n calls of one charge and returns the grants of those
// that got a slot, in order, and the place of the first that got none (0 when
// all did). Those behind it are refused too: a later call never overtakes.
func TakeUpTo(s State, now int64, c Charge, maxWait int64, n int) (_ State, granted []Grant, next int64) {
	for range n {
		var g Grant
		if s, g = Take(s, now, c, maxWait); !g.OK {
			return s, granted, g.Slot
		}
		granted = append(granted, g)
	}
	return s, granted, 0
}

// Refund gives back the grant g of charge c, whose call didn't go and never
// will. It works only while nothing was granted after it, for later slots
// were reckoned from it; else the state is returned as it was, and the place
// stays empty. Several grants are given back last one first. A grant may be
// given back once: a second time could take the place of another.
func Refund(s State, g Grant, c Charge) State {
	if g.OK && s.TAT == g.TAT {
		s.TAT -= c.Cost
	}
	return s
}

// Usable returns when a call may go by the clock of the worker that asked: it
// sent the request at sent, had the answer at received, and the answer's slot
// is delay after the moment that the store calls now. That moment lies
// somewhere between the two, so the slot begins no later than from, and its
// life isn't over before until. The slot is lost when until is not after from.
func Usable(sent, received time.Time, delay time.Duration) (from, until time.Time) {
	return received.Add(delay), sent.Add(delay + SlotLife)
}
