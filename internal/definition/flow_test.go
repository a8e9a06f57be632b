package definition

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/flow"
)

// shipped is a flow of the bakery, its text last.
const shipped = "kind: Flow\nid: shipped\ntype: notification\nsender: bakery\ncontact: event.data.psid\ntrigger: {events: [order.shipped]}\nsteps:\n  - send: {text: It is on its way}\n"

func answer(id, from, word string) string {
	return "kind: Flow\nid: " + id + "\ntype: auto_reply\nsender: " + from + "\ntrigger:\n  keywords: {words: [" + word + "]}\nsteps:\n  - send: {text: Hello}\n"
}

func starts(id, other string) string {
	return "kind: Flow\nid: " + id + "\ntype: automation\nsender: bakery\ntrigger: {label: {added: vip}}\nsteps:\n  - start: " + other + "\n"
}

// testFlows applies a flow and changes it: every version stays as it was.
func testFlows(t *testing.T, s *Store) {
	ctx := t.Context()
	if _, err := apply(t, s, bakery, Check{}); err != nil {
		t.Fatal(err)
	}
	later := strings.Replace(shipped, "on its way", "here", 1)
	for i, c := range []struct {
		file, want string
		version    int
	}{{shipped, "flow shipped created", 1}, {shipped, "flow shipped unchanged", 1}, {later, "flow shipped updated", 2}, {shipped, "flow shipped updated", 3}} {
		told := 0
		check := Check{Impact: func(_ context.Context, old *flow.Flow, _ *flow.Spec) ([]string, error) {
			told = old.Version
			return []string{"so many"}, nil
		}}
		tried, err := s.Try(ctx, "f", decode(t, c.file), check)
		if err != nil || tried[0].Version != c.version {
			t.Fatalf("%d: tried %+v, %v", i, tried, err)
		}
		as, err := s.Apply(ctx, "f", decode(t, c.file), check)
		if err != nil || "flow shipped "+as[0].Action != c.want || as[0].Version != c.version {
			t.Fatalf("%d: %+v, %v", i, as, err)
		}
		if (as[0].Action == "updated") != (told == c.version-1 && len(as[0].Impact) == 1 && told > 0) {
			t.Errorf("%d: impact %q, of version %d", i, as[0].Impact, told)
		}
		f, _, err := s.Flow(ctx, "shipped")
		if err != nil || f.Version != c.version || f.State != flow.Active || f.At.IsZero() {
			t.Errorf("%d: %+v, %v", i, f, err)
		}
	}
	for v, want := range map[int]string{1: "It is on its way", 2: "It is here", 3: "It is on its way"} {
		if spec, err := s.FlowSpec(ctx, "shipped", v); err != nil || spec.Steps[0].Send.Text != want {
			t.Errorf("version %d: %+v, %v", v, spec, err)
		}
	}
	if _, err := s.FlowSpec(ctx, "shipped", 4); !errors.Is(err, ErrNotFound) {
		t.Errorf("a version that is not there: %v", err)
	}
	if _, _, err := s.Flow(ctx, "shipped.1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a version as a flow: %v", err)
	}
	if ids, err := s.Flows(ctx); err != nil || !slices.Equal(ids, []string{"shipped"}) {
		t.Errorf("flows %q, %v", ids, err)
	}
}

// testFlowLives: whoever applies changes what a flow says, and not whether it
// goes on.
func testFlowLives(t *testing.T, s *Store) {
	ctx := t.Context()
	if _, err := apply(t, s, bakery+"---\n"+shipped, Check{}); err != nil {
		t.Fatal(err)
	}
	set := func(state flow.Life) {
		t.Helper()
		f, rev, err := s.Flow(ctx, "shipped")
		if err != nil {
			t.Fatal(err)
		}
		f.State = state
		if _, err := s.PutFlow(ctx, f, rev); err != nil {
			t.Fatal(err)
		}
	}
	set(flow.Paused)
	if got, err := apply(t, s, shipped+"expires_after: 1h\n", Check{}); err != nil || got != "flow shipped updated" {
		t.Fatalf("%q, %v", got, err)
	}
	if f, _, _ := s.Flow(ctx, "shipped"); f.State != flow.Paused || f.Version != 2 {
		t.Errorf("%+v: want it paused still", f)
	}
	set(flow.Deleted)
	if _, err := apply(t, s, shipped, Check{}); err == nil || !strings.Contains(err.Error(), "never comes back") {
		t.Errorf("applied again after it was deleted: %v", err)
	}
	if _, err := apply(t, s, starts("begins", "shipped"), Check{}); err == nil || !strings.Contains(err.Error(), "f:7: flow begins: steps[0].start shipped: that Flow is not defined") {
		t.Errorf("a flow that starts one that was deleted: %v", err)
	}
	const words = "kind: Flow\nid: words\ntype: auto_reply\nsender: bakery\ntrigger: {keywords: {words: [menu]}}\nsteps:\n  - send: {text: Here}\n"
	if got, err := apply(t, s, words, Check{}); err != nil || got != "flow words created" {
		t.Errorf("keywords beside a flow that was deleted: %q, %v", got, err)
	}
}

