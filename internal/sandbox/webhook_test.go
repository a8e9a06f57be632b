package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// hookServer is a webhook that a test watches. It answers what answer says.
type hookServer struct {
	url    string
	mu     sync.Mutex
	bodies []string
	signed []string
	answer func(n int) int // to request n, from 0
}

func newHookServer(t *testing.T, answer func(n int) int) *hookServer {
	t.Helper()
	h := &hookServer{answer: answer}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	h.url = srv.URL + "/hooks/meta/shop"
	return h
}

func (h *hookServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		if r.URL.Query().Get("hub.mode") == "subscribe" && r.URL.Query().Get("hub.verify_token") == "please" {
			io.WriteString(w, r.URL.Query().Get("hub.challenge"))
			return
		}
		w.WriteHeader(http.StatusForbidden)
		return
	}
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	n := len(h.bodies)
	h.bodies = append(h.bodies, string(body))
	h.signed = append(h.signed, r.Header.Get("X-Hub-Signature-256"))
	h.mu.Unlock()
	if h.answer != nil {
		w.WriteHeader(h.answer(n))
	}
}

func (h *hookServer) got() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.bodies)
}

// updates are all that was told, one text for each.
func (h *hookServer) updates(t testing.TB) []string {
	t.Helper()
	var out []string
	for _, body := range h.got() {
		var in struct {
			Entry []struct{ Messaging, Standby, Changes []json.RawMessage }
		}
		if err := json.Unmarshal([]byte(body), &in); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		for _, e := range in.Entry {
			for _, raw := range slices.Concat(e.Messaging, e.Standby, e.Changes) {
				out = append(out, string(raw))
			}
		}
	}
	return out
}

// running carries webhooks until the test ends, or the returned function is
// called.
func (b *bench) running() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.outbox.run(ctx) }()
	stop = func() { cancel(); <-done }
	b.t.Cleanup(stop)
	return stop
}

func (b *bench) until(what string, ok func() bool) {
	b.t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("never: %s; webhooks %+v", what, b.Subscriptions())
		}
	}
}

func (b *bench) subscribe(h Webhook) {
	b.t.Helper()
	if _, err := b.Subscribe(b.t.Context(), h); err != nil {
		b.t.Fatal(err)
	}
}

func TestSubscriptionIsVerified(t *testing.T) {
	h := newHookServer(t, nil)
	b := newBench(t, Options{})
	for token, want := range map[string]bool{"please": true, "": true, "guess": false} {
		a := b.do(httptest.NewRequest(http.MethodPost, "/_sandbox/webhooks", strings.NewReader(fmt.Sprintf(`{"url":%q,"verify_token":%q,"app_secret":"hush"}`, h.url, token))))
		if (a.status == http.StatusOK) != want || strings.Contains(a.body, "hush") || token != "" && strings.Contains(a.body, token) {
			t.Errorf("token %q: %d %s", token, a.status, a.body)
		}
	}
	if _, err := b.Subscribe(t.Context(), Webhook{URL: "http://127.0.0.1:1/", VerifyToken: "please"}); err == nil || strings.Contains(err.Error(), "please") {
		t.Errorf("where nobody answers: %v", err)
	}
	if got := b.Subscriptions(); len(got) != 1 || got[0].URL != h.url {
		t.Errorf("the same webhook again is another one: %+v", got)
	}
	b.admin("DELETE", "webhooks", "")
	if got := b.admin("GET", "webhooks", ""); got != "{\"webhooks\":[]}\n" {
		t.Errorf("after their end: %s", got)
	}
}

