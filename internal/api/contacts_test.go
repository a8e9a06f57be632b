package api_test

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/carillon-dev/carillon/internal/api"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/crm"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/mapping"
	"github.com/carillon-dev/carillon/internal/webhook"
	"github.com/carillon-dev/carillon/pkg/client"
)

// TestChangeContacts: what is said of contacts is in force when it is answered,
// each field by itself, and a repeat of it, or what is older, changes nothing.
func TestChangeContacts(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "changes")
	c, ctx := h.client(t), t.Context()
	must(c.ImportContacts(ctx, "changes", strings.NewReader("id,name,labels,city\nknown,Ann,a;b,Oslo\n"), false, func(client.ImportEvent) {}))(t)
	now := time.Now()
	said := []client.ContactChange{
		{Contact: "known", At: now, Labels: map[string]bool{"b": false, "c": true}, Attributes: map[string]*string{"city": nil, "plan": new("pro")}},
		{Contact: "new", At: now, Name: new("Bea"), Timezone: new("Europe/Oslo"), SMSConsent: true, OptIn: "all"},
	}
	got := must(c.ChangeContacts(ctx, "changes", said...))(t)
	if d := cmp.Diff(client.ContactsChanged{Written: 2, InForce: true, InFlight: []string{}}, got); d != "" {
		t.Error(d)
	}
	said = append(said, client.ContactChange{Contact: "known", At: now.Add(-1), Labels: map[string]bool{"c": false}})
	if got = must(c.ChangeContacts(ctx, "changes", said...))(t); got.Written != 0 || got.Unchanged != 3 || !got.InForce {
		t.Errorf("the same again: %+v", got)
	}
	for id, want := range map[string]contact.Record{
		"known": {Address: "known", Name: "Ann", Labels: []string{"a", "c"}, Attributes: map[string]string{"plan": "pro"}},
		"new":   {Address: "new", Name: "Bea", Timezone: "Europe/Oslo", SMSConsent: true, Returns: []contact.Return{{Scope: contact.All, At: now.UTC()}}},
	} {
		r, _, err := h.facts.Contact(ctx, "changes", h.facts.Key("changes", id))
		r.Marks = nil
		for i := range r.Returns {
			r.Returns[i].At = now.UTC()
		}
		if d := cmp.Diff(want, r); d != "" || err != nil {
			t.Error(id, d, err)
		}
	}
}

// TestChangeDrawsTheLine: an opt-out that comes as one of many changes names
// what may still arrive, as one that comes alone.
func TestChangeDrawsTheLine(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "line")
	src := job.Source{Month: "202611", Sender: "line", Name: "menu~1"}
	id := src.Job(h.facts.Key("line", "1"))
	claim := h.move(t, id, ledger.Record{State: job.Claimed, From: job.Pending, Attempt: 1, Deadline: time.Second})
	c := h.client(t)
	change := []client.ContactChange{{Contact: "1", OptOut: "all", Source: "a call"}, {Contact: "2", Name: new("Bea")}}
	got := must(c.ChangeContacts(t.Context(), "line", change...))(t)
	if !got.InForce || !slices.Equal(got.InFlight, []string{id.String()}) {
		t.Errorf("with a message on its way: %+v", got)
	}
	h.move(t, id, ledger.Record{State: job.Sent, From: job.Claimed, Prev: claim, Attempt: 1, MessageID: "m"})
	if got = must(c.ChangeContacts(t.Context(), "line", change...))(t); !got.InForce || len(got.InFlight) != 0 {
		t.Errorf("once it has an outcome: %+v", got)
	}
}

// TestEraseContact: nothing of a person is left but what forbids, and neither
// the log nor the answer names whom.
func TestEraseContact(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "erases")
	c, ctx := h.client(t), t.Context()
	const id = "psid-eve-900077"
	must(c.ChangeContacts(ctx, "erases", client.ContactChange{Contact: id, Name: new("Eve"), Labels: map[string]bool{"vip": true}, OptOut: "marketing", Source: "Eve rang"}))(t)
	must(h.desk.Take(ctx, []event.Event{{Source: "crm", ID: "of-" + id, Type: "deal.won", Time: time.Now(), Sender: "erases", Person: id, Data: []byte(`{}`)}}))(t)
	got := must(c.EraseContact(ctx, "erases", client.EraseRequest{Contact: id}))(t)
	if got != (client.Erased{Events: 1, Complete: true}) {
		t.Errorf("%+v", got)
	}
	r, known, err := h.facts.Contact(ctx, "erases", h.facts.Key("erases", id))
	if err != nil || !known || !r.Erased() || r.Name != "" || r.Labels != nil || !r.OptedOut(contact.Marketing) || r.OptOuts[0].Source != "" {
		t.Errorf("left: %+v, %v", r, err)
	}
	if s := must(c.Contact(ctx, "erases", id))(t); s.Contact == nil || s.Contact.ErasedAt.IsZero() || s.Contact.ID != "" {
		t.Errorf("told of it: %+v", s.Contact)
	}
	if strings.Contains(h.log.String(), id) {
		t.Error("the log names whom")
	}
}

