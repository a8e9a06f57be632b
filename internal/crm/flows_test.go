package crm_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/crm"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/rig"
)

// lines is a second sender, which knows people by their number.
const lines = `
kind: Sender
id: lines
channel: sms
account: "+4799999999"
credential: env:NONE
account_sid: AC00000000000000000000000000000000
rate: {per_second: 10}
`

// flows has the intake name people by flows.
func flows(t *testing.T, in *crm.Intake, specs ...flow.Spec) {
	t.Helper()
	var ps []*flow.Program
	for i := range specs {
		specs[i].Kind, specs[i].Type, specs[i].Steps = "Flow", flow.Automation, []flow.Step{{End: true}}
		p, err := flow.Compile(&specs[i], 1)
		rig.Must(t, err)
		ps = append(ps, p)
	}
	in.Flows = func(context.Context) ([]*flow.Program, error) { return ps, nil }
}

func on(id, sender, person string, types ...string) flow.Spec {
	return flow.Spec{ID: id, Sender: sender, Contact: person, Trigger: flow.Trigger{Events: types}}
}

// whose lists whom the kept events of one telling are about, in order.
func whose(t *testing.T, r *rig.Rooms, ids ...string) string {
	t.Helper()
	var out []string
	for _, id := range ids {
		e := kept(t, r, id)
		if e.Told() != ids[0] || e.Data == nil {
			t.Errorf("%s: %+v", id, e)
		}
		out = append(out, e.Sender+"/"+e.Person)
	}
	return strings.Join(out, " ")
}

// TestNamedByFlows: an event that only flows hear is kept for each of whom
// they name, once, and who was not known is.
func TestNamedByFlows(t *testing.T) {
	t.Parallel()
	r, in := openWith(t, lines)
	texts := on("texts", "lines", "event.data.phone", "order.*")
	both := on("both", "bakery", "event.data.psid", "order.shipped")
	both.Also = map[string]string{"lines": "event.data.phone"}
	flows(t, in, both, texts, on("again", "bakery", "event.data.psid", "order.shipped"), on("another", "bakery", "event.data.psid", "deal.lost"))
	f, taken := take(t, in, told("1", "order.shipped", `{"psid":"7","phone":"+4790000001"}`))
	if f.About != 2 || taken.New != 2 || len(f.Lost)+len(f.Unresolved) != 0 || !f.Senders["lines"] || !f.Senders["bakery"] {
		t.Errorf("%+v, %+v", f, taken)
	}
	if got := whose(t, r, "1", "1~2"); got != "bakery/7 lines/+4790000001" {
		t.Error(got)
	}
	for sender, person := range map[string]string{"bakery": "7", "lines": "+4790000001"} {
		c, known, err := r.Facts.Contact(t.Context(), sender, r.Facts.Key(sender, person))
		if err != nil || !known || c.Address != person || c.SMSConsent {
			t.Errorf("%s: %+v, %t, %v", sender, c, known, err)
		}
	}
	if _, again := take(t, in, told("1", "order.shipped", `{"psid":"7","phone":"+4790000001"}`)); again.New != 0 {
		t.Errorf("told again: %+v", again)
	}
	f, _ = take(t, in, told("2", "deal.mislaid", `{"psid":"7"}`))
	if e := kept(t, r, "2"); len(f.Lost) != 1 || f.Lost[0].Why != "" || e.Data != nil {
		t.Errorf("nobody hears it: %+v, %+v", f, e)
	}
}

// TestNamedByRuleAndFlow: whom a rule names already is not named again, and the
// event of the rule is the flow's too.
func TestNamedByRuleAndFlow(t *testing.T) {
	t.Parallel()
	r, in := open(t)
	flows(t, in, on("deals", "bakery", "event.data.psid", "deal.won"), on("buyers", "bakery", "event.data.buyer", "deal.won"))
	f, _ := take(t, in, told("1", "deal.won", `{"psid":"7","buyer":"8"}`))
	if got := whose(t, r, "1", "1~2", "1~3"); f.About != 3 || got != "bakery/7 bakery/7 bakery/8" {
		t.Errorf("%d: %s", f.About, got)
	}
	for id, silent := range map[string]bool{"1": false, "1~2": true, "1~3": false} {
		if e := kept(t, r, id); e.Silent != silent {
			t.Errorf("%s: %+v", id, e)
		}
	}
	rig.Must(t, in.Hear(t.Context(), &hook.Spec{ID: "hub", Type: hook.HubSpot}, []event.Event{told("2", "deal.won", `{"psid":"9"}`)}))
	if got := whose(t, r, "2"); got != "bakery/9" {
		t.Errorf("by a hook of its own: %s", got)
	}
}