func TestSubscriptionRefuses(t *testing.T) {
	b := newBench(t, Options{})
	for _, body := range []string{
		`{}`, `{"url":"ftp://x/"}`, `{"url":"/hooks"}`, `{"url":"http://x/","items":1001}`, `{"url":"http://x/","late":0.5}`, `{"url":"http://x/","repeat":0.5}`,
		`{"url":"http://x/","late":1.1,"late_ms":5}`, `{"url":"http://x/","drop":-0.1}`, `{"url":"http://x/","read":2}`, `{"url":"http://x/","late_ms":600001}`,
		`{"url":"http://x/","fields":["message"]}`, `{"url":"http://x/","account":"a/b"}`, `{"url":"http://x/","secret":"s"}`,
	} {
		if a := b.do(httptest.NewRequest(http.MethodPost, "/_sandbox/webhooks", strings.NewReader(body))); a.status != http.StatusBadRequest {
			t.Errorf("%s: status %d: %s", body, a.status, a.body)
		}
	}
	for i := range maxWebhooks {
		b.subscribe(Webhook{URL: fmt.Sprintf("http://x/%d", i)})
	}
	if _, err := b.Subscribe(t.Context(), Webhook{URL: "http://x/more"}); err == nil {
		t.Error("one more webhook than there may be")
	}
}

// TestHappeningsOnTheWire holds every kind, of both channels, against the
// golden file.
func TestHappeningsOnTheWire(t *testing.T) {
	var out strings.Builder
	for _, channel := range []string{"messenger", "instagram"} {
		a := &account{id: "77", declared: Account{Channel: channel}}
		to := &subscriber{Webhook{URL: "http://x/", AppSecret: "secret"}, &counted{}}
		write := func(ls ...letter) {
			var some []*notice
			for _, l := range ls {
				some = append(some, &notice{to: to, letter: l})
			}
			p := envelope(to, some)
			fmt.Fprintf(&out, "%s %s\n", p.header.Get("X-Hub-Signature-256"), p.body)
		}
		for _, kind := range Kinds() {
			if deeds()[kind].item == nil {
				continue
			}
			h := Happening{Account: "77", Person: "1", Kind: kind, At: noon, ID: "x1", Text: "hé 🎉", Payload: "P", Action: "block", Reason: "spam"}
			if kind == "policy" {
				h.Person = ""
			}
			write(letterOf(a, &h, "15", false))
		}
		press := Happening{Account: "77", Person: "1", Kind: "postback", At: noon, ID: "x2", Text: "Menu", Payload: "P"}
		say := Happening{Account: "77", Person: "2", Kind: "message", At: noon.Add(time.Second), ID: "x3", Text: "hi"}
		write(letterOf(a, &press, "", true), letterOf(a, &say, "", false), letterOf(a, &say, "", true))
		sent := noon.Add(time.Millisecond)
		one := func(item []byte) letter {
			return letter{object: a.object(), account: a.id, place: "messaging", at: sent.UnixNano(), item: item}
		}
		write(one(echo(a, "1", messageID(7, 1), &message{Text: "Hello", Metadata: "job-1"}, "15", sent)),
			one(delivered(a, "1", messageID(7, 1), noon, sent)), one(readReceipt(a, "1", messageID(7, 1), sent)))
	}
	golden(t, "webhooks.txt", out.String())
}

func TestWebhookIsSigned(t *testing.T) {
	h := newHookServer(t, nil)
	b := newBench(t, Options{})
	b.running()
	b.subscribe(Webhook{URL: h.url, AppSecret: "hush", VerifyToken: "please"})
	b.admin("POST", "events", `{"account":"77","person":"1","text":"café"}`)
	b.until("the message is told", func() bool { return len(h.got()) == 1 })
	h.mu.Lock()
	defer h.mu.Unlock()
	if want := "sha256=" + signature("hush", []byte(h.bodies[0])); h.signed[0] != want || !strings.Contains(h.bodies[0], `caf\u00e9`) {
		t.Errorf("signed %s, want %s; body %s", h.signed[0], want, h.bodies[0])
	}
}

