package channeltest

import (
	"fmt"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// outcomes is a set of outcomes.
type outcomes []channel.Outcome

func (set outcomes) has(o channel.Outcome) bool {
	for _, each := range set {
		if each == o {
			return true
		}
	}
	return false
}

// allowed are the outcomes that a step leaves open. Where the server closed
// without reading, the kernel may have taken the bytes or not: the platform
// must know which, the server cannot.
func allowed(step Step) outcomes {
	switch step {
	case Accept:
		return outcomes{channel.Accepted}
	case CloseAfter: // the next call may meet the closed connection
		return outcomes{channel.Accepted, channel.NotSent, channel.Unknown}
	case Refuse:
		return outcomes{channel.Refused}
	case Redirect:
		return outcomes{channel.Refused, channel.Unknown}
	case Hang: // a call that comes after the one that hung has no time left
		return outcomes{channel.Unknown, channel.NotSent}
	case DropUnread:
		return outcomes{channel.NotSent, channel.Unknown}
	}
	return outcomes{channel.Unknown}
}

// verify holds one result against what the server did with its message and
// how often it has read it.
func verify(step Step, r channel.Result, seen int) error {
	switch {
	case !allowed(step).has(r.Outcome):
		return fmt.Errorf("outcome is %v, want one of %v", r.Outcome, allowed(step))
	case seen > 1:
		return fmt.Errorf("the platform has the message %d times", seen)
	case r.Outcome == channel.NotSent && seen != 0:
		return fmt.Errorf("not sent, yet the platform has read it")
	case (r.Outcome == channel.Accepted || r.Outcome == channel.Refused) && seen != 1:
		return fmt.Errorf("%v, yet the platform has read it %d times", r.Outcome, seen)
	}
	return wellFormed(r)
}

// wellFormed checks what holds of every result.
func wellFormed(r channel.Result) error {
	switch {
	case r.Outcome == channel.Accepted && (r.MessageID == "" || r.Reason != ""):
		return fmt.Errorf("accepted with id %q and reason %q: want an id and no reason", r.MessageID, r.Reason)
	case r.Outcome != channel.Accepted && (r.MessageID != "" || r.Reason == ""):
		return fmt.Errorf("%v with id %q and reason %q: want a reason and no id", r.Outcome, r.MessageID, r.Reason)
	case r.Outcome == channel.Unknown && r.Reason != reason.OutcomeUnknown:
		return fmt.Errorf("unknown with reason %q: want %q", r.Reason, reason.OutcomeUnknown)
	case r.Outcome == channel.Unknown && r.Action != channel.DeadLetter:
		return fmt.Errorf("unknown with action %v: nothing may be done with it", r.Action)
	case min(r.Usage, r.AppUsage) < 0 || max(r.Usage, r.AppUsage) > 100:
		return fmt.Errorf("usage is %d percent, the app's %d", r.Usage, r.AppUsage)
	case r.App && r.Action != channel.SlowSender:
		return fmt.Errorf("it is about the app, yet asks for %v", r.Action)
	case r.After < 0 || r.Limit < 0:
		return fmt.Errorf("after %v, limit %d: want none below 0", r.After, r.Limit)
	}
	return nil
}
