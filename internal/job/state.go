package job

import (
	"fmt"
	"slices"
)

// State is where a job stands in its ledger.
type State string

// The states. A job without a record is Pending.
const (
	Pending   State = "pending"
	Held      State = "held"
	Claimed   State = "claimed"
	Sent      State = "sent"
	Delivered State = "delivered"
	Read      State = "read"
	Blocked   State = "blocked"
	Failed    State = "failed"
	Unknown   State = "unknown"
	Cancelled State = "cancelled"
	Expired   State = "expired"
)

// States returns every state, in the order in which tables print them.
func States() []State {
	return []State{Pending, Held, Claimed, Sent, Delivered, Read, Blocked, Failed, Unknown, Cancelled, Expired}
}

// Moves returns the states that a job may go to from the given one. It is the
// one table of legal moves; docs/states.md draws it. Pending and Held go to
// Sent where an echo shows that an earlier attempt arrived; what is said of a
// sent job goes by Told, so that any order of it ends the same.
func Moves(from State) []State {
	switch from {
	case Pending:
		return []State{Claimed, Held, Blocked, Cancelled, Expired, Sent}
	case Held:
		return []State{Pending, Cancelled, Expired, Sent}
	case Claimed:
		return []State{Sent, Failed, Unknown, Pending, Held, Blocked, Cancelled, Expired}
	case Unknown:
		return []State{Sent, Failed, Pending}
	case Blocked, Failed, Cancelled, Expired:
		return []State{Pending}
	case Sent:
		return []State{Delivered, Read, Failed}
	case Delivered:
		return []State{Read, Failed}
	case Read:
		return []State{Failed}
	}
	return nil
}

// Told ranks what a platform says of a message: a job only ever goes up, and
// what is below where it stands is old news. 0: not a platform's word. That a
// carrier gave up stands above all else; no channel has both that and Read.
func (s State) Told() int {
	switch s {
	case Sent:
		return 1
	case Delivered:
		return 2
	case Read:
		return 3
	case Failed:
		return 4
	case Pending, Held, Claimed, Blocked, Unknown, Cancelled, Expired:
	}
	return 0
}

// CheckMove returns an error that names both states when the move is illegal.
func CheckMove(from, to State) error {
	if slices.Contains(Moves(from), to) {
		return nil
	}
	return fmt.Errorf("a job can't go from %s to %s", from, to)
}

// Ended tells whether nothing more happens to a job in this state unless a
// person or the platform says so.
func (s State) Ended() bool {
	switch s {
	case Sent, Delivered, Read, Blocked, Failed, Unknown, Cancelled, Expired:
		return true
	case Pending, Held, Claimed:
		return false
	}
	return false
}

// Dead tells whether a job in this state is a dead letter.
func (s State) Dead() bool { return s == Blocked || s == Failed || s == Unknown }

// Bucket is one of the seven in which an audience is counted.
type Bucket string

// The buckets of promise P1.
const (
	InSent      Bucket = "sent"
	InBlocked   Bucket = "blocked"
	InFailed    Bucket = "failed"
	InUnknown   Bucket = "unknown"
	InCancelled Bucket = "cancelled"
	InExpired   Bucket = "expired"
	InPending   Bucket = "pending"
)

// Buckets returns all seven, in the order in which tables print them.
func Buckets() []Bucket {
	return []Bucket{InSent, InBlocked, InFailed, InUnknown, InCancelled, InExpired, InPending}
}

// Bucket returns the bucket of a job in state s whose source closed as
// closing: Cancelled, Expired, or "" while it is open. A source is closed by
// one record, not by one for each job, so what had not ended by then counts
// as the closing says; a claimed job still has an outcome coming.
func (s State) Bucket(closing State) Bucket {
	switch s {
	case Sent, Delivered, Read:
		return InSent
	case Blocked:
		return InBlocked
	case Failed:
		return InFailed
	case Unknown:
		return InUnknown
	case Cancelled:
		return InCancelled
	case Expired:
		return InExpired
	case Claimed:
		return InPending
	case Pending, Held:
		if closing == Cancelled {
			return InCancelled
		}
		if closing == Expired {
			return InExpired
		}
	}
	return InPending
}
