package flow

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/sender"
)

const benched = `
also: {shop-sms: event.data.phone}
trigger: {events: [order.shipped], where: event.data.total > 10}
exit: [{events: [order.returned]}]
quiet_hours: {from: "21:00", to: "08:00"}
steps:
  - id: told
    send: {text: On its way, otherwise: [{text: On its way, sender: shop-sms}]}
  - wait: {for: 2d}
  - branch: [{when: steps.told.state == "sent", do: [{set: {labels: {asked: true}}}]}]
`

func BenchmarkCompile(b *testing.B) {
	s := document(b, benched)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(s, 1); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRun is one look at a run each, as the driver has them: an event
// that begins one, the outcome of its message, and the end of its waiting.
func BenchmarkRun(b *testing.B) {
	s := play(b, benched)
	w := World{Now: noon(), Contacts: map[string]contact.Record{}, Senders: func(string) *sender.Spec { return nil }, Zone: func(string) *time.Location { return nil }}
	e := deal("order.shipped", "1", of("7", `"phone":"+4799","total":12,"items":[{"name":"bread","n":2},{"name":"bun","n":12}]`))
	e.Time = noon()
	t := &Told{Event: e, Seq: 1}
	who, _, err := s.p.Main(t)
	if err != nil {
		b.Fatal(err)
	}
	ids := []Identity{who, {"shop-sms", "+4799"}}
	slot, _, err := s.p.Slot(t, who, w)
	if err != nil {
		b.Fatal(err)
	}
	id := ID{Flow: "f", Contact: keyOf(who), Slot: slot}
	begun, err := s.p.Begin(id, nil, nil, ids, t, w)
	if err != nil || begun.Run == nil {
		b.Fatalf("%+v, %v", begun, err)
	}
	sent := Outcome{State: job.Sent, At: noon()}
	waits, err := s.p.Settle(id, *begun.Run, "1-0-1-0", sent, w)
	if err != nil || waits.Run.Due.IsZero() {
		b.Fatalf("%+v, %v", waits, err)
	}
	later := w
	later.Now = waits.Run.Due
	stored, err := json.Marshal(waits.Run)
	if err != nil {
		b.Fatal(err)
	}
	for _, look := range []struct {
		name string
		at   func() (Result, error)
	}{
		{"begin", func() (Result, error) { return s.p.Begin(id, nil, nil, ids, t, w) }},
		{"settle", func() (Result, error) { return s.p.Settle(id, *begun.Run, "1-0-1-0", sent, w) }},
		{"wake", func() (Result, error) { return s.p.Wake(id, *waits.Run, later) }},
		{"wake in vain", func() (Result, error) { return s.p.Wake(id, *waits.Run, w) }},
	} {
		b.Run(look.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := look.at(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(stored)), "stored-bytes") // of the run while it waits
		})
	}
}
