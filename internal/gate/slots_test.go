package gate_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/rate"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/sender"
)

// The script is rate.Take: from the state that it left behind, the slots of
// the next call are those that the arithmetic gives, at the cost that the pace
// makes of each.
func TestSlotsAreThoseOfTake(t *testing.T) {
	r := rig.Open(t, engines)
	r.Project(t, nil)
	r.Rested(t)
	rdb := engines.Redis.Client
	tat := func(rt *rapid.T) int64 {
		v, err := rdb.Get(t.Context(), r.Keys.Rate("bakery")).Result()
		if err != nil {
			return 0
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			rt.Fatal(err)
		}
		return n
	}
	opened, err := rdb.HGet(t.Context(), r.Keys.Meta(), "opened").Int64()
	rig.Must(t, err)
	rapid.Check(t, func(rt *rapid.T) {
		rig.Must(t, rdb.Del(t.Context(), r.Keys.Rate("bakery")).Err())
		per := rapid.IntRange(1, 5000).Draw(rt, "per second")
		asked := rate.Limit{PerSecond: per, Burst: rapid.IntRange(1, per).Draw(rt, "burst")}.Call()
		for range rapid.IntRange(1, 12).Draw(rt, "calls") {
			n := rapid.IntRange(1, 50).Draw(rt, "n")
			lead := time.Duration(rapid.IntRange(0, 400).Draw(rt, "lead")) * time.Millisecond
			pace := rapid.OneOf(rapid.Just(int64(100)), rapid.Int64Range(5, 100)).Draw(rt, "pace")
			rig.Must(t, rdb.Set(t.Context(), r.Keys.Rate("bakery")+":pace", fmt.Sprint(pace, " ", time.Now().Add(time.Hour).UnixMicro(), " 0"), 0).Err())
			c := rate.Charge{Cost: (asked.Cost*100 + pace - 1) / pace, Tolerance: asked.Tolerance}
			// Since the epoch opened, what went before it still counts.
			rest := rate.After(opened, gate.MaxWait.Microseconds(), c.Tolerance)
			before := rate.State{TAT: max(tat(rt), rest.TAT)}
			sent := time.Now()
			s, err := r.Gate.Take(t.Context(), gate.Ask{Sender: "bakery", Charge: asked, Units: gate.Ones(n), Lead: lead})
			received := time.Now()
			if err != nil {
				rt.Fatal(err)
			}
			after := tat(rt)
			if after == 0 && time.Since(sent) > time.Second {
				continue // it is not kept longer than that: whoever comes then starts anew
			}
			if len(s.Slots) == 0 {
				if place := before.TAT - c.Tolerance; after != before.TAT || !s.Place.After(sent.Add(gate.MaxWait)) || s.Place.UnixMicro() < place {
					rt.Fatalf("refused until %s with a place at %d, TAT %d → %d", s.Place, place, before.TAT, after)
				}
				continue
			}
			// Only the moment at which Redis answered is not known: it lies
			// between sent and received, and follows from what was left.
			ask := after - int64(len(s.Slots))*c.Cost
			if before.TAT >= ask {
				ask = sent.Add(lead).UnixMicro() // some time in the past of TAT
			}
			state := before
			for i := range s.Slots {
				var g rate.Grant
				state, g = rate.Take(state, ask, c, math.MaxInt64/4)
				from, until := s.Slots[i].From.UnixMicro(), s.Slots[i].Until.UnixMicro()-rate.SlotLife.Microseconds()
				slack := received.Sub(sent).Microseconds() + 2
				if from < g.Slot-2 || from > g.Slot+2*slack || until > g.Slot+2*slack || from < until {
					rt.Fatalf("slot %d of %d: usable from %d until %d, want about %d (±%d)", i, n, from, until, g.Slot, slack)
				}
			}
			// None comes more than the longest wait after the first.
			last := int64(len(s.Slots)-1) * c.Cost
			if reach := last - c.Tolerance; reach > gate.MaxWait.Microseconds() || len(s.Slots) < n && last+c.Cost <= gate.MaxWait.Microseconds() {
				rt.Fatalf("%d of %d slots, the last %d µs behind the first", len(s.Slots), n, last)
			}
			if (len(s.Slots) < n) == s.Place.IsZero() || s.Spent {
				rt.Fatalf("%d of %d slots, and a place at %s, spent %t", len(s.Slots), n, s.Place, s.Spent)
			}
			if state.TAT != after {
				rt.Fatalf("TAT %d, want %d", after, state.TAT)
			}
		}
	})
}

