package gate_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/rate"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/sender"
)

const second = int64(time.Second / time.Microsecond)

// readPace reads a kept pace at a moment that the test names.
func readPace(t *testing.T, kept string, now int64) int64 {
	t.Helper()
	script := redis.NewScript(gate.PaceLua() + "return (pace(ARGV[1], tonumber(ARGV[2])))")
	n, err := script.Run(t.Context(), engines.Redis.Client, nil, kept, now).Int64()
	rig.Must(t, err)
	return n
}

// From its moment on a pace comes back by five percent every ten seconds.
func TestPaceRecovers(t *testing.T) {
	const from = int64(1_800_000_000_000_000)
	for _, c := range []struct {
		kept string
		now  int64
		want int64
	}{
		{fmt.Sprint("50 ", from, " 0"), from - 3600*second, 50},
		{fmt.Sprint("50 ", from, " 0"), from, 50},
		{fmt.Sprint("50 ", from, " 0"), from + 10*second - 1, 50},
		{fmt.Sprint("50 ", from, " 0"), from + 10*second, 55},
		{fmt.Sprint("50 ", from, " 0"), from + 20*second - 1, 55},
		{fmt.Sprint("50 ", from, " ", from), from + 100*second - 1, 95},
		{fmt.Sprint("50 ", from, " ", from), from + 100*second, 100},
		{fmt.Sprint("50 ", from, " 0"), from + 3600*second, 100},
		{fmt.Sprint("98 ", from, " 0"), from + 10*second, 100},
		{fmt.Sprint("5 ", from, " 0"), from + 190*second - 1, 95},
		{fmt.Sprint("5 ", from, " 0"), from + 190*second, 100},
		{fmt.Sprint("0 ", from, " 0"), from, 5}, // never written: it would stand still
		{"", from, 100},
		{"fast", from, 100},
	} {
		if got := readPace(t, c.kept, c.now); got != c.want {
			t.Errorf("%q %+d µs from its moment: %d, want %d", c.kept, c.now-from, got, c.want)
		}
	}
}

// at is a kept pace: its moments are so far from now.
func at(pace int, from, rests time.Duration) string {
	now := time.Now()
	return fmt.Sprint(pace, " ", now.Add(from).UnixMicro(), " ", now.Add(rests).UnixMicro())
}

// A rate error halves, once in a pause; a high usage takes a fifth, once in ten
// seconds; neither goes below the floor, and one does not wait for the other.
func TestPaceIsCut(t *testing.T) {
	r := rig.Open(t, engines)
	rdb, key := engines.Redis.Client, r.Keys.Rate("a")+":pace"
	halve := func() error { return r.Gate.Halve(t.Context(), "a", time.Hour) }
	for _, c := range []struct {
		name string
		kept func() string // nil: nothing
		want int           // after a rate error
		ease int           // after a high usage instead
	}{
		{"full", nil, 50, 80},
		{"in a pause", func() string { return at(50, time.Hour, time.Hour) }, 50, 50},
		{"after a pause", func() string { return at(50, -time.Millisecond, -time.Millisecond) }, 25, 40},
		{"recovered in part", func() string { return at(50, -25*time.Second, -25*time.Second) }, 30, 48},
		{"recovered in full", func() string { return at(50, -time.Hour, -time.Hour) }, 50, 80},
		{"eased just now", func() string { return at(80, time.Hour, -time.Hour) }, 40, 80},
		{"rounded down", func() string { return at(25, 0, 0) }, 12, 20},
		{"near the floor", func() string { return at(6, 0, 0) }, 5, 5},
		{"at the floor", func() string { return at(5, 0, 0) }, 5, 5},
	} {
		for cut, want := range map[string]int{"halved": c.want, "eased": c.ease} {
			rig.Must(t, rdb.Del(t.Context(), key).Err())
			if c.kept != nil {
				rig.Must(t, rdb.Set(t.Context(), key, c.kept(), 0).Err())
			}
			if cut == "halved" {
				rig.Must(t, halve())
			} else {
				rig.Must(t, gate.New(rdb, r.Keys, r.View, nil).Ease(t.Context(), "a")) // one that eased nothing before
			}
			var got int
			_, err := fmt.Sscan(rdb.Get(t.Context(), key).Val(), &got)
			rig.Must(t, err)
			if got != want {
				t.Errorf("%s, %s: %d, want %d", c.name, cut, got, want)
			}
		}
	}
}

// What is kept lasts as long as it means anything: the pause, and ten seconds
// for each five percent.
func TestPaceIsForgotten(t *testing.T) {
	r := rig.Open(t, engines)
	for _, c := range []struct {
		name  string
		pause time.Duration
		want  time.Duration
	}{{"minute", time.Minute, 160 * time.Second}, {"day", 24 * time.Hour, 24*time.Hour + 100*time.Second}} {
		began := time.Now()
		rig.Must(t, r.Gate.Halve(t.Context(), c.name, c.pause))
		left, err := engines.Redis.Client.PTTL(t.Context(), r.Keys.Rate(c.name)+":pace").Result()
		rig.Must(t, err)
		if left > c.want+time.Second || left < c.want-time.Since(began)-time.Second {
			t.Errorf("%s: kept for %s, want %s", c.name, left, c.want)
		}
	}
}

