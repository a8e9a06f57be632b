package lane

import (
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Each letter is how one envelope ended: w well, b badly; capitals are probes.
func TestWhoIsSidelined(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		ends  string
		bad   int
		aside bool
		probe time.Duration // until the next one
	}{
		{ends: ""},
		{ends: "wwww"},
		{ends: "b", bad: 1},
		{ends: "bw"},
		{ends: "bb", bad: 2},
		{ends: "bbwbwb", bad: 2},
		{ends: "bbb", bad: 3, aside: true, probe: time.Second},
		{ends: "bbbbbbbb", bad: 3, aside: true, probe: time.Second}, // sent before it was known
		{ends: "bbbB", bad: 3, aside: true, probe: 2 * time.Second},
		{ends: "bbbBBB", bad: 3, aside: true, probe: 8 * time.Second},
		{ends: "bbbBBBB", bad: 3, aside: true, probe: maxProbe},
		{ends: "bbbBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB", bad: 3, aside: true, probe: maxProbe},
		{ends: "bbbBW", bad: 2, aside: true},
		{ends: "bbbBWWB", bad: 2, aside: true, probe: 2 * time.Second},
		{ends: "bbbBWWW"},
		{ends: "bbbBWWWb", bad: 1},
	} {
		var h health
		for _, e := range c.ends {
			was := h.aside != nil
			changed := h.judge(e == 'w' || e == 'W', e == 'W' || e == 'B', reason.OutcomeUnknown, now)
			if changed != (was != (h.aside != nil)) {
				t.Errorf("%s: a change of %v to %v is told as %v", c.ends, was, h.aside != nil, changed)
			}
		}
		if h.bad != c.bad || (h.aside != nil) != c.aside {
			t.Errorf("%s: %d bad, sidelined %v; want %d, %v", c.ends, h.bad, h.aside, c.bad, c.aside)
		}
		if got := max(0, h.next.Sub(now)); got != c.probe {
			t.Errorf("%s: next probe in %v, want %v", c.ends, got, c.probe)
		}
		if c.aside && (h.aside.Reason != reason.OutcomeUnknown || !h.aside.Since.Equal(now)) {
			t.Errorf("%s: sidelined as %+v", c.ends, h.aside)
		}
	}
}

// An envelope ended badly where half of its claimed jobs, or more, got no
// answer or one that asks to try again.
func TestWhichEnvelopesEndBadly(t *testing.T) {
	sent, failed := ledger.Record{State: job.Sent, Attempt: 1}, ledger.Record{State: job.Failed, Attempt: 1}
	unknown := ledger.Record{State: job.Unknown, Attempt: 1, Reason: reason.OutcomeUnknown}
	back := ledger.Record{State: job.Pending, Attempt: 1, Reason: reason.RateCapped}
	late := ledger.Record{State: job.Pending, Attempt: 0, Reason: reason.RateCapped} // the worker missed its slot
	for what, c := range map[string]struct {
		ends []ledger.Record
		well bool
		why  reason.Code
	}{
		"all sent":                   {[]ledger.Record{sent, sent}, true, ""},
		"refused for good":           {[]ledger.Record{failed, failed}, true, ""},
		"blocked at the recheck":     {[]ledger.Record{{State: job.Blocked}, {State: job.Held}}, true, ""},
		"the worker was late":        {[]ledger.Record{late, late}, true, ""},
		"no answer":                  {[]ledger.Record{unknown, unknown}, false, reason.OutcomeUnknown},
		"its worker died":            {[]ledger.Record{{State: job.Unknown, By: "lane"}}, true, ""},
		"slow down":                  {[]ledger.Record{back, back}, false, reason.RateCapped},
		"one of two":                 {[]ledger.Record{sent, unknown}, false, reason.OutcomeUnknown},
		"one of three":               {[]ledger.Record{sent, unknown, sent}, true, reason.OutcomeUnknown},
		"one came back, one did not": {[]ledger.Record{sent, sent, unknown, back}, false, reason.RateCapped},
	} {
		p := &parcel{left: len(c.ends), claimed: len(c.ends)}
		for _, r := range c.ends {
			p.ended(&released{parcel: p}, r)
		}
		if p.well() != c.well || p.why != c.why {
			t.Errorf("%s: well is %v for %q", what, p.well(), p.why)
		}
	}
}
