package sandbox

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzSend: whatever the body, there is one answer of the platform's form and
// the books balance.
func FuzzSend(f *testing.F) {
	for _, seed := range []string{answer, feedback, template, `{"recipient":{"id":1e9}}`, `{"recipient":{"id":"\ud800"},"messaging_type":"RESPONSE","message":{"text":"\u0000"}}`} {
		f.Add("application/json", seed)
	}
	f.Add("application/x-www-form-urlencoded", `recipient=%7B%22id%22%3A%221%22%7D&message=%7B%22text%22%3A%22hi%22%7D&messaging_type=RESPONSE`)
	f.Add("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"recipient\"\r\n\r\n{\"id\":\"1\"}\r\n--x--\r\n")
	f.Add("", "\xff\xfe")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		b := newBench(t, Options{})
		r := httptest.NewRequest("POST", "/v25.0/77/messages?access_token=T", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		a := b.do(r)
		if !json.Valid([]byte(a.body)) || a.status != 200 && strings.HasPrefix(a.code(t), "status") {
			t.Errorf("status %d: %s", a.status, a.body)
		}
		s := b.Summary("")
		if s.Calls != 1 || (s.Accepted+s.Acted == 1) != (a.status == 200) || s.Refused != 1-s.Accepted-s.Acted {
			t.Errorf("status %d, summary %+v", a.status, s)
		}
		for _, path := range []string{"accepted", "calls"} {
			if lines := b.admin("GET", path, ""); lines != "" && !json.Valid([]byte(lines)) {
				t.Errorf("%s lists %s", path, lines)
			}
		}
	})
}

// FuzzBatch: a batch is refused as a whole, or has one answer per item.
func FuzzBatch(f *testing.F) {
	f.Add("application/x-www-form-urlencoded", batchForm(sendItem("77/messages", "1"), sendItem("v25.0/me/messages?x=%", "2")))
	f.Add("application/x-www-form-urlencoded", "batch=[null]&include_headers=false")
	f.Add("application/json", `{"batch":"[{\"method\":\"POST\",\"relative_url\":\"77/messages\",\"body\":\"{}\"}]"}`)
	f.Add("application/json", `{"batch":[{"method":"POST","relative_url":"/v1.0/%2e/messages"},{}],"access_token":"T"}`)
	f.Add("", `{"batch":null}`)
	f.Fuzz(func(t *testing.T, contentType, body string) {
		b := newBench(t, Options{})
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		a := b.do(r)
		calls := b.Summary("").Calls
		if a.status != 200 {
			if calls != 0 || strings.HasPrefix(a.code(t), "status") {
				t.Errorf("status %d, %d calls: %s", a.status, calls, a.body)
			}
			return
		}
		if n := len(a.codes(t)); uint64(n) != calls || n < 1 || n > maxBatch {
			t.Errorf("%d answers to %d calls", n, calls)
		}
	})
}

// FuzzPeople: whatever is loaded, rows are counted once each and what went in
// is found again.
func FuzzPeople(f *testing.F) {
	f.Add("id,last_inbound,opened_by,opted_out\n1,2026-11-22T11:00:00Z,message,all\n\"2\n,,")
	f.Add("{\"id\":\"1\"}\n{\"id\":1e400}\n{}\nnull\n")
	f.Add("\xef\xbb\xbfid\n\"")
	f.Fuzz(func(t *testing.T, body string) {
		b := newBench(t, Options{})
		done, _ := b.LoadPeople("77", strings.NewReader(body))
		if done.Bad > 0 != (done.FirstBad != "") || done.Loaded+done.Bad > 1+strings.Count(body, "\n")+strings.Count(body, "\r") {
			t.Errorf("%+v of %q", done, body)
		}
		if held := int(b.books.people.n); held > done.Loaded || (held == 0) != (done.Loaded == 0) {
			t.Errorf("%d people held, %d rows loaded", held, done.Loaded)
		}
	})
}
