package meta_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/channel/meta"
	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/internal/sandbox"
)

// TestTheSandboxTakesEveryKind sends each kind of message to the stand-in
// platform, which reads and judges them by code of its own, alone and in one
// batch.
func TestTheSandboxTakesEveryKind(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(sandbox.New(sandbox.Options{}))
	defer srv.Close()
	client, err := meta.New(meta.Options{BaseURL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	parts := func(p content.Parts) *content.Body { return &content.Body{Parts: p} }
	button := content.Button{Title: "Open", URL: "https://example.com/"}
	kinds := []channel.Message{
		{Text: "Hello"},
		{Body: parts(content.Parts{Attachment: &content.Attachment{Type: "file", URL: "https://example.com/menu.pdf"}})},
		{Text: strings.Repeat("x", 640), Body: parts(content.Parts{Buttons: []content.Button{button, button, button}})},
		{Text: "Which?", Body: parts(content.Parts{QuickReplies: []content.QuickReply{{Title: "Red"}}})},
		{Body: parts(content.Parts{Elements: []content.Element{{Title: strings.Repeat("é", 80), Buttons: []content.Button{button}}}})},
		{Type: "UTILITY", Body: &content.Body{Utility: &content.Utility{Name: "order_update", Language: "en", Body: []content.Parameter{{Name: "id", Text: "1"}}}}},
		{Type: "MESSAGE_TAG", Tag: "CUSTOMER_FEEDBACK", Body: &content.Body{Feedback: &content.Feedback{Title: "How?", Questions: []content.Question{{ID: "q", Type: "nps"}}, PrivacyURL: "https://example.com"}}},
		{Text: "In private", To: channel.ToComment},
		{Text: "In private", To: channel.ToPost},
		{Text: "It is back", To: channel.ToToken},
	}
	account := channel.Account{ID: "1234567890", Token: "T"}
	named := func(prefix string) []channel.Message {
		ms := make([]channel.Message, len(kinds))
		for i, m := range kinds {
			m.Job, m.Recipient = prefix+"job", prefix+string(rune('a'+i))
			if m.Type == "" && m.To == channel.ToContact {
				m.Type = "UPDATE"
			}
			ms[i] = m
		}
		return ms
	}
	for i, m := range named("single-") {
		if r := client.Send(t.Context(), account, m); r.Outcome != channel.Accepted {
			t.Errorf("alone, kind %d: %+v", i, r)
		}
	}
	for i, r := range client.SendBatch(t.Context(), account, named("batch-")) {
		if r.Outcome != channel.Accepted {
			t.Errorf("in a batch, kind %d: %+v", i, r)
		}
	}
	// What serves once is refused the second time.
	for i, m := range named("single-") {
		if r := client.Send(t.Context(), account, m); (r.Outcome == channel.Refused) != (m.To != channel.ToContact) {
			t.Errorf("again, kind %d: %+v", i, r)
		}
	}
}
