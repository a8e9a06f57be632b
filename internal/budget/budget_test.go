package budget_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/budget"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/rate"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/tendlc"
)

const limit = 1000

// shop is a sender with a cap, of a brand or on its own.
func shop(id, brand string) string {
	return fmt.Sprintf("kind: Sender\nid: %s\nchannel: sms\naccount: \"+14155550100\"\naccount_sid: AC%032d\ncredential: env:SHOP\n"+
		"capabilities: [ten_dlc]\nten_dlc: {per_day: %d, brand: %q}\n", id, 0, limit, brand)
}

// move is a record of a job: where it goes, when, and what its claim counts.
type move struct {
	state    job.State
	age      time.Duration // before now
	segments int
}

// recorded writes the moves of one job.
func recorded(t testing.TB, r *rig.Rooms, id job.ID, now time.Time, moves ...move) {
	from, seq := job.Pending, uint64(0)
	for _, m := range moves {
		rec := ledger.Record{State: m.state, From: from, Prev: seq, At: now.Add(-m.age), Segments: m.segments}
		seq, from = r.Record(t, id, rec), m.state
	}
}

// left takes what is left of a sender's budget and says how much it was.
func left(t testing.TB, r *rig.Rooms, id string, now time.Time) int {
	s, _, err := r.Defs.Sender(t.Context(), id)
	rig.Must(t, err)
	b, err := r.Gate.Budget(s, now)
	rig.Must(t, err)
	c := rate.Limit{PerSecond: 100_000, Burst: 1}.Call()
	for n := 0; ; {
		got, err := r.Gate.Take(t.Context(), gate.Ask{Sender: id, Charge: c, Units: gate.Ones(limit), Budget: b})
		rig.Must(t, err)
		if n += len(got.Slots); got.Spent {
			return n
		}
	}
}

// forget makes Redis lose a budget.
func forget(t testing.TB, r *rig.Rooms, name string) {
	rig.Must(t, engines.Redis.Client.Del(t.Context(), r.Keys.Rate("day~"+name)).Err())
}

// found looks until the budget of a sender is known.
func found(t *testing.T, r *rig.Rooms, k *budget.Keeper, id string, now time.Time) {
	t.Helper()
	rig.Until(t, "the budget is counted", func() bool {
		rig.Must(t, k.Look(t.Context()))
		s, _, err := r.Defs.Sender(t.Context(), id)
		rig.Must(t, err)
		b, err := r.Gate.Budget(s, now)
		rig.Must(t, err)
		_, err = r.Gate.Take(t.Context(), gate.Ask{Sender: id, Charge: rate.Limit{PerSecond: 1, Burst: 1}.Call(), Budget: b})
		if err != nil && !errors.Is(err, facts.ErrRebuilding) {
			t.Fatal(err)
		}
		return err == nil
	})
}

// opened is an installation with senders, and a keeper of their budgets. Its
// clock stands still in the middle of a day.
func opened(t *testing.T, yaml string, now time.Time) (*rig.Rooms, *budget.Keeper) {
	t.Helper()
	r := rig.Open(t, engines)
	r.Apply(t, yaml)
	r.Project(t, nil)
	return r, &budget.Keeper{Gate: r.Gate, Ledger: r.Ledger, Defs: r.Defs, Log: r.Log, Now: func() time.Time { return now }}
}

func TestWhatCounts(t *testing.T) {
	now := time.Now()
	zone, err := tendlc.Pacific()
	rig.Must(t, err)
	today := now.Sub(tendlc.DayOf(now, zone).Start)
	cases := []struct {
		name  string
		moves []move
		want  int
	}{
		{"sent", []move{{job.Claimed, 0, 2}, {job.Sent, 0, 0}}, 2},
		{"delivered", []move{{job.Claimed, 0, 1}, {job.Sent, 0, 0}, {job.Delivered, 0, 0}}, 1},
		{"failed by a carrier, later", []move{{job.Claimed, 0, 3}, {job.Sent, 0, 0}, {job.Failed, 0, 0}}, 3},
		{"unknown", []move{{job.Claimed, 0, 4}, {job.Unknown, 0, 0}}, 4},
		{"on its way", []move{{job.Claimed, 0, 5}}, 5},
		{"refused", []move{{job.Claimed, 0, 6}, {job.Failed, 0, 0}}, 0},
		{"back, never left", []move{{job.Claimed, 0, 7}, {job.Pending, 0, 0}}, 0},
		{"back, then sent", []move{{job.Claimed, 0, 7}, {job.Pending, 0, 0}, {job.Claimed, 0, 8}, {job.Sent, 0, 0}}, 8},
		{"unknown, and sent again", []move{{job.Claimed, 0, 9}, {job.Unknown, 0, 0}, {job.Pending, 0, 0}, {job.Claimed, 0, 9}, {job.Sent, 0, 0}}, 18},
		{"never claimed", []move{{job.Blocked, 0, 0}}, 0},
		{"the day's first instant", []move{{job.Claimed, today, 10}, {job.Sent, 0, 0}}, 10},
		{"the instant before", []move{{job.Claimed, today + 1, 11}, {job.Sent, 0, 0}}, 0},
	}
	var docs []string
	for i := range cases {
		docs = append(docs, shop(fmt.Sprintf("s%d", i), ""))
	}
	r, k := opened(t, strings.Join(docs, "---\n"), now)
	for i, c := range cases {
		id := fmt.Sprintf("s%d", i)
		b := r.Running(t, broadcast.Spec{ID: "b-" + id, Sender: id, Message: message.Message{Text: "Hi"}}, nil)
		recorded(t, r, b.Source().Job(r.Facts.Key(id, "+14155550101")), now, c.moves...)
	}
	for i, c := range cases {
		id := fmt.Sprintf("s%d", i)
		found(t, r, k, id, now)
		if got := limit - left(t, r, id, now); got != c.want {
			t.Errorf("%s: %d spent, want %d", c.name, got, c.want)
		}
	}
}

