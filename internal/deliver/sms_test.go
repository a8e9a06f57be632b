package deliver

import (
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/pkg/reason"
)

const shop = `kind: Sender
id: shop
channel: sms
account: "+14155550100"
account_sid: AC00000000000000000000000000000000
credential: env:SHOP
capabilities: [ten_dlc]
rate: {per_second: 200}
ten_dlc: {per_day: 4, brand: acme}
`

// newShop is a running broadcast of text messages of two segments to n
// contacts, with a day's budget that is known and of which nothing is spent.
func newShop(t *testing.T, n int) *world {
	t.Helper()
	w := newWorld(t, 0, false)
	w.Apply(t, shop)
	w.keys = w.Contacts(t, "shop", n)
	for i := range n {
		w.Update(t, "shop", contact.Update{Address: rig.Address(i), SMSConsent: true})
	}
	text := strings.Repeat("a", 161)
	w.b = w.Running(t, broadcast.Spec{ID: "sale", Sender: "shop", Message: message.Message{Text: text}}, w.keys)
	s, _, err := w.Defs.Sender(t.Context(), "shop")
	rig.Must(t, err)
	b, err := w.Gate.Budget(s, time.Now())
	rig.Must(t, err)
	rig.Must(t, w.Gate.Found(t.Context(), w.Gate.Epoch(), b, 0))
	return w
}

func TestSegmentsAreTakenFromTheDay(t *testing.T) {
	w := newShop(t, 4)
	w.deliver(w.refs()[:3])
	if len(w.sent) != 2 || w.last(0).State != job.Sent || w.last(1).State != job.Sent {
		t.Fatalf("of a budget of four, two segments each: sent %v", w.sent)
	}
	if len(w.back) != 1 || w.back[0].Contact != w.keys[2] {
		t.Fatalf("given back: %v", w.back)
	}
	rig.Reason(t, w.why[0], reason.BudgetSpent)
	if n := w.claimOf(0).Segments; n != 2 {
		t.Errorf("the claim says %d segments, want 2", n)
	}
}

func TestWhatWasNotSentIsGivenBackToTheDay(t *testing.T) {
	for name, res := range map[string]channel.Result{
		"refused":  {Outcome: channel.Refused, Reason: reason.RecipientNotFound},
		"not sent": {Outcome: channel.NotSent, Action: channel.Retry, Reason: reason.PlatformUnreachable, After: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			w := newShop(t, 4)
			w.answer = func(channel.Message) channel.Result { return res }
			w.deliver(w.refs()[:2])
			w.answer = accept
			w.deliver(w.refs()[2:])
			if w.last(2).State != job.Sent || w.last(3).State != job.Sent || len(w.back) != 0 {
				t.Errorf("after two that were %s: %s, %s, %d given back", name, w.last(2).State, w.last(3).State, len(w.back))
			}
		})
	}
	w := newShop(t, 3)
	w.answer = func(channel.Message) channel.Result { return channel.Result{Reason: reason.OutcomeUnknown} }
	w.deliver(w.refs()[:2])
	w.deliver(w.refs()[2:])
	if len(w.why) != 1 || w.why[0] != reason.BudgetSpent {
		t.Errorf("after two that may have been sent: given back for %v", w.why)
	}
}

func TestTheRecheckGivesBackToTheDay(t *testing.T) {
	w := newShop(t, 4)
	w.claimed = func() {
		w.claimed = nil
		for i := range 2 {
			w.Update(t, "shop", contact.Update{Address: rig.Address(i), OptOut: &contact.OptOut{Scope: contact.All, At: time.Now()}})
		}
	}
	w.deliver(w.refs()[:2])
	w.deliver(w.refs()[2:])
	if w.last(2).State != job.Sent || w.last(3).State != job.Sent {
		t.Errorf("after two that opted out: %v, given back %v", w.sent, w.why)
	}
}

// TestAnUnknownDayHoldsTheSender: nobody has counted, so nothing goes.
func TestAnUnknownDayHoldsTheSender(t *testing.T) {
	w := newShop(t, 1)
	rig.Must(t, engines.Redis.Client.Del(t.Context(), w.Keys.Rate("day~brand~acme")).Err())
	w.deliver(w.refs())
	if len(w.sent) != 0 || len(w.why) != 1 {
		t.Fatalf("sent %v, given back for %v", w.sent, w.why)
	}
	rig.Reason(t, w.why[0], reason.Rebuilding)
}

// TestThePlatformSaysOptedOut records what the platform knew first.
func TestThePlatformSaysOptedOut(t *testing.T) {
	w := newShop(t, 1)
	w.answer = func(channel.Message) channel.Result {
		return channel.Result{Outcome: channel.Refused, Action: channel.OptOut, Reason: reason.OptedOut, Code: 21610}
	}
	w.deliver(w.refs())
	if r := w.last(0); r.State != job.Failed || r.Reason != reason.OptedOut || len(w.optedOut) != 1 || w.optedOut[0] != rig.Address(0) {
		t.Errorf("%s for %s, opted out %v", r.State, r.Reason, w.optedOut)
	}
}

// TestTheMessageSaysUntilWhen: the platform must not send it later.
func TestTheMessageSaysUntilWhen(t *testing.T) {
	w := newShop(t, 1)
	var got channel.Message
	w.answer = func(m channel.Message) channel.Result { got = m; return accept(m) }
	w.deliver(w.refs())
	if left := time.Until(got.Expires); left < 50*time.Minute || left > time.Hour {
		t.Errorf("it expires in %v, want the hour of its source", left)
	}
}

// claimOf returns the claim of a job.
func (w *world) claimOf(i int) (claim ledger.Record) {
	w.t.Helper()
	rig.Must(w.t, w.Ledger.History(w.t.Context(), w.b.Source().Job(w.keys[i]), func(e ledger.Entry) error {
		if e.Record.State == job.Claimed {
			claim = e.Record
		}
		return nil
	}))
	return claim
}
