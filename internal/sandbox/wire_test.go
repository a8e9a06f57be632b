package sandbox

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"mime/multipart"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares what went over the wire with a file, byte for byte.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run with -update to write it)", err)
	}
	if got != string(want) {
		t.Errorf("%s:\n got %s\nwant %s", name, got, want)
	}
}

// dump writes an answer as the wire carries it, headers in order.
func (a answered) dump() string {
	var b strings.Builder
	fmt.Fprintln(&b, a.status)
	for _, name := range []string{"Content-Type", "X-App-Usage", "X-Business-Use-Case-Usage"} {
		if v := a.header.Get(name); v != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	return b.String() + "\n" + a.body + "\n"
}

func TestWire(t *testing.T) {
	b := newBench(t, Options{RatePerSecond: 6})
	b.admin("POST", "optout", `{"account":"77","person":"5"}`)
	b.admin("POST", "inbound", `{"account":"77","person":"4","at":"2026-01-01T00:00:00Z"}`)
	b.admin("POST", "accounts", `{"account":"78","token":"other"}`)
	golden(t, "sent.txt", b.text("77", "1").dump())
	golden(t, "typing.txt", b.send("77", `{"recipient":{"id":"1"},"sender_action":"typing_on"}`).dump())
	golden(t, "window.txt", b.text("77", "4").dump())
	golden(t, "optedout.txt", b.text("77", "5").dump())
	golden(t, "tag.txt", b.send("77", tagBody("CONFIRMED_EVENT_UPDATE")).dump())
	golden(t, "invalid_tag.txt", b.send("77", tagBody("X")).dump())
	golden(t, "rate.txt", b.text("77", "1").dump())
	golden(t, "token.txt", b.text("78", "1").dump())
	golden(t, "accepted.ndjson", b.admin("GET", "accepted", ""))
	golden(t, "calls.ndjson", b.admin("GET", "calls", ""))
	golden(t, "rate.json", b.admin("GET", "rate?account=77", ""))
	golden(t, "summary.json", b.admin("GET", "summary", ""))
}

// item is one request of a batch; fields come in pairs.
func item(path string, fields ...string) map[string]string {
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return map[string]string{"method": "POST", "relative_url": path, "body": form.Encode()}
}

func sendItem(path, person string) map[string]string {
	return item(path, "recipient", fmt.Sprintf(`{"id":%q}`, person), "message", `{"text":"hé"}`, "messaging_type", "RESPONSE")
}

func batchForm(items ...map[string]string) string {
	b, err := json.Marshal(items)
	if err != nil {
		panic(err)
	}
	return url.Values{"batch": {string(b)}}.Encode()
}

func (b *bench) batch(items ...map[string]string) answered {
	return b.post("/v25.0/", "application/x-www-form-urlencoded", batchForm(items...))
}

// codes are the items' errors in order; "null" is an item without an answer.
func (a answered) codes(t testing.TB) []string {
	t.Helper()
	var answers []*struct {
		Code int
		Body string
	}
	if err := json.Unmarshal([]byte(a.body), &answers); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	var out []string
	for _, one := range answers {
		switch {
		case one == nil:
			out = append(out, "null")
		case one.Code == 200:
			out = append(out, "")
		default:
			out = append(out, errorKey(t, one.Code, one.Body))
		}
	}
	return out
}

func TestBatch(t *testing.T) {
	b := newBench(t, Options{})
	b.admin("POST", "accounts", `{"account":"78","token":"T8"}`)
	b.admin("POST", "optout", `{"account":"77","person":"2"}`)
	a := b.batch(
		sendItem("77/messages", "1"),
		sendItem("v25.0/77/messages", "2"),
		sendItem("/me/messages?access_token=T8", "3"),
		item("78/messages", "recipient", `{"id":"4"}`, "message", `{"text":"hi"}`, "messaging_type", "RESPONSE", "access_token", "T8"),
		sendItem("78/messages", "5"),
		item("77/messages", "recipient", `{"id"`, "message", `{"text":"hi"}`, "messaging_type", "RESPONSE"),
		item("77/messages", "recipient", `{"id":"1"}`, "message", `[]`, "messaging_type", "RESPONSE"),
		map[string]string{"method": "GET", "relative_url": "77/messages"},
		sendItem("77/feed", "1"),
		sendItem("", "1"),
		map[string]string{"method": "POST", "relative_url": "77/messages", "body": "%zz"},
	)
	want := []string{"", "551/1545041", "", "", "190/463", "100", "100", "100/33", "2500", "2500", "100"}
	if got := a.codes(t); !slices.Equal(got, want) {
		t.Errorf("codes %q,\nwant  %q", got, want)
	}
	golden(t, "batch.txt", a.dump())
	golden(t, "batch_accepted.ndjson", b.admin("GET", "accepted", ""))
	if s := b.Summary(""); s.Calls != 11 || s.Accepted != 3 {
		t.Errorf("%d calls, %d accepted; want 11 and 3", s.Calls, s.Accepted)
	}
}

func TestBatchSize(t *testing.T) {
	b := newBench(t, Options{})
	items := make([]map[string]string, 51)
	for i := range items {
		items[i] = sendItem("77/messages", fmt.Sprint(i))
	}
	if got := b.batch(items[:50]...).codes(t); len(got) != 50 || slices.ContainsFunc(got, func(s string) bool { return s != "" }) {
		t.Errorf("50 items: %q", got)
	}
	golden(t, "batch_too_large.txt", b.batch(items...).dump())
	if got := b.Summary("").Calls; got != 50 {
		t.Errorf("%d calls, want 50: nothing of a refused batch counts", got)
	}
	if got := b.batch().code(t); got != "100" {
		t.Errorf("an empty batch is answered %q, want 100", got)
	}
}

// TestBatchForms: each way to write the same batch is read alike.
func TestBatchForms(t *testing.T) {
	raw, _ := json.Marshal([]map[string]string{sendItem("77/messages", "1")})
	quoted, _ := json.Marshal(string(raw))
	var multi bytes.Buffer
	m := multipart.NewWriter(&multi)
	m.WriteField("batch", string(raw))
	m.WriteField("access_token", "T")
	m.Close()
	form := url.Values{"batch": {string(raw)}, "access_token": {"T"}}
	for _, c := range []struct{ name, contentType, body string }{
		{"form", "application/x-www-form-urlencoded", form.Encode()},
		{"multipart", m.FormDataContentType(), multi.String()},
		{"JSON", "application/json; charset=utf-8", fmt.Sprintf(`{"batch":%s,"access_token":"T"}`, raw)},
		{"JSON text", "application/json", fmt.Sprintf(`{"batch":%s,"access_token":"T"}`, quoted)},
		{"JSON, not said", "", fmt.Sprintf(`{"batch":%s,"access_token":"T"}`, raw)},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, Options{})
			r := httptest.NewRequest("POST", "/", strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.contentType)
			if got := b.do(r).codes(t); !slices.Equal(got, []string{""}) {
				t.Errorf("codes %q", got)
			}
		})
	}
}