// TestReceipts: an accepted message is echoed, delivered and read, and the
// list says so once that was answered.
func TestReceipts(t *testing.T) {
	h := newHookServer(t, nil)
	b := newBench(t, Options{})
	b.running()
	all := 1.0
	b.subscribe(Webhook{URL: h.url, AppID: "15", Read: &all})
	b.admin("POST", "accounts", `{"account":"88","channel":"instagram"}`)
	b.send("77", textBody("1", "hi", "job-1"))
	b.text("88", "1")
	b.send("77", `{"recipient":{"id":"1"},"sender_action":"typing_on"}`)
	lines := func() []acceptedLine { return list[acceptedLine](t, b.admin("GET", "accepted", "")) }
	b.until("both are read", func() bool { l := lines(); return l[0].Read && l[1].Read })
	if l := lines(); !l[0].Echoed || !l[0].Delivered || l[0].ReadAt != noon.Add(readAfter) || !l[1].Echoed || l[1].Delivered {
		t.Errorf("%+v", l)
	}
	told := strings.Join(h.updates(t), "\n")
	for _, want := range []string{`"metadata":"job-1"`, `"app_id":15`, `"delivery":{"mids":["` + messageID(7, 1) + `"]`, `"read":{"watermark":`, `"read":{"mid":"` + messageID(7, 2) + `"}`} {
		if strings.Count(told, want) != 1 {
			t.Errorf("%d times %s in\n%s", strings.Count(told, want), want, told)
		}
	}
}

// TestFieldsAndAccounts: who is told what.
func TestFieldsAndAccounts(t *testing.T) {
	quiet, loud := newHookServer(t, nil), newHookServer(t, nil)
	b := newBench(t, Options{})
	b.running()
	b.subscribe(Webhook{URL: quiet.url, Account: "77", Fields: []string{fieldReactions}})
	b.subscribe(Webhook{URL: loud.url})
	for _, order := range []string{`{"account":"77","person":"1"}`, `{"account":"77","person":"1","kind":"reaction"}`, `{"account":"88","person":"1","kind":"reaction"}`} {
		b.admin("POST", "events", order)
	}
	b.until("all is told", func() bool { return len(quiet.updates(t)) == 1 && len(loud.updates(t)) == 3 })
	if got := quiet.updates(t)[0]; !strings.Contains(got, "reaction") {
		t.Errorf("told %s", got)
	}
}

// TestWebhookFaults: every fault by itself, and what is left of it in the end.
func TestWebhookFaults(t *testing.T) {
	const n = 40
	for name, c := range map[string]struct {
		hook   Webhook
		answer func(int) int
		check  func(Subscription) bool
		want   int // updates
	}{
		"none":     {Webhook{}, nil, func(s Subscription) bool { return s.Refused == 0 && s.Dropped == 0 }, n},
		"late":     {Webhook{Late: 1, LateMS: 50}, nil, func(s Subscription) bool { return s.Refused == 0 }, n},
		"repeated": {Webhook{Repeat: 1, LateMS: 20}, nil, func(s Subscription) bool { return s.Answered == 2*n }, 2 * n},
		"dropped":  {Webhook{Drop: 1}, nil, func(s Subscription) bool { return s.Dropped == n && s.Refused == 0 }, n},
		"refused": {Webhook{Items: 1000}, func(n int) int {
			if n < 4 {
				return []int{500, 404, 201, 302}[n]
			}
			return http.StatusOK
		}, func(s Subscription) bool { return s.Refused == 4 }, -1},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHookServer(t, c.answer)
			b := newBench(t, Options{})
			c.hook.URL = h.url
			b.subscribe(c.hook)
			for i := range n {
				b.admin("POST", "events", fmt.Sprintf(`{"account":"77","person":"%d"}`, i))
			}
			b.running()
			b.until("nothing waits, and everything was answered", func() bool {
				s := b.Subscriptions()[0]
				return s.Waiting == 0 && s.Answered >= uint64(max(n, c.want))
			})
			b.until("every event is noted as answered", func() bool {
				return !strings.Contains(b.admin("GET", "told", ""), `"told":true}`)
			})
			if s := b.Subscriptions()[0]; !c.check(s) || s.Lost != 0 || c.want >= 0 && len(h.updates(t)) != c.want {
				t.Errorf("%+v, %d updates", s, len(h.updates(t)))
			}
		})
	}
}

