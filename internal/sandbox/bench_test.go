package sandbox

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// BenchmarkSend is one send through the handler, HTTP server apart. The aim
// is 50 µs on one core (20,000/s).
func BenchmarkSend(b *testing.B) {
	s := New(Options{RatePerSecond: 1_000_000})
	n := 0
	for b.Loop() {
		n++
		r := httptest.NewRequest(http.MethodPost, "/v25.0/77/messages", strings.NewReader(textBody(fmt.Sprint(n), "Hello, the spring menu is here.", fmt.Sprint("job-", n))))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer T")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
}

// BenchmarkBatch is a batch of 50, reported per message.
func BenchmarkBatch(b *testing.B) {
	s := New(Options{RatePerSecond: 1_000_000})
	items := make([]map[string]string, maxBatch)
	for i := range items {
		items[i] = sendItem("77/messages", fmt.Sprint(i))
	}
	body := batchForm(items...)
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/?access_token=T", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*maxBatch), "ns/message")
}

// BenchmarkJudge is the books' part of a send, which holds the lock.
func BenchmarkJudge(b *testing.B) {
	s := New(Options{RatePerSecond: 1_000_000})
	start := time.Now().UnixNano()
	n := 0
	for b.Loop() {
		n++
		s.process([]call{{at: start + int64(n)*50_000, account: "77", request: request{
			Recipient: recipient{ID: flexible(fmt.Sprint(n))}, MessagingType: "RESPONSE", Token: "T",
			Message: &message{Text: "Hello, the spring menu is here.", Metadata: fmt.Sprint("job-", n)},
		}}}, false)
	}
}

// BenchmarkAccepted lists 100,000 accepted messages.
func BenchmarkAccepted(b *testing.B) {
	s := New(Options{RatePerSecond: 1_000_000})
	for n := range 100_000 {
		s.process([]call{{at: time.Now().UnixNano(), account: "77", request: request{
			Recipient: recipient{ID: flexible(fmt.Sprint(n))}, MessagingType: "RESPONSE", Token: "T",
			Message: &message{Text: "Hello, the spring menu is here.", Metadata: fmt.Sprint("job-", n)},
		}}}, false)
	}
	for b.Loop() {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/_sandbox/accepted", nil))
		b.SetBytes(int64(w.Body.Len()))
	}
}

// BenchmarkSendHTTP is one send over a kept connection, client and server in
// one process, from as many clients as there are cores.
func BenchmarkSendHTTP(b *testing.B) {
	srv := httptest.NewServer(New(Options{RatePerSecond: 1_000_000}))
	defer srv.Close()
	b.RunParallel(func(pb *testing.PB) {
		client := &http.Client{Transport: &http.Transport{}}
		for pb.Next() {
			if status, body, err := postTo(client, srv.URL+"/77/messages", answer); status != http.StatusOK {
				b.Error(status, body, err)
				return
			}
		}
	})
}
