package sandbox

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestSingleFaults: what comes back, and what the books say.
func TestSingleFaults(t *testing.T) {
	for _, c := range []struct {
		kind     FaultKind
		want     string
		outcome  string
		accepted uint64
	}{
		{FaultHTTP500, "status 500", "failed", 0},
		{FaultHTTP500After, "status 500", "accepted", 1},
		{FaultDropBefore, "cut", "dropped", 0},
		{FaultDropAfter, "cut", "accepted", 1},
		{FaultRateLimit, "613", "refused", 0},
		{FaultTokenExpired, "190/463", "refused", 0},
		{FaultBatchHalf, "", "accepted", 1},      // not a batch: no fault
		{FaultBatchDropAfter, "", "accepted", 1}, // the same
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			b := newBench(t, Options{})
			b.admin("POST", "faults", fmt.Sprintf(`{"kind":%q,"count":1}`, c.kind))
			if got := b.text("77", "1").code(t); got != c.want {
				t.Errorf("code %q, want %q", got, c.want)
			}
			calls := list[callLine](t, b.admin("GET", "calls", ""))
			graph := !strings.HasPrefix(c.want, "status") && c.want != "cut"
			if len(calls) != 1 || calls[0].Outcome != c.outcome || calls[0].Answered != graph || (calls[0].Fault != "") != (c.want != "") {
				t.Errorf("calls %+v, want one %s", calls, c.outcome)
			}
			s := b.Summary("")
			if s.Accepted != c.accepted || !graph && s.Unanswered != c.accepted {
				t.Errorf("%d accepted, %d unanswered; want %d", s.Accepted, s.Unanswered, c.accepted)
			}
			if got := b.text("77", "1").code(t); got != "" {
				t.Errorf("the call after: %q", got)
			}
		})
	}
}

func TestBatchFaults(t *testing.T) {
	items := make([]map[string]string, 9)
	for i := range items {
		items[i] = sendItem("77/messages", fmt.Sprint(i))
	}
	t.Run("cut after", func(t *testing.T) {
		b := newBench(t, Options{})
		b.admin("POST", "faults", `{"kind":"batch_drop_after","count":1}`)
		if got := b.batch(items...); !got.cut {
			t.Errorf("answered %+v", got)
		}
		if s := b.Summary(""); s.Accepted != 9 || s.Unanswered != 9 {
			t.Errorf("%+v, want all 9 accepted and unanswered", s)
		}
	})
	t.Run("cut before", func(t *testing.T) {
		b := newBench(t, Options{})
		b.admin("POST", "faults", `{"kind":"drop_before","count":1}`)
		if got := b.batch(items...); !got.cut {
			t.Errorf("answered %+v", got)
		}
		if s := b.Summary(""); s.Accepted != 0 || s.Dropped != 9 {
			t.Errorf("%+v, want all 9 dropped", s)
		}
	})
	t.Run("half", func(t *testing.T) {
		b := newBench(t, Options{})
		b.admin("POST", "faults", `{"kind":"batch_half","count":20}`)
		for range 20 {
			want := []string{"", "", "", "", "null", "null", "null", "null", "null"}
			if got := b.batch(items...).codes(t); !slices.Equal(got, want) {
				t.Errorf("codes %q, want %q", got, want)
			}
			b.clock.advance(time.Second)
		}
		// 100 coins: all on one side would be a broken coin.
		if s := b.Summary(""); s.Unanswered == 0 || s.Failed == 0 || s.Unanswered+s.Failed != 100 || s.Accepted != 80+s.Unanswered {
			t.Errorf("%+v", s)
		}
	})
	t.Run("one item", func(t *testing.T) {
		b := newBench(t, Options{})
		b.admin("POST", "faults", `{"kind":"token_expired","count":1}`)
		if got, want := b.batch(items[:3]...).codes(t), []string{"190/463", "", ""}; !slices.Equal(got, want) {
			t.Errorf("codes %q, want %q", got, want)
		}
	})
}

// TestFaultScope: an account's fault meets only that account's calls, and a
// count ends.
func TestFaultScope(t *testing.T) {
	b := newBench(t, Options{})
	b.admin("POST", "faults", `{"kind":"rate_limit","account":"77","count":2}`)
	b.admin("POST", "faults", `{"kind":"latency","latency_ms":1,"count":0,"probability":0.000001}`)
	var got []string
	for _, account := range []string{"88", "77", "77", "77"} {
		got = append(got, b.text(account, "1").code(t))
	}
	if want := []string{"", "613", "613", ""}; !slices.Equal(got, want) {
		t.Errorf("codes %q, want %q", got, want)
	}
	golden(t, "faults.json", b.admin("GET", "faults", ""))
	b.admin("DELETE", "faults", "")
	if got := b.Faults(); len(got) != 0 {
		t.Errorf("faults after clearing: %+v", got)
	}
}

