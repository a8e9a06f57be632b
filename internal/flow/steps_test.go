package flow

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// TestRepeat: a loop ends by its bound or by its condition, and one in another
// begins anew each time.
func TestRepeat(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ steps, want string }{
		"bound":     {"[{repeat: {at_most: 2, do: [{set: {labels: {x: true}}}]}}]", "start repeat set repeat set repeat done"},
		"condition": {"[{repeat: {at_most: 9, while: '!(\"x\" in contact.labels)', do: [{set: {labels: {x: true}}}]}}]", "start repeat set repeat done"},
		"nested": {
			"[{repeat: {at_most: 2, do: [{repeat: {at_most: 1, do: [{set: {labels: {x: true}}}]}}]}}]",
			"start repeat repeat set repeat repeat repeat set repeat repeat done",
		},
		"left by an end": {"[{repeat: {at_most: 9, do: [{end: true}]}}]", "start repeat end done"},
	} {
		s := play(t, "trigger: {events: [a]}\nsteps: "+c.steps)
		s.tell("a", of("7", ""))
		if got := s.did(); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestLoopGuard: what would do more than 1,000 steps at one moment fails, and
// a path is bounded.
func TestLoopGuard(t *testing.T) {
	t.Parallel()
	loop := func(n, m int) string {
		return fmt.Sprintf("trigger: {events: [a]}\nsteps: [{repeat: {at_most: %d, do: [{repeat: {at_most: %d, do: [{set: {labels: {x: true}}}]}}]}}]", n, m)
	}
	// n rounds of 1 + (m + 1) + m instructions, and 1 to leave
	s := play(t, loop(9, 54)) // 991
	s.tell("a", of("7", ""))
	if _, r := s.only(); r.State != Done || len(r.Path) != maxPath || r.Cut == 0 || len(r.Path)+r.Cut != 991+2 {
		t.Errorf("%s %s, %d, %d", r.State, r.Why, len(r.Path), r.Cut)
	}
	s = play(t, loop(9, 55)) // 1009
	s.tell("a", of("7", ""))
	if _, r := s.only(); r.State != Failed || !strings.Contains(r.Why, "more than 1000 steps at one moment") {
		t.Errorf("%s %s", r.State, r.Why)
	}
}

// TestSplit: a contact goes the same way whenever it comes to a step, and many
// go by the weights.
func TestSplit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 10_000), 2, 5).Draw(t, "weights")
		key := keyOf(Identity{"s", rapid.String().Draw(t, "person")})
		if i := part("f", "s", key, weights); i != part("f", "s", key, weights) || i < 0 || i >= len(weights) {
			t.Fatalf("part %d of %v", i, weights)
		}
	})
	var count [2]int
	for i := range 10_000 {
		count[part("f", "s", keyOf(Identity{"shop", fmt.Sprint(i)}), []int{1, 3})]++
	}
	if count[0] < 2300 || count[0] > 2700 {
		t.Errorf("%v go by weights of 1 and 3", count)
	}
	s := play(t, "trigger: {events: [a]}\nsteps: [{split: [{weight: 1, do: [{set: {labels: {x: true}}}]}, {weight: 1}]}]")
	for i := range 20 {
		s.tell("a", of(fmt.Sprint(i), ""))
	}
	if n := len(s.asked); n == 0 || n == 20 {
		t.Errorf("%d of 20 went one way", n)
	}
}

// TestSet: labels and attributes change the contact, and what follows sees it.
func TestSet(t *testing.T) {
	t.Parallel()
	s := play(t, `
trigger: {events: [a]}
steps:
  - set: {labels: {vip: true, new: false}, attributes: {total: event.data.total, gone: "null", unsaid: event.data.nothing}}
  - branch: [{when: 'contact.attributes.total == "12" && contact.labels == ["vip"]', do: [{set: {labels: {seen: true}}}]}]
`)
	s.contacts["shop"] = contact.Record{Address: "7", Labels: []string{"new"}, Attributes: map[string]string{"gone": "x"}}
	s.tell("a", of("7", `"total":12`))
	s.wantDid("start set branch set done")
	e := s.asked[0]
	if e.Kind != Change || e.Identity != (Identity{"shop", "7"}) || *e.Attributes["total"] != "12" || e.Attributes["gone"] != nil || len(e.Attributes) != 2 || !e.Labels["vip"] || e.Labels["new"] {
		t.Errorf("%+v", e)
	}
}

