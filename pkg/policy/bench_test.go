package policy

import (
	"testing"
	"time"
)

func benchCase() (time.Time, *Message, *Facts, *Sender) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	oslo, err := time.LoadLocation("Europe/Oslo")
	if err != nil {
		panic(err)
	}
	m := &Message{Text: "Hello Kari, the spring menu is here. Come by before 12 May."}
	f := &Facts{LastInbound: at.Add(-3 * time.Hour), Zone: oslo}
	s := &Sender{Channel: Messenger, QuietHours: QuietHours{From: 21 * time.Hour, To: 8 * time.Hour, Set: true}}
	return at, m, f, s
}

func BenchmarkEvaluate(b *testing.B) {
	rb := book()
	at, m, f, s := benchCase()
	tagged := *m
	tagged.Tag, tagged.Origin = "HUMAN_AGENT", "agent"
	old := *f
	old.LastInbound = at.Add(-30 * time.Hour)
	human := *s
	human.Capabilities = []string{"utility", "human_agent"}
	sms := Sender{Channel: SMS, Capabilities: []string{"ten_dlc"}}
	consent := *f
	consent.SMSConsent = true
	for _, bc := range []struct {
		name string
		m    *Message
		f    *Facts
		s    *Sender
	}{{"window", m, f, s}, {"human_agent", &tagged, &old, &human}, {"sms", m, &consent, &sms}} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v := Evaluate(rb, at, bc.m, bc.f, bc.s); v.Kind != Send {
					b.Fatal(v)
				}
			}
		})
	}
}
