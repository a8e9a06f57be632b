package outcome_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/outcome"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/pkg/reason"
)

var engines *engine.Engines //nolint:gochecknoglobals // one pair for the test binary

func TestMain(m *testing.M) { os.Exit(rig.Main(m, func(e *engine.Engines) { engines = e })) }

func source(month string, part int) job.Source {
	return job.Source{Month: month, Part: part, Sender: "bakery", Name: "menu~1"}
}

func TestOf(t *testing.T) {
	t.Parallel()
	id := source("202611", 0).Job(job.Key{1})
	for _, s := range job.States() {
		o, ok := outcome.Of(ledger.Entry{ID: id, Seq: 7, Record: ledger.Record{State: s, From: job.Claimed, Reason: reason.WindowClosed}})
		if ok != s.Ended() {
			t.Errorf("%s: told %v", s, ok)
		}
		if ok && (o.State != s || o.Job != id.String() || o.Seq != 7 || o.Contact.Key != id.Contact || o.Contact.ID != "" || o.Reason != reason.WindowClosed) {
			t.Errorf("%s: %+v", s, o)
		}
	}
	if _, ok := outcome.Of(ledger.Entry{ID: id, Seq: 8, Record: ledger.Record{State: job.Failed, From: job.Failed, Discarded: true}}); ok {
		t.Error("what was taken off the list is told as an outcome")
	}
}

// TestIDs: one record has one id, and no two share one.
func TestIDs(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, id := range []job.ID{source("202611", 0).Job(job.Key{1}), source("202611", 1).Job(job.Key{1}), source("202611", 0).Job(job.Key{2})} {
		for seq := range uint64(3) {
			e := ledger.Entry{ID: id, Seq: seq + 1, Record: ledger.Record{State: job.Sent}}
			a, _ := outcome.Of(e)
			b, _ := outcome.Of(e)
			if a.ID != b.ID || seen[a.ID] || strings.Contains(a.ID, ".") {
				t.Errorf("%s at %d is %q and %q", id, e.Seq, a.ID, b.ID)
			}
			seen[a.ID] = true
		}
	}
	a, b := outcome.Outcome{ID: "out_a"}, outcome.Outcome{ID: "out_b"}
	if m := outcome.Message(a, b, 2); m != outcome.Message(a, b, 2) || m == outcome.Message(a, b, 3) || m == outcome.Message(b, a, 2) {
		t.Error("a push's id is not that of its outcomes")
	}
}

func FuzzParseCursor(f *testing.F) {
	for _, s := range []string{"", "e30", outcome.Cursor{"LEDGER_202611_0": 7}.String(), "bnVsbA", "eyJhIjotMX0", "e30e30", "e3\n0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := outcome.ParseCursor(s)
		if err != nil {
			return
		}
		again, err := outcome.ParseCursor(c.String())
		if err != nil || fmt.Sprint(again) != fmt.Sprint(c) {
			t.Errorf("%q is %v and comes back as %v, %v", s, c, again, err)
		}
	})
}

// reader reads page by page and notes what it was told.
type reader struct {
	feed   *outcome.Feed
	cursor outcome.Cursor
	told   map[string]int
}

func (r *reader) page(ctx context.Context, limit int) (bool, error) {
	c, err := outcome.ParseCursor(r.cursor.String()) // as a caller hands it back
	if r.cursor == nil {
		c, err = nil, nil
	}
	if err != nil {
		return false, err
	}
	p, err := r.feed.Read(ctx, c, limit, nil)
	if err != nil {
		return false, err
	}
	if len(p.Outcomes) > limit {
		return false, fmt.Errorf("%d outcomes, the limit is %d", len(p.Outcomes), limit)
	}
	for _, o := range p.Outcomes {
		r.told[o.ID]++
	}
	r.cursor = p.Cursor
	return p.More, nil
}