// TestNamedByOlderVersions: an event that only runs of an older version wait
// for is kept for their contact, by the way in which that version finds it;
// one that only began them is nobody's.
func TestNamedByOlderVersions(t *testing.T) {
	t.Parallel()
	r, in := openWith(t, lines)
	now, before := on("orders", "bakery", "event.data.psid", "order.placed"), on("orders", "bakery", "event.data.buyer", "order.begun")
	before.Exit = []flow.Condition{{Events: []string{"order.cancelled"}}}
	flows(t, in, now, before, on("others", "bakery", "event.data.psid", "order.placed"))
	take(t, in, told("1", "order.cancelled", `{"psid":"7","buyer":"8"}`), told("2", "order.begun", `{"buyer":"8"}`), told("3", "order.placed", `{"psid":"7","buyer":"8"}`))
	if got := whose(t, r, "1"); got != "bakery/8" {
		t.Errorf("what moves a run: %s", got)
	}
	if e := kept(t, r, "2"); e.Person != "" || e.Data != nil {
		t.Errorf("what began one: %+v", e)
	}
	if got := whose(t, r, "3"); got != "bakery/7" {
		t.Errorf("what begins one: %s", got)
	}
}

// TestUnnamed: what a flow can't find out is told, without what the event says.
func TestUnnamed(t *testing.T) {
	t.Parallel()
	r, in := openWith(t, lines)
	flows(t, in, on("orders", "bakery", "event.data.who", "order.placed"), on("gone", "nowhere", "event.data.ghost", "order.placed"))
	for i, c := range []struct{ data, lost, unresolved string }{
		{`{"who":"7"}`, "", ""},
		{`{"who":"secret 7"}`, "flow orders: contact: gives something else than an id of", ""},
		{`{"who":["secret"]}`, "flow orders: contact: gives something else than", ""},
		{`{}`, "flow orders: contact: it gives nobody for this event", ""},
		{`{"who":"7","ghost":"secret"}`, "", "flow gone: sender nowhere is not defined"},
	} {
		f, _ := take(t, in, told(string(rune('a'+i)), "order.placed", c.data))
		for _, got := range []struct {
			list []crm.Nobody
			want string
		}{{f.Lost, c.lost}, {f.Unresolved, c.unresolved}} {
			if len(got.list) > 0 != (got.want != "") || len(got.list) > 0 && (!strings.Contains(got.list[0].Why, got.want) || strings.Contains(got.list[0].Why, "secret")) {
				t.Errorf("%s: %+v, want %q", c.data, got.list, got.want)
			}
		}
	}
	if e := kept(t, r, "b"); e.Data != nil || e.Person != "" {
		t.Errorf("%+v", e)
	}
	in.Flows = func(context.Context) ([]*flow.Program, error) { return nil, errors.New("not now") }
	if _, err := in.Find(t.Context(), all, []event.Event{told("z", "order.placed", `{}`)}); err == nil {
		t.Error("taken without knowing the flows")
	}
}

// TestUnseen: a flow of a sender that a token may not see does not hear what it
// tells, and the telling is taken all the same.
func TestUnseen(t *testing.T) {
	t.Parallel()
	r, in := openWith(t, lines)
	both := on("both", "bakery", "event.data.psid", "order.placed")
	both.Also = map[string]string{"lines": "event.data.phone"}
	flows(t, in, both, on("texts", "lines", "event.data.phone", "order.placed"))
	for i, c := range []struct{ sees, want string }{{"bakery", "bakery/7"}, {"lines", "lines/+4790000001"}, {"", ""}} {
		id := string(rune('a' + i))
		e := told(id, "order.placed", `{"psid":"7","phone":"+4790000001"}`)
		f, err := in.Find(t.Context(), func(s string) bool { return s == c.sees }, []event.Event{e})
		rig.Must(t, err)
		_, err = in.Take(t.Context(), f)
		rig.Must(t, err)
		if c.want == "" {
			if e := kept(t, r, id); len(f.Lost) != 1 || e.Data != nil {
				t.Errorf("seeing nobody: %+v, %+v", f, e)
			}
		} else if got := whose(t, r, id); f.About != 1 || got != c.want {
			t.Errorf("seeing %s: %d, %s", c.sees, f.About, got)
		}
	}
}

// TestErased: what was kept for a flow goes with its contact, and an event that
// says nothing of who was erased brings nothing of them back.
func TestErased(t *testing.T) {
	t.Parallel()
	r, in := openWith(t, lines)
	flows(t, in, on("orders", "bakery", "event.data.psid", "order.placed"))
	take(t, in, told("1", "order.placed", `{"psid":"7","goods":"rolls"}`))
	out, err := in.Desk.Erase(t.Context(), "bakery", "7", time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
	rig.Must(t, err)
	if e := kept(t, r, "1"); out.Events != 1 || !out.Complete || e.Data != nil || e.Person != "" {
		t.Errorf("%+v, %+v", out, e)
	}
	later := told("2", "order.placed", `{"psid":"7"}`)
	later.Time = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	take(t, in, later)
	if c, known, err := r.Facts.Contact(t.Context(), "bakery", r.Facts.Key("bakery", "7")); err != nil || !known || !c.Erased() {
		t.Errorf("%+v, %v", c, err)
	}
	var want contact.Change
	if e := kept(t, r, "2"); e.Person != "7" || e.Change == nil || !e.Change.Empty() || e.Change.Source != want.Source {
		t.Errorf("told later: %+v", e)
	}
}
