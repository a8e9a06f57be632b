package outlet

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/push"
)

var errTest = errors.New("answered 500") //nolint:gochecknoglobals // a value

func moment(after time.Duration) time.Time {
	return time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC).Add(after)
}

func TestNext(t *testing.T) {
	t.Parallel()
	full := make([]Push, maxWaiting)
	for i := range full {
		full[i].Next = moment(time.Hour + time.Duration(i))
	}
	for name, c := range map[string]struct {
		st   State
		news bool
		do   step
		i    int
		wait time.Duration
	}{
		"nothing":             {State{}, false, rest, 0, lastRest},
		"news":                {State{}, true, begin, 0, 0},
		"off":                 {State{Off: "x", Waiting: []Push{{}}}, true, rest, 0, lastRest},
		"resting":             {State{Rest: moment(1), Waiting: []Push{{}}}, true, rest, 0, 1},
		"rested":              {State{Rest: moment(0)}, true, begin, 0, 0},
		"due":                 {State{Waiting: []Push{{Next: moment(1)}, {Next: moment(0)}}}, true, try, 1, 0},
		"a moment before due": {State{Waiting: []Push{{Next: moment(1)}}}, false, rest, 0, 1},
		"others pass":         {State{Waiting: []Push{{Next: moment(1)}}}, true, begin, 0, 0},
		"room for one":        {State{Waiting: full[:maxWaiting-1]}, true, begin, 0, 0},
		"full":                {State{Waiting: full}, true, try, 0, 0},
		"full, no news":       {State{Waiting: full}, false, try, 0, 0},
	} {
		if do, i, wait := c.st.next(moment(0), c.news); do != c.do || i != c.i || wait != c.wait {
			t.Errorf("%s: %d, %d, %v; want %d, %d, %v", name, do, i, wait, c.do, c.i, c.wait)
		}
	}
}

// TestSchedule walks one push through every try of the standard's schedule.
func TestSchedule(t *testing.T) {
	t.Parallel()
	pt := Standard()
	st, now := State{Taken: moment(0), Waiting: []Push{{ID: "m"}}}, moment(0)
	for n, want := range pt.Waits {
		if dead := st.failed(0, push.Result{Err: errTest, Status: 500}, now, pt, 0); dead != nil {
			t.Fatalf("given up after try %d", n+1)
		}
		if p := st.Waiting[0]; p.Next.Sub(now) != want || p.Attempts != n+1 || p.First != moment(0) || p.Status != 500 || st.Error != "answered 500" {
			t.Errorf("after try %d: %+v, want to wait %v", n+1, p, want)
		}
		now = st.Waiting[0].Next
	}
	st.Taken = now // others were taken meanwhile
	if dead := st.failed(0, push.Result{Err: errTest}, now, pt, 0); dead == nil || dead.Attempts != 10 || len(st.Waiting) != 0 || st.Off != "" {
		t.Errorf("after the last try: %+v, %+v", dead, st)
	}
	if spread := now.Sub(moment(0)); spread < pt.GiveUp {
		t.Errorf("tries are over after %v, want %v at the least", spread, pt.GiveUp)
	}
}

func TestGivingUp(t *testing.T) {
	t.Parallel()
	pt := Patience{Waits: []time.Duration{time.Minute}, GiveUp: time.Hour, Rest: time.Second}
	for name, c := range map[string]struct {
		st   State
		dead bool
		off  bool
	}{
		"tries are left":              {State{Waiting: []Push{{First: moment(-time.Hour)}}}, false, false},
		"a moment too early":          {State{Waiting: []Push{{Attempts: 1, First: moment(1 - time.Hour)}}}, false, false},
		"nothing taken meanwhile":     {State{Taken: moment(-time.Hour), Waiting: []Push{{Attempts: 1, First: moment(-time.Hour)}}}, true, true},
		"something was taken since":   {State{Taken: moment(1 - time.Hour), Waiting: []Push{{Attempts: 1, First: moment(-time.Hour)}}}, true, false},
		"tried often, in a long lull": {State{Waiting: []Push{{Attempts: 99, First: moment(-time.Minute)}}}, false, false},
	} {
		dead := c.st.failed(0, push.Result{Err: errTest}, moment(0), pt, 1)
		if (dead != nil) != c.dead || (c.st.Off != "") != c.off || len(c.st.Waiting) != 1 && !c.dead {
			t.Errorf("%s: %+v, %+v", name, dead, c.st)
		}
	}
}

func TestGone(t *testing.T) {
	t.Parallel()
	st := State{Waiting: []Push{{ID: "m"}}}
	if dead := st.failed(0, push.Result{Err: errTest, Status: 410}, moment(0), Standard(), 0); dead != nil || !strings.Contains(st.Off, "410") || len(st.Waiting) != 1 {
		t.Errorf("%+v, %+v", dead, st)
	}
	st.turnOn()
	if do, i, _ := st.next(moment(0), false); do != try || i != 0 {
		t.Errorf("turned on: %d %d", do, i)
	}
}

// TestRecovery: after an outage what waits for hours goes soon; after one push
// that was refused it does not, or it would be tried all the time.
func TestRecovery(t *testing.T) {
	t.Parallel()
	for failures, want := range map[int]time.Duration{outage - 1: 10 * time.Hour, outage: lastRest} {
		st := State{Failures: failures, Waiting: []Push{{}, {Last: moment(0), Next: moment(10 * time.Hour)}}}
		if st.took(0, moment(time.Second)); st.Waiting[0].Next != moment(want) || st.Failures != 0 || st.Taken != moment(time.Second) {
			t.Errorf("after %d failures: %+v", failures, st)
		}
	}
}

func TestPauseIsHonoured(t *testing.T) {
	t.Parallel()
	st := State{Waiting: []Push{{}}}
	st.failed(0, push.Result{Err: errTest, Status: 429, Pause: time.Hour}, moment(0), Standard(), 0)
	if st.Rest != moment(time.Hour) || st.Waiting[0].Next != moment(time.Hour) {
		t.Errorf("%+v", st)
	}
}

// TestStateIsBounded: whatever the endpoint answers, as many pushes wait as
// may, each is taken or given up, and the pump always finds something to do in
// time.
func TestStateIsBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		st, now, begun, ended := State{}, moment(0), 0, 0
		pt := Patience{Waits: []time.Duration{time.Second, time.Hour}, GiveUp: 2 * time.Hour, Rest: time.Second}
		for range rapid.IntRange(1, 200).Draw(rt, "steps") {
			do, i, wait := st.next(now, rapid.Bool().Draw(rt, "news"))
			switch do {
			case begin:
				st.Waiting, begun = append(st.Waiting, Push{ID: "m"}), begun+1
			case try:
				if rapid.Bool().Draw(rt, "taken") {
					st.took(i, now)
					ended++
				} else if st.failed(i, push.Result{Err: errTest}, now, pt, rapid.Float64Range(0, 1).Draw(rt, "spread")) != nil {
					ended++
				}
			case rest:
				if wait <= 0 || wait > 2*time.Hour {
					rt.Fatalf("rests for %v", wait)
				}
				now = now.Add(wait)
				if st.Off != "" {
					st.turnOn()
				}
			}
			if len(st.Waiting) > maxWaiting || begun != ended+len(st.Waiting) {
				rt.Fatalf("%d begun, %d ended, %d wait", begun, ended, len(st.Waiting))
			}
		}
	})
}