// TestCannotGoOn: what can't be found out fails the run, and says where.
func TestCannotGoOn(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", contact.MaxValue+1)
	for steps, want := range map[string]string{
		"[{branch: [{when: event.data.n > 1, do: [{end: true}]}]}]":            "step steps-1: steps-1.branch[0].when: can't be found out",
		"[{repeat: {at_most: 2, while: event.data.n > 1, do: [{end: true}]}}]": "step steps-1: steps-1.repeat.while: can't",
		"[{set: {attributes: {a: event.data.long}}}]":                          "step steps-1: an attribute's value is longer than 1000 bytes",
		"[{set: {attributes: {a: event.data}}}]":                               "step steps-1: steps-1.set.attributes.a: gives something else than",
		"[{webhook: {endpoint: crm, data: {a: event.data.n + 1}}}]":            "step steps-1: steps-1.webhook.data.a: can't",
	} {
		s := play(t, "trigger: {events: [a]}\nsteps: "+steps)
		s.tell("a", of("7", `"n":"secret","long":"`+long+`"`))
		if _, r := s.only(); r.State != Failed || !strings.Contains(r.Why, want) || strings.Contains(r.Why, "secret") {
			t.Errorf("%s: %s %s", steps, r.State, r.Why)
		}
	}
}

// TestWebhook: a call is owed until it is settled, and the run goes on by its
// outcome.
func TestWebhook(t *testing.T) {
	t.Parallel()
	s := play(t, `
trigger: {events: [a]}
steps:
  - {id: crm, webhook: {endpoint: crm, data: {total: event.data.total, at: event.time, tags: event.data.tags, big: event.data.big}}}
  - wait: {for: 1h}
  - branch: [{when: steps.crm.state == "failed", do: [{set: {labels: {x: true}}}]}]
`)
	s.tell("a", of("7", `"total":12.5,"tags":["a",null,{"b":true}],"big":9007199254740993`))
	id, r := s.only()
	want := `{"contact":"7","data":{"at":"2026-11-22T12:00:00Z","big":"9007199254740993","tags":["a",null,{"b":true}],"total":12.5},"flow":"f","run":"` + id.String() + `","sender":"shop","step":"crm"}`
	if len(r.Owes) != 1 || r.Owes[0].Kind != Call || string(r.Owes[0].Data) != want || r.Owes[0].Endpoint != "crm" {
		t.Fatalf("%+v\n%s\nwant\n%s", r.Owes, r.Owes[0].Data, want)
	}
	s.settle(job.Failed, reason.PlatformRejected)
	if _, r = s.only(); len(r.Owes) != 0 || r.Threads[0].Due.IsZero() {
		t.Errorf("%+v", r)
	}
	s.after(time.Hour)
	s.wantDid("start webhook:failed wait branch set done")
}