func TestBatchWithoutHeaders(t *testing.T) {
	b := newBench(t, Options{})
	body := batchForm(sendItem("77/messages", "1"))
	if got := b.post("/", "application/x-www-form-urlencoded", body).body; !strings.Contains(got, `"headers"`) {
		t.Errorf("no headers in %s", got)
	}
	if got := b.post("/", "application/x-www-form-urlencoded", body+"&include_headers=false").body; strings.Contains(got, `"headers"`) {
		t.Errorf("headers in %s", got)
	}
}

// TestFormSend: a single send as a form.
func TestFormSend(t *testing.T) {
	b := newBench(t, Options{})
	form := url.Values{"recipient": {`{"id":"1"}`}, "message": {`{"text":"a&b=c","metadata":"m"}`}, "messaging_type": {"RESPONSE"}}
	if got := b.post("/77/messages", "application/x-www-form-urlencoded", form.Encode()).code(t); got != "" {
		t.Fatalf("code %q", got)
	}
	if got := list[acceptedLine](t, b.admin("GET", "accepted", "")); len(got) != 1 || got[0].Text != "a&b=c" || got[0].Metadata != "m" {
		t.Errorf("accepted %+v", got)
	}
}

// TestUsage: the headers follow the sandbox's own counters.
func TestUsage(t *testing.T) {
	b := newBench(t, Options{RatePerSecond: 1 << 20})
	var last answered
	for range 100 {
		last = b.text("77", "1")
	}
	if got, want := last.header.Get("X-App-Usage"), `{"call_count":50,"total_time":50,"total_cputime":50}`; got != want {
		t.Errorf("X-App-Usage %s, want %s: 100 calls of the 200 that one person gives", got, want)
	}
	b.admin("POST", "people?account=77", "id\n2\n3\n4\n5\n")
	last = b.text("77", "1")
	want := `{"77":[{"type":"messenger","call_count":10,"total_cputime":10,"total_time":10,"estimated_time_to_regain_access":0}]}`
	if got := last.header.Get("X-Business-Use-Case-Usage"); got != want {
		t.Errorf("X-Business-Use-Case-Usage %s, want %s", got, want)
	}
}
