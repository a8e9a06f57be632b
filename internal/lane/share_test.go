package lane

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// table is a share with seats at it.
type table struct {
	share *Share
	seats []*seat
	woken []int // how often each was
}

func tableOf(slots int, weights ...int) *table {
	b := &table{share: NewShare(slots), woken: make([]int, len(weights))}
	for i, w := range weights {
		s := b.share.join(func() { b.woken[i]++ })
		s.setWeight(w)
		b.seats = append(b.seats, s)
	}
	return b
}

// greedy takes for a seat until it is refused.
func (b *table) greedy(i int) {
	for b.seats[i].take(1) {
	}
}

// consistent returns what is wrong with the sums, and with who waits.
func (b *table) consistent() string {
	h := b.share
	out, weights, probes := 0, 0, 0
	for _, s := range b.seats {
		out, weights = out+s.out, weights+s.needs()
		if s.probing {
			probes++
		}
		if s.out < 0 || s.granted && s.out == 0 {
			return fmt.Sprintf("a seat stands at %+v", s)
		}
		if waits := s.turn > 0; waits && (h.line[s.turn-1] != s || !s.full() && h.fits(s)) {
			return fmt.Sprintf("a seat waits for what it may have: %+v", s)
		}
	}
	for _, s := range h.aside {
		if !s.sidelined || !s.full() && h.fits(s) {
			return fmt.Sprintf("a sidelined seat waits for what it may have: %+v", s)
		}
	}
	if out != h.out || weights != h.weights || probes != h.probes {
		return fmt.Sprintf("out %d, weights %d, probes %d; kept as %d, %d, %d", out, weights, probes, h.out, h.weights, h.probes)
	}
	if len(h.line) > 0 && h.out < h.budget() {
		return fmt.Sprintf("%d wait although only %d of %d are out", len(h.line), h.out, h.budget())
	}
	return ""
}

// Whatever lanes ask for and give back, and however workers come and go: room
// is given only within the bounds, and none stays free while somebody who may
// have it waits.
func TestShareStaysWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := tableOf(rapid.IntRange(0, 40).Draw(t, "slots"), rapid.SliceOfN(rapid.IntRange(1, 100), 1, 12).Draw(t, "weights")...)
		h := b.share
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			i := rapid.IntRange(0, len(b.seats)-1).Draw(t, "seat")
			s := b.seats[i]
			all, before := h.out, make([]int, len(b.seats))
			for j, o := range b.seats {
				before[j] = o.out
			}
			switch rapid.SampledFrom([]string{"take", "take", "take", "free", "free", "rest", "weight", "slots", "restrict"}).Draw(t, "what") {
			case "take":
				s.take(rapid.IntRange(1, 50).Draw(t, "jobs"))
			case "free":
				if s.out > 0 && !s.granted {
					s.free()
				}
			case "rest":
				s.rest()
			case "weight":
				s.setWeight(rapid.IntRange(1, 100).Draw(t, "weight"))
			case "slots":
				h.SetSlots(rapid.IntRange(0, 40).Draw(t, "slots"))
			case "restrict":
				s.restrict(rapid.IntRange(0, strikes).Draw(t, "halved"), rapid.Bool().Draw(t, "aside"))
			}
			if wrong := b.consistent(); wrong != "" {
				t.Fatal(wrong)
			}
			for j, o := range b.seats {
				if o.out <= before[j] {
					continue
				}
				if limit := max(1, h.most()>>o.halved); !o.sidelined && o.out > limit {
					t.Fatalf("a seat got its %dth, of at most %d", o.out, limit)
				}
				if o.sidelined && (o.out > 1 || h.probes > h.trickle()) {
					t.Fatalf("sidelined, and %d out; %d of all", o.out, h.probes)
				}
				if n := h.out - h.probes; !o.sidelined && h.out > all && n > 2*h.budget() { // probes come on top
					t.Fatalf("%d are out of a budget of %d", n, h.budget())
				}
			}
		}
	})
}

// A lane that has nothing out gets room after a number of turns that its
// weight and those of the others bound, whatever these do.
func TestNobodyWaitsForEver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := tableOf(rapid.IntRange(1, 24).Draw(t, "slots"), rapid.SliceOfN(rapid.IntRange(1, 20), 2, 60).Draw(t, "weights")...)
		late := b.seats[0]
		for i := range b.seats[1:] {
			b.greedy(i + 1)
		}
		if rapid.Bool().Draw(t, "served before") {
			b.greedy(0)
			for late.out > 0 {
				late.granted = false
				late.free()
			}
		}
		bound := 0
		for _, s := range b.seats[1:] {
			bound += s.weight/late.weight + 2
		}
		for turns := 0; !late.take(1); turns++ {
			if turns > bound {
				t.Fatalf("still waiting after %d turns", turns)
			}
			var busy []*seat
			for _, s := range b.seats[1:] {
				if s.out > 0 {
					busy = append(busy, s)
				}
			}
			rapid.SampledFrom(busy).Draw(t, "done").free()
			for i, s := range b.seats[1:] {
				if s.granted {
					b.greedy(i + 1)
				}
			}
		}
	})
}