// TestNotify: each of a team gets a message of its own and an endpoint the
// text; the run goes on at once, and remembers the call that nobody settled.
func TestNotify(t *testing.T) {
	t.Parallel()
	s := play(t, `
trigger: {events: [a]}
steps:
  - notify: {sender: team-sms, to: ["+1", "+2"], text: "{{.name}} waits"}
  - notify: {endpoint: pager, text: "{{.name}} ordered {{.event.n}}"}
  - notify: {endpoint: pager, text: "{{.unknown}}"}
`)
	s.contacts["shop"] = contact.Record{Address: "7", Name: "Ada"}
	s.tell("a", of("7", `"n":9007199254740993`))
	s.wantDid("start notify notify notify notify done")
	_, r := s.only()
	if len(r.Owes) != 4 || r.Owes[0].Identity != (Identity{"team-sms", "+1"}) || r.Owes[1].Identity.Person != "+2" || r.Owes[0].ID == r.Owes[1].ID ||
		!strings.Contains(string(r.Owes[2].Data), `"Ada ordered 9007199254740993"`) || !strings.Contains(string(r.Owes[3].Data), "{{.unknown}}") {
		t.Errorf("%+v", r.Owes)
	}
	place, err := ParsePlace(r.Owes[1].ID)
	if send, errs := s.p.Message(place); err != nil || errs != nil || send.Text != "{{.name}} waits" || !s.p.Notice(place) {
		t.Errorf("%+v, %v", send, errs)
	}
	s.outcome(r.Owes[2].ID, job.Sent, "")
	s.outcome(r.Owes[0].ID, job.Blocked, reason.OptedOut)
	if _, r = s.only(); len(r.Owes) != 1 || r.Path[1].State != job.Blocked {
		t.Errorf("%+v, %+v", r.Owes, r.Path)
	}
}

// TestHandover: a label, a notice and the end; what else the run planned is
// not sent any more.
func TestHandover(t *testing.T) {
	t.Parallel()
	s := play(t, `
trigger: {events: [a]}
criteria:
  - {do: [{send: {text: x}}], then: next}
  - {do: [{handover: {tell: {sender: team, to: ["1"], text: help}}}]}
`)
	s.tell("a", of("7", ""))
	_, r := s.only()
	if r.State != HandedOff || len(s.asked) != 4 {
		t.Fatalf("%s, %+v", r.State, s.asked)
	}
	for i, want := range []EffectKind{Plan, Change, Plan, Cancel} {
		if s.asked[i].Kind != want {
			t.Errorf("%d: %+v", i, s.asked[i])
		}
	}
	if c := s.asked[3]; c.Identity != (Identity{"shop", "7"}) || c.Month != "202611" || c.ID != "cancel-1-0-1-0" || !s.asked[1].Labels["handover"] {
		t.Errorf("%+v", c)
	}
	s.outcome("1-0-1-0", job.Cancelled, reason.Cancelled)
	s.wantDid("start criterion criterion send:cancelled set notify handover handed_over")
}

// TestStartAndStop: other flows are told, and get the same event.
func TestStartAndStop(t *testing.T) {
	t.Parallel()
	s := play(t, "trigger: {events: [a]}\nsteps: [{start: other}, {stop: third}]")
	told := s.tell("a", of("7", `"n":1`))
	_, r := s.only()
	if len(r.Owes) != 2 || r.Owes[0].Kind != Start || r.Owes[0].Flow != "other" || r.Owes[1].Kind != Stop || r.Owes[1].Flow != "third" {
		t.Errorf("%+v", r.Owes)
	}
	asked := r.Told()
	if asked.ID != told.ID || asked.Source != told.Source || !asked.Time.Equal(told.Time) || asked.Seq != told.Seq || asked.Person != "7" || asked.Sender != "shop" {
		t.Errorf("%+v", asked)
	}
	other := staged(t, compiled(t, document(t, "id: other\ntrigger: {events: [b]}\nsteps: [{branch: [{when: event.data.n == 1, do: [{end: true}]}]}]"), 1))
	who, ok, err := other.p.Main(&asked)
	slot, fits, errs := other.p.Slot(&asked, who, other.world())
	if !ok || !fits || err != nil || errs != nil {
		t.Fatalf("%t %t %v %v", ok, fits, err, errs)
	}
	id := ID{Flow: "other", Contact: keyOf(who), Slot: slot}
	for range 2 {
		res, err := other.p.Begin(id, other.run(id), nil, []Identity{who}, &asked, other.world())
		other.keep(id, res, err)
	}
	if other.wantDid("start branch end done"); other.starts != 1 {
		t.Errorf("%d starts", other.starts)
	}
}
