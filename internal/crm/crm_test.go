package crm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/consent"
	"github.com/carillon-dev/carillon/internal/crm"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/mapping"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/pkg/policy"
)

var engines *engine.Engines

func TestMain(m *testing.M) { os.Exit(rig.Main(m, func(e *engine.Engines) { engines = e })) }

const hooks = `
kind: Hook
id: deals
type: events
sources: [crm]
map:
- types: [deal.*]
  sender: bakery
  contact: event.data.psid
  labels: {customer: event.type == "deal.won"}
---
kind: Hook
id: optouts
type: events
map:
- sender: bakery
  contact: event.data.psid
  opt_out: event.data.do_not_text == true
`

func open(t *testing.T) (*rig.Rooms, *crm.Intake) { return openWith(t, hooks) }

// openWith opens an intake with the bakery and other documents.
func openWith(t *testing.T, docs string) (*rig.Rooms, *crm.Intake) {
	t.Helper()
	r := rig.Open(t, engines)
	r.Apply(t, rig.Bakery+"---"+docs)
	r.Settled(t, nil)
	senders, err := definition.NewCache(t.Context(), r.Defs)
	rig.Must(t, err)
	t.Cleanup(senders.Close)
	desk, err := ingest.Open(t.Context(), ingest.Config{
		NATS: r.Engines.NATS, Streams: r.Streams, Names: r.Names, Facts: r.Facts, Consent: &consent.Desk{Facts: r.Facts, Ledger: r.Ledger},
		Senders: senders, Rulebook: policy.Default(), Log: r.Log,
	})
	rig.Must(t, err)
	none := func(context.Context) ([]*flow.Program, error) { return nil, nil }
	return r, &crm.Intake{Defs: r.Defs, Desk: desk, Cache: mapping.NewCache(), Flows: none}
}

func all(string) bool { return true }

func told(id, typ, data string) event.Event {
	return event.Event{Source: "crm", ID: id, Type: event.Type(typ), Time: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), Data: json.RawMessage(data)}
}

func take(t *testing.T, in *crm.Intake, events ...event.Event) (crm.Found, ingest.Taken) {
	t.Helper()
	f, err := in.Find(t.Context(), all, events)
	rig.Must(t, err)
	taken, err := in.Take(t.Context(), f)
	rig.Must(t, err)
	return f, taken
}

// TestTake: every hook of type events has its say, a repeat is known by source
// and id, and what names nobody is told.
func TestTake(t *testing.T) {
	t.Parallel()
	r, in := open(t)
	won := told("1", "deal.won", `{"psid":"7","do_not_text":true}`)
	f, taken := take(t, in, won, told("2", "note", `{"fax":"1"}`), told("3", "deal.won", `{"psid":[]}`), told("4", "carillon.contact.changed", `{"sender":"bakery","contact":"8","name":"Ada"}`))
	if f.About != 3 || len(f.Lost) != 2 || f.Lost[0].Why != "" || !strings.Contains(f.Lost[1].Why, "contact") || taken.New != 5 || !f.Senders["bakery"] {
		t.Errorf("%+v, %+v", f, taken)
	}
	c, _, err := r.Facts.Contact(t.Context(), "bakery", r.Facts.Key("bakery", "7"))
	if err != nil || strings.Join(c.Labels, " ") != "customer" || !c.OptedOut("all") || c.OptOuts[0].Source != "crm" {
		t.Errorf("%+v, %v", c, err)
	}
	if c, _, err = r.Facts.Contact(t.Context(), "bakery", r.Facts.Key("bakery", "8")); err != nil || c.Name != "Ada" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, again := take(t, in, won); again.New != 0 || again.Repeated != 2 {
		t.Errorf("told again: %+v", again)
	}
	other := told("1", "deal.won", `{"psid":"7"}`)
	other.Source = "another"
	if f, taken := take(t, in, other); f.About != 1 || taken.New != 1 {
		t.Errorf("another's event of the same id: %+v, %+v", f, taken)
	}
	if in.Taken() != 6 || in.Nobody() != 2 {
		t.Errorf("counted %d and %d", in.Taken(), in.Nobody())
	}
}

