package gate_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/rate"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/internal/tendlc"
)

// fast is a charge under which the rate never refuses what a test asks for.
func fast() rate.Charge { return rate.Limit{PerSecond: 10_000, Burst: 1}.Call() }

// counted is a gate whose budget of a day is known.
func counted(t *testing.T, limit, spent int) (*rig.Rooms, gate.Budget) {
	t.Helper()
	r := rig.Open(t, engines)
	r.Project(t, nil)
	r.Rested(t)
	now := time.Now()
	b := gate.Budget{Name: "brand~acme", Limit: limit, Day: tendlc.Day{Name: "2026-11-22", Start: now, End: now.Add(20 * time.Hour)}}
	rig.Must(t, r.Gate.Found(t.Context(), r.Gate.Epoch(), b, spent))
	return r, b
}

// given takes slots for calls and returns how many there were.
func given(t *testing.T, r *rig.Rooms, b gate.Budget, units ...int) (int, gate.Slots) {
	t.Helper()
	s, err := r.Gate.Take(t.Context(), gate.Ask{Sender: "shop", Charge: fast(), Units: units, Budget: b})
	rig.Must(t, err)
	return len(s.Slots), s
}

func TestBudgetIsKept(t *testing.T) {
	r, b := counted(t, 10, 3)
	if n, s := given(t, r, b, 2, 2, 2, 2, 1); n != 3 || !s.Spent || s.Place.Before(time.Now().Add(4*time.Minute)) || s.Place.After(time.Now().Add(6*time.Minute)) {
		t.Fatalf("of 7 left: %d calls of two, spent %t, again at %v; want 3", n, s.Spent, s.Place)
	}
	if n, s := given(t, r, b, 2); n != 0 || !s.Spent {
		t.Errorf("a call of two goes with one left: %+v", s)
	}
	if n, s := given(t, r, b, 1); n != 1 || s.Spent || !s.Place.IsZero() {
		t.Errorf("the last one doesn't go: %+v", s)
	}
	if n, _ := given(t, r, b, 1); n != 0 {
		t.Error("one goes beyond the budget")
	}
	rig.Must(t, r.Gate.Return(t.Context(), b, 2))
	if n, _ := given(t, r, b, 1, 1, 1); n != 2 {
		t.Errorf("%d go after two were given back", n)
	}
	if n, s := given(t, r, gate.Budget{}, 5); n != 1 || s.Spent {
		t.Errorf("without a budget: %+v", s)
	}
}

func TestBudgetOfTheNextDay(t *testing.T) {
	r, b := counted(t, 2, 2)
	next := b
	next.Day.Name = "2026-11-23"
	if n, _ := given(t, r, next, 1); n != 1 {
		t.Fatal("a new day has no budget")
	}
	// Whose clock is behind may not spend what the day before left.
	if _, err := r.Gate.Take(t.Context(), gate.Ask{Sender: "shop", Charge: fast(), Units: gate.Ones(1), Budget: b}); !errors.Is(err, facts.ErrRebuilding) {
		t.Errorf("on the day before: %v", err)
	}
	rig.Must(t, r.Gate.Return(t.Context(), b, 1)) // that day is over: it gives nothing to the next
	if n, _ := given(t, r, next, 1, 1); n != 1 {
		t.Errorf("%d go, want the one that is left", n)
	}
}

// TestBudgetThatIsNotKnown holds everything until somebody has counted.
func TestBudgetThatIsNotKnown(t *testing.T) {
	r, b := counted(t, 10, 0)
	rdb := engines.Redis.Client
	rig.Must(t, rdb.Del(t.Context(), r.Keys.Rate("day~"+b.Name)).Err())
	if _, err := r.Gate.Take(t.Context(), gate.Ask{Sender: "shop", Charge: fast(), Units: gate.Ones(1), Budget: b}); !errors.Is(err, facts.ErrRebuilding) {
		t.Fatalf("nobody has counted: %v", err)
	}
	rig.Until(t, "it may be counted", func() bool {
		lost, err := r.Gate.Lost(t.Context(), b)
		rig.Must(t, err)
		return lost
	})
	epoch := r.Gate.Epoch()
	if err := r.Gate.Found(t.Context(), epoch+"x", b, 0); !errors.Is(err, facts.ErrRebuilding) {
		t.Errorf("counted in another epoch: %v", err)
	}
	rig.Must(t, r.Gate.Found(t.Context(), epoch, b, 8))
	rig.Must(t, r.Gate.Found(t.Context(), epoch, b, 0)) // somebody counted as well: the first stands
	if lost, err := r.Gate.Lost(t.Context(), b); err != nil || lost {
		t.Errorf("lost %t, %v after it was found", lost, err)
	}
	if n, _ := given(t, r, b, 1, 1, 1); n != 2 {
		t.Errorf("%d go, want the two that are left", n)
	}
}

