package meta

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/channel"
)

func TestAppendMessage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		m    channel.Message
		want string
	}{
		{channel.Message{Job: "j", Recipient: "1", Type: "RESPONSE", Text: "Hi"},
			`{"recipient":{"id":"1"},"messaging_type":"RESPONSE","message":{"text":"Hi","metadata":"j"}}`},
		{channel.Message{Job: "j", Recipient: "1", Type: "MESSAGE_TAG", Tag: "HUMAN_AGENT", Text: "Hi"},
			`{"recipient":{"id":"1"},"messaging_type":"MESSAGE_TAG","tag":"HUMAN_AGENT","message":{"text":"Hi","metadata":"j"}}`},
		{channel.Message{Recipient: "1", Type: "UPDATE", Tag: "HUMAN_AGENT", Text: "Hi"},
			`{"recipient":{"id":"1"},"messaging_type":"UPDATE","message":{"text":"Hi"}}`},
		{channel.Message{Recipient: "1", Text: "a\"b\\c\n\x01é\xff☕"},
			`{"recipient":{"id":"1"},"message":{"text":"a\"b\\c\n\u0001é` + "\ufffd" + `☕"}}`},
	} {
		if got := string(appendMessage(nil, &c.m)); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// drawMessage draws any message, bytes that are no UTF-8 included.
func drawMessage(t *rapid.T) channel.Message {
	text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	return channel.Message{
		Job: text.Draw(t, "job"), Recipient: text.Draw(t, "recipient"), Text: text.Draw(t, "text"),
		Type: rapid.SampledFrom([]string{"RESPONSE", "UPDATE", "MESSAGE_TAG", "UTILITY"}).Draw(t, "type"), Tag: text.Draw(t, "tag"),
	}
}

// asRead is what the platform must read of m.
func asRead(m channel.Message) sendBody {
	clean := func(s string) string {
		b, _ := json.Marshal(s)
		json.Unmarshal(b, &s)
		return s
	}
	s := sendBody{Type: m.Type}
	if m.Type == tagged {
		s.Tag = clean(m.Tag)
	}
	s.Recipient.ID, s.Message.Text, s.Message.Metadata = clean(m.Recipient), clean(m.Text), clean(m.Job)
	return s
}

func TestSinglesAreReadAsWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		var got sendBody
		if err := json.Unmarshal(appendMessage(nil, &m), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(asRead(m), got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestBatchesAreReadAsWritten(t *testing.T) {
	t.Parallel()
	b, err := parseBase("https://graph.example", "v25.0")
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEndpoint(b, account())
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.SliceOfN(rapid.Custom(drawMessage), 2, 6).Draw(t, "messages")
		body, _ := appendBatch(nil, nil, e, ms)
		form, items, sends, err := readForm(string(body))
		if err != nil {
			t.Fatal(err)
		}
		want := make([]sendBody, len(ms))
		for i, m := range ms {
			want[i] = asRead(m)
			want[i].Tag = ""
			if m.Type == tagged { // a form carries bytes, not JSON
				want[i].Tag = m.Tag
			}
			if items[i].Method != "POST" || items[i].RelativeURL != "v25.0/1234567890/messages" {
				t.Fatalf("item %+v", items[i])
			}
		}
		if diff := cmp.Diff(want, sends); diff != "" {
			t.Fatal(diff)
		}
		form.Del("batch")
		if diff := cmp.Diff(url.Values{"access_token": {"EAAG-token"}, "include_headers": {"false"},
			"appsecret_proof": {appsecretProof}}, form); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzQuoted(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\\n\r\t\x00\x1f\x7f", "é☕\u2028\U0001F600", "\xff\xc3", strings.Repeat("x", 2000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got, want string
		if err := json.Unmarshal(appendQuoted(nil, s), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		b, _ := json.Marshal(s)
		if err := json.Unmarshal(b, &want); err != nil || got != want {
			t.Errorf("%q: %q, want %q (%v)", s, got, want, err)
		}
	})
}
