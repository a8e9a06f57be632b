//go:build linux && amd64

package e2e

import (
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/sandbox"
)

// hour is how far clocks are set.
const hour = time.Hour

// edges are contacts whose windows closed within the last hour, or close while
// the test runs: whoever's clock is slow believes that they are open.
func edges(n int, now time.Time) []person {
	out := make([]person, n)
	for i := range out {
		age := 24*time.Hour + time.Duration(i)*time.Minute%hour
		if i%2 == 0 {
			age = 24*time.Hour - time.Duration(i)*time.Second/4
		}
		out[i] = person{id: fmt.Sprintf("77%09d", i), name: "Edge", inbound: now.Add(-age)}
	}
	return out
}

// clear holds what became of a broadcast with edges against the platform's
// books. Whoever of the others may be written to was, or is unknown.
func (w *world) clear(id string, ps []person, plain int, fault string) figures {
	w.t.Helper()
	row := w.weigh(w.platform, id, ps)
	got := map[string]bool{}
	for _, a := range w.platform.books(w.t) {
		got[a.Person] = true
	}
	row.lost = -row.unknown
	for _, p := range ps[:plain] {
		if p.sendable(ps[0].inbound) && !got[p.id] {
			row.lost++
		}
	}
	row.lost = max(0, row.lost)
	if v := w.platform.Summary("").Violations; v["opted_out"]+v["rate"]+v["after_stop"] != 0 {
		w.t.Errorf("%s: violations: %v", fault, v)
	}
	w.within(ps)
	row.fault = fault
	return row
}

// onTheWay is how long a message may take from the last look at the clock to the
// platform, on a machine that does much else.
const onTheWay = time.Second

// within checks that nobody was written to after their window had closed, but
// for what was on its way as it did.
func (w *world) within(ps []person) {
	w.t.Helper()
	inbound := map[string]time.Time{}
	for _, p := range ps {
		inbound[p.id] = p.inbound
	}
	type call struct {
		Time   time.Time `json:"time"`
		Person string    `json:"person"`
	}
	for _, c := range lines[call](w.t, w.platform, "calls") {
		if in, ok := inbound[c.Person]; ok && c.Time.Sub(in) > 24*time.Hour+onTheWay {
			w.t.Errorf("%s was written to %v after their last message", c.Person, c.Time.Sub(in))
		}
	}
}

// stands checks that nothing reaches the platform any more once what was under
// way has arrived, and tells how many messages wait.
func (w *world) stands(id string) int {
	w.t.Helper()
	w.still(id)
	n := w.platform.count()
	a, err := w.api.Audit(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	if again := w.platform.count(); again != n {
		w.t.Errorf("the platform accepted %d more while everything holds", again-n)
	}
	return a.Pending
}

// TestChaosClocks sets the clock of one part of an installation by an hour in
// the middle of a broadcast, back and forth: nobody is written to outside their
// window, no rate is broken, nothing is due too soon, and it goes on as soon as
// the clocks agree.
func TestChaosClocks(t *testing.T) {
	for fault, c := range map[string]struct {
		hands func(*world) *hands
		holds bool // nothing leaves while that clock is off
	}{
		"clock: worker set by an hour": {func(w *world) *hands { return w.hand[w.workers[0]] }, true},
		"clock: nats set by an hour":   {func(w *world) *hands { return w.nats }, true},
		"clock: redis set by an hour":  {func(w *world) *hands { return w.redis }, false},
		"clock: leader set by an hour": {func(w *world) *hands { return w.hand[w.leader()] }, false},
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			pl := newPlatform(t, sandbox.Options{RatePerSecond: 330})
			w := newWorld(t, pl, 0, 2, 1)
			now := time.Now()
			ps := append(people(1500, now), edges(160, now)...)
			w.define(pl, "spring", "rate: {per_second: 300}\nbatch: true", ps)
			w.later()
			w.launch("spring")
			row := figures{}
			for _, ahead := range []time.Duration{hour, -hour} {
				w.some(pl, pl.count()+250)
				clock := c.hands(w)
				at := time.Now()
				clock.set(ahead)
				if c.holds {
					w.until("somebody notices", func() bool { return strings.Contains(w.workers[0].get("/readyz"), "clock") })
					row.held = max(row.held, w.stands("spring"))
					at = time.Now()
					clock.set(0)
				} else {
					w.until("it was noticed", func() bool { return w.noticed(fault) })
				}
				w.some(pl, pl.count()+50)
				row.recovery = max(row.recovery, time.Since(at))
				row.injected++
				clock.set(0)
				w.ready()
			}
			w.ended("spring")
			end := w.clear("spring", ps, 1500, fault)
			end.injected, end.held, end.recovery = row.injected, row.held, row.recovery
			if end.unknown != 0 {
				t.Errorf("%d unknown, though nobody died", end.unknown)
			}
			w.stillDue()
			faults.add(t, end)
		})
	}
}

// noticed tells whether the log of somebody says that a clock was set.
func (w *world) noticed(fault string) bool {
	words := "its clock can't be believed"
	if strings.Contains(fault, "redis") {
		words = "the clock of Redis was set"
	}
	for _, s := range w.schedulers {
		if strings.Contains(s.log.String(), words) {
			return true
		}
	}
	return false
}