// TestBudgetMustNotBeCountedTooSoon: slots from before the epoch may be on
// their way to the ledger.
func TestBudgetMustNotBeCountedTooSoon(t *testing.T) {
	r := rig.Open(t, engines)
	_, stop := r.Project(t, nil)
	stop() // it would repair what follows
	b := gate.Budget{Name: "brand~acme", Limit: 1, Day: tendlc.Day{Name: "2026-11-22"}}
	rdb := engines.Redis.Client
	at := func(age time.Duration) bool {
		now, err := rdb.Time(t.Context()).Result()
		rig.Must(t, err)
		rig.Must(t, rdb.HSet(t.Context(), r.Keys.Meta(), "opened", now.Add(-age).UnixMicro()).Err())
		lost, err := r.Gate.Lost(t.Context(), b)
		rig.Must(t, err)
		return lost
	}
	if at(-time.Minute) || !at(time.Minute) {
		t.Error("a budget may be counted before its epoch has settled, or never")
	}
	rig.Must(t, rdb.HSet(t.Context(), r.Keys.Meta(), "epoch", "another").Err())
	if at(time.Minute) {
		t.Error("a budget may be counted in another's epoch")
	}
}

func TestBudgetOfASender(t *testing.T) {
	r := rig.Open(t, engines)
	at := time.Date(2026, 11, 23, 7, 59, 59, 0, time.UTC)
	for _, c := range []struct {
		spec sender.Spec
		name string // "": no budget
	}{
		{sender.Spec{ID: "shop", Channel: "sms"}, ""},
		{sender.Spec{ID: "shop", Channel: "sms", TenDLC: &tendlc.Spec{Class: "A"}}, ""},
		{sender.Spec{ID: "shop", Channel: "sms", TenDLC: &tendlc.Spec{PerDay: 5}}, "sender~shop"},
		{sender.Spec{ID: "shop", Channel: "sms", TenDLC: &tendlc.Spec{PerDay: 5, Brand: "acme"}}, "brand~acme"},
	} {
		b, err := r.Gate.Budget(&c.spec, at)
		rig.Must(t, err)
		if b.Name != c.name || c.name != "" && (b.Limit != 5 || b.Day.Name != "2026-11-22" || !b.Day.End.Equal(at.Add(time.Second))) {
			t.Errorf("%+v: %+v", c.spec.TenDLC, b)
		}
	}
}

// TestUnitsAreCharged compares the pace of calls that count as one with that of
// calls that count as three.
func TestUnitsAreCharged(t *testing.T) {
	r := rig.Open(t, engines)
	r.Project(t, nil)
	r.Rested(t)
	c := rate.Limit{PerSecond: 20, Burst: 1}.Call()
	s, err := r.Gate.Take(t.Context(), gate.Ask{Sender: "shop", Charge: c, Units: []int{3, 1, 2, 99, 1}})
	rig.Must(t, err)
	if len(s.Slots) != 4 || s.Place.IsZero() || s.Spent {
		t.Fatalf("%d slots, place %s; want four and a place for the one behind 99", len(s.Slots), s.Place)
	}
	for i, want := range []int64{3, 1, 2} {
		if got := s.Slots[i+1].From.Sub(s.Slots[i].From).Microseconds(); got != want*c.Cost {
			t.Errorf("call %d takes %d µs, want %d", i, got, want*c.Cost)
		}
	}
}

func TestBudgetNeedsRedis(t *testing.T) {
	r, b := counted(t, 1, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, lost := r.Gate.Lost(ctx, b)
	for _, err := range []error{r.Gate.Return(ctx, b, 1), r.Gate.Found(ctx, "e", b, 1), lost} {
		if err == nil || !strings.Contains(err.Error(), "budget") {
			t.Errorf("%v", err)
		}
	}
}