// Where everybody wants more than there is, each has what its weight says.
func TestRoomGoesByWeight(t *testing.T) {
	b := tableOf(64, 1, 2, 5) // a budget of 80, 48 for one at the most
	for turn := range 1000 {  // what is out ends one by one, and all ask for more
		if s := b.seats[turn%3]; s.out > 0 {
			s.granted = false
			s.free()
		}
		for i := range b.seats {
			b.greedy(i)
		}
	}
	for i, want := range []int{10, 20, 48} {
		if got := b.seats[i].out; got < want-2 || got > want+2 {
			t.Errorf("seat %d of weight %d has %d out, want about %d", i, b.seats[i].weight, got, want)
		}
	}
}

// More lanes than room: they take turns, by weight.
func TestTurnsGoByWeight(t *testing.T) {
	weights := make([]int, 60)
	for i := range weights {
		weights[i] = 1 + i%3
	}
	b := tableOf(8, weights...) // 20 out at the most
	served := make([]int, len(weights))
	var out []int
	ask := func(i int) {
		if b.seats[i].take(1) {
			served[i]++
			out = append(out, i)
		}
	}
	for i := range b.seats {
		ask(i)
	}
	for range 12_000 {
		done := out[0]
		out = out[1:]
		b.seats[done].free()
		for i, s := range b.seats {
			if s.granted {
				ask(i)
			}
		}
		ask(done)
	}
	for i, n := range served { // 12,000 turns over a weight of 120
		if want := 100 * weights[i]; n < want*9/10 || n > want*11/10+2 {
			t.Errorf("lane %d of weight %d was served %d times, want about %d", i, weights[i], n, want)
		}
	}
}

// A giant fills the workers but for the part that is kept for others; who
// comes anew gets room at once, and the giant none until they are done.
func TestNewcomersBesideAGiant(t *testing.T) {
	weights := make([]int, 31)
	for i := range weights {
		weights[i] = 1
	}
	b := tableOf(24, weights...)
	b.greedy(0)
	giant := b.seats[0]
	if giant.out != 18 {
		t.Fatalf("alone it has %d of 24 slots, want 18", giant.out)
	}
	for i, s := range b.seats[1:] {
		if !s.take(1) {
			t.Fatalf("newcomer %d got no room; %d are out", i, b.share.out)
		}
	}
	for range 17 {
		giant.free()
		b.greedy(0)
	}
	if giant.out != 1 {
		t.Errorf("beside 30 others the giant has %d out", giant.out)
	}
	for _, s := range b.seats[1:] {
		s.free()
		s.rest()
	}
	b.greedy(0)
	if giant.out != 18 {
		t.Errorf("alone again it has %d out, want 18", giant.out)
	}
}

// What was handed over and isn't wanted any more goes to the next in line.
func TestUnusedRoomMovesOn(t *testing.T) {
	b := tableOf(4, 1, 1, 1, 1) // a budget of 5, 3 for one at the most
	b.greedy(0)
	b.greedy(1)
	b.seats[2].take(1)
	b.seats[3].take(1)
	b.greedy(2)
	b.greedy(3)
	if b.seats[2].turn == 0 || b.seats[3].turn == 0 {
		t.Fatalf("nobody waits: %+v", b.share)
	}
	for b.woken[2] == 0 && b.woken[3] == 0 {
		b.seats[0].free()
	}
	first := 2
	if b.woken[3] > 0 {
		first = 3
	}
	other := 5 - first
	b.seats[first].rest()
	if b.woken[other] != 1 || !b.seats[other].granted {
		t.Errorf("the other was woken %d times, and stands at %+v", b.woken[other], b.seats[other])
	}
}

// Sidelined lanes have an eighth of the slots together, one envelope each, and
// take turns.
func TestSidelinedLanesTakeTurns(t *testing.T) {
	weights := make([]int, 10)
	for i := range weights {
		weights[i] = 1
	}
	b := tableOf(16, weights...)
	for _, s := range b.seats[1:] {
		s.restrict(strikes, true)
	}
	for range 2 {
		for i := range b.seats[1:] {
			b.greedy(i + 1)
		}
	}
	for turn := range 9 {
		if b.share.probes > 2 {
			t.Fatalf("%d probes at a time", b.share.probes)
		}
		s := b.seats[turn+1]
		if s.out != 1 {
			t.Fatalf("turn %d: the sidelined lane has %d out", turn, s.out)
		}
		s.granted = false
		s.free()
	}
	if b.share.out != 0 {
		t.Errorf("%d are still out", b.share.out)
	}
	b.seats[1].restrict(0, false)
	b.greedy(1)
	if b.seats[1].out != 12 {
		t.Errorf("recovered, it has %d out, want 12", b.seats[1].out)
	}
}
