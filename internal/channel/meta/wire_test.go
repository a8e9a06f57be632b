package meta

import (
	"encoding/json"
	"flag"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/content"
)

var update = flag.Bool("update", false, "write testdata/wire/*.golden")

// wireForms are messages of every kind.
func wireForms() map[string]channel.Message {
	parts := func(p content.Parts) *content.Body { return &content.Body{Parts: p} }
	order := &content.Utility{Name: "order_update", Language: "en",
		Body: []content.Parameter{{Name: "order_id", Text: "566701"}}, Payloads: []string{"12345"}}
	return map[string]channel.Message{
		"text":                  {Job: "j1", Recipient: "PSID", Type: "RESPONSE", Text: "Hello, world!"},
		"tag":                   {Job: "j1", Recipient: "PSID", Type: "MESSAGE_TAG", Tag: "HUMAN_AGENT", Text: "…"},
		"private_reply":         {Job: "j1", Recipient: "COMMENT", To: channel.ToComment, Text: "Yes, \"today\"."},
		"private_reply_to_post": {Job: "j1", Recipient: "POST", To: channel.ToPost, Text: "Yes."},
		"one_time_notification": {Job: "j1", Recipient: "TOKEN", To: channel.ToToken, Text: "It is back."},
		"attachment":            {Job: "j1", Recipient: "PSID", Type: "UPDATE", Body: parts(content.Parts{Attachment: &content.Attachment{Type: "image", URL: "https://example.com/a.png?x=1&y=é", Reusable: true}})},
		"attachment_by_id":      {Job: "j1", Recipient: "PSID", Type: "UPDATE", Body: parts(content.Parts{Attachment: &content.Attachment{Type: "video", ID: "1857"}})},
		"buttons": {Job: "j1", Recipient: "PSID", Type: "UPDATE", Text: "Which?", Body: parts(content.Parts{Buttons: []content.Button{
			{Title: "Open", URL: "https://example.com/"}, {Title: "Yes", Payload: "YES"}, {Title: "Call", Phone: "+4799999999"}}})},
		"quick_replies": {Job: "j1", Recipient: "PSID", Type: "UPDATE", Text: "Which?", Body: parts(content.Parts{QuickReplies: []content.QuickReply{
			{Title: "Red", Payload: "R", ImageURL: "https://example.com/red.png"}, {Title: "Blue"}}})},
		"buttons_and_quick_replies": {Job: "j1", Recipient: "PSID", Type: "UPDATE", Text: "Which?", Body: parts(content.Parts{
			Buttons: []content.Button{{Title: "Yes", Payload: "YES"}}, QuickReplies: []content.QuickReply{{Title: "No"}}})},
		"elements": {Job: "j1", Recipient: "PSID", Type: "UPDATE", Body: parts(content.Parts{Elements: []content.Element{
			{Title: "Rolls", Subtitle: "warm", ImageURL: "https://example.com/r.png", URL: "https://example.com/r", Buttons: []content.Button{{Title: "Order", Payload: "ROLLS"}}},
			{Title: "Bread"}}})},
		"utility":            {Job: "j1", Recipient: "PSID", Type: "UTILITY", Body: &content.Body{Utility: order}},
		"utility_numbered":   {Job: "j1", Recipient: "PSID", Type: "UTILITY", Body: &content.Body{Utility: &content.Utility{Name: "n", Language: "pt_BR", Header: []content.Parameter{{Text: "H"}}, Body: []content.Parameter{{Text: "1"}, {Text: "2"}}}}},
		"utility_as_it_is":   {Job: "j1", Recipient: "PSID", Type: "UTILITY", Body: &content.Body{Utility: &content.Utility{Name: "n", Language: "en"}}},
		"utility_of_buttons": {Job: "j1", Recipient: "PSID", Type: "UTILITY", Body: &content.Body{Utility: &content.Utility{Name: "n", Language: "en", Payloads: []string{"a", "b"}}}},
		"customer_feedback": {Job: "j1", Recipient: "PSID", Type: "MESSAGE_TAG", Tag: "CUSTOMER_FEEDBACK", Body: &content.Body{Feedback: &content.Feedback{
			Title: "How was it?", Subtitle: "Two questions", ButtonTitle: "Rate", ExpiresInDays: 3, PrivacyURL: "https://example.com/privacy",
			Questions: []content.Question{{ID: "q1", Type: "csat", Title: "The rolls?", ScoreLabel: "neg_pos", ScoreOption: "five_stars", FollowUp: "Tell us more"}, {ID: "q2", Type: "nps"}}}}},
	}
}

// TestWireForms holds what goes out, alone and in a batch, against files that
// a person can compare with the platform's pages.
func TestWireForms(t *testing.T) {
	t.Parallel()
	b, err := parseBase("https://graph.example", "v25.0")
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEndpoint(b, account())
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range wireForms() {
		body := appendMessage(nil, &m)
		if !json.Valid(body) {
			t.Errorf("%s: %s", name, body)
			continue
		}
		form, _ := appendBatch(nil, nil, e, []channel.Message{m, m})
		got := string(body) + "\n" + string(form) + "\n"
		file := filepath.Join("testdata", "wire", name+".golden")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		sameInABatch(t, name, body, string(form))
	}
}

// sameInABatch asserts that every item of a form says what the single body
// does.
func sameInABatch(t *testing.T, name string, single []byte, form string) {
	t.Helper()
	var want map[string]json.RawMessage
	outer, err := url.ParseQuery(form)
	if err == nil {
		err = json.Unmarshal(single, &want)
	}
	if err != nil {
		t.Fatal(err)
	}
	var items []struct{ Body string }
	if err := json.Unmarshal([]byte(outer.Get("batch")), &items); err != nil || len(items) != 2 {
		t.Fatalf("%s: %d items, %v", name, len(items), err)
	}
	for _, item := range items {
		fields, err := url.ParseQuery(item.Body)
		if err != nil || len(fields) != len(want) {
			t.Fatalf("%s: %v, %v", name, fields, err)
		}
		for k, v := range want {
			var s string
			if json.Unmarshal(v, &s) != nil {
				s = string(v)
			}
			if fields.Get(k) != s {
				t.Errorf("%s: in a batch %s is %s, alone %s", name, k, fields.Get(k), s)
			}
		}
	}
}

// TestPlainTextsTakeNoRoomForMore: the way of nearly every message allocates
// nothing for what it does not carry.
func TestPlainTextsTakeNoRoomForMore(t *testing.T) {
	m := channel.Message{Job: "j1", Recipient: "PSID", Type: "UPDATE", Text: "Hello"}
	b := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { b = appendMessage(b[:0], &m) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
