//go:build linux && amd64

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/sandbox"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/pkg/client"
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
		got[a.Person] = got[a.Person] || a.Account == account
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

// within checks that nobody was written to after their window had closed, but
// for what was on its way as it did.
func (w *world) within(ps []person) {
	w.t.Helper()
	inbound := map[string]time.Time{}
	for _, p := range ps {
		inbound[p.id] = p.inbound
	}
	type call struct {
		Time     time.Time `json:"time"`
		Account  string    `json:"account"`
		Person   string    `json:"person"`
		Metadata string    `json:"metadata"`
	}
	for _, c := range lines[call](w.t, w.platform, "calls") {
		if in, ok := inbound[c.Person]; ok && c.Account == account {
			w.before(in.Add(24*time.Hour), c.Time, c.Metadata)
		}
	}
}

// before checks that a message which reached the platform after a moment was on
// its way by then: it was claimed before, and took no longer than a send may.
// That does not depend on how busy the machine is.
func (w *world) before(closes, arrived time.Time, job string) {
	w.t.Helper()
	if arrived.Before(closes) {
		return
	}
	claimed := w.claimed(job, arrived)
	if !claimed.Before(closes) || arrived.Sub(claimed) > scheduler.LineTimeout {
		w.t.Errorf("%s arrived %v too late, and was claimed %v before that", job, arrived.Sub(closes), arrived.Sub(claimed))
	}
}

// claimed is when a job was claimed last before a moment, by the worker's clock.
func (w *world) claimed(job string, before time.Time) (at time.Time) {
	w.t.Helper()
	s, err := w.api.Job(w.t.Context(), job)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, step := range s.Steps {
		if step.What == "claimed" && step.At.Before(before) {
			at = step.At
		}
	}
	return at
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
// the middle of a broadcast and of the waits of two flows, back and forth: nobody
// is written to outside their window or after they opted out, no rate is broken,
// nothing is due too soon or twice, and all goes on as soon as the clocks agree.
func TestChaosClocks(t *testing.T) {
	for fault, c := range map[string]struct {
		hands func(*world) *hands
		holds bool // nothing leaves while that clock is off
	}{
		"clock: worker set by an hour": {func(w *world) *hands { return w.hand[w.workers[0]] }, true},
		"clock: nats set by an hour":   {func(w *world) *hands { return w.nats }, true},
		"clock: redis set by an hour":  {func(w *world) *hands { return w.redis }, false},
		"clock: leader set by an hour": {func(w *world) *hands {
			leads := w.leader()
			w.open(leads) // people opt out where the clock is off
			return w.hand[leads]
		}, false},
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			pl := newPlatform(t, sandbox.Options{RatePerSecond: 330})
			w := newWorld(t, pl, 0, 2, 1)
			now := time.Now()
			// Where sending goes on all the while, opting out may take ten
			// seconds before the second half is there still.
			const n = 2400
			ps := append(people(n, now), edges(160, now)...)
			w.define(pl, "spring", "rate: {per_second: 100}\nbatch: true", ps)
			g := w.guests(20, "", waits)
			w.later()
			w.launch("spring")
			s := &siege{office: &w.office, pl: pl, ps: ps[:n], outs: map[string]time.Time{}}
			row := figures{}
			for _, ahead := range []time.Duration{hour, -hour} {
				w.some(pl, pl.count()+250)
				g.come(10)
				clock := c.hands(w)
				at := time.Now()
				clock.set(ahead)
				if c.holds {
					w.until("somebody notices", func() bool { return strings.Contains(w.workers[0].get("/readyz"), "clock") })
					row.held = max(row.held, w.stands("spring"))
				} else {
					w.until("it was noticed", func() bool { return w.noticed(fault) })
				}
				s.optOuts(6)()
				if c.holds {
					at = time.Now()
					clock.set(0)
				}
				w.some(pl, pl.count()+50)
				row.recovery = max(row.recovery, time.Since(at))
				row.injected++
				clock.set(0)
				w.ready()
			}
			w.ended("spring")
			s.heeded(pl.books(t))
			end := w.clear("spring", ps, n, fault)
			end.injected, end.held, end.recovery = row.injected, row.held, row.recovery
			if end.unknown != 0 {
				t.Errorf("%d unknown, though nobody died", end.unknown)
			}
			w.stillDue()
			g.waited()
			faults.add(t, end)
		})
	}
}

// waits are a flow that waits twice for a while, and one that waits for a date.
const waits = `
kind: Flow
id: visits
type: automation
sender: shop
contact: event.data.psid
trigger: {events: [visit.booked]}
steps:
  - {wait: {for: 2s}}
  - {id: ask, send: {text: "ask"}}
  - {wait: {for: 8s}}
  - {id: thank, send: {text: "thank"}}
---
kind: Flow
id: renewals
type: automation
sender: shop
contact: event.data.psid
trigger: {events: [visit.booked]}
steps:
  - {wait: {date: {field: event.data.renewal}}}
  - {id: renew, send: {text: "renew"}}
`

