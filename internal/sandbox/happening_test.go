package sandbox

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestHappeningRefuses(t *testing.T) {
	b := newBench(t, Options{})
	for _, body := range []string{
		`{}`, `{"account":"77"}`, `{"account":"77","person":"1","kind":"dance"}`, `{"account":"77","kind":"policy","action":"ban"}`,
		`{"account":"77","person":"1","kind":"delete"}`, `{"account":"me","person":"1"}`, `{"account":"77","person":"1","colour":"red"}`,
		fmt.Sprintf(`{"account":"77","person":"1","id":%q}`, strings.Repeat("x", 200)), fmt.Sprintf(`{"account":"77","person":%q}`, strings.Repeat("x", 257)),
	} {
		if a := b.do(httptest.NewRequest(http.MethodPost, "/_sandbox/events", strings.NewReader(body))); a.status != http.StatusBadRequest {
			t.Errorf("%.80s: status %d: %s", body, a.status, a.body)
		}
	}
	if a := b.do(httptest.NewRequest(http.MethodPost, "/_sandbox/inbound", strings.NewReader(`{"account":"77","person":"1","kind":"comment"}`))); a.status != http.StatusBadRequest {
		t.Errorf("a comment opened a window: %d", a.status)
	}
}

// TestWhatOpens: after a silence of a week each kind opens the window or not.
func TestWhatOpens(t *testing.T) {
	for _, kind := range Kinds() {
		b := newBench(t, Options{})
		b.admin("POST", "inbound", `{"account":"77","person":"1","at":"2026-11-01T00:00:00Z"}`)
		b.admin("POST", "events", fmt.Sprintf(`{"account":"77","person":"1","kind":%q,"id":"x","action":"warning"}`, kind))
		want := "10/2018278"
		switch {
		case deeds()[kind].opens:
			want = ""
		case kind == "block":
			want = "551/1545041"
		case kind == "thread_taken":
			want = "10/2018300"
		}
		if got := b.text("77", "1").code(t); got != want {
			t.Errorf("after %s: %q, want %q", kind, got, want)
		}
	}
}

func TestMeaning(t *testing.T) {
	for text, want := range map[string]string{
		"stop": asksStop, " STOP\n": asksStop, "Unsubscribe": asksStop, "START": asksStart, "unstop": asksStart,
		"please stop writing": asksPerhaps, "stopped by your shop": "", "": "", "yes": "", "stop!": "",
	} {
		if got := meaning(text); got != want {
			t.Errorf("%q means %q, want %q", text, got, want)
		}
	}
}

// TestAfterStop: a message to one who asked to stop counts against its sender
// from the moment when that was told and answered, and not before.
func TestAfterStop(t *testing.T) {
	hold := make(chan struct{})
	h := newHookServer(t, func(n int) int {
		if n == 0 {
			<-hold
		}
		return 200
	})
	b := newBench(t, Options{})
	b.running()
	b.subscribe(Webhook{URL: h.url, Fields: []string{fieldMessages}})
	b.admin("POST", "events", `{"account":"77","person":"1","kind":"comment","id":"c"}`)
	b.admin("POST", "events", `{"account":"77","person":"1","text":"Stop"}`)
	broken := func(want uint64, when string) {
		t.Helper()
		b.clock.advance(time.Second)
		if a := b.text("77", "1"); a.status != http.StatusOK {
			t.Fatalf("%s: not enforced, yet %d", when, a.status)
		}
		if got := b.Summary("").Violations["after_stop"]; got != want {
			t.Errorf("%s: %d violations, want %d", when, got, want)
		}
	}
	broken(0, "not answered yet")
	close(hold)
	b.until("it is answered", func() bool { return strings.Contains(b.admin("GET", "told?person=1", ""), `"answered":"`) })
	broken(1, "answered")
	b.send("77", `{"recipient":{"comment_id":"c"},"message":{"text":"hi"}}`)
	if got := b.Summary("").Violations["after_stop"]; got != 2 {
		t.Errorf("a private reply to them: %d violations", got)
	}
	b.admin("POST", "events", `{"account":"77","person":"1","text":"start"}`)
	broken(2, "after their return")
}

