package api_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/webhook"
)

// withHook applies a Page with an account, and a hook with two secrets, the
// second of which is missing.
func (h *house) withHook(t *testing.T, id, account string) {
	t.Helper()
	docs := fmt.Sprintf("kind: Sender\nid: %s\nchannel: messenger\naccount: %q\ncredential: env:TOKEN\nrate: {per_second: 100}\n---\n"+
		"kind: Hook\nid: %s\ntype: meta\nsecrets: [env:%s-secret, env:MISSING]\nverify_token: env:%s-token\napp_id: \"15\"\n", id, account, id, id, id)
	must(h.client(t).Apply(t.Context(), "hook.yaml", strings.NewReader(docs)))(t)
}

// signed is the signature of a body by the secret of withHook.
func signed(id, body string) string {
	m := hmac.New(sha256.New, []byte(id+"-secret"))
	m.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(m.Sum(nil))
}

// hook calls a hook as the platform does, without a token.
func (h *house) hook(t *testing.T, path string, body io.Reader, header ...string) (int, http.Header, string) {
	t.Helper()
	method := http.MethodPost
	if body == nil {
		method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(t.Context(), method, h.http.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := h.http.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// posted sends a signed body.
func (h *house) posted(t *testing.T, id, body string) (int, string) {
	t.Helper()
	status, _, answer := h.hook(t, "/hooks/meta/"+id, strings.NewReader(body), "X-Hub-Signature-256", signed(id, body))
	return status, answer
}

// wrote is a body in which people write to a Page, each one message.
func wrote(account, text string, people ...string) string {
	var items []string
	for _, p := range people {
		items = append(items, fmt.Sprintf(`{"sender":{"id":%q},"recipient":{"id":%q},"timestamp":%d,"message":{"mid":"m-%s-%s","text":%q}}`,
			p, account, time.Now().UnixMilli(), account, p, text))
	}
	return fmt.Sprintf(`{"object":"page","entry":[{"id":%q,"time":%d,"messaging":[%s]}]}`, account, time.Now().UnixMilli(), strings.Join(items, ","))
}

func (h *house) record(t *testing.T, sender, person string) (r contact.Record) {
	t.Helper()
	r, _, err := h.facts.Contact(t.Context(), sender, h.facts.Key(sender, person))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestHookSubscribes: the platform asks once whether we know the token.
func TestHookSubscribes(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withHook(t, "asked", "9001")
	for name, c := range map[string]struct {
		path, mode, token string
		want              int
	}{
		"the token":      {"/hooks/meta/asked", "subscribe", "asked-token", 200},
		"another token":  {"/hooks/meta/asked", "subscribe", "asked-secret", 403},
		"another mode":   {"/hooks/meta/asked", "unsubscribe", "asked-token", 403},
		"another hook":   {"/hooks/meta/none", "subscribe", "asked-token", 404},
		"another type":   {"/hooks/twilio/asked", "subscribe", "asked-token", 404},
		"no such type":   {"/hooks/viber/asked", "subscribe", "asked-token", 404},
		"no id anywhere": {"/hooks/meta/A.B", "subscribe", "asked-token", 404},
	} {
		q := url.Values{"hub.mode": {c.mode}, "hub.verify_token": {c.token}, "hub.challenge": {"1158201444"}}
		status, header, body := h.hook(t, c.path+"?"+q.Encode(), nil)
		if status != c.want || (c.want == 200) != (body == "1158201444") || c.want == 200 && header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %d %v %q", name, status, header, body)
		}
	}
}

// TestHookTells: what is signed is in force when it is answered; one bit off,
// nothing of it is.
func TestHookTells(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withHook(t, "told", "9002")
	body := wrote("9002", "hello", "71")
	sig := signed("told", body)
	for name, c := range map[string]struct{ path, body, sig string }{
		"a bit of the body":     {"/hooks/meta/told", strings.Replace(body, "hello", "hellp", 1), sig},
		"a digit of the sign":   {"/hooks/meta/told", body, sig[:70] + string(sig[70]^1)},
		"no signature":          {"/hooks/meta/told", body, ""},
		"by the missing secret": {"/hooks/meta/told", body, signed("MISSING", body)},
	} {
		if status, _, answer := h.hook(t, c.path, strings.NewReader(c.body), "X-Hub-Signature-256", c.sig); status != 403 {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	if r := h.record(t, "told", "71"); !r.LastInbound.IsZero() {
		t.Errorf("what nobody signed is a fact: %+v", r)
	}
	for range 2 { // and again, as platforms do
		if status, answer := h.posted(t, "told", body); status != 200 || answer != "" {
			t.Fatalf("%d %s", status, answer)
		}
	}
	if r := h.record(t, "told", "71"); time.Since(r.LastInbound) > time.Minute {
		t.Errorf("the window is not open: %+v", r)
	}
	if status, answer := h.posted(t, "told", wrote("9002", "STOP", "72")); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	if r := h.record(t, "told", "72"); len(r.OptOuts) == 0 {
		t.Errorf("no opt-out: %+v", r)
	}
	if n := h.hooks.Count("told"); n.Calls != 3 || n.Events != 3 || n.Refused != 4 || n.Last.IsZero() {
		t.Errorf("counted %+v", n)
	}
	if log := h.log.String(); strings.Contains(log, "m-9002-71") || strings.Contains(log, `"71"`) {
		t.Error("the log has what people told")
	}
}

// TestHookBounds: what is too long, too deep or no JSON is refused plainly,
// and costs nobody else anything.
func TestHookBounds(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withHook(t, "bound", "9003")
	long := func(n int) string { // a body of n bytes
		head, tail := `{"object":"page","entry":[{"id":"9003","messaging":[{"sender":{"id":"1"},"recipient":{"id":"9003"},"timestamp":1,"junk":"`, `"}]}]}`
		return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
	}
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprint("p", i))
	}
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"as long as may be": {long(webhook.MaxBody), 200},
		"a byte longer":     {long(webhook.MaxBody + 1), 413},
		"10 MB":             {long(10_000_000), 413},
		"a thousand items":  {wrote("9003", "hello", many...), 200},
		"deep":              {`{"object":"page","entry":` + strings.Repeat("[", 500_000) + strings.Repeat("]", 500_000) + `}`, 400},
		"deep in an item":   {`{"object":"page","entry":[{"id":"9003","messaging":[{"a":` + strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000) + `}]}]}`, 200},
		"100,000 keys":      {`{"object":"page","entry":[{"id":"9003","messaging":[{` + keys(100_000) + `}]}]}`, 200},
		"no JSON":           {`object=page`, 400},
		"nothing":           {``, 400},
		"a list":            {`[]`, 400},
		"no entry":          {`{"object":"page"}`, 200},
		"another object":    {`{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{}}]}]}`, 200},
	} {
		status, answer := h.posted(t, "bound", c.body)
		for status == http.StatusServiceUnavailable && t.Context().Err() == nil { // a slow machine: told again, as platforms do
			status, answer = h.posted(t, "bound", c.body)
		}
		if status != c.want {
			t.Errorf("%s: %d %.200s, want %d", name, status, answer, c.want)
		}
	}
	if r := h.record(t, "bound", "p999"); r.LastInbound.IsZero() {
		t.Error("the last of a thousand items is lost")
	}
	// Of unknown length, and without an end.
	if status, _, _ := h.hook(t, "/hooks/meta/bound", io.LimitReader(forever{}, webhook.MaxBody+1), "X-Hub-Signature-256", "sha256="+strings.Repeat("0", 64)); status != 413 {
		t.Errorf("without a length: %d", status)
	}
}

// forever is a body of zeros.
type forever struct{}

func (forever) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func keys(n int) string {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `"k%d":%d,`, i, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

// TestHookWithoutSecrets: where nobody can know who calls, nothing is lost:
// the platform is to call again.
func TestHookWithoutSecrets(t *testing.T) {
	t.Parallel()
	h := setup(t)
	done, err := h.client(t).Apply(t.Context(), "h.yaml", strings.NewReader("kind: Hook\nid: blind\ntype: meta\nsecrets: [env:MISSING]\nverify_token: env:TOKEN\n"))
	if err != nil || len(done.Applied) != 1 || len(done.Applied[0].Warnings) != 1 || !strings.HasPrefix(done.Applied[0].Warnings[0], "env:MISSING is no good here") {
		t.Fatalf("%+v, %v", done, err)
	}
	status, answer := h.posted(t, "blind", "{}")
	if status != 503 || strings.Contains(answer, "MISSING") {
		t.Errorf("%d %s", status, answer)
	}
	if log := h.log.String(); !strings.Contains(log, "env:MISSING is not set") {
		t.Error("the log does not say which secret is missing")
	}
	if status, _, _ := h.request(t, "PUT", "/hooks/meta/blind", "{}"); status != 405 {
		t.Errorf("PUT: %d", status)
	}
}