// testFlowVersions: a version that was stored when storing its flow failed
// stays what it is.
func testFlowVersions(t *testing.T, s *Store) {
	ctx := t.Context()
	if _, err := apply(t, s, bakery+"---\n"+shipped, Check{}); err != nil {
		t.Fatal(err)
	}
	other := decode(t, shipped+"expires_after: 2h\n")[0].Flow
	if v, err := s.putVersion(ctx, other, 2); err != nil || v != 2 {
		t.Fatal(v, err)
	}
	as, err := s.Apply(ctx, "f", decode(t, shipped+"expires_after: 3h\n"), Check{})
	if err != nil || as[0].Version != 3 {
		t.Errorf("%+v, %v: want version 3, since 2 says something else", as, err)
	}
	if spec, err := s.FlowSpec(ctx, "shipped", 2); err != nil || spec.Expires != "2h" {
		t.Errorf("version 2: %+v, %v", spec, err)
	}
	if v, err := s.putVersion(ctx, other, 2); err != nil || v != 2 {
		t.Errorf("the same again is version %d, %v", v, err)
	}
}

// testFlowNames refuses flows that name what is not there, or not for them.
func testFlowNames(t *testing.T, s *Store) {
	const crm = "kind: Endpoint\nid: crm\nurl: https://crm.example/in\nsecrets: [env:A]\n"
	const hers = "kind: Template\nid: t\nsender: florist\ntype: standard\ntext: Hello\n"
	if _, err := apply(t, s, bakery, Check{}); err != nil {
		t.Fatal(err)
	}
	with := func(step string) string { return strings.Replace(shipped, "send: {text: It is on its way}", step, 1) }
	auto := strings.NewReplacer("sender: bakery", "sender: auto", "contact: event.data.psid", "also: {bakery: event.data.psid}").Replace(shipped)
	mine := Check{Sees: func(id string) bool { return id == "bakery" }}
	for _, c := range []struct {
		name, file string
		check      Check
		want       string
	}{
		{"a sender", strings.Replace(shipped, "bakery", "florist", 1), Check{}, "f:4: flow shipped: sender florist: that Sender is not defined"},
		{"an endpoint", with("webhook: {endpoint: crm}"), Check{}, "f:8: flow shipped: steps[0].webhook.endpoint crm: that Endpoint is not"},
		{"an endpoint beside it", crm + "---\n" + with("webhook: {endpoint: crm}"), Check{}, ""},
		{"a template", with("send: {template: t}"), Check{}, "f:8: flow shipped: steps[0].send.template t is not defined"},
		{"a template of somebody else", hers + "---\n" + with("send: {template: t}"), Check{}, "f:14: flow shipped: steps[0].send.template t: it is a template of sender florist"},
		{"a sender for otherwise", with("send: {text: a, otherwise: [{text: b, sender: phone}]}"), Check{}, "steps[0].send.otherwise[0].sender phone: that Sender"},
		{"a flow", starts("begins", "shipped"), Check{}, "steps[0].start shipped: that Flow is not"},
		{"a flow beside it", starts("begins", "shipped") + "---\n" + shipped, Check{}, ""},
		{"a circle", starts("one", "two") + "---\n" + starts("two", "three") + "---\n" + starts("three", "one"), Check{}, "flow one: start: three starts this flow again"},
		{"a keyword twice", answer("a", "bakery", "menu") + "---\n" + answer("b", "bakery", "MENU!"), Check{}, `flow a: trigger.keywords: flow b answers "menu" too`},
		{"a keyword twice by auto", answer("a", "auto", "menu") + "---\n" + answer("b", "bakery", "MENU!"), Check{}, "answers"},
		{"within a scope", shipped, mine, ""},
		{"auto within a scope", auto, mine, "sender auto: that is every sender"},
		{"an endpoint of all senders within a scope", crm + "---\n" + with("webhook: {endpoint: crm}"), mine, "that Endpoint is not"},
		{"an endpoint within a scope", crm + "events: {senders: [bakery]}\n---\n" + with("webhook: {endpoint: crm}"), mine, ""},
	} {
		_, err := s.Try(t.Context(), "f", decode(t, c.file), c.check)
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := apply(t, s, answer("a", "bakery", "menu"), Check{}); err != nil {
		t.Fatal(err)
	}
	if _, err := apply(t, s, answer("b", "bakery", "menu"), Check{}); err == nil {
		t.Error("two flows answer one word")
	}
	if got, err := apply(t, s, answer("a", "bakery", "menu, card"), Check{}); err != nil || got != "flow a updated" {
		t.Errorf("a flow is in the way of itself: %q, %v", got, err)
	}
	if _, err := apply(t, s, auto, Check{}); err != nil {
		t.Fatal(err)
	}
	if _, err := apply(t, s, shipped, mine); err == nil || !strings.Contains(err.Error(), "the id is taken") {
		t.Errorf("a flow out of scope: %v", err)
	}
}

// testFlowCheck hands every message to the check as each of its senders would
// send it.
func testFlowCheck(t *testing.T, s *Store) {
	const owners = "kind: Flow\nid: owned\ntype: notification\nsender: record_owner\nowner: event.data.owner\nowners: {a: bakery, b: florist}\ncontact: event.data.psid\ntrigger: {events: [x]}\n" +
		"steps:\n  - send: {text: one, otherwise: [{text: two, sender: bakery}]}\n  - notify: {sender: florist, to: ['7'], text: three}\n"
	florist := strings.NewReplacer("id: bakery", "id: florist").Replace(bakery)
	var got []string
	check := Check{Flow: func(f *FlowCheck) ([]string, error) {
		for _, m := range f.Messages {
			var from []string
			for i, s := range m.From {
				p := m.Words[i].Policy()
				from = append(from, s.ID+" "+p.Origin+" "+p.FlowType+" "+p.SenderChoice)
			}
			got = append(got, m.Path+": "+strings.Join(from, ", "))
		}
		return []string{"careful"}, nil
	}}
	as, err := s.Apply(t.Context(), "f", decode(t, bakery+"---\n"+florist+"---\n"+owners), check)
	if err != nil || !slices.Equal(as[2].Warnings, []string{"careful"}) {
		t.Fatalf("%+v, %v", as, err)
	}
	want := []string{
		"steps[0].send: bakery flow notification record_owner, florist flow notification record_owner",
		"steps[0].send.otherwise[0]: bakery flow notification ",
		"steps[1].notify: florist flow notification ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// testFlowCache hears what becomes of flows.
func testFlowCache(t *testing.T, s *Store) {
	ctx := t.Context()
	if _, err := apply(t, s, bakery+"---\n"+shipped, Check{}); err != nil {
		t.Fatal(err)
	}
	c, err := NewCache(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	f, ok, err := c.Flow(ctx, "shipped")
	if err != nil || !ok || f.State != flow.Active {
		t.Fatalf("%+v, %t, %v", f, ok, err)
	}
	if _, ok, err := c.Flow(ctx, "other"); ok || err != nil {
		t.Errorf("a flow that is none: %t, %v", ok, err)
	}
	if _, err := c.Program(ctx, "shipped", 2); !errors.Is(err, ErrNotFound) {
		t.Errorf("a version that is none: %v", err)
	}
	f.State = flow.Paused
	_, rev, err := s.Flow(ctx, "shipped")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutFlow(ctx, &f, rev); err != nil {
		t.Fatal(err)
	}
	for late := time.Now().Add(time.Minute); f.State != flow.Paused; {
		if f, _, err = c.Flow(ctx, "shipped"); err != nil || time.Now().After(late) {
			t.Fatalf("never heard: %+v, %v", f, err)
		}
	}
	if live, err := c.Flows(ctx); err != nil || len(live) != 0 {
		t.Errorf("live: %d, %v", len(live), err)
	}
	c.Close()
}