// TestPermissions: both sides of the end of what a comment, a post or a token
// allows, and to whom it goes.
func TestPermissions(t *testing.T) {
	for _, c := range []struct {
		kind, recipient, life, past string
		limit                       time.Duration
	}{
		{"comment", `{"comment_id":"c"}`, "", "10903", replyWithin},
		{"one_time", `{"one_time_notif_token":"c"}`, "", "100", tokenLife},
	} {
		for _, over := range []time.Duration{-1, 0} {
			b := newBench(t, Options{Strict: true})
			send := func() answered {
				return b.send("77", fmt.Sprintf(`{"recipient":%s,"message":{"text":"hi"}}`, c.recipient))
			}
			if got := send().code(t); got != "100/33" {
				t.Errorf("%s that nobody gave: %q", c.kind, got)
			}
			b.admin("POST", "events", fmt.Sprintf(`{"account":"77","person":"9","kind":%q,"id":"c"}`, c.kind))
			b.clock.advance(c.limit + over)
			a := send()
			if want := map[time.Duration]string{-1: c.life, 0: c.past}[over]; a.code(t) != want {
				t.Errorf("%s, %s past its end: %q, want %q", c.kind, over, a.code(t), want)
			}
			if over < 0 && !strings.Contains(a.body, `"recipient_id":"9"`) {
				t.Errorf("%s went to %s", c.kind, a.body)
			}
			if over < 0 && send().code(t) == "" {
				t.Errorf("%s served twice", c.kind)
			}
		}
	}
}

// TestThreadOfAnother: sends are refused, and what the person writes comes as
// standby, until the thread is back.
func TestThreadOfAnother(t *testing.T) {
	h := newHookServer(t, nil)
	b := newBench(t, Options{})
	b.running()
	b.admin("POST", "accounts", `{"account":"88","channel":"instagram"}`)
	b.subscribe(Webhook{URL: h.url, Fields: []string{fieldMessages, fieldStandby}})
	for account, want := range map[string]string{"77": "10/2018300", "88": "100/2534037"} {
		act := func(kind string) {
			b.admin("POST", "events", fmt.Sprintf(`{"account":%q,"person":"1","kind":%q}`, account, kind))
		}
		act("thread_taken")
		act("message")
		if got := b.text(account, "1").code(t); got != want {
			t.Errorf("%s: %q, want %q", account, got, want)
		}
		act("thread_back")
		if got := b.text(account, "1").code(t); got != "" {
			t.Errorf("%s, back: %q", account, got)
		}
	}
	b.until("both are told", func() bool { return strings.Count(strings.Join(h.got(), ""), `"standby":[`) == 2 })
}

// TestRestricted: a block by the platform ends with its unblock.
func TestRestricted(t *testing.T) {
	b := newBench(t, Options{})
	for _, c := range []struct{ action, want string }{{"warning", ""}, {"block", "10/1893063"}, {"warning", "10/1893063"}, {"unblock", ""}} {
		b.admin("POST", "events", fmt.Sprintf(`{"account":"77","kind":"policy","action":%q}`, c.action))
		if got := b.text("77", "1").code(t); got != c.want {
			t.Errorf("after %s: %q, want %q", c.action, got, c.want)
		}
	}
}

// TestRing: only the newest are kept, under their own numbers.
func TestRing(t *testing.T) {
	r := ring[toldRecord]{size: toldKept}
	for range toldKept + 5 {
		r.put(toldRecord{row: row{seq: r.reserve()}})
	}
	if r.find(5) != nil || r.find(0) != nil || r.find(6) == nil || r.find(toldKept+5).seq != toldKept+5 || r.find(toldKept+6) != nil {
		t.Error("the wrong ones are kept")
	}
	if got := r.after(0, 2); len(got) != 2 || got[0].seq != 6 || got[1].seq != 7 {
		t.Errorf("after the forgotten ones come %+v", got)
	}
	if got := r.after(toldKept+4, 9); len(got) != 1 {
		t.Errorf("%d at the end", len(got))
	}
}

// TestTemplateApproval: without a list every template is approved, with one
// only those on it, in their language.
func TestTemplateApproval(t *testing.T) {
	for _, c := range []struct{ templates, want string }{
		{``, ""}, {`"templates":["n/en"],`, ""}, {`"templates":["n/de","m/en"],`, "100"}, {`"templates":[],`, "100"},
	} {
		b := newBench(t, Options{})
		b.admin("POST", "accounts", `{`+c.templates+`"account":"77"}`)
		if got := b.send("77", template).code(t); got != c.want {
			t.Errorf("%s: %q, want %q", c.templates, got, c.want)
		}
		b.send("77", `{"recipient":{"id":"1"},"messaging_type":"UTILITY","sender_action":"typing_on"}`) // carries no template
	}
	b := newBench(t, Options{})
	if err := b.Declare(Account{Account: "77", Templates: &[]string{"n"}}); err == nil {
		t.Error("a template without a language")
	}
}
