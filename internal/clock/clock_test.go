package clock

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

const ns = time.Nanosecond

// at is a moment at which the wall's clock was set forward by step since 0.
func at(mono, step time.Duration) Instant {
	return Instant{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC).Add(mono + step), mono}
}

// told is what a witness said that is ahead by a while, in an answer of no time.
func told(ahead time.Duration, now Instant) Span { return Compare(now.Wall.Add(ahead), 0, now, now) }

func TestCheck(t *testing.T) {
	t.Parallel()
	second := slack(time.Second)
	for name, c := range map[string]struct {
		spans map[string]Span
		now   Instant
		by    time.Duration // 0: believed
	}{
		"alike":                       {map[string]Span{Store: told(0, at(0, 0))}, at(0, 0), 0},
		"ahead by the limit":          {map[string]Span{Store: told(Limit, at(0, 0))}, at(0, 0), 0},
		"ahead by more":               {map[string]Span{Store: told(Limit+ns, at(0, 0))}, at(0, 0), Limit + ns},
		"behind by the limit":         {map[string]Span{Store: told(-Limit, at(0, 0))}, at(0, 0), 0},
		"behind by more":              {map[string]Span{Store: told(-Limit-ns, at(0, 0))}, at(0, 0), -Limit - ns},
		"set forward by the limit":    {map[string]Span{Store: told(0, at(0, 0))}, at(time.Second, Limit+second), 0},
		"set forward by more":         {map[string]Span{Store: told(0, at(0, 0))}, at(time.Second, Limit+second+ns), -Limit - second - ns},
		"set back by the limit":       {map[string]Span{Store: told(0, at(0, 0))}, at(time.Second, -Limit-second), 0},
		"set back by more":            {map[string]Span{Store: told(0, at(0, 0))}, at(time.Second, -Limit-second-ns), Limit + second + ns},
		"set right after it was off":  {map[string]Span{Store: told(time.Hour, at(0, 0))}, at(time.Second, time.Hour), 0},
		"a second witness disagrees":  {map[string]Span{Store: told(0, at(0, 0)), "platform": told(time.Hour, at(0, 0))}, at(0, 0), time.Hour},
		"one that speaks no more":     {map[string]Span{Store: told(0, at(patience, 0)), "platform": told(time.Hour, at(0, 0))}, at(patience+ns, 0), 0},
		"one that spoke lately":       {map[string]Span{Store: told(0, at(patience, 0)), "platform": told(time.Hour, at(0, 0))}, at(patience, 0), time.Hour},
		"a slow answer proves little": {map[string]Span{Store: Compare(at(0, 0).Wall, 0, at(0, 0), at(5*time.Second, 0))}, at(5*time.Second, 0), 0},
		"nor does a coarse one":       {map[string]Span{Store: told(0, at(0, 0)), "platform": Compare(at(0, 0).Wall.Add(-2*time.Second), time.Second, at(0, 0), at(0, 0))}, at(0, 0), 0},
	} {
		w := New(slog.New(slog.DiscardHandler))
		w.spans = c.spans
		err := w.check(c.now)
		off, isOff := errors.AsType[*Off](err)
		switch {
		case c.by == 0 && err != nil, c.by != 0 && !isOff:
			t.Errorf("%s: %v", name, err)
		case isOff && off.By != c.by:
			t.Errorf("%s: off by %v, want %v", name, off.By, c.by)
		}
	}
}

func TestNothingIsBelievedUnheard(t *testing.T) {
	t.Parallel()
	w := New(slog.New(slog.DiscardHandler))
	if err := w.check(at(0, 0)); !errors.Is(err, ErrUnheard) {
		t.Errorf("before anything was heard: %v", err)
	}
	w.spans["platform"] = told(0, at(0, 0))
	if err := w.check(at(0, 0)); !errors.Is(err, ErrUnheard) {
		t.Errorf("without the store: %v", err)
	}
	w.spans[Store] = told(0, at(0, 0))
	if err := w.check(at(patience, 0)); err != nil {
		t.Errorf("while the answer serves: %v", err)
	}
	if err := w.check(at(patience+ns, 0)); !errors.Is(err, ErrUnheard) {
		t.Errorf("after that: %v", err)
	}
}

