package deliver

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/reason"
)

func tooFast(app bool) channel.Result {
	return channel.Result{Outcome: channel.Refused, Action: channel.SlowSender, Reason: reason.RateCapped, After: time.Minute, App: app}
}

// pace is what a sender uses of its rate.
func (w *world) pace(s *sender.Spec) int {
	w.t.Helper()
	paces, err := w.Gate.Paces(w.t.Context(), []*sender.Spec{s})
	rig.Must(w.t, err)
	return paces[0]
}

// What is said of the app slows the app, where the sender names one; everything
// else slows the sender.
func TestWhoseQuotaItIs(t *testing.T) {
	w := newWorld(t, 0, false)
	ok := func(own, app int) channel.Result {
		return channel.Result{Outcome: channel.Accepted, MessageID: "m", Usage: own, AppUsage: app}
	}
	full := tooFast(false)
	full.Usage = 100
	spent := tooFast(false)
	spent.Reason = reason.BudgetSpent
	for i, c := range []struct {
		name     string
		answers  []channel.Result
		own, app int
		alone    int // of a sender that names no app
	}{
		{"used up to 89 %", []channel.Result{ok(89, 89)}, 100, 100, 100},
		{"used up to 90 %", []channel.Result{ok(0, 0), ok(90, 0), ok(95, 0)}, 80, 100, 80},
		{"the app's used up to 90 %", []channel.Result{ok(0, 90)}, 100, 80, 80},
		{"used up, and no answer", []channel.Result{{Reason: reason.OutcomeUnknown, Usage: 100}}, 80, 100, 80},
		{"too fast", []channel.Result{ok(0, 0), tooFast(false), tooFast(false)}, 50, 100, 50},
		{"too fast, and used up", []channel.Result{full}, 50, 100, 50},
		{"the app is too fast", []channel.Result{tooFast(true)}, 100, 50, 50},
		{"both are too fast", []channel.Result{tooFast(true), tooFast(false)}, 50, 50, 50},
		{"a day's budget is spent", []channel.Result{spent}, 100, 100, 100},
		{"to be tried later", []channel.Result{{Outcome: channel.Refused, Action: channel.Retry, Reason: reason.RateCapped}}, 100, 100, 100},
	} {
		alone := &sender.Spec{ID: fmt.Sprint("alone-", i)}
		named := &sender.Spec{ID: fmt.Sprint("named-", i), AppSecret: fmt.Sprint("env:APP", i)}
		for _, s := range []*sender.Spec{alone, named} {
			(&run{Worker: w.worker, source: job.Source{Sender: s.ID}, app: s.App()}).adapt(t.Context(), c.answers)
		}
		neighbour := &sender.Spec{ID: "neighbour", AppSecret: named.AppSecret}
		if got := w.pace(alone); got != c.alone {
			t.Errorf("%s: without an app %d, want %d", c.name, got, c.alone)
		}
		if got, want := w.pace(named), min(c.own, c.app); got != want {
			t.Errorf("%s: %d, want %d", c.name, got, want)
		}
		if got := w.pace(neighbour); got != c.app {
			t.Errorf("%s: another sender of the app %d, want %d", c.name, got, c.app)
		}
	}
}

// A refusal for being too fast slows the sender, what goes out then goes at the
// lower pace, and it comes back to the full one.
func TestSlowsAndComesBack(t *testing.T) {
	w := newWorld(t, 17, false)
	bakery := &sender.Spec{ID: "bakery"}
	rdb, rate := engines.Redis.Client, w.Keys.Rate("bakery")
	w.answer = func(channel.Message) channel.Result { return tooFast(false) }
	w.deliver(w.refs()[:1])
	w.want(0, job.Pending, reason.RateCapped, 1)
	if got := w.pace(bakery); got != 50 {
		t.Fatalf("a pace of %d after the refusal, want 50", got)
	}

	// The pause is over, and the pace the lowest, which is easier to see.
	rig.Must(t, rdb.Del(t.Context(), rate+":slow").Err())
	recovers := func(since time.Duration) {
		rig.Must(t, rdb.Set(t.Context(), rate+":pace", fmt.Sprint("5 ", time.Now().Add(-since).UnixMicro(), " 0"), 0).Err())
	}
	recovers(-time.Hour)
	began := time.Now()
	var once sync.Once
	var busy time.Duration // until when the calls fill the rate
	w.answer = func(m channel.Message) channel.Result {
		once.Do(func() {
			tat, err := rdb.Get(t.Context(), rate).Int64()
			rig.Must(t, err)
			busy = time.UnixMicro(tat).Sub(began)
		})
		return accept(m)
	}
	w.deliver(w.refs()[1:16])
	for i := 1; i < 16; i++ {
		w.want(i, job.Sent, "", 1)
	}
	if least := 15 * 20 * time.Millisecond; busy < least {
		t.Errorf("15 calls at 5 %% of 1,000 a second fill %s of the rate, want %s at least", busy, least)
	}

	recovers(100 * time.Second)
	if got := w.pace(bakery); got != 55 {
		t.Errorf("a pace of %d after a hundred seconds, want 55", got)
	}
	recovers(time.Hour)
	w.deliver(w.refs()[16:])
	w.want(16, job.Sent, "", 1)
	if got := w.pace(bakery); got != 100 {
		t.Errorf("a pace of %d in the end, want 100", got)
	}
}
