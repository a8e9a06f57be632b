package flow

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// drawSpec draws a document that is valid.
func drawSpec(t *rapid.T) *Spec {
	s := &Spec{Kind: "Flow", ID: "f", Type: Automation, Sender: "shop", Contact: "event.data.psid", Also: map[string]string{"sms": "event.data.phone"}}
	s.Trigger.Events = []string{"a"}
	switch rapid.IntRange(0, 4).Draw(t, "reentry") {
	case 0:
		s.Reentry.Never = true
	case 1:
		s.Reentry.Key = "event.data.k"
	case 2:
		s.Reentry.After = "2h"
	case 3:
		s.Reentry = Reentry{Key: "event.data.k", After: "90m"}
	}
	flip := func(what string) bool { return rapid.IntRange(0, 3).Draw(t, what) == 0 }
	if s.Reentry != (Reentry{}) && flip("coalesce") {
		s.Coalesce = "20m"
	}
	if flip("frequency") {
		s.Frequency = &Frequency{2, "3h"}
	}
	if flip("exit") {
		s.Exit = []Condition{{Events: []string{"c"}, Where: "event.data.n > 2"}}
	}
	if flip("goal") {
		s.Goal = &Condition{Events: []string{"b", "c"}, Where: "event.data.k == run.event.data.k && event.data.n == 0"}
	}
	if flip("quiet") {
		s.QuietHours = &sender.QuietHours{From: "13:00", To: "14:30"}
	}
	if flip("steps") {
		s.Steps = drawSteps(t, 3)
		return s
	}
	for range rapid.IntRange(1, 3).Draw(t, "criteria") {
		c := Criterion{Do: drawSteps(t, 2), Then: rapid.SampledFrom([]string{"", "next"}).Draw(t, "then")}
		c.When = rapid.SampledFrom([]string{"", "event.data.n > 1", "changed(event.data.n)", "changed(event.data.n, 1, 2)", "event.data.nothing"}).Draw(t, "when")
		if flip("after") {
			c.Schedule = append(c.Schedule, Schedule{After: "45m", Do: drawSteps(t, 1)})
		}
		if flip("date") {
			c.Schedule = append(c.Schedule, Schedule{Date: &Date{Field: "event.data.at", Offset: "-1h"}, Do: drawSteps(t, 1)})
		}
		s.Criteria = append(s.Criteria, c)
	}
	return s
}

func drawSteps(t *rapid.T, depth int) []Step {
	steps := make([]Step, rapid.IntRange(1, 3).Draw(t, "steps"))
	for i := range steps {
		steps[i] = drawStep(t, depth, i == len(steps)-1)
	}
	return steps
}

func drawStep(t *rapid.T, depth int, last bool) Step {
	say := func(from string, more ...Send) Send {
		return Send{Message: message.Message{Text: "x"}, Sender: from, Otherwise: more}
	}
	switch n := rapid.IntRange(0, 15).Draw(t, "step"); {
	case n < 2:
		s := say("", say("sms"))
		return Step{Send: &s}
	case n == 2:
		s := say("nobody")
		return Step{Send: &s}
	case n == 3:
		return Step{Wait: &Wait{For: "30m"}}
	case n == 4:
		return Step{Wait: &Wait{Until: "13:15"}}
	case n == 5:
		return Step{Wait: &Wait{Date: &Date{Field: "event.data.at"}}}
	case n == 6 && depth > 0:
		return Step{Wait: &Wait{Events: []string{"b"}, Where: "event.data.n != 1", Timeout: "40m", Then: drawSteps(t, depth-1), Else: drawSteps(t, depth-1)}}
	case n == 7 && depth > 0:
		return Step{Branch: []Case{{When: "event.data.n == 1", Do: drawSteps(t, depth-1)}, {Do: drawSteps(t, depth-1)}}}
	case n == 8 && depth > 0:
		return Step{Split: []Part{{Weight: 1, Do: drawSteps(t, depth-1)}, {Weight: 2}}}
	case n == 9 && depth > 0:
		return Step{Repeat: &Repeat{AtMost: rapid.IntRange(1, 3).Draw(t, "times"), Do: drawSteps(t, depth-1)}}
	case n == 10:
		return Step{Webhook: &Webhook{Endpoint: "crm", Data: map[string]string{"n": "event.data.n"}}}
	case n == 11:
		return Step{Start: "other"}
	case n == 12:
		return Step{Notify: &Notify{Sender: "team", To: []string{"1", "2"}, Text: "x"}}
	case n == 13 && last:
		return Step{Handover: &Handover{}}
	case n == 14 && last:
		return Step{End: true}
	default:
		return Step{Set: &Set{Labels: map[string]bool{"x": true}, Attributes: map[string]string{"n": "event.data.n"}}}
	}
}

// deed is something that happens to a flow.
type deed struct {
	told  *Told         // an event, or
	pass  time.Duration // time, or
	state job.State     // what came of the nth effect that was asked for
	nth   int
}

