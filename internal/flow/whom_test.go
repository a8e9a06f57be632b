package flow

import (
	"testing"

	"github.com/carillon-dev/carillon/internal/event"
)

// TestWhom: whom an event is about, as it was told and as it is kept once for
// each contact that rules and flows name.
func TestWhom(t *testing.T) {
	t.Parallel()
	const (
		begun  = "trigger: {events: [order.placed]}\nalso: {shop-sms: event.data.phone}\nsteps: [{end: true}]"
		auto   = "sender: auto\n" + begun
		words  = "trigger: {keywords: {words: [menu]}}\nsteps: [{wait: {events: [order.placed], timeout: 1h}}]"
		anyone = "sender: auto\n" + words
	)
	shop, text := Identity{"shop", "7"}, Identity{"shop-sms", "+4799"}
	both := of("7", `"phone":"+4799"`)
	for _, c := range []struct {
		name, doc, data string
		kept            Identity // whom it is kept for
		silent          bool
		want            Identity // zero: nobody
	}{
		{"as told", begun, both, Identity{}, false, shop},
		{"kept for its contact", begun, both, shop, false, shop},
		{"kept for the same person elsewhere", begun, both, text, false, Identity{}},
		{"kept for another", begun, both, Identity{"shop", "8"}, false, Identity{}},
		{"heard already", begun, both, shop, true, Identity{}},
		{"without an id", begun, of("", ""), shop, false, Identity{}},
		{"by the number alone", auto, both, Identity{}, false, text},
		{"by the number, kept for the id", auto, both, shop, false, Identity{}},
		{"a rule says it", words, both, shop, false, shop},
		{"a rule of another sender", words, both, text, false, Identity{}},
		{"any sender's", anyone, both, text, false, text},
		{"no rule says it", words, both, Identity{}, false, Identity{}},
	} {
		p := compiled(t, document(t, c.doc), 1)
		e := deal("order.placed", "1", c.data)
		e.Sender, e.Person, e.Silent = c.kept.Sender, c.kept.Person, c.silent
		got, ok, err := p.Main(&Told{Event: e})
		if err != nil || ok != (c.want != Identity{}) || ok && got != c.want {
			t.Errorf("%s: %+v, %t, %v", c.name, got, ok, err)
		}
	}
	p := compiled(t, document(t, words), 1)
	if got, ok, err := p.Main(&Told{Event: event.Event{Type: event.Message, Channel: "messenger", Sender: "shop", Person: "7"}}); err != nil || !ok || got != shop {
		t.Errorf("a platform says it: %+v, %t, %v", got, ok, err)
	}
}
