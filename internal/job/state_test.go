package job

import (
	"slices"
	"testing"
)

// table is the design's: from a state to the states that may follow. Delivered
// and Read are what is said of a sent message, so that the rest of what may be
// said of one still can follow.
func table() map[State][]State {
	return map[State][]State{
		Pending:   {Claimed, Held, Blocked, Cancelled, Expired, Sent},
		Held:      {Pending, Cancelled, Expired, Sent},
		Claimed:   {Sent, Failed, Unknown, Pending, Held, Blocked, Cancelled, Expired},
		Unknown:   {Sent, Failed, Pending},
		Blocked:   {Pending},
		Failed:    {Pending},
		Cancelled: {Pending},
		Expired:   {Pending},
		Sent:      {Delivered, Read, Failed},
		Delivered: {Read, Failed},
		Read:      {Failed},
	}
}

func TestMoves(t *testing.T) {
	t.Parallel()
	want := table()
	if len(States()) != len(want) {
		t.Fatalf("%d states, the table has %d", len(States()), len(want))
	}
	for _, from := range append(States(), "nowhere") {
		for _, to := range append(States(), "nowhere") {
			legal := slices.Contains(want[from], to)
			if got := slices.Contains(Moves(from), to); got != legal {
				t.Errorf("from %s to %s: legal %t, want %t", from, to, got, legal)
			}
			err := CheckMove(from, to)
			if (err == nil) != legal || err != nil && err.Error() != "a job can't go from "+string(from)+" to "+string(to) {
				t.Errorf("CheckMove(%s, %s) = %v, want it legal: %t", from, to, err, legal)
			}
		}
	}
}

// TestTold asserts that what is said of a sent job only goes up, and that
// every step up is a legal move: any order of it ends the same.
func TestTold(t *testing.T) {
	t.Parallel()
	said := []State{Sent, Delivered, Read, Failed}
	for _, from := range States() {
		if (from.Told() > 0) != slices.Contains(said, from) {
			t.Errorf("%s: told %d", from, from.Told())
		}
		for _, to := range said {
			if up := to.Told() > from.Told(); from.Told() > 0 && up != slices.Contains(Moves(from), to) {
				t.Errorf("from %s to %s: up %t, but legal %t", from, to, up, !up)
			}
		}
	}
}

// TestMovesIsTheCallersOwn asserts that nobody can change the table.
func TestMovesIsTheCallersOwn(t *testing.T) {
	t.Parallel()
	Moves(Sent)[0] = Pending
	if err := CheckMove(Sent, Pending); err == nil {
		t.Error("a sent job can be made pending")
	}
}

// TestNeverTwice asserts promise P2 on the table: from where the platform may
// have the message no road leads to another claim, except that a person
// reopens an unknown or a refused one.
func TestNeverTwice(t *testing.T) {
	t.Parallel()
	for _, from := range []State{Sent, Delivered, Read} {
		for _, to := range Moves(from) {
			if to != Delivered && to != Read && to != Failed {
				t.Errorf("from %s to %s", from, to)
			}
		}
	}
	for _, from := range States() {
		if slices.Contains(Moves(from), Claimed) != (from == Pending) {
			t.Errorf("%s can be claimed: %t", from, from != Pending)
		}
	}
}

func TestEndedAndDead(t *testing.T) {
	t.Parallel()
	open := []State{Pending, Held, Claimed}
	dead := []State{Blocked, Failed, Unknown}
	for _, s := range States() {
		if s.Ended() == slices.Contains(open, s) || s.Dead() != slices.Contains(dead, s) {
			t.Errorf("%s: ended %t, dead %t", s, s.Ended(), s.Dead())
		}
	}
	if State("nowhere").Ended() || State("nowhere").Dead() {
		t.Error("a state that is none has ended")
	}
}

// TestBucket asserts that every state is in exactly one bucket, that every
// bucket has a state, and that a closing moves what had not begun and nothing
// else.
func TestBucket(t *testing.T) {
	t.Parallel()
	want := map[State]Bucket{
		Pending: InPending, Held: InPending, Claimed: InPending, Sent: InSent, Delivered: InSent, Read: InSent,
		Blocked: InBlocked, Failed: InFailed, Unknown: InUnknown, Cancelled: InCancelled, Expired: InExpired,
	}
	used := map[Bucket]bool{}
	for _, s := range States() {
		if got := s.Bucket(""); got != want[s] {
			t.Errorf("%s is in %s, want %s", s, got, want[s])
		}
		used[s.Bucket("")] = true
		for _, c := range []struct {
			closing State
			to      Bucket
		}{{Cancelled, InCancelled}, {Expired, InExpired}} {
			moved := want[s]
			if s == Pending || s == Held {
				moved = c.to
			}
			if got := s.Bucket(c.closing); got != moved {
				t.Errorf("%s of a source that is %s is in %s, want %s", s, c.closing, got, moved)
			}
		}
	}
	if len(used) != len(Buckets()) {
		t.Errorf("%d buckets have a state, there are %d", len(used), len(Buckets()))
	}
	for _, b := range Buckets() {
		if !used[b] {
			t.Errorf("no state is in %s", b)
		}
	}
	if got := State("nowhere").Bucket(Cancelled); got != InPending {
		t.Errorf("a state that is none is in %s, want it to show as pending", got)
	}
}