// guests are people whom flows write to, as another account.
type guests struct {
	*world
	came []time.Time // when each was told of, by the platform's clock
}

func guest(i int) string { return fmt.Sprintf("88%09d", i) }

// guests defines flows, whose sender has more to say of itself, and so many
// people for them.
func (w *world) guests(n int, sender, flows string) *guests {
	w.t.Helper()
	doc := strings.Replace(shop, account, shopAccount, 1) + sender + "\n---" + flows
	if _, err := w.api.Apply(w.t.Context(), "flows.yaml", strings.NewReader(doc)); err != nil {
		w.t.Fatal(err)
	}
	ps := make([]person, n)
	for i := range ps {
		ps[i] = person{id: guest(i), name: "Guest", inbound: w.now().Add(-time.Minute)}
	}
	if _, err := w.platform.LoadPeople(shopAccount, strings.NewReader(csv(ps))); err != nil {
		w.t.Fatal(err)
	}
	if done, err := w.api.ImportContacts(w.t.Context(), "shop", strings.NewReader(csv(ps)), false, func(client.ImportEvent) {}); err != nil || done.Bad != 0 {
		w.t.Fatalf("import %+v, %v", done, err)
	}
	return &guests{world: w}
}

// come tells of the next guests, who want to be asked again in half an hour.
func (g *guests) come(n int) {
	g.t.Helper()
	var all []json.RawMessage
	for range n {
		i := len(g.came)
		g.came = append(g.came, g.now())
		all = append(all, json.RawMessage(fmt.Sprintf(`{"specversion":"1.0","id":"visit-%d","source":"shop","type":"visit.booked","data":{"psid":%q,"renewal":%q}}`,
			i, guest(i), g.now().Add(hour/2).Format(time.RFC3339))))
	}
	body, err := json.Marshal(all)
	if err != nil {
		g.t.Fatal(err)
	}
	if _, err := g.api.SendEvents(g.t.Context(), body); err != nil {
		g.t.Fatal(err)
	}
}

// got waits until a flow has sent so much, and returns when each guest got each
// text, which nobody gets twice.
func (g *guests) got(flow string, n int) map[string][]accepted {
	g.t.Helper()
	g.until(fmt.Sprintf("flow %s has sent %d messages", flow, n), func() bool {
		a, err := g.api.FlowAudit(g.t.Context(), flow)
		return err == nil && a.Audience == n && a.Sent == n
	})
	out := map[string][]accepted{}
	for _, a := range g.platform.books(g.t) {
		if a.Account == shopAccount {
			out[a.Person] = append(out[a.Person], a)
		}
	}
	return out
}