// Asked again within ten seconds, one process does not ask Redis.
func TestEaseAsksSeldom(t *testing.T) {
	r := rig.Open(t, engines)
	ctx, key := t.Context(), r.Keys.Rate("a")+":pace"
	rig.Until(t, "two usages within ten seconds", func() bool {
		began := time.Now()
		g := gate.New(engines.Redis.Client, r.Keys, r.View, nil)
		rig.Must(t, g.Ease(ctx, "a"))
		rig.Must(t, engines.Redis.Client.Del(ctx, key).Err()) // a second cut could be seen
		rig.Must(t, g.Ease(ctx, "a"))
		kept := engines.Redis.Client.Exists(ctx, key).Val()
		if time.Since(began) >= 10*time.Second {
			return false
		}
		if kept != 0 {
			t.Error("Redis was asked again")
		}
		return true
	})
}

// The pace of an app counts for every sender that names it, and the lower of
// two counts.
func TestAppIsShared(t *testing.T) {
	r := rig.Open(t, engines)
	r.Project(t, nil)
	r.Rested(t)
	ctx, rdb := t.Context(), engines.Redis.Client
	spec := func(id, secret string) *sender.Spec { return &sender.Spec{ID: id, AppSecret: secret} }
	senders := []*sender.Spec{spec("a", "env:APP"), spec("b", "env:APP"), spec("c", "env:OTHER"), spec("d", "")}
	set := func(name string, pace int) {
		rig.Must(t, rdb.Set(ctx, r.Keys.Rate(name)+":pace", at(pace, time.Hour, time.Hour), 0).Err())
	}
	set(senders[0].App(), 50)
	set("b", 25)
	set("c", 80)
	c := rate.Limit{PerSecond: 100, Burst: 1}.Call()
	want := []int{50, 25, 80, 100}
	paces, err := r.Gate.Paces(ctx, senders)
	rig.Must(t, err)
	for i, s := range senders {
		if paces[i] != want[i] {
			t.Errorf("%s has a pace of %d, want %d", s.ID, paces[i], want[i])
		}
		got, err := r.Gate.Take(ctx, gate.Ask{Sender: s.ID, App: s.App(), Charge: c, Units: gate.Ones(2)})
		rig.Must(t, err)
		if len(got.Slots) != 2 {
			t.Fatalf("%s: %d slots", s.ID, len(got.Slots))
		}
		cost := time.Duration((c.Cost*100+int64(want[i])-1)/int64(want[i])) * time.Microsecond
		if apart := got.Slots[1].From.Sub(got.Slots[0].From); apart != cost {
			t.Errorf("%s: slots %s apart, want %s", s.ID, apart, cost)
		}
	}
	if none, err := r.Gate.Paces(ctx, nil); err != nil || len(none) != 0 {
		t.Errorf("of nobody: %v, %v", none, err)
	}
}

// Slots are given back at what they were charged, whatever the pace is by then.
func TestGiveBackAsCharged(t *testing.T) {
	r := rig.Open(t, engines)
	r.Project(t, nil)
	r.Rested(t)
	rapid.Check(t, func(rt *rapid.T) {
		ctx, rdb, key := t.Context(), engines.Redis.Client, r.Keys.Rate("a")
		rig.Must(t, rdb.Del(ctx, key).Err())
		c := rate.Limit{PerSecond: rapid.IntRange(50, 5000).Draw(rt, "per second"), Burst: 1}.Call()
		pace := func(n int) {
			rig.Must(t, rdb.Set(ctx, key+":pace", at(n, time.Hour, time.Hour), 0).Err())
		}
		n := rapid.IntRange(5, 100).Draw(rt, "pace")
		pace(n)
		s, err := r.Gate.Take(ctx, gate.Ask{Sender: "a", Charge: c, Units: gate.Ones(3)})
		rig.Must(t, err)
		before, err := rdb.Get(ctx, key).Int64()
		if err != nil {
			return // it is not kept longer than it means anything
		}
		pace(rapid.IntRange(5, 100).Draw(rt, "pace then"))
		rig.Must(t, r.Gate.Give(ctx, "a", s, 2))
		after, err := rdb.Get(ctx, key).Int64()
		if cost := (c.Cost*100 + int64(n) - 1) / int64(n); err == nil && before-after != 2*cost {
			rt.Fatalf("at a pace of %d two calls of %d µs gave back %d µs", n, c.Cost, before-after)
		}
	})
}