// TestAgreed sets clocks after they agreed: the time runs on from there, whoever
// is set, until they agree anew.
func TestAgreed(t *testing.T) {
	t.Parallel()
	w := New(slog.New(slog.DiscardHandler))
	hear := func(theirs, now Instant) { w.hear(Store, Compare(theirs.Wall, 0, now, now)) }
	expect := func(what string, now, want Instant, agreed bool) {
		t.Helper()
		if got, ok := w.agreedAt(now); !got.Equal(want.Wall) || ok != agreed {
			t.Errorf("%s: %v, %v; want %v", what, got, ok, want.Wall)
		}
	}
	const s, hour = time.Second, time.Hour
	expect("nobody was heard", at(1*s, 0), at(1*s, 0), false)
	hear(at(2*s, hour), at(2*s, 0))
	expect("they never agreed", at(3*s, 0), at(3*s, 0), false)
	hear(at(4*s, 0), at(4*s, 0))
	expect("they agree", at(5*s, 0), at(5*s, 0), true)
	expect("this one was set", at(6*s, hour), at(6*s, 0), true)
	expect("back", at(7*s, -hour), at(7*s, 0), true)
	hear(at(8*s, 0), at(8*s, hour))
	expect("and heard", at(9*s, hour), at(9*s, 0), true)
	hear(at(10*s, hour), at(10*s, 0))
	expect("the other was set", at(11*s, 0), at(11*s, 0), true)
	expect("both, one after the other", at(12*s, hour), at(12*s, hour), true)
	hear(at(13*s, hour), at(13*s, hour))
	expect("and heard", at(14*s, 0), at(14*s, hour), true)
	expect("unheard for long", at(2*hour, 0), at(2*hour, hour), true)
}

// TestSpanHoldsTheTruth asks a clock that is ahead by some while, with some
// delay, by a machine whose own clock is set meanwhile: what is certain of the
// difference is never more than it.
func TestSpanHoldsTheTruth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		some := func(name string, most time.Duration) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(most)).Draw(t, name))
		}
		ahead := some("ahead", 2*time.Hour) - time.Hour
		asked, there, back := some("asked", time.Minute), some("there", time.Second), some("back", time.Second)
		grain := time.Duration(rapid.SampledFrom([]int{0, 1000, int(time.Second)}).Draw(t, "grain"))
		says := at(asked+there, ahead).Wall
		if grain > 0 {
			says = says.Truncate(grain)
		}
		s := Compare(says, grain, at(asked, 0), at(asked+there+back, 0))
		step := some("step", 2*time.Hour) - time.Hour
		now := s.By(at(asked+some("later", time.Hour)+2*time.Second, step))
		if truth := ahead - step; truth < now.Low || truth > now.High {
			t.Fatalf("ahead by %v, and said to be between %v and %v", truth, now.Low, now.High)
		}
		set := some("set", 2*time.Hour) - time.Hour
		later := asked + 3*time.Second
		again := Compare(at(later, ahead+set).Wall, 0, at(later, step), at(later, step))
		if by := again.Moved(s); by.Abs() > set.Abs() || by != 0 && (by < 0) != (set < 0) {
			t.Fatalf("it was set by %v, and said to be by %v", set, by)
		}
	})
}

func TestSteady(t *testing.T) {
	t.Parallel()
	const limit = 50 * time.Millisecond
	before := told(time.Hour, at(0, 0))
	for name, c := range map[string]struct {
		ahead, step time.Duration
		want        bool
	}{
		"as before":                    {time.Hour, 0, true},
		"set up to the limit":          {time.Hour + limit + slack(time.Second), 0, true},
		"set further":                  {time.Hour + limit + slack(time.Second) + ns, 0, false},
		"set back up to the limit":     {time.Hour - limit - slack(time.Second), 0, true},
		"set back further":             {time.Hour - limit - slack(time.Second) - ns, 0, false},
		"this machine's alone was set": {2 * time.Hour, -time.Hour, true},
	} {
		if got := told(c.ahead, at(time.Second, c.step)).Steady(before, limit); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestRun lets a witness be off for a while, and away for another.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := New(slog.New(slog.NewTextHandler(&log, nil)))
		var ahead atomic.Int64
		var away atomic.Bool
		store := func(context.Context) (time.Time, error) {
			if away.Load() {
				return time.Time{}, errors.New("away")
			}
			return time.Now().Add(time.Duration(ahead.Load())).Round(0), nil
		}
		ctx, stop := context.WithCancel(t.Context())
		go w.Run(ctx, store)
		if err := w.Until(ctx, true); err != nil {
			t.Error(err)
		}
		ahead.Store(int64(time.Hour))
		err := w.Until(ctx, false)
		if err == nil || !strings.Contains(err.Error(), "is 1h0m0s behind that of NATS") {
			t.Errorf("off by an hour: %v", err)
		}
		if got := w.Skew(time.Now()); got != time.Hour {
			t.Errorf("the skew is %v", got)
		}
		ahead.Store(0)
		if err := w.Until(ctx, true); err != nil {
			t.Error(err)
		}
		away.Store(true)
		began := time.Now()
		if err := w.Until(ctx, false); !errors.Is(err, ErrUnheard) || time.Since(began) < patience-every {
			t.Errorf("away for %v: %v", time.Since(began), err)
		}
		time.Sleep(2 * every) // in no time
		stop()
		synctest.Wait()
		if n := strings.Count(log.String(), "holds everything"); n != 3 || strings.Count(log.String(), "can be believed again") != 2 {
			t.Errorf("it was said %d times that everything is held:\n%s", n, log.String())
		}
	})
}
