package meta

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/channel/wire"
	"github.com/carillon-dev/carillon/pkg/reason"
)

var hello = []channel.Message{{Job: "j1", Recipient: "998877665544", Type: "RESPONSE", Text: "Hello Ann, your table is ready"}}

func graphErrorBody(code, subcode int, message string) string {
	b, _ := json.Marshal(map[string]any{"error": map[string]any{"message": message, "type": "OAuthException",
		"code": code, "error_subcode": subcode, "fbtrace_id": "BLBz/WZt8dN"}})
	return string(b)
}

func TestJudge(t *testing.T) {
	t.Parallel()
	const ok = `{"recipient_id":"998877665544","message_id":"m_1"}`
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   channel.Outcome
		action channel.Action
		reason reason.Code
	}{
		{"accepted", 200, ok, channel.Accepted, 0, ""},
		{"accepted, error null", 200, `{"message_id":"m_1","error":null}`, channel.Accepted, 0, ""},
		{"accepted, another 2xx", 202, ok, channel.Accepted, 0, ""},
		{"no id", 200, `{"recipient_id":"1"}`, channel.Unknown, 0, reason.OutcomeUnknown},
		{"id is no string", 200, `{"message_id":5}`, channel.Unknown, 0, reason.OutcomeUnknown},
		{"empty", 200, ``, channel.Unknown, 0, reason.OutcomeUnknown},
		{"no JSON", 200, `<html>`, channel.Unknown, 0, reason.OutcomeUnknown},
		{"cut JSON", 200, ok[:30], channel.Unknown, 0, reason.OutcomeUnknown},
		{"id and error", 400, `{"message_id":"m","error":{"code":10,"error_subcode":2018278}}`, channel.Unknown, 0, reason.OutcomeUnknown},
		{"id and 500", 500, ok, channel.Unknown, 0, reason.OutcomeUnknown},
		{"window", 400, graphErrorBody(10, 2018278, "(#10)"), channel.Refused, channel.DeadLetter, reason.PlatformWindow},
		{"error in a 200", 200, graphErrorBody(10, 2018278, "(#10)"), channel.Refused, channel.DeadLetter, reason.PlatformWindow},
		{"error in a 500", 500, graphErrorBody(2, 0, "later"), channel.Refused, channel.Retry, reason.PlatformRejected},
		{"error in a 503", 503, graphErrorBody(551, 1545041, ""), channel.Refused, channel.BlockContact, reason.RecipientUnavailable},
		{"codes as strings", 400, `{"error":{"code":"190","error_subcode":"463"}}`, channel.Refused, channel.PauseSender, reason.CredentialInvalid},
		{"code of no sense", 400, `{"error":{"code":[],"message":"x"}}`, channel.Refused, channel.Retry, reason.PlatformRejected},
		{"subcode of no sense", 400, `{"error":{"code":10,"error_subcode":-1}}`, channel.Refused, channel.PauseSender, reason.CredentialInvalid},
		{"maybe sent", 400, graphErrorBody(1, 1357046, "invalid JSON"), channel.Unknown, 0, reason.OutcomeUnknown},
		{"unlisted", 400, graphErrorBody(424242, 1, ""), channel.Refused, channel.Retry, reason.PlatformRejected},
		{"error without code in a 200", 200, `{"error":{"message":"x"}}`, channel.Unknown, 0, reason.OutcomeUnknown},
		{"error without code in a 500", 500, `{"error":"bad gateway"}`, channel.Unknown, 0, reason.OutcomeUnknown},
		{"bare 400", 400, `nope`, channel.Refused, channel.Retry, reason.PlatformRejected},
		{"bare 401", 401, ``, channel.Refused, channel.Retry, reason.PlatformRejected},
		{"bare 408", 408, ``, channel.Unknown, 0, reason.OutcomeUnknown},
		{"bare 429", 429, ``, channel.Refused, channel.SlowSender, reason.RateCapped},
		{"429 with another error", 429, graphErrorBody(190, 463, ""), channel.Refused, channel.PauseSender, reason.CredentialInvalid},
		{"bare 499", 499, ``, channel.Refused, channel.Retry, reason.PlatformRejected},
		{"bare 500", 500, ``, channel.Unknown, 0, reason.OutcomeUnknown},
		{"bare 504", 504, `<html>`, channel.Unknown, 0, reason.OutcomeUnknown},
		{"redirect", 302, ``, channel.Refused, channel.Retry, reason.PlatformRejected},
		{"lowest redirect", 300, ``, channel.Refused, channel.Retry, reason.PlatformRejected},
		{"below redirects", 299, ``, channel.Unknown, 0, reason.OutcomeUnknown},
		{"no status", 0, ``, channel.Unknown, 0, reason.OutcomeUnknown},
	} {
		r := newRulebook().judge(c.status, []byte(c.body), hello)
		if r.Outcome != c.want || r.Action != c.action || r.Reason != c.reason || r.Status != c.status {
			t.Errorf("%s: %v %v %q status %d, want %v %v %q", c.name, r.Outcome, r.Action, r.Reason, r.Status, c.want, c.action, c.reason)
		}
		if (r.MessageID == "m_1") != (c.want == channel.Accepted) {
			t.Errorf("%s: message id %q", c.name, r.MessageID)
		}
	}
}