// TestNothingIsMissed: records come in several months and parts, in any order,
// new ledgers appear, and pages of any size are read between: every outcome is
// told exactly once, to whoever keeps the cursor.
func TestNothingIsMissed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		r := rig.Open(t, engines)
		read := &reader{feed: &outcome.Feed{JS: engines.JetStream, Ledger: r.Ledger}, told: map[string]int{}}
		places := []job.Source{source("202610", 0), source("202611", 0), source("202611", 1), source("202612", 0)}
		want, n := map[string]bool{}, 0
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			if rapid.Bool().Draw(rt, "read") {
				if _, err := read.page(t.Context(), rapid.IntRange(1, 4).Draw(rt, "limit")); err != nil {
					rt.Fatal(err)
				}
				continue
			}
			src := rapid.SampledFrom(places).Draw(rt, "ledger")
			rig.Must(t, r.Ledger.Ensure(t.Context(), src.Month, src.Part))
			for range rapid.IntRange(1, 5).Draw(rt, "records") {
				n++
				id := src.Job(job.Key{byte(n), byte(n >> 8)})
				r.Record(t, id, ledger.Record{State: job.Claimed})
				rec := ledger.Record{State: rapid.SampledFrom([]job.State{job.Sent, job.Pending, job.Unknown}).Draw(rt, "state")}
				if o, ok := outcome.Of(ledger.Entry{ID: id, Seq: r.Record(t, id, rec), Record: rec}); ok {
					want[o.ID] = true
				}
			}
		}
		for more := true; more; {
			var err error
			if more, err = read.page(t.Context(), 3); err != nil {
				rt.Fatal(err)
			}
		}
		for id := range want {
			if read.told[id] != 1 {
				rt.Errorf("%s was told %d times", id, read.told[id])
			}
		}
		if len(read.told) != len(want) {
			rt.Errorf("told %d, want %d", len(read.told), len(want))
		}
	})
}

func TestSinceAndAhead(t *testing.T) {
	t.Parallel()
	r := rig.Open(t, engines)
	feed := &outcome.Feed{JS: engines.JetStream, Ledger: r.Ledger}
	src := source("202611", 0)
	rig.Must(t, r.Ledger.Ensure(t.Context(), src.Month, src.Part))
	rig.Must(t, r.Ledger.Ensure(t.Context(), "202612", 0))
	r.Record(t, src.Job(job.Key{1}), ledger.Record{State: job.Blocked, Reason: reason.OptedOut})
	last, err := engines.JetStream.Stream(t.Context(), r.Names.Ledger(src.Month, 0))
	rig.Must(t, err)
	m, err := last.GetMsg(t.Context(), 1)
	rig.Must(t, err)
	r.Record(t, src.Job(job.Key{2}), ledger.Record{State: job.Blocked, Reason: reason.WindowClosed})
	states := func(c outcome.Cursor, pick outcome.Pick) (out []reason.Code) {
		p, err := feed.Read(t.Context(), c, 10, pick)
		rig.Must(t, err)
		for _, o := range p.Outcomes {
			out = append(out, o.Reason)
		}
		return out
	}
	for _, c := range []struct {
		at   time.Time
		want []reason.Code
	}{
		{m.Time.Add(-time.Hour), []reason.Code{reason.OptedOut, reason.WindowClosed}},
		{m.Time, []reason.Code{reason.OptedOut, reason.WindowClosed}},
		{m.Time.Add(time.Nanosecond), []reason.Code{reason.WindowClosed}},
		{time.Now().Add(time.Hour), nil},
	} {
		cur, err := feed.Since(t.Context(), c.at)
		rig.Must(t, err)
		if got := states(cur, nil); !slices.Equal(got, c.want) {
			t.Errorf("since %v: %q, want %q", c.at, got, c.want)
		}
	}
	if got := states(nil, func(o outcome.Outcome) bool { return o.Reason == reason.WindowClosed }); !slices.Equal(got, []reason.Code{reason.WindowClosed}) {
		t.Errorf("picked %q", got)
	}
	name := r.Names.Ledger(src.Month, 0)
	if _, err := feed.Read(t.Context(), outcome.Cursor{name: 2}, 10, nil); err != nil {
		t.Errorf("at the end: %v", err)
	}
	_, err = feed.Read(t.Context(), outcome.Cursor{name: 3}, 10, nil)
	if a, ok := errors.AsType[*outcome.Ahead](err); !ok || a.Have != 3 || a.End != 2 {
		t.Errorf("past the end: %v", err)
	}
}

func TestKnow(t *testing.T) {
	t.Parallel()
	r := rig.Open(t, engines)
	_, err := r.Facts.Merge(t.Context(), "bakery", []contact.Update{{Address: "7", Profile: &contact.Profile{Attributes: map[string]string{"crm_id": "A1", "city": "Oslo"}}}})
	rig.Must(t, err)
	outs := []outcome.Outcome{{Sender: "bakery", Contact: outcome.Contact{Key: r.Facts.Key("bakery", "7")}}, {Sender: "florist", Contact: outcome.Contact{Key: r.Facts.Key("bakery", "7")}}, {Sender: "bakery", Contact: outcome.Contact{Key: job.Key{9}}}}
	rig.Must(t, outcome.Know(t.Context(), r.Facts, outs, []string{"crm_id", "none"}))
	if c := outs[0].Contact; c.ID != "7" || len(c.Attributes) != 1 || c.Attributes["crm_id"] != "A1" {
		t.Errorf("%+v", c)
	}
	if outs[1].Contact.ID != "" || outs[2].Contact.ID != "" {
		t.Errorf("strangers are known: %+v", outs[1:])
	}
}