// waited checks that each guest was asked and thanked once, and not before their
// waits were over, and that the date of each is still waited for.
func (g *guests) waited() {
	g.t.Helper()
	got := g.got("visits", 2*len(g.came))
	for i, came := range g.came {
		as := got[guest(i)]
		if len(as) != 2 || as[0].Text != "ask" || as[1].Text != "thank" {
			g.t.Errorf("guest %d got %+v", i, as)
			continue
		}
		if first, second := as[0].Time.Sub(came), as[1].Time.Sub(as[0].Time); first < 2*time.Second || second < 8*time.Second {
			g.t.Errorf("guest %d was asked after %v and thanked after %v more", i, first, second)
		}
	}
	page, err := g.api.Runs(g.t.Context(), "renewals", client.RunQuery{Limit: 1000})
	if err != nil || len(page.Runs) != len(g.came) {
		g.t.Fatalf("%d renewals, %v", len(page.Runs), err)
	}
	for _, r := range page.Runs {
		if r.State != "waiting" || r.Due.Before(g.came[0].Add(hour/2).Truncate(time.Second)) || r.Due.After(g.now().Add(hour/2)) {
			g.t.Errorf("a renewal is %s, due at %v", r.State, r.Due)
		}
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
	ps := append(people(3500, now), edges(160, now)...)
	w.define(pl, "spring", "rate: {per_second: 300}", ps)
	w.launch("spring")
	w.some(pl, 400)
	at := time.Now()
	w.workers[0].signal(syscall.SIGSTOP)
	w.some(pl, pl.count()+100)
	recovery := time.Since(at)
	w.until("its claims are past", func() bool { return time.Since(at) > 10*time.Second })
	woke := time.Now()
	w.workers[0].signal(syscall.SIGCONT)
	w.ready()
	w.ended("spring")
	w.still("spring")
	row := w.clear("spring", ps, 3500, "clock: worker stopped past its claims")
	row.injected, row.recovery = 1, recovery
	if row.unknown > 160 {
		t.Errorf("%d unknown: claims are made too long before the wire", row.unknown)
	}
	if n := w.kept(at, woke); n > justWritten {
		t.Errorf("%d messages left as the worker woke that it had claimed before it was stopped", n)
	}
	faults.add(t, row)
}

// justWritten is how many calls may be between their last look at the clock and
// the system's hands as a worker is stopped.
const justWritten = 1

// kept counts the messages that arrived within a second after a moment and had
// been claimed before another.
func (w *world) kept(claimed, arrived time.Time) (n int) {
	w.t.Helper()
	for _, a := range w.platform.books(w.t) {
		if since := a.Time.Sub(arrived); since > 0 && since < time.Second && w.claimed(a.Metadata, a.Time).Before(claimed) {
			n++
		}
	}
	return n
}

// alarms are a flow that writes at once, where hours allow it, and one that waits
// for half past two.
const alarms = `
kind: Flow
id: greetings
type: automation
sender: shop
contact: event.data.psid
trigger: {events: [visit.booked]}
steps: [{id: hello, send: {text: "hello"}}]
---
kind: Flow
id: alarms
type: automation
sender: shop
contact: event.data.psid
trigger: {events: [visit.booked]}
steps: [{wait: {until: "02:30"}}, {id: rise, send: {text: "rise"}}]
`

// TestChaosSummerTime runs a broadcast and two flows into the hour that comes
// twice in Oslo, and into the one that does not come at all, while quiet hours end
// in it. On 2026-10-25 those to 02:30 are over at 00:30 UTC, begin again at 01:00
// UTC, when it is 02:00 once more, and are over at 01:30 UTC. On 2026-03-29 there
// is no 02:30: they are over at 01:00 UTC, when it is 03:00.
func TestChaosSummerTime(t *testing.T) {
	for fault, c := range map[string]struct {
		day    time.Time
		opens  string   // when quiet hours are over
		closes []string // when they begin again, and are over again, if they do
	}{
		"clock: summer time ends in quiet hours":   {time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC), "00:30", []string{"01:00", "01:30"}},
		"clock: summer time begins in quiet hours": {time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC), "01:00", nil},
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			at := func(hm string) time.Time {
				of, err := time.Parse("15:04", hm)
				if err != nil {
					t.Fatal(err)
				}
				return c.day.Add(time.Duration(of.Hour())*time.Hour + time.Duration(of.Minute())*time.Minute)
			}
			var ahead atomic.Int64
			clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
			pl := newPlatform(t, sandbox.Options{RatePerSecond: 100, Now: clock})
			ahead.Store(int64(time.Until(at("00:10")).Truncate(time.Second)))
			w := newWorld(t, pl, time.Duration(ahead.Load()), 1, 1)
			w.now = clock
			shortBefore := func(hm string) {
				to := time.Until(at(hm).Add(-3 * time.Second)).Truncate(time.Second)
				ahead.Store(int64(to))
				w.set(to)
				w.ready()
			}
			const hours = "timezone: Europe/Oslo\nquiet_hours: {from: \"21:00\", to: \"02:30\"}"
			ps := people(600, clock())
			w.define(pl, "spring", "rate: {per_second: 40}\n"+hours, ps)
			g := w.guests(10, hours, alarms)
			g.come(10)
			w.launch("spring")
			w.until("all wait", func() bool {
				b, err := w.api.Audit(t.Context(), "spring")
				f, err2 := w.api.FlowAudit(t.Context(), "greetings")
				return err == nil && err2 == nil && b.Audience == len(ps) && b.Pending == sendables(t, ps) && f.Pending == 10
			})
			w.still("spring")
			if n := pl.count(); n != 0 {
				t.Errorf("%d were accepted before the quiet hours ended", n)
			}
			row := figures{fault: fault, injected: 1, held: sendables(t, ps)}
			shortBefore(c.opens)
			w.some(pl, 40)
			for _, a := range pl.books(t) {
				if a.Time.Before(at(c.opens)) {
					t.Errorf("%s got %q at %s", a.Person, a.Text, a.Time.UTC())
				}
			}
			g.rose()
			if c.closes != nil {
				closes, opens := at(c.closes[0]), at(c.closes[1])
				shortBefore(c.closes[0])
				w.until("it is two o'clock again", func() bool { return clock().After(closes) })
				w.still("spring")
				shortBefore(c.closes[1])
				w.ended("spring")
				for _, a := range pl.books(t) {
					if a.Time.Before(opens) {
						w.before(closes, a.Time, a.Metadata)
					}
				}
			}
			w.ended("spring")
			end := w.weigh(pl, "spring", ps)
			end.fault, end.injected, end.held = row.fault, row.injected, row.held
			g.rose()
			faults.add(t, end)
		})
	}
}

// rose checks that each guest was greeted and woken once.
func (g *guests) rose() {
	g.t.Helper()
	g.got("greetings", len(g.came))
	got := g.got("alarms", len(g.came))
	for i := range g.came {
		as := got[guest(i)]
		if len(as) != 2 || as[0].Text == as[1].Text {
			g.t.Errorf("guest %d got %+v", i, as)
		}
	}
}