// kept returns what is kept of an event.
func kept(t *testing.T, r *rig.Rooms, id string) event.Event {
	t.Helper()
	m, found, err := stream.Last(t.Context(), r.Engines.NATS, r.Names.EventsStream(), r.Names.Event("crm/crm", id))
	rig.Must(t, err)
	if !found {
		t.Fatalf("event %s is not kept", id)
	}
	e, err := event.Decode(m.Data)
	rig.Must(t, err)
	return e
}

// TestOncePerContact: what two rules say of one contact is kept twice, and is
// one thing that happened.
func TestOncePerContact(t *testing.T) {
	t.Parallel()
	r, in := open(t)
	take(t, in, told("1", "deal.won", `{"psid":"7","do_not_text":true}`))
	first, second := kept(t, r, "1"), kept(t, r, "1~2")
	if first.Silent || first.Of != "" || first.Told() != "1" || first.Person != "7" {
		t.Errorf("the first: %+v", first)
	}
	if !second.Silent || second.Of != "1" || second.Told() != "1" || second.Change == nil || second.Change.OptOut != "all" {
		t.Errorf("the second: %+v", second)
	}
}

// TestUnresolved: one rule that fails costs the others nothing, and is told.
func TestUnresolved(t *testing.T) {
	t.Parallel()
	r, in := open(t)
	r.Apply(t, "kind: Hook\nid: phones\ntype: events\nmap:\n- sender: bakery\n  contact: event.data.phone\n")
	f, _ := take(t, in, told("1", "deal.won", `{"psid":"7","phone":[]}`))
	if f.About != 2 || len(f.Lost) != 0 || len(f.Unresolved) != 1 || f.Unresolved[0].ID != "1" || !strings.Contains(f.Unresolved[0].Why, "map[0].contact: ") {
		t.Errorf("%+v", f)
	}
}

// TestHear: a CRM's own hook maps by its own rules, what names nobody is kept
// without what it says, and no event says by its type whom it is about.
func TestHear(t *testing.T) {
	t.Parallel()
	r, in := open(t)
	h := &hook.Spec{ID: "hub", Type: hook.HubSpot, Map: []hook.Rule{{Sender: "bakery", Contact: "event.data.hub", Labels: map[string]string{"hub": "true"}}}}
	said := []event.Event{
		told("1", "deal.won", `{"hub":"7","psid":"9"}`), told("2", "deal.won", `{"hub":[]}`),
		told("3", string(mapping.Changed), `{"sender":"bakery","contact":"8","name":"Ada"}`),
	}
	rig.Must(t, in.Hear(t.Context(), h, said))
	if e := kept(t, r, "1"); e.Person != "7" || e.Data == nil {
		t.Errorf("%+v", e)
	}
	if e := kept(t, r, "2"); e.Person != "" || e.Data != nil || !strings.Contains(e.Why, "map[0].contact") {
		t.Errorf("%+v", e)
	}
	if e := kept(t, r, "3"); e.Person != "" || e.Data != nil {
		t.Errorf("%+v", e)
	}
	for id, want := range map[string]bool{"7": true, "8": false, "9": false} {
		if _, known, err := r.Facts.Contact(t.Context(), "bakery", r.Facts.Key("bakery", id)); err != nil || known != want {
			t.Errorf("%s: known %t, %v", id, known, err)
		}
	}
	bad := &hook.Spec{ID: "hub", Type: hook.HubSpot, Map: []hook.Rule{{Sender: "bakery", Contact: "("}}}
	if err := in.Hear(t.Context(), bad, said); err == nil {
		t.Error("rules that are none were taken")
	}
}

