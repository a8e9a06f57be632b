package deliver

import (
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// closed delivers one job whose source is closed after the claim, and returns
// the reason on record.
func closed(t *testing.T, c facts.Control, want job.State) reason.Code {
	t.Helper()
	w := newWorld(t, 1, false)
	w.claimed = func() { w.Seen(t, w.Control(t, facts.SourceControl, w.b.Source().Name, c)) }
	w.deliver(w.refs())
	r := w.last(0)
	if r.State != want || len(w.sent) != 0 {
		t.Errorf("the job is %s, sent %v, want %s", r.State, w.sent, want)
	}
	return r.Reason
}

func TestReasonsOfAClosedSource(t *testing.T) {
	rig.Reason(t, closed(t, facts.Control{State: facts.Cancelled}, job.Cancelled), reason.Cancelled)
	rig.Reason(t, closed(t, facts.Control{State: facts.Ended}, job.Expired), reason.Expired)
	rig.Reason(t, closed(t, facts.Control{State: facts.Running, EndsAt: time.Now().Add(-time.Second)}, job.Expired), reason.Expired)
}

// blind delivers one job with a field of the projection's head replaced and
// nobody to repair it, and returns the reason for which it was given back.
func blind(t *testing.T, field, value string) reason.Code {
	t.Helper()
	w := newWorld(t, 1, false)
	w.alone()
	rig.Must(t, engines.Redis.Client.HSet(t.Context(), w.Keys.Meta(), field, value).Err())
	w.deliver(w.refs())
	if len(w.why) != 1 || len(w.sent) != 0 {
		t.Fatalf("given back for %v, sent %v", w.why, w.sent)
	}
	return w.why[0]
}

func TestReasonsOfABlindGate(t *testing.T) {
	rig.Reason(t, blind(t, "epoch", "another"), reason.Rebuilding)
	rig.Reason(t, blind(t, "beat", "1"), reason.FactsUnavailable)
}

// TestReasonsOfARate slows a sender on the platform's word: the job that met
// it and the one that asks for a slot after it wait for the same reason.
func TestReasonsOfARate(t *testing.T) {
	w := newWorld(t, 2, false)
	w.answer = func(channel.Message) channel.Result {
		return channel.Result{Outcome: channel.Refused, Action: channel.SlowSender, Reason: reason.RateCapped, After: 20 * time.Second}
	}
	w.deliver(w.refs()[:1])
	rig.Reason(t, w.last(0).Reason, reason.RateCapped)
	w.deliver(w.refs()[1:])
	if len(w.why) != 1 || len(w.sent) != 1 {
		t.Fatalf("given back for %v, sent %v", w.why, w.sent)
	}
	rig.Reason(t, w.why[0], reason.RateCapped)
}