// TestABrandHasOneDay counts two senders of a brand together, and a third alone.
func TestABrandHasOneDay(t *testing.T) {
	now := time.Now()
	r, k := opened(t, shop("east", "acme")+"---\n"+shop("west", "acme")+"---\n"+shop("other", ""), now)
	for i, id := range []string{"east", "west", "other"} {
		b := r.Running(t, broadcast.Spec{ID: "b-" + id, Sender: id, Message: message.Message{Text: "Hi"}}, nil)
		recorded(t, r, b.Source().Job(r.Facts.Key(id, "+14155550101")), now, move{job.Claimed, 0, 1 + i}, move{job.Sent, 0, 0})
	}
	for _, id := range []string{"east", "west", "other"} {
		found(t, r, k, id, now)
	}
	if got := limit - left(t, r, "west", now); got != 1+2 {
		t.Errorf("the brand spent %d, want 3", got)
	}
	if n := left(t, r, "east", now); n != 0 {
		t.Errorf("its other sender has %d left of a spent day", n)
	}
	if got := limit - left(t, r, "other", now); got != 3 {
		t.Errorf("the other sender spent %d, want 3", got)
	}
}

// TestWhatRedisKnewIsWhatTheLedgerSays draws what becomes of messages, as the
// gate is told of it, and holds the budget that Redis has against the one that is
// counted after it was lost.
func TestWhatRedisKnewIsWhatTheLedgerSays(t *testing.T) {
	now := time.Now()
	r, k := opened(t, shop("shop", ""), now)
	found(t, r, k, "shop", now)
	s, _, err := r.Defs.Sender(t.Context(), "shop")
	rig.Must(t, err)
	b, err := r.Gate.Budget(s, now)
	rig.Must(t, err)
	c := rate.Limit{PerSecond: 100_000, Burst: 1}.Call()
	n, spent := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		if n >= 40 { // a ledger of that many tells as much
			return
		}
		n++
		units := rapid.IntRange(1, 5).Draw(rt, "segments")
		end := rapid.SampledFrom([]job.State{job.Claimed, job.Sent, job.Unknown, job.Failed, job.Pending, job.Held}).Draw(rt, "end")
		if got, err := r.Gate.Take(t.Context(), gate.Ask{Sender: "shop", Charge: c, Units: []int{units}, Budget: b}); err != nil || len(got.Slots) != 1 {
			rt.Fatalf("%+v, %v", got, err)
		}
		moves := []move{{job.Claimed, 0, units}}
		if end != job.Claimed {
			moves = append(moves, move{state: end})
		}
		src := r.Running(t, broadcast.Spec{ID: fmt.Sprintf("b%d", n), Sender: "shop", Message: message.Message{Text: "Hi"}}, nil)
		recorded(t, r, src.Source().Job(r.Facts.Key("shop", "+14155550101")), now, moves...)
		if spent += units; end == job.Failed || end == job.Pending || end == job.Held {
			spent -= units
			rig.Must(t, r.Gate.Return(t.Context(), b, units))
		}
	})
	known := left(t, r, "shop", now)
	forget(t, r, b.Name)
	found(t, r, k, "shop", now)
	if counted := left(t, r, "shop", now); counted != known || counted != limit-spent {
		t.Errorf("Redis knew of %d left, the ledger says %d, want %d", known, counted, limit-spent)
	}
}

// TestRunSaysOnceThatItCannot has a keeper without a ledger to read.
func TestRunSaysOnceThatItCannot(t *testing.T) {
	r, k := opened(t, shop("shop", ""), time.Now())
	var log lines
	k.Log = slog.New(slog.NewTextHandler(&log, nil))
	rig.Until(t, "the budget is lost", func() bool { return r.View.Open(t.Context()) == nil })
	stop := rig.Loop(t, func(ctx context.Context) error { k.Run(ctx); return nil })
	rig.Until(t, "it is counted", func() bool { return strings.Contains(log.String(), "was counted") })
	stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.Look(ctx); err == nil {
		t.Error("a keeper that may not read says that all is well")
	}
	if s := log.String(); strings.Contains(s, "WARN") {
		t.Errorf("it warns of its own end: %s", s)
	}
}

// lines is a buffer that many write to.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
