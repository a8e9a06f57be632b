package sandbox

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// seqs are the sequence numbers of a list.
func seqs(t *testing.T, body string) []uint64 {
	t.Helper()
	var out []uint64
	for _, l := range list[struct{ Seq uint64 }](t, body) {
		out = append(out, l.Seq)
	}
	return out
}

// TestFilters asks both lists the same; ten calls in a row are all accepted.
func TestFilters(t *testing.T) {
	b := newBench(t, Options{})
	for i := range 10 {
		b.text([]string{"77", "88"}[i%2], fmt.Sprint(i%3))
		b.clock.advance(time.Second)
	}
	at := func(i int) string {
		return url.QueryEscape(noon.Add(time.Duration(i) * time.Second).Format(time.RFC3339))
	}
	for _, c := range []struct {
		query string
		want  []uint64
	}{
		{"", []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		{"account=88", []uint64{2, 4, 6, 8, 10}},
		{"person=2", []uint64{3, 6, 9}},
		{"account=77&person=2", []uint64{3, 9}},
		{"account=99", nil},
		{"since=" + at(8), []uint64{9, 10}},
		{"since=" + url.QueryEscape("2026-11-22T13:00:08.000000001+01:00"), []uint64{10}},
		{"after=7", []uint64{8, 9, 10}},
		{"after=10", nil},
		{"after=9223372036854775807", nil},
		{"limit=3", []uint64{1, 2, 3}},
		{"after=3&limit=3", []uint64{4, 5, 6}},
		{"account=88&after=3&limit=2", []uint64{4, 6}},
		{"limit=0", []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
	} {
		for _, path := range []string{"accepted?", "calls?"} {
			if got := seqs(t, b.admin("GET", path+c.query, "")); !slices.Equal(got, c.want) {
				t.Errorf("%s%s: %v, want %v", path, c.query, got, c.want)
			}
		}
	}
	for _, bad := range []string{"after=-1", "after=x", "limit=1.5", "since=yesterday"} {
		for _, path := range []string{"accepted?", "calls?"} {
			if a := b.do(httptest.NewRequest("GET", "/_sandbox/"+path+bad, nil)); a.status != 400 {
				t.Errorf("%s%s: status %d, want 400", path, bad, a.status)
			}
		}
	}
}

// TestCallsRing: the list of calls keeps the newest, and says by their
// numbers which are gone.
func TestCallsRing(t *testing.T) {
	b := newBench(t, Options{CallsKept: 4})
	for n := 1; n <= 11; n++ {
		b.text("77", "1")
		want := []uint64{}
		for s := max(1, n-3); s <= n; s++ {
			want = append(want, uint64(s))
		}
		if got := seqs(t, b.admin("GET", "calls", "")); !slices.Equal(got, want) {
			t.Fatalf("after %d calls: %v, want %v", n, got, want)
		}
	}
	if got := seqs(t, b.admin("GET", "calls?after=9", "")); !slices.Equal(got, []uint64{10, 11}) {
		t.Errorf("after 9: %v", got)
	}
	if got := seqs(t, b.admin("GET", "calls?after=2&limit=1", "")); !slices.Equal(got, []uint64{8}) {
		t.Errorf("after one that is gone: %v", got)
	}
}

// TestLongLists: lists longer than a write, a chunk and a lock.
func TestLongLists(t *testing.T) {
	b := newBench(t, Options{RatePerSecond: 1_000_000})
	const n = acceptedChunk + 100
	text := strings.Repeat(`"é<`, 20)
	for i := range n {
		b.send("77", textBody(fmt.Sprint(i), text, fmt.Sprint("job-", i)))
	}
	all := list[acceptedLine](t, b.admin("GET", "accepted", ""))
	if len(all) != n {
		t.Fatalf("%d lines, want %d", len(all), n)
	}
	ids := map[string]bool{}
	for i, l := range all {
		if l.Seq != uint64(i+1) || l.Person != fmt.Sprint(i) || l.Metadata != fmt.Sprint("job-", i) || l.Text != text || l.Account != "77" || l.MessagingType != "RESPONSE" {
			t.Fatalf("line %d: %+v", i, l)
		}
		ids[l.MessageID] = true
	}
	if len(ids) != n {
		t.Errorf("%d different message ids of %d", len(ids), n)
	}
	if got := seqs(t, b.admin("GET", "calls", "")); len(got) != n || got[n-1] != n {
		t.Errorf("%d calls, want %d", len(got), n)
	}
}

func TestDropText(t *testing.T) {
	b := newBench(t, Options{DropText: true})
	b.send("77", textBody("1", "hello", ""))
	got := list[acceptedLine](t, b.admin("GET", "accepted", ""))
	// printf hello | sha256sum | cut -c 1-16
	if len(got) != 1 || got[0].Text != "" || got[0].TextHash != "2cf24dba5fb0a30e" {
		t.Errorf("accepted %+v", got)
	}
}

// TestReaderThatLeaves: a list to nobody ends.
func TestReaderThatLeaves(t *testing.T) {
	l := lines{w: brokenWriter{}, buf: make([]byte, flushAt)}
	if l.line(0) {
		t.Error("the list goes on after a failed write")
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, fmt.Errorf("the reader has gone") }