// TestReordered: nobody is forgotten, and the order is not that of happening.
func TestReordered(t *testing.T) {
	h := newHookServer(t, nil)
	b := newBench(t, Options{})
	b.subscribe(Webhook{URL: h.url, Reorder: 1, Items: 1})
	for i := range 50 {
		b.admin("POST", "events", fmt.Sprintf(`{"account":"77","person":"1","id":"m%02d"}`, i))
	}
	b.running()
	b.until("all is told", func() bool { return len(h.got()) == 50 })
	got := h.updates(t)
	if slices.IsSorted(got) {
		t.Error("told in the order of happening")
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != 50 {
		t.Error("some were told twice, others never")
	}
}

// TestGivenUp: a webhook that never takes anything costs a bounded number of
// tries and then the event.
func TestGivenUp(t *testing.T) {
	b := newBench(t, Options{})
	to := &subscriber{Webhook{}, &counted{}}
	n := &notice{to: to, tries: maxTries - 1}
	b.outbox.again(n, time.Now())
	if to.stats.Lost != 0 || to.stats.Waiting != 1 || time.Until(n.due) > waitLimit {
		t.Errorf("before its last try: %+v, due in %s", to.stats, time.Until(n.due))
	}
	n.tries = maxTries
	b.outbox.again(n, time.Now())
	if to.stats.Lost != 1 {
		t.Errorf("after its last try: %+v", to.stats)
	}
}

// TestOutboxIsBounded: what it can't hold is counted.
func TestOutboxIsBounded(t *testing.T) {
	b := newBench(t, Options{})
	b.subscribe(Webhook{URL: "http://127.0.0.1:1/"})
	for i := range maxWaiting + 3 {
		if _, err := b.Happen(Happening{Account: "77", Person: fmt.Sprint(i % 9)}); err != nil {
			t.Fatal(err)
		}
	}
	if s := b.Subscriptions()[0]; s.Waiting != maxWaiting || s.Lost != 3 {
		t.Errorf("%+v", s)
	}
	b.Unsubscribe()
	if len(b.outbox.waiting) != 0 || b.outbox.telling.Load() {
		t.Error("something waits for nobody")
	}
}

// TestToldAtTheEnd: a stop tells at once what would have been late.
func TestToldAtTheEnd(t *testing.T) {
	h := newHookServer(t, nil)
	b := newBench(t, Options{})
	stop := b.running()
	b.subscribe(Webhook{URL: h.url, Late: 1, LateMS: int(maxLate.Milliseconds())})
	for i := range 30 {
		b.admin("POST", "events", fmt.Sprintf(`{"account":"77","person":"%d"}`, i))
	}
	stop()
	if got := len(h.updates(t)); got != 30 {
		t.Errorf("%d told", got)
	}
}

// TestSealed: a request made elsewhere goes to its own address, by itself.
func TestSealed(t *testing.T) {
	h := newHookServer(t, func(n int) int { return []int{500, 204}[n] })
	b := newBench(t, Options{})
	b.running()
	b.subscribe(Webhook{URL: "http://127.0.0.1:1/", Account: "other"})
	to := b.outbox.subscribers("other", fieldMessages)[0]
	b.outbox.post(to, letter{sealed: &sealed{url: h.url, contentType: "text/plain", header: http.Header{"X-Hub-Signature-256": {"mine"}}, body: []byte("a=b")}}, 0, mark{})
	b.until("it is told", func() bool { return b.Subscriptions()[0].Answered == 1 })
	if got := h.got(); len(got) != 2 || got[1] != "a=b" || h.signed[1] != "mine" {
		t.Errorf("got %q", got)
	}
}

func FuzzEscapeUnicode(f *testing.F) {
	for _, s := range []string{"", "plain", "é", "🎉", "\u2028", "\xff", `\"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		plain, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var a, b string
		escaped := escapeUnicode(slices.Clone(plain))
		if json.Unmarshal(plain, &a) != nil || json.Unmarshal(escaped, &b) != nil || a != b {
			t.Errorf("%s became %s", plain, escaped)
		}
		for _, c := range escaped {
			if c >= 0x80 {
				t.Fatalf("%s is not ASCII", escaped)
			}
		}
	})
}