func drawDeeds(t *rapid.T) []deed {
	var out []deed
	now := noon()
	for i := range rapid.IntRange(3, 25).Draw(t, "deeds") {
		switch rapid.IntRange(0, 3).Draw(t, "deed") {
		case 0, 1:
			who, n, k := rapid.IntRange(1, 2).Draw(t, "who"), rapid.IntRange(0, 3).Draw(t, "n"), rapid.IntRange(1, 2).Draw(t, "k")
			data := fmt.Sprintf(`{"psid":"%d","phone":"+%d","n":%d,"k":"k%d","at":%q}`, who, who, n, k, now.Add(time.Duration(rapid.IntRange(-2, 5).Draw(t, "at"))*time.Hour).Format(time.RFC3339))
			e := event.Event{Source: "crm", ID: fmt.Sprint("e", i), Type: event.Type(rapid.SampledFrom([]string{"a", "a", "b", "c"}).Draw(t, "type")), Data: json.RawMessage(data)}
			e.Time = now.Add(-time.Duration(rapid.IntRange(0, 1).Draw(t, "late")) * time.Hour)
			out = append(out, deed{told: &Told{Event: e, Seq: uint64(i + 1)}})
		case 2:
			d := time.Duration(rapid.IntRange(1, 100).Draw(t, "minutes")) * time.Minute
			now = now.Add(d)
			out = append(out, deed{pass: d})
		case 3:
			out = append(out, deed{state: rapid.SampledFrom([]job.State{job.Sent, job.Blocked, job.Failed, job.Unknown, job.Expired}).Draw(t, "state"), nth: rapid.IntRange(0, 5).Draw(t, "nth")})
		}
	}
	return out
}

// do plays a deed, each thing in it as often as is said.
func (s *stage) do(d deed, times int) {
	s.t.Helper()
	switch {
	case d.told != nil:
		for range times {
			s.hear(d.told)
		}
	case d.pass > 0:
		s.after(d.pass)
		for range times - 1 {
			for _, id := range slices.Collect(maps.Keys(s.runs)) {
				s.wake(id)
			}
		}
	default:
		var open []Effect
		for _, e := range s.asked {
			if e.Kind == Plan || e.Kind == Call {
				open = append(open, e)
			}
		}
		if len(open) == 0 {
			return
		}
		e := open[len(open)-1-d.nth%len(open)]
		why := reason.Code("")
		if d.state == job.Blocked {
			why = reason.WindowClosed
		}
		for range times {
			s.outcome(e.ID, d.state, why)
		}
	}
}

// all is everything that is stored, for comparison.
func (s *stage) all() string {
	var lines []string
	for id, b := range s.runs {
		lines = append(lines, id.String()+" "+string(b))
	}
	for k, b := range s.memories {
		lines = append(lines, k.String()+" "+string(b))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestRepeatsChangeNothing: whatever a flow says, and whatever happens, the
// same again leaves what is stored as it is: each thing twice, and what was
// told since the last checkpoint once more. On the way every result is sound,
// comes out the same when it is asked for again, as after a crash before it
// was stored, and no effect is asked for twice.
func TestRepeatsChangeNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		if err := spec.Validate(); err != nil {
			t.Fatalf("%v", err)
		}
		p, err := Compile(spec, 1)
		if err != nil {
			t.Fatalf("%v", err)
		}
		once, again := staged(t, p), staged(t, p)
		var told []*Told
		for _, d := range drawDeeds(t) {
			once.do(d, 1)
			again.do(d, 2)
			if d.told != nil {
				told = append(told, d.told)
			}
			back := rapid.IntRange(0, 3).Draw(t, "told again")
			for _, e := range told[max(0, len(told)-back):] {
				again.hear(e)
			}
			if a, b := once.all(), again.all(); a != b {
				t.Fatalf("after %+v\n%s\n\nand with repeats\n%s", d, a, b)
			}
		}
		if once.starts != again.starts || len(once.asked) != len(again.asked) {
			t.Fatalf("%d starts, with repeats %d; %d effects and %d", once.starts, again.starts, len(once.asked), len(again.asked))
		}
	})
}

// TestContactsDontMeet: what happens to one contact does not depend on when,
// among them, it happens to another.
func TestContactsDontMeet(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, err := Compile(drawSpec(t), 1)
		if err != nil {
			t.Fatalf("%v", err)
		}
		one, other := staged(t, p), staged(t, p)
		var waiting []deed // of contact 1, which the other stage hears of last
		flush := func() {
			for _, d := range waiting {
				other.do(d, 1)
			}
			waiting = nil
		}
		for _, d := range drawDeeds(t) {
			if d.told == nil && d.pass == 0 {
				continue // an effect's number depends on the order
			}
			one.do(d, 1)
			if d.told != nil && strings.Contains(string(d.told.Data), `"psid":"1"`) {
				waiting = append(waiting, d)
				continue
			}
			if d.pass > 0 {
				flush()
			}
			other.do(d, 1)
		}
		flush()
		if a, b := one.all(), other.all(); a != b {
			t.Fatalf("%s\n\nin another order\n%s", a, b)
		}
	})
}

// TestRunsEnd: every message that was asked for can be settled,
// and with all settled and time enough a run without a date to wait for ends.
func TestRunsEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, err := Compile(drawSpec(t), 1)
		if err != nil {
			t.Fatalf("%v", err)
		}
		s := staged(t, p)
		for _, d := range drawDeeds(t) {
			s.do(d, 1)
		}
		going := func() bool {
			return slices.ContainsFunc(slices.Collect(maps.Keys(s.runs)), func(id ID) bool { return !s.run(id).State.Over() })
		}
		for days := 0; days < 1000 && going(); days++ {
			for _, e := range slices.Clone(s.asked) {
				if e.Kind == Plan || e.Kind == Call {
					s.outcome(e.ID, job.Sent, "")
				}
			}
			s.after(day)
		}
		for id := range s.runs {
			if r := s.run(id); !r.State.Over() {
				t.Fatalf("%s never ends: %+v", id, r)
			}
		}
	})
}