// TestFaultOfBoundToken: a call to "me" is a call of its account.
func TestFaultOfBoundToken(t *testing.T) {
	b := newBench(t, Options{})
	b.admin("POST", "accounts", `{"account":"77","token":"T"}`)
	b.admin("POST", "faults", `{"kind":"http_500","account":"77","count":1}`)
	if got := b.text("me", "1").code(t); got != "status 500" {
		t.Errorf("code %q, want status 500", got)
	}
}

// TestSeed: the same seed breaks the same calls, another one others.
func TestSeed(t *testing.T) {
	run := func(seed uint64) string {
		b := newBench(t, Options{Seed: seed})
		b.admin("POST", "faults", `{"kind":"drop_before","probability":0.5}`)
		var s strings.Builder
		for range 64 {
			s.WriteByte("x."[len(b.text("77", "1").code(t))/3])
		}
		return s.String()
	}
	one, again, other := run(1), run(1), run(2)
	if one != again || one == other {
		t.Errorf("seed 1 %s\nagain  %s\nseed 2 %s", one, again, other)
	}
	if n := strings.Count(one, "."); n < 16 || n > 48 {
		t.Errorf("%d of 64 calls dropped at probability 0.5", n)
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{Now: time.Now})
		for _, f := range []string{`{"kind":"latency","latency_ms":1500,"count":1}`, `{"kind":"latency","latency_ms":500,"count":1}`} {
			b.admin("POST", "faults", f)
		}
		start := time.Now()
		if got := b.text("77", "1").code(t); got != "" {
			t.Errorf("code %q", got)
		}
		if got := time.Since(start); got != 2*time.Second {
			t.Errorf("answered after %v, want 2s", got)
		}
		if at := list[acceptedLine](t, b.admin("GET", "accepted", ""))[0].Time; at != start.UTC().Format(time.RFC3339Nano) {
			t.Errorf("accepted at %s, want the arrival", at)
		}
	})
}

// TestLatencyEndsWithTheCaller: a caller that goes away is not waited for,
// and what it sent stays accepted.
func TestLatencyEndsWithTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{Now: time.Now})
		b.admin("POST", "faults", `{"kind":"latency","latency_ms":30000,"count":1}`)
		r := httptest.NewRequest(http.MethodPost, "/77/messages?access_token=T", strings.NewReader(answer))
		r.Header.Set("Content-Type", "application/json")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		b.do(r.WithContext(ctx))
		if got := time.Since(start); got != time.Second {
			t.Errorf("returned after %v, want 1s", got)
		}
		if got := b.Summary("").Accepted; got != 1 {
			t.Errorf("%d accepted, want 1", got)
		}
	})
}

func TestFaultsAreBounded(t *testing.T) {
	b := newBench(t, Options{})
	for _, bad := range []string{
		`{"kind":"fire","count":1}`, `{"kind":"http_500"}`, `{"kind":"http_500","count":-1}`,
		`{"kind":"http_500","count":100000001}`, `{"kind":"http_500","probability":1.1}`, `{"kind":"http_500","probability":-0.1}`,
		`{"kind":"http_500","count":1,"latency_ms":5}`, `{"kind":"latency","count":1}`, `{"kind":"latency","count":1,"latency_ms":30001}`,
		`{"kind":"http_500","count":1,"counts":2}`, `{"kind":"http_500","count":1} {}`, `{`,
	} {
		if a := b.do(httptest.NewRequest("POST", "/_sandbox/faults", strings.NewReader(bad))); a.status != 400 || !strings.Contains(a.body, `"error"`) {
			t.Errorf("%s: %d %s", bad, a.status, a.body)
		}
	}
	for _, good := range []string{`{"kind":"latency","count":1,"latency_ms":30000}`, `{"kind":"http_500","count":100000000,"probability":1}`} {
		b.admin("POST", "faults", good)
	}
	var err error
	for range maxFaults {
		if _, err = b.AddFault(Fault{Kind: FaultHTTP500, Count: 1}); err != nil {
			break
		}
	}
	if n := len(b.Faults()); err == nil || n != maxFaults {
		t.Errorf("%d faults, error %v; want %d and an error", n, err, maxFaults)
	}
}