func TestGiveOnlyTheLast(t *testing.T) {
	r := rig.Open(t, engines)
	r.Project(t, nil)
	r.Rested(t)
	ctx := t.Context()
	c := rate.Limit{PerSecond: 10, Burst: 1}.Call()
	take := func(n int) gate.Slots {
		s, err := r.Gate.Take(ctx, gate.Ask{Sender: "a", Charge: c, Units: gate.Ones(n)})
		rig.Must(t, err)
		rig.Must(t, engines.Redis.Client.Persist(ctx, r.Keys.Rate("a")).Err()) // however long the test takes
		return s
	}
	tat := func() string { return engines.Redis.Client.Get(ctx, r.Keys.Rate("a")).Val() }
	var first, second gate.Slots
	var was string
	rig.Until(t, "the second slots follow the first without a gap", func() bool {
		began := time.Now()
		first = take(8)
		was = tat()
		second = take(2)
		return len(first.Slots) == 8 && len(second.Slots) == 2 && time.Since(began) < time.Duration(8*c.Cost)*time.Microsecond
	})
	now := tat()
	rig.Must(t, r.Gate.Give(ctx, "a", first, 8))
	if tat() != now {
		t.Error("slots were given back from below later ones")
	}
	rig.Must(t, r.Gate.Give(ctx, "a", second, 0))
	rig.Must(t, r.Gate.Give(ctx, "a", gate.Slots{}, 1))
	if tat() != now {
		t.Error("nothing was given back, yet the state moved")
	}
	rig.Must(t, r.Gate.Give(ctx, "a", second, 2))
	if tat() != was {
		t.Errorf("after giving back TAT %s, want %s", tat(), was)
	}
	rig.Must(t, r.Gate.Give(ctx, "a", second, 2))
	if tat() != was {
		t.Error("slots could be given back twice")
	}
}

func TestRestAfterOpening(t *testing.T) {
	r := rig.Open(t, engines)
	if _, err := r.Gate.Take(t.Context(), gate.Ask{Sender: "a", Charge: rate.Limit{PerSecond: 10, Burst: 1}.Call(), Units: gate.Ones(1)}); !errors.Is(err, facts.ErrRebuilding) {
		t.Fatalf("before anything is projected: %v", err)
	}
	rdb := engines.Redis.Client
	before, err := rdb.Time(t.Context()).Result()
	rig.Must(t, err)
	_, stop := r.Project(t, nil)
	stop() // it would repair what follows
	after, err := rdb.Time(t.Context()).Result()
	rig.Must(t, err)
	opened, err := rdb.HGet(t.Context(), r.Keys.Meta(), "opened").Int64()
	rig.Must(t, err)
	if opened < before.UnixMicro() || opened > after.UnixMicro() {
		t.Errorf("opened at %s, between %s and %s", time.UnixMicro(opened), before, after)
	}
	// Had it been opened just now, however long the test took to come here.
	opened = after.Add(time.Minute).UnixMicro()
	rig.Must(t, rdb.HSet(t.Context(), r.Keys.Meta(), "opened", opened).Err())
	for _, burst := range []int{1, 10} {
		sent := time.Now()
		s, err := r.Gate.Take(t.Context(), gate.Ask{Sender: "a", Charge: rate.Limit{PerSecond: 10, Burst: burst}.Call(), Units: gate.Ones(1)})
		took := time.Since(sent)
		rig.Must(t, err)
		want := time.UnixMicro(opened).Add(gate.MaxWait + rate.Window)
		if len(s.Slots) != 0 || s.Place.Before(want) || s.Place.After(want.Add(took+time.Second)) {
			t.Errorf("burst %d: slots %v, place %s; want a place at %s", burst, s.Slots, s.Place, want)
		}
	}
	rig.Must(t, engines.Redis.Client.HSet(t.Context(), r.Keys.Meta(), "epoch", "another").Err())
	if _, err := r.Gate.Take(t.Context(), gate.Ask{Sender: "a", Charge: rate.Limit{PerSecond: 10, Burst: 1}.Call(), Units: gate.Ones(1)}); !errors.Is(err, facts.ErrRebuilding) {
		t.Errorf("in another epoch: %v", err)
	}
}

