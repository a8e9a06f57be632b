package flow

import (
	"encoding/json"
	"testing"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
)

// FuzzStoredEvent: whatever a CRM sends, what a run keeps of it reads as what
// came, as often as it is read and written, and another flow can be told it.
func FuzzStoredEvent(f *testing.F) {
	for _, data := range []string{`{"n":9007199254740993,"x":[1.5,null,{"a":"b"}]}`, `[]`, `"text"`, `null`, `{"time":"2026-11-22T12:00:00Z"}`, `1e400`, ``} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data string) {
		if data != "" && !json.Valid([]byte(data)) {
			return
		}
		e := event.Event{Source: "crm", ID: "1", Type: "a", Time: noon(), Subject: "deal/1", Extensions: map[string]string{"tenant": "no"}, Data: json.RawMessage(data)}
		once := stored(input(&Told{Event: e}))
		if again := stored(restored(once)); string(again) != string(once) {
			t.Errorf("%s\nis read as\n%s", once, again)
		}
		r := Run{Event: once, Seen: 7, Identities: []Identity{{"shop", "7"}}}
		told := r.Told()
		if told.ID != "1" || told.Source != "crm" || told.Type != "a" || !told.Time.Equal(noon()) || told.Subject != "deal/1" || told.Extensions["tenant"] != "no" || told.Seq != 7 {
			t.Errorf("%+v", told)
		}
		if other := stored(input(&told)); string(other) != string(once) {
			t.Errorf("another flow is told\n%s\nof\n%s", other, once)
		}
	})
}

// TestWhatExpressionsSee: each name that documents may use, as it is looked at
// in a branch.
func TestWhatExpressionsSee(t *testing.T) {
	t.Parallel()
	for _, expression := range []string{
		`event.id == "e1" && event.source == "crm" && event.type == "a" && event.subject == "" && event.time == timestamp("2026-11-22T12:00:00Z")`,
		`event.data.n == 9007199254740993 && event.data.?nothing.orValue(1) == 1 && event.extensions.size() == 0`,
		`contact.id == "7" && contact.sender == "shop" && contact.channel == "messenger" && contact.name == "Ada" && contact.timezone == "Europe/Oslo"`,
		`contact.labels == ["vip"] && contact.attributes.city == "Oslo" && !contact.opted_out && contact.last_inbound == timestamp("2026-11-22T12:00:00Z")`,
		`steps.sent.state == "blocked" && steps.sent.reason == "recipient_not_found" && steps.sent.sender == "nobody"`,
		`run.id.startsWith("f~") && run.started == timestamp("2026-11-22T12:00:00Z") && run.visits.sent == 1 && run.event.data.n > 1`,
		`!has(event.data.nothing) && event.data.psid.lowerAscii() == "7"`,
	} {
		s := play(t, "trigger: {events: [a]}\nsteps: [{id: sent, send: {text: a, sender: nobody}}, {branch: [{when: '"+expression+"', do: [{set: {labels: {x: true}}}]}]}]")
		s.contacts["shop"] = contact.Record{
			Address: "7", Name: "Ada", Timezone: "Europe/Oslo", Labels: []string{"vip"}, Attributes: map[string]string{"city": "Oslo"}, LastInbound: noon(),
		}
		s.tell("a", of("7", `"n":9007199254740993`))
		if got := s.did(); got != "start send:blocked branch set done" {
			_, r := s.only()
			t.Errorf("%s: %s, %s", expression, got, r.Why)
		}
	}
}