// TestEvents: a CRM's events in every form, by the rules that were applied.
func TestEvents(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "crm-events")
	c, ctx := h.client(t), t.Context()
	const rules = "kind: Hook\nid: crm-events\ntype: events\nsources: [of-events]\nmap:\n- sender: crm-events\n  contact: event.data.psid\n  attributes: {stage: event.data.stage}\n"
	must(c.Apply(ctx, "hook.yaml", strings.NewReader(rules)))(t)
	const one = `{"specversion":"1.0","id":"1","source":"of-events","type":"deal","data":{"psid":"7","stage":"won"}}`
	got := must(c.SendEvents(ctx, []byte(one)))(t)
	if d := cmp.Diff(client.EventsTaken{New: 1, Contacts: 1, Nobody: []client.NobodyTold{}}, got); d != "" {
		t.Error(d)
	}
	got = must(c.SendEvents(ctx, []byte("["+one+`,{"specversion":"1.0","id":"2","source":"of-events","type":"deal"}]`)))(t)
	if d := cmp.Diff(client.EventsTaken{New: 1, Repeated: 1, Contacts: 1, Nobody: []client.NobodyTold{{Source: "of-events", ID: "2"}}}, got); d != "" {
		t.Error(d)
	}
	status, _, body := h.request(t, "POST", "/v1/events", `{"psid":"8","stage":"new"}`,
		"Content-Type", "application/json", "ce-specversion", "1.0", "ce-id", "3", "ce-source", "of-events", "ce-type", "deal")
	if status != 200 {
		t.Errorf("binary: %d %s", status, body)
	}
	for id, stage := range map[string]string{"7": "won", "8": "new"} {
		r, _, err := h.facts.Contact(ctx, "crm-events", h.facts.Key("crm-events", id))
		if err != nil || r.Attributes["stage"] != stage {
			t.Errorf("%s: %+v, %v", id, r, err)
		}
	}
}

// TestEventsLater: where flows are too far behind, CRM systems are told when to
// come back, by whichever door, and platforms are heard.
func TestEventsLater(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "later")
	c := h.config
	c.CRM = &crm.Intake{Defs: c.Defs, Desk: c.Desk, Cache: mapping.NewCache(), Press: &crm.Pressure{
		Most: 10, Log: c.Log, Waiting: func(context.Context) (uint64, error) { return 11, nil },
	}}
	heard := 0
	var err error
	c.Hooks, err = webhook.New(webhook.Config{
		Hook: func(_ context.Context, id string) (*hook.Spec, uint64, error) {
			return &hook.Spec{ID: id, Type: hook.Type(id), Secrets: []string{"env:A"}}, 1, nil
		},
		Secret: hookSecret, Log: c.Log, Readers: map[hook.Type]webhook.Reader{hook.HubSpot: teller{}, hook.Twilio: teller{}},
		Take: func(ctx context.Context, s *hook.Spec, events []event.Event) error {
			if s.Type.CRM() {
				return c.CRM.Hear(ctx, s, events)
			}
			heard++
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := api.New(c)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/v1/events": 429, "/hooks/hubspot/hubspot": 429, "/hooks/twilio/twilio": 200} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", path, strings.NewReader(`{"specversion":"1.0","id":"later","source":"later","type":"deal"}`))
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != want || want == 429 && (w.Header().Get("Retry-After") != "5" || !strings.Contains(w.Body.String(), "nothing was taken: 11 events wait")) {
			t.Errorf("%s: %d %v %s", path, w.Code, w.Header(), w.Body)
		}
	}
	if heard != 1 {
		t.Errorf("a platform was heard %d times", heard)
	}
}

// teller reads every call as one event.
type teller struct{}

func (teller) Read(hook.Call) (hook.Told, error) {
	return hook.Told{Events: []event.Event{{Source: "teller", ID: "1", Type: "deal"}}}, nil
}