// Whatever burst a sender has saved up, none of it goes while it is slowed.
func TestSlow(t *testing.T) {
	r := rig.Open(t, engines)
	r.Project(t, nil)
	r.Rested(t)
	ctx := t.Context()
	for _, burst := range []int{1, 100, 300} {
		id := "s" + strconv.Itoa(burst)
		c := rate.Limit{PerSecond: 300, Burst: burst}.Call()
		began := time.Now()
		rig.Must(t, r.Gate.Slow(ctx, id, 30*time.Second))
		rig.Must(t, r.Gate.Slow(ctx, id, time.Second)) // a shorter one doesn't shorten it
		s, err := r.Gate.Take(ctx, gate.Ask{Sender: id, Charge: c, Units: gate.Ones(1)})
		rig.Must(t, err)
		took := time.Since(began)
		if wait := s.Place.Sub(began); len(s.Slots) != 0 || wait < 29*time.Second || wait > took+31*time.Second {
			t.Errorf("burst %d: slots %v, place in %s", burst, s.Slots, wait)
		}
		if s, err = r.Gate.Take(ctx, gate.Ask{Sender: id + "other", Charge: c, Units: gate.Ones(1)}); err != nil || len(s.Slots) != 1 {
			t.Errorf("another sender: %+v, %v", s, err)
		}
	}
}

// Eight takers, who stall as they like within their slots, never bring more
// than the rate to the platform in any second.
func TestEverySlidingSecond(t *testing.T) {
	r := rig.Open(t, engines)
	r.Project(t, nil)
	r.Rested(t)
	spec := &sender.Spec{ID: "a", Rate: sender.Rate{PerSecond: 400, Burst: 40}}
	c := gate.ChargeOf(spec)
	var mu sync.Mutex
	var early, late []time.Time
	var wg sync.WaitGroup
	end, limit := time.Now().Add(2*time.Second), time.Now().Add(rig.Patience)
	enough := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(early) >= 400
	}
	for i := range 8 {
		wg.Go(func() {
			for now := time.Now(); now.Before(end) || now.Before(limit) && !enough(); now = time.Now() {
				s, err := r.Gate.Take(t.Context(), gate.Ask{Sender: "a", Charge: c, Units: gate.Ones(1 + i)})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, slot := range s.Slots {
					early = append(early, slot.From)
					late = append(late, slot.Until.Add(rate.WireJitter))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.SortFunc(early, time.Time.Compare)
	slices.SortFunc(late, time.Time.Compare)
	if len(early) < 400 {
		t.Fatalf("only %d slots were given", len(early))
	}
	// The worst case: those of the start of a second arrive as late, those of
	// its end as early as they can.
	for i, start := range late {
		last, _ := slices.BinarySearchFunc(early, start.Add(time.Second), time.Time.Compare)
		if n := last - i; n > 400 {
			t.Fatalf("%d calls may arrive in the second from %s", n, start)
		}
	}
}

func TestBatchSenderPaysForFullBatches(t *testing.T) {
	single, batch := sender.Spec{Rate: sender.Rate{PerSecond: 300}}, sender.Spec{Rate: sender.Rate{PerSecond: 300}, Batch: true}
	if got, want := gate.ChargeOf(&single), single.Limit().Call(); got != want {
		t.Errorf("charge %+v, want %+v", got, want)
	}
	if got, want := gate.ChargeOf(&batch), batch.Limit().Batch(50); got != want {
		t.Errorf("charge %+v, want %+v", got, want)
	}
}