func TestRefusalKeepsWhatThePlatformSaid(t *testing.T) {
	t.Parallel()
	r := newRulebook().judge(400, []byte(graphErrorBody(2, 0, "try\nagain")), hello)
	want := channel.Result{Outcome: channel.Refused, Action: channel.Retry, Reason: reason.PlatformRejected, After: shortly, Limit: 3,
		Then: channel.BlockContact, Code: 2, Status: 400, Detail: "try again", TraceID: "BLBz/WZt8dN"}
	if r != want {
		t.Errorf("got %+v\nwant %+v", r, want)
	}
}

// marks writes one letter per result: A accepted, R refused, U unknown, N not sent.
func marks(results []channel.Result) string {
	var b strings.Builder
	for _, r := range results {
		b.WriteByte("UARN"[r.Outcome])
	}
	return b.String()
}

func TestJudgeBatch(t *testing.T) {
	t.Parallel()
	ok := func(id string) string { return fmt.Sprintf(`{"code":200,"body":"{\"message_id\":\"%s\"}"}`, id) }
	bad := func(code, subcode int) string {
		body, _ := json.Marshal(graphErrorBody(code, subcode, ""))
		return fmt.Sprintf(`{"code":400,"body":%s}`, body)
	}
	list := func(items ...string) string { return "[" + strings.Join(items, ",") + "]" }
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"all", 200, list(ok("a"), ok("b"), ok("c")), "AAA"},
		{"white space", 200, " \r\n\t" + list(ok("a"), ok("b"), ok("c")), "AAA"},
		{"one refused", 200, list(ok("a"), bad(10, 2018278), ok("c")), "ARA"},
		{"one null", 200, list(ok("a"), `null`, ok("c")), "AUA"},
		{"short", 200, list(ok("a")), "AUU"},
		{"none", 200, `[]`, "UUU"},
		{"long", 200, list(ok("a"), ok("b"), ok("c"), ok("d")), "UUU"},
		{"cut", 200, list(ok("a"), ok("b"), ok("c"))[:60], "UUU"},
		{"item without body", 200, list(`{"code":200}`, `{}`, `{"code":400}`), "UUR"},
		{"item of another shape", 200, list(ok("a"), `7`, `{"code":"x","body":{}}`), "AUU"},
		{"item 500", 200, list(`{"code":500,"body":"x"}`, `{"code":503,"body":""}`, ok("c")), "UUA"},
		{"item 429", 200, list(`{"code":429}`, ok("b"), ok("c")), "RAA"},
		{"item maybe sent", 200, list(bad(1, 1357046), ok("b"), ok("c")), "UAA"},
		{"items beside a 500", 500, list(ok("a"), bad(100, 0), `null`), "ARU"},
		{"no JSON", 200, `<html>`, "UUU"},
		{"empty", 200, ``, "UUU"},
		{"null", 200, `null`, "UUU"},
		{"an object", 200, `{"message_id":"m"}`, "UUU"},
		{"token", 400, graphErrorBody(190, 463, ""), "RRR"},
		{"token in a 200", 200, graphErrorBody(190, 463, ""), "RRR"},
		{"rate", 400, graphErrorBody(613, 0, ""), "RRR"},
		{"rate in a 500", 500, graphErrorBody(613, 0, ""), "RRR"},
		{"maybe sent", 400, graphErrorBody(1, 1357046, ""), "UUU"},
		{"unknown error", 400, graphErrorBody(1, 0, ""), "RRR"},
		{"unknown error in a 500", 500, graphErrorBody(1, 0, ""), "UUU"},
		{"unexpected error in a 503", 503, graphErrorBody(2, 0, ""), "UUU"},
		{"bare 500", 502, ``, "UUU"},
		{"bare 429", 429, ``, "RRR"},
		{"redirect", 307, ``, "RRR"},
	} {
		ms := []channel.Message{hello[0], hello[0], hello[0]}
		if got := marks(newRulebook().judgeBatch(c.status, []byte(c.body), ms)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	results := newRulebook().judgeBatch(200, []byte(list(ok("a"), ok("b"), ok("c"))), make([]channel.Message, 3))
	for i, id := range []string{"a", "b", "c"} {
		if results[i].MessageID != id {
			t.Errorf("message %d has id %q, want %q", i, results[i].MessageID, id)
		}
	}
}

func TestUsageOutlastsTheTable(t *testing.T) {
	t.Parallel()
	slow := channel.Result{Outcome: channel.Refused, Action: channel.SlowSender, After: time.Minute}
	for _, c := range []struct {
		regain time.Duration
		r      channel.Result
		want   time.Duration
	}{
		{0, slow, time.Minute},
		{time.Minute - 1, slow, time.Minute},
		{time.Minute + 1, slow, time.Minute + 1},
		{time.Hour, channel.Result{Outcome: channel.Accepted, MessageID: "m"}, 0},
		{time.Hour, channel.Result{Outcome: channel.Refused, Action: channel.Retry, After: time.Second}, time.Second},
	} {
		if r := (usage{app: 7, percent: 42, regain: c.regain}).add(c.r); r.After != c.want || r.Usage != 42 || r.AppUsage != 7 {
			t.Errorf("regain %v: after %v, usage %d and %d; want %v, 42 and 7", c.regain, r.After, r.Usage, r.AppUsage, c.want)
		}
	}
}

// sound checks what holds of a result whatever the answer was.
func sound(t *testing.T, r channel.Result) {
	t.Helper()
	if !utf8.ValidString(r.Detail) || len(r.Detail) > wire.MaxDetail || len(r.TraceID) > maxTrace || len(r.MessageID) > wire.MaxID {
		t.Errorf("unfit to keep: %+v", r)
	}
	if regexp.MustCompile(`^[0-9]{7}`).MatchString(r.Detail) {
		t.Errorf("%q begins with a number", r.Detail)
	}
	if (r.Outcome == channel.Accepted) != (r.Reason == "") || (r.Outcome == channel.Accepted) != (r.MessageID != "") {
		t.Errorf("outcome %v, reason %q, id %q", r.Outcome, r.Reason, r.MessageID)
	}
	if r.Outcome == channel.NotSent {
		t.Error("an answer cannot say that nothing was sent")
	}
}

func TestAcceptedID(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body, id string
	}{
		{`{"recipient_id":"1","message_id":"m_1"}`, "m_1"},
		{`{"recipient_id":"1","message_id":"m_1"}` + "\r\n", "m_1"},
		{`{"recipient_id":"","message_id":"~ !"}`, "~ !"},
		{`{"recipient_id":"1","message_id":""}`, ""},
		{`{"recipient_id":"1","message_id":"m_1"} `, ""},
		{`{"recipient_id":"1","message_id":"m_1"}{}`, ""},
		{`{"recipient_id":"1","message_id":"m_1","error":{}}`, ""},
		{`{"recipient_id":"1","message_id":"m\u0041"}`, ""},
		{`{"recipient_id":"1","message_id":"m` + "\x7f" + `"}`, ""},
		{`{"recipient_id":"1","message_id":"m` + "\x1f" + `"}`, ""},
		{`{"recipient_id":"1\","message_id":"m_1"}`, ""},
		{`{"recipient_id":"1","message_id":"m_1"`, ""},
		{`{"recipient_id":"1`, ""},
		{``, ""},
	} {
		if id, ok := acceptedID([]byte(c.body)); id != c.id || ok != (c.id != "") {
			t.Errorf("%s: %q %v, want %q", c.body, id, ok, c.id)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(200, `{"recipient_id":"1","message_id":"m_1"}`)
	f.Add(400, graphErrorBody(10, 2018278, "(#10) outside of allowed window +47 912 34 567"))
	f.Add(500, `{"error":{"code":"1","error_subcode":1357046}}`)
	f.Add(429, ``)
	rules := newRulebook()
	f.Fuzz(func(t *testing.T, status int, body string) {
		r := rules.judge(status, []byte(body), hello)
		sound(t, r)
		var a answer
		if id, ok := acceptedID([]byte(body)); ok && (json.Unmarshal([]byte(body), &a) != nil || a.MessageID != id || a.Error != nil) {
			t.Errorf("the short way reads %q, the decoder %+v", id, a)
		}
		if !json.Valid([]byte(body)) && (r.Outcome == channel.Accepted || r.Code != 0) {
			t.Errorf("read from what is no JSON: %+v", r)
		}
	})
}

func FuzzJudgeBatch(f *testing.F) {
	f.Add(200, 2, `[{"code":200,"body":"{\"message_id\":\"m\"}"},null]`)
	f.Add(200, 3, `[{"code":400,"body":"{\"error\":{\"code\":10,\"error_subcode\":2018278}}"}]`)
	f.Add(400, 50, graphErrorBody(190, 463, "expired"))
	rules := newRulebook()
	f.Fuzz(func(t *testing.T, status, n int, body string) {
		n = 2 + (n&0x7fffffff)%(MaxBatch-1)
		ms := make([]channel.Message, n)
		results := rules.judgeBatch(status, []byte(body), ms)
		if len(results) != n {
			t.Fatalf("%d results for %d messages", len(results), n)
		}
		for _, r := range results {
			sound(t, r)
		}
	})
}
