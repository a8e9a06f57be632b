package deliver

import (
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// maxRefusals is how often a refusal that the platform may take back is tried
// before the job ends as failed.
const maxRefusals = 3

// maxBackoff bounds how long a job waits before it is tried again.
const maxBackoff = 5 * time.Minute

// slotOver is the evidence of a claimed job that a busy machine kept back.
const slotOver = "its slot was over before it could leave"

// backoff is how long a job waits after its n-th attempt (from 1): 1 s,
// doubling, at most maxBackoff.
func backoff(n int) time.Duration {
	if n < 1 {
		n = 1
	}
	if n > 9 {
		return maxBackoff
	}
	return min(maxBackoff, time.Second<<(n-1))
}

// ofDecision is the outcome of a verdict: the record of a job that is not
// sent. It reports false where none is owed: the job goes back to its lane as
// it is, or its source's closing record covers it. A job that was claimed
// always gets one.
func ofDecision(d gate.Decision, from job.State, now time.Time) (ledger.Record, bool) {
	r := ledger.Record{From: from, At: now, Rule: d.Verdict.Rule, Reason: d.Verdict.Reason, Facts: d.Facts}
	if d.Verdict.Kind != policy.Undecided {
		r.Evidence = d.Verdict.Explain()
	}
	switch d.Do {
	case gate.Block:
		r.State = job.Blocked
	case gate.Hold:
		r.State, r.Until = job.Held, d.Verdict.Until
		if r.Until.IsZero() {
			r.Until = now.Add(maxBackoff)
		}
	case gate.Drop:
		r.State, r.Reason = d.Closed, reason.Cancelled
		if d.Closed == job.Expired {
			r.Reason = reason.Expired
		}
		return r, from == job.Claimed
	case gate.GiveBack, gate.Send: // a claimed job that can't go yet, or whose slot is over
		r.State, r.Until = job.Pending, now.Add(gate.Retry)
		if d.Do == gate.Send {
			r.Reason, r.Rule, r.Evidence, r.Until = reason.RateCapped, "", slotOver, time.Time{}
		}
		return r, from == job.Claimed
	}
	return r, true
}

// ofResult is the outcome of a platform's answer to a claimed job.
func ofResult(res channel.Result, attempt int, now time.Time) ledger.Record {
	r := ledger.Record{
		From: job.Claimed, At: now, Attempt: attempt, Reason: res.Reason,
		MessageID: res.MessageID, Code: res.Code, Subcode: res.Subcode, Status: res.Status, Detail: res.Detail,
	}
	switch res.Outcome {
	case channel.Accepted:
		r.State, r.Reason = job.Sent, ""
	case channel.Unknown:
		r.State, r.Reason = job.Unknown, reason.OutcomeUnknown
	case channel.NotSent:
		// Nothing left this process, so trying until the source ends can't
		// send twice, and an outage dead-letters nobody.
		r.State, r.Until = job.Pending, now.Add(max(res.After, backoff(attempt)))
	case channel.Refused:
		r.State, r.Until = refused(res, attempt, now)
	}
	return r
}

func refused(res channel.Result, attempt int, now time.Time) (job.State, time.Time) {
	limit := res.Limit
	if limit == 0 {
		limit = maxRefusals
	}
	switch res.Action {
	case channel.SlowSender:
		return job.Pending, now.Add(max(res.After, time.Second))
	case channel.PauseSender:
		return job.Pending, now.Add(gate.Retry)
	case channel.Retry:
		if attempt < limit {
			return job.Pending, now.Add(max(res.After, backoff(attempt)))
		}
	case channel.ThreadBusy:
		if attempt < limit {
			return job.Held, now.Add(max(res.After, backoff(attempt)))
		}
	case channel.CooldownOfOne: // its source ends one day, and the job with it
		return job.Held, now.Add(max(res.After, backoff(attempt)))
	case channel.DeadLetter, channel.BlockContact, channel.OptOut:
	}
	return job.Failed, time.Time{}
}

// lastWord is what a refusal asks for once its attempts are used up.
func lastWord(res channel.Result, attempt int) channel.Result {
	if res.Limit > 0 && attempt >= res.Limit && res.Action != res.Then {
		res.Action = res.Then
		if res.Then == channel.BlockContact {
			res.Reason = reason.RecipientUnavailable
		}
	}
	return res
}
