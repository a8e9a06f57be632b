package policy

import (
	"testing"
	"time"
)

// TestWordsForbidWhatATextMay: what stands in titles and labels is looked at
// as a text is, but has no length of its own and is no text.
func TestWordsForbidWhatATextMay(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	f := Facts{LastInbound: at.Add(-time.Hour)}
	s := Sender{Channel: Messenger}
	for words, want := range map[string]string{
		"":                                     "",
		"Order\nOpen":                          "",
		"4111 1111 1111 1111":                  "card_number",
		"DE89 3704 0044 0532 0130 00":          "account_number",
		"Please send us your card number":      "payment_data_requested",
		string(make([]byte, 3000)):             "", // more than a text may have
		"4111 1111 1111\n1111 is no one group": "",
	} {
		for _, text := range []string{"Hello", ""} {
			m := Message{Text: text, Words: words, HasTemplate: true}
			if v := Evaluate(Default(), at, &m, &f, &s); string(v.Reason) != want {
				t.Errorf("%.40q beside %q: %q, want %q", words, text, v.Reason, want)
			}
		}
	}
	m := Message{Words: "Hello"}
	if v := Evaluate(Default(), at, &m, &f, &s); v.Reason != "template_invalid" {
		t.Errorf("words without a message: %q", v.Reason)
	}
	m = Message{Text: "Hello", Words: "A sale\nwww.example.com", Tag: "HUMAN_AGENT", Origin: "agent"}
	outside := Facts{LastInbound: at.Add(-48 * time.Hour)}
	human := Sender{Channel: Messenger, Capabilities: []string{"human_agent"}}
	if v := Evaluate(Default(), at, &m, &outside, &human); v.Kind != Send || len(v.Warnings) != 2 {
		t.Errorf("advice on words: %+v", v)
	}
}
