package ingest_test

import (
	"testing"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/rig"
)

// TestAServiceNamesTheAccountToo takes what was written to one number of a
// messaging service, which is the sender.
func TestAServiceNamesTheAccountToo(t *testing.T) {
	w := newWorld(t)
	const service = "MG0123456789abcdef0123456789abcdef"
	w.Apply(t, "kind: Sender\nid: shop\nchannel: sms\naccount: "+service+"\naccount_sid: AC0123456789abcdef0123456789abcdef\ncredential: env:NONE\n")
	const person = "+14155550199"
	e := event.Event{
		Source: "twilio/shop", ID: "SM1", MessageID: "SM1", Type: event.Message, Time: at(0), Channel: "sms", Account: "+14155550100", Person: person, Text: "hi",
	}
	rig.Until(t, "the sender is known", func() bool {
		e.Service = service
		return w.take(t, e).Senderless == 0
	})
	r, _, err := w.Facts.Contact(t.Context(), "shop", w.Facts.Key("shop", person))
	rig.Must(t, err)
	if !r.LastInbound.Equal(at(0)) {
		t.Errorf("wrote at %v, want %v", r.LastInbound, at(0))
	}
	e.ID, e.MessageID, e.Service = "SM2", "SM2", ""
	if got := w.take(t, e); got.Senderless != 1 {
		t.Errorf("of a number that is nobody's: %+v", got)
	}
}
