package deliver

import (
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

func TestOfDecision(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	until := now.Add(time.Hour)
	verdict := func(k policy.Kind, r reason.Code, until time.Time) policy.Verdict {
		return policy.Verdict{Kind: k, Rule: "rule", Reason: r, Until: until}
	}
	for name, c := range map[string]struct {
		d     gate.Decision
		state job.State
		why   reason.Code
		until time.Time
		owed  bool // of a job that was not claimed; one that was always gets a record
	}{
		"block":             {d: gate.Decision{Do: gate.Block, Verdict: verdict(policy.Block, reason.OptedOut, time.Time{})}, state: job.Blocked, why: reason.OptedOut, owed: true},
		"hold":              {d: gate.Decision{Do: gate.Hold, Verdict: verdict(policy.Hold, reason.QuietHours, until)}, state: job.Held, why: reason.QuietHours, until: until, owed: true},
		"hold without end":  {d: gate.Decision{Do: gate.Hold, Verdict: verdict(policy.Hold, reason.OptOutReview, time.Time{})}, state: job.Held, why: reason.OptOutReview, until: now.Add(maxBackoff), owed: true},
		"cancelled":         {d: gate.Decision{Do: gate.Drop, Closed: job.Cancelled}, state: job.Cancelled, why: reason.Cancelled},
		"expired":           {d: gate.Decision{Do: gate.Drop, Closed: job.Expired}, state: job.Expired, why: reason.Expired},
		"blind":             {d: gate.Decision{Verdict: policy.Verdict{Reason: reason.Rebuilding}}, state: job.Pending, why: reason.Rebuilding, until: now.Add(gate.Retry)},
		"its slot was over": {d: gate.Decision{Do: gate.Send, Verdict: verdict(policy.Send, "", time.Time{})}, state: job.Pending, why: reason.RateCapped},
	} {
		t.Run(name, func(t *testing.T) {
			for _, from := range []job.State{job.Pending, job.Claimed} {
				c.d.Facts = 9
				r, ok := ofDecision(c.d, from, now)
				if want := c.owed || from == job.Claimed; ok != want {
					t.Fatalf("from %s a record is owed: %v, want %v", from, ok, want)
				}
				if r.State != c.state || r.Reason != c.why || !r.Until.Equal(c.until) || r.From != from || r.Facts != 9 || !r.At.Equal(now) {
					t.Errorf("from %s: %+v", from, r)
				}
				if err := job.CheckMove(from, r.State); ok && err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestOfResult(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	refused := func(a channel.Action, after time.Duration, limit int, then channel.Action) channel.Result {
		return channel.Result{Outcome: channel.Refused, Action: a, Reason: reason.PlatformRejected, After: after, Limit: limit, Then: then, Code: 10, Subcode: 20, Status: 400, Detail: "no"}
	}
	for name, c := range map[string]struct {
		res     channel.Result
		attempt int
		state   job.State
		why     reason.Code
		wait    time.Duration
	}{
		"accepted":                  {channel.Result{Outcome: channel.Accepted, MessageID: "m", Reason: reason.Internal}, 1, job.Sent, "", 0},
		"unknown":                   {channel.Result{Outcome: channel.Unknown, Reason: reason.PlatformUnreachable}, 1, job.Unknown, reason.OutcomeUnknown, 0},
		"nobody decided":            {channel.Result{}, 1, job.Unknown, reason.OutcomeUnknown, 0},
		"not sent":                  {channel.Result{Outcome: channel.NotSent, Reason: reason.PlatformUnreachable}, 1, job.Pending, reason.PlatformUnreachable, time.Second},
		"not sent, the third time":  {channel.Result{Outcome: channel.NotSent, Reason: reason.PlatformUnreachable}, 3, job.Pending, reason.PlatformUnreachable, 4 * time.Second},
		"not sent, for a day":       {channel.Result{Outcome: channel.NotSent, Reason: reason.PlatformUnreachable}, 500, job.Pending, reason.PlatformUnreachable, maxBackoff},
		"not sent, with a wait":     {channel.Result{Outcome: channel.NotSent, Reason: reason.PlatformUnreachable, After: time.Minute}, 1, job.Pending, reason.PlatformUnreachable, time.Minute},
		"dead":                      {refused(channel.DeadLetter, 0, 0, 0), 1, job.Failed, reason.PlatformRejected, 0},
		"blocked contact":           {refused(channel.BlockContact, 0, 0, 0), 1, job.Failed, reason.PlatformRejected, 0},
		"cooldown of one":           {refused(channel.CooldownOfOne, time.Hour, 0, 0), 9, job.Held, reason.PlatformRejected, time.Hour},
		"sender paused":             {refused(channel.PauseSender, 0, 0, 0), 1, job.Pending, reason.PlatformRejected, gate.Retry},
		"sender slow":               {refused(channel.SlowSender, time.Minute, 0, 0), 7, job.Pending, reason.PlatformRejected, time.Minute},
		"sender slow, no time":      {refused(channel.SlowSender, 0, 0, 0), 1, job.Pending, reason.PlatformRejected, time.Second},
		"retry, first":              {refused(channel.Retry, 0, 0, 0), 1, job.Pending, reason.PlatformRejected, time.Second},
		"retry, last but one":       {refused(channel.Retry, 0, 0, 0), maxRefusals - 1, job.Pending, reason.PlatformRejected, 2 * time.Second},
		"retry, last":               {refused(channel.Retry, 0, 0, 0), maxRefusals, job.Failed, reason.PlatformRejected, 0},
		"thread busy, own limit":    {refused(channel.ThreadBusy, time.Minute, 5, channel.DeadLetter), 4, job.Held, reason.PlatformRejected, time.Minute},
		"thread busy, limit":        {refused(channel.ThreadBusy, time.Minute, 5, channel.DeadLetter), 5, job.Failed, reason.PlatformRejected, 0},
		"unavailable, before limit": {refused(channel.Retry, 0, 2, channel.BlockContact), 1, job.Pending, reason.PlatformRejected, time.Second},
		"unavailable, at the limit": {refused(channel.Retry, 0, 2, channel.BlockContact), 2, job.Failed, reason.RecipientUnavailable, 0},
	} {
		t.Run(name, func(t *testing.T) {
			res := c.res
			if res.Outcome == channel.Refused {
				res = lastWord(res, c.attempt)
			}
			r := ofResult(res, c.attempt, now)
			wait := time.Duration(0)
			if !r.Until.IsZero() {
				wait = r.Until.Sub(now)
			}
			if r.State != c.state || r.Reason != c.why || wait != c.wait || r.Attempt != c.attempt {
				t.Errorf("record %+v, want %s %q after %s", r, c.state, c.why, c.wait)
			}
			if r.Code != c.res.Code || r.Subcode != c.res.Subcode || r.Status != c.res.Status || r.Detail != c.res.Detail || r.MessageID != c.res.MessageID {
				t.Errorf("the platform's answer is lost: %+v", r)
			}
			if err := ledger.CheckNext(job.Source{Name: "spring~1"}, ledger.Entry{Seq: 1, Record: ledger.Record{State: job.Claimed}}, withPrev(r, 1)); err != nil {
				t.Error(err)
			}
		})
	}
}

func withPrev(r ledger.Record, prev uint64) ledger.Record {
	r.Prev = prev
	return r
}

func TestBackoff(t *testing.T) {
	want := time.Second
	for n := 1; n < 100; n++ {
		if got := backoff(n); got != want {
			t.Fatalf("after attempt %d: %s, want %s", n, got, want)
		}
		want = min(2*want, maxBackoff)
	}
	if backoff(0) != time.Second {
		t.Error("before the first attempt")
	}
}

// The claim outlasts the call, and its watchers wait longer still.
func TestTimesFitIntoEachOther(t *testing.T) {
	longest := gate.MaxWait + SendTimeout
	if longest >= ClaimDeadline || SendTimeout >= 4*time.Second || ClaimMargin <= 0 {
		t.Errorf("a call may take %s within a claim of %s", longest, ClaimDeadline)
	}
}

func TestWireType(t *testing.T) {
	utility, feedback := &content.Body{Utility: &content.Utility{}}, &content.Body{Feedback: &content.Feedback{}}
	for _, c := range []struct {
		rule, tag   string
		body        *content.Body
		typ, onWire string
	}{
		{"standard_window", "HUMAN_AGENT", nil, "UPDATE", ""}, {"ad_window", "X", nil, "UPDATE", ""}, {"plus_one", "X", nil, "UPDATE", ""},
		{"human_agent", "HUMAN_AGENT", nil, "MESSAGE_TAG", "HUMAN_AGENT"}, {"human_agent", "HUMAN_AGENT", &content.Body{}, "MESSAGE_TAG", "HUMAN_AGENT"},
		{"utility", "", utility, "UTILITY", ""}, {"standard_window", "", utility, "UTILITY", ""}, {"utility", "HUMAN_AGENT", utility, "UTILITY", ""},
		{"customer_feedback", "", feedback, "MESSAGE_TAG", "CUSTOMER_FEEDBACK"}, {"standard_window", "", feedback, "UPDATE", ""},
	} {
		if typ, tag := wireType(c.rule, c.tag, c.body); typ != c.typ || tag != c.onWire {
			t.Errorf("%+v: %s %q", c, typ, tag)
		}
	}
}
