package telemetry

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
)

// A figure is taken when it is read; one that there is none of just now is
// left out, and two processes' figures don't mix.
func TestMetrics(t *testing.T) {
	t.Parallel()
	m, err := OpenMetrics()
	if err != nil {
		t.Fatal(err)
	}
	other, err := OpenMetrics()
	if err != nil {
		t.Fatal(err)
	}
	leads, sent := false, int64(0)
	for _, err := range []error{
		m.Gauge("carillon_age", "s", "age of the oldest", func(context.Context) (float64, bool) { return 2.5, leads }),
		m.Counter("carillon_sent", "messages sent", func() int64 { return sent }),
		m.CounterBy("carillon_told", "what was told", "type", func() map[string]int64 { return map[string]int64{"message": sent, "read": 1} }),
		other.Counter("carillon_other", "something else", func() int64 { return 7 }),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	scrape := func() string {
		rec := httptest.NewRecorder()
		m.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
		return rec.Body.String()
	}
	first := scrape()
	if strings.Contains(first, "carillon_age") || !strings.Contains(first, "carillon_sent_total 0\n") || strings.Contains(first, "carillon_other") {
		t.Errorf("before:\n%s", first)
	}
	leads, sent = true, 3
	second := scrape()
	for _, want := range []string{"# HELP carillon_age_seconds age of the oldest\n", "carillon_age_seconds 2.5\n", "carillon_sent_total 3\n", "carillon_told_total{type=\"message\"} 3\n", "carillon_told_total{type=\"read\"} 1\n"} {
		if !strings.Contains(second, want) {
			t.Errorf("want %q in:\n%s", want, second)
		}
	}
	if strings.Contains(second, "otel_scope") || strings.Contains(second, "target_info") {
		t.Errorf("labels that nobody asked for:\n%s", second)
	}
}