// TestFindRefuses: one event that is no good, or of who may not be seen,
// refuses all.
func TestFindRefuses(t *testing.T) {
	t.Parallel()
	_, in := open(t)
	good := told("1", "deal.won", `{"psid":"7"}`)
	for name, c := range map[string]struct {
		bad  event.Event
		sees func(string) bool
		want string
	}{
		"no sender of that name": {told("2", "carillon.contact.changed", `{"sender":"nobody","contact":"8"}`), all, "sender nobody: not found"},
		"not to be seen":         {good, func(string) bool { return false }, "sender bakery: not found"},
		"no contact":             {told("2", "carillon.contact.changed", `{"sender":"bakery"}`), all, "events[1]: data.contact"},
	} {
		_, err := in.Find(t.Context(), c.sees, []event.Event{good, c.bad})
		_, refused := errors.AsType[*crm.Refusal](err)
		if err == nil || !strings.Contains(err.Error(), c.want) || refused == errors.Is(err, definition.ErrNotFound) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestBehind: where too much waits, nothing of a call is taken by any way, and
// the same is taken later.
func TestBehind(t *testing.T) {
	t.Parallel()
	r, in := open(t)
	in.Press = &crm.Pressure{Most: 10, Log: r.Log, Waiting: func(context.Context) (uint64, error) { return 11, nil }}
	e := told("1", "deal.won", `{"psid":"7"}`)
	_, err := in.Find(t.Context(), all, []event.Event{e})
	if b, ok := errors.AsType[*crm.Behind](err); !ok || b.Waiting != 11 {
		t.Errorf("%v", err)
	}
	h := &hook.Spec{ID: "hub", Type: hook.HubSpot}
	if _, ok := errors.AsType[*crm.Behind](in.Hear(t.Context(), h, []event.Event{e})); !ok {
		t.Error("a hook's call was taken")
	}
	l := &crm.Listener{Intake: in, NATS: r.Engines.NATS, Subject: r.Names.CRMEvents(), Log: r.Log, Decode: func(map[string][]string, []byte) ([]event.Event, error) {
		return []event.Event{e}, nil
	}}
	rig.Loop(t, l.Run)
	var got crm.Reply
	rig.Until(t, "somebody answers", func() bool {
		m, err := r.Engines.NATS.Request(l.Subject, nil, 10*time.Second)
		return err == nil && json.Unmarshal(m.Data, &got) == nil
	})
	if got.Error == "" || !got.Again || got.After != 5 || l.Refused() == 0 {
		t.Errorf("%+v", got)
	}
	in.Press = nil
	if _, taken := take(t, in, e); taken.New != 2 {
		t.Errorf("told again: %+v", taken)
	}
}

// TestListen: who asks over NATS is answered once the events are taken, and
// who only publishes is heard.
func TestListen(t *testing.T) {
	t.Parallel()
	r, in := open(t)
	l := &crm.Listener{Intake: in, NATS: r.Engines.NATS, Subject: r.Names.CRMEvents(), Log: r.Log, Decode: func(h map[string][]string, body []byte) ([]event.Event, error) {
		if len(h) > 0 || len(body) == 0 {
			return nil, errors.New("no event")
		}
		return []event.Event{told(string(body), "deal.won", fmt.Sprintf(`{"psid":%q}`, body))}, nil
	}}
	rig.Loop(t, l.Run)
	ask := func(body string) (got crm.Reply) {
		t.Helper()
		rig.Until(t, "somebody answers", func() bool {
			m, err := r.Engines.NATS.Request(l.Subject, []byte(body), 10*time.Second)
			return err == nil && json.Unmarshal(m.Data, &got) == nil
		})
		return got
	}
	if got := ask("7"); got != (crm.Reply{New: 1, Contacts: 2}) && got != (crm.Reply{New: 2, Contacts: 2}) {
		t.Errorf("asked: %+v", got)
	}
	if c, _, err := r.Facts.Contact(t.Context(), "bakery", r.Facts.Key("bakery", "7")); err != nil || c.Address != "7" {
		t.Errorf("answered before it was known: %+v, %v", c, err)
	}
	if got := ask(""); got != (crm.Reply{Error: "no event"}) || l.Refused() != 1 {
		t.Errorf("refused: %+v, %d", got, l.Refused())
	}
	rig.Must(t, r.Engines.NATS.Publish(l.Subject, []byte("9")))
	rig.Until(t, "what was published is known", func() bool {
		c, _, err := r.Facts.Contact(t.Context(), "bakery", r.Facts.Key("bakery", "9"))
		return err == nil && c.Address == "9"
	})
}