// later schedules a broadcast for in half an hour, by true time.
func (w *world) later() {
	w.t.Helper()
	doc := fmt.Sprintf(`kind: Broadcast
id: later
sender: spring
audience: {labels: [regular]}
message: {text: "Later, {{.name}}."}
schedule: {at: %q}
`, time.Now().Add(hour/2).Format(time.RFC3339))
	if _, err := w.api.Apply(w.t.Context(), "later.yaml", strings.NewReader(doc)); err != nil {
		w.t.Fatal(err)
	}
	w.launch("later")
}

// stillDue checks that nobody began what is scheduled.
func (w *world) stillDue() {
	w.t.Helper()
	if b, err := w.api.Broadcast(w.t.Context(), "later"); err != nil || b.State != "scheduled" {
		w.t.Errorf("what is due in half an hour is %v, %v", b, err)
	}
}

// TestChaosHostsDisagree runs two workers of which one is an hour slow from
// its start: it takes nothing, and the other does everything.
func TestChaosHostsDisagree(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{RatePerSecond: 330})
	w := newWorld(t, pl, 0, 1, 1)
	slow := w.another(-hour)
	w.until("the slow one says so", func() bool { return slow.up() && strings.Contains(slow.get("/readyz"), "clock is 1h0m") })
	now := time.Now()
	ps := append(people(900, now), edges(120, now)...)
	w.define(pl, "spring", "rate: {per_second: 300}", ps)
	w.launch("spring")
	w.ended("spring")
	row := w.clear("spring", ps, 900, "clock: two workers disagree by an hour")
	row.injected = 1
	if n, ok := slow.figure("carillon_envelopes_total"); !ok || n != 0 {
		t.Errorf("the slow one took %v envelopes", n)
	}
	faults.add(t, row)
}

// TestChaosStoppedPastItsClaim stops a worker for longer than its claims stand,
// its slots last and some windows stay open. Another goes on; what it had
// claimed is given up as unknown; woken, it sends nothing of it.
func TestChaosStoppedPastItsClaim(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{RatePerSecond: 330})
	w := newWorld(t, pl, 0, 1, 2)
	now := time.Now()
	ps := append(people(5000, now), edges(160, now)...)
	w.define(pl, "spring", "rate: {per_second: 300}", ps)
	w.launch("spring")
	w.some(pl, 400)
	at := time.Now()
	w.workers[0].signal(syscall.SIGSTOP)
	w.some(pl, pl.count()+100)
	recovery := time.Since(at)
	w.until("its claims are past", func() bool { return time.Since(at) > 10*time.Second })
	w.workers[0].signal(syscall.SIGCONT)
	w.ready()
	w.ended("spring")
	w.still("spring")
	row := w.clear("spring", ps, 5000, "clock: worker stopped past its claims")
	row.injected, row.recovery = 1, recovery
	if row.unknown > 160 {
		t.Errorf("%d unknown: claims are made too long before the wire", row.unknown)
	}
	faults.add(t, row)
}

// TestChaosSummerTimeEnds runs a broadcast into the hour that comes twice: in
// Oslo on 2026-10-25, quiet hours to 02:30 are over at 00:30 UTC, begin again at
// 01:00 UTC, when it is 02:00 once more, and are over at 01:30 UTC.
func TestChaosSummerTimeEnds(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC)
	at := func(hm string) time.Duration { // how far clocks are ahead where it is that late now
		of, err := time.Parse("15:04:05", hm)
		if err != nil {
			t.Fatal(err)
		}
		return time.Until(day.Add(time.Duration(of.Hour())*time.Hour + time.Duration(of.Minute())*time.Minute + time.Duration(of.Second())*time.Second)).Truncate(time.Second)
	}
	var ahead atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	pl := newPlatform(t, sandbox.Options{RatePerSecond: 100, Now: clock})
	ahead.Store(int64(at("00:10:00")))
	w := newWorld(t, pl, time.Duration(ahead.Load()), 1, 1)
	jump := func(hm string) {
		to := at(hm)
		ahead.Store(int64(to))
		w.set(to)
		w.ready()
	}
	ps := people(600, clock())
	w.define(pl, "spring", "rate: {per_second: 20}\ntimezone: Europe/Oslo\nquiet_hours: {from: \"21:00\", to: \"02:30\"}", ps)
	w.launch("spring")
	w.until("all wait", func() bool {
		b, err := w.api.Audit(t.Context(), "spring")
		return err == nil && b.Audience == len(ps) && b.Pending == sendables(t, ps)
	})
	w.still("spring")
	if n := pl.count(); n != 0 {
		t.Errorf("%d were accepted before the quiet hours ended", n)
	}
	jump("00:59:45")
	w.some(pl, 20)
	w.until("it is two o'clock again", func() bool { return clock().After(day.Add(hour + 2*time.Second)) })
	w.still("spring")
	before, began := pl.count(), time.Now()
	jump("01:29:57")
	w.some(pl, before+20)
	row := figures{recovery: time.Since(began)}
	w.ended("spring")
	end := w.weigh(pl, "spring", ps)
	for _, a := range pl.books(t) {
		if since := a.Time.Sub(day); since < hour/2 || since >= hour+onTheWay && since < hour+hour/2 {
			t.Errorf("somebody was written to at %s", a.Time.UTC())
		}
	}
	end.fault, end.injected, end.held, end.recovery = "clock: summer time ends in quiet hours", 1, sendables(t, ps)-before, row.recovery
	faults.add(t, end)
}
