package event

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/pkg/reason"
)

func full() Event {
	at := time.Date(2026, 11, 22, 12, 0, 0, 1e6, time.UTC)
	return Event{
		Source: "meta/shop", ID: "mid.1", Type: Message, Time: at, Channel: "messenger", Account: "1234567890", Person: "99", Sender: "bakery",
		MessageID: "mid.1", MessageIDs: []string{"mid.0"}, Job: "job", Watermark: at, Text: "hello", Payload: "p", Ad: true, Permission: "c", Post: true,
		Subject: "deal/1", Extensions: map[string]string{"tenant": "no"}, Change: &contact.Change{Labels: map[string]bool{"vip": true}},
		Live: true, Action: "block", Why: "spam", Code: 30003, Reason: reason.RecipientUnavailable, Standby: true, Ours: true, Data: json.RawMessage(`{"a":1}`),
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	for _, e := range []Event{full(), {Source: "crm", ID: "1", Type: "deal.won"}} {
		b, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(b)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%s\nread %+v, %v\nwant %+v", b, got, err, e)
		}
	}
	for _, e := range []Event{{ID: "1", Type: "t"}, {Source: "s", Type: "t"}, {Source: "s", ID: "1"}, {Source: "s", ID: "1", Type: "t", Data: json.RawMessage("{")}} {
		if b, err := e.Encode(); err == nil {
			t.Errorf("%+v was written as %s", e, b)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		``, `{`, `[]`, `{}`, `{"specversion":"0.3","id":"1","source":"s","type":"t","data":{}}`,
		`{"specversion":"1.0","id":"","source":"s","type":"t","data":{}}`, `{"specversion":"1.0","id":"1","source":"s","type":"t"}`,
		`{"specversion":"1.0","id":"1","source":"s","type":"t","data":7}`,
	} {
		if e, err := Decode([]byte(s)); err == nil {
			t.Errorf("%s was read as %+v", s, e)
		}
	}
}

// What a CRM calls a message is none: only a platform's events open a window
// or are receipts.
func TestMeaning(t *testing.T) {
	t.Parallel()
	opens := map[Type]bool{Message: true, Postback: true, Referral: true, OptIn: true, Reaction: true}
	receipts := map[Type]bool{Echo: true, Delivered: true, Read: true, Failed: true}
	for _, typ := range []Type{Message, Postback, Referral, OptIn, Reaction, Unreaction, Comment, Token, Stopped, Resumed, Deleted, Edited, Echo, Delivered, Read, Failed,
		ThreadTaken, ThreadBack, Enforced, Other, "deal.won"} {
		e := Event{Type: typ, Channel: "sms"}
		if e.Opens() != opens[typ] || e.Receipt() != receipts[typ] {
			t.Errorf("%s: opens %t, receipt %t", typ, e.Opens(), e.Receipt())
		}
		if e.Channel = ""; e.Opens() || e.Receipt() {
			t.Errorf("%s of a CRM has a meaning of a platform's", typ)
		}
	}
}

func FuzzDecode(f *testing.F) {
	e := full()
	b, err := e.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","data":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Decode(b)
		if err != nil {
			return
		}
		again, err := e.Encode()
		if err != nil {
			return // a time before year 0, data that is no JSON
		}
		if got, err := Decode(again); err != nil || got.ID != e.ID || got.Person != e.Person || !got.Time.Equal(e.Time) {
			t.Errorf("%s became %s: %+v, %v", b, again, got, err)
		}
	})
}
