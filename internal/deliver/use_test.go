package deliver

import (
	"sync"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// commented gives every contact a comment that was not answered yet.
func (w *world) commented() {
	for i := range w.keys {
		w.Update(w.t, "bakery", contact.Update{Address: rig.Address(i), Comment: &contact.Permission{ID: "comment-" + rig.Address(i), At: time.Now().Add(-time.Hour), Post: i == 1}})
	}
}

func (w *world) private(id string) *broadcast.Broadcast {
	return w.further(broadcast.Spec{ID: id, Sender: "bakery", Message: message.Message{Text: "Hello", Via: message.PrivateReply}})
}

// further is one more running broadcast, which every look sees.
func (w *world) further(spec broadcast.Spec) *broadcast.Broadcast {
	b := w.Running(w.t, spec, w.keys)
	rig.Until(w.t, "the broadcast is in force", func() bool {
		look, err := w.Gate.Look(w.t.Context(), b.Source(), w.keys)
		return err == nil && look.Source != nil
	})
	return b
}

// TestPrivateRepliesGoOnce sends one to a comment and one to a post; those of
// another broadcast then find them used, in the facts or, where these are
// not there yet, among the uses.
func TestPrivateRepliesGoOnce(t *testing.T) {
	w := newWorld(t, 2, false)
	w.commented()
	w.b = w.private("first")
	var mu sync.Mutex
	got := map[string]channel.Message{}
	w.answer = func(m channel.Message) channel.Result {
		mu.Lock()
		defer mu.Unlock()
		got[m.Recipient] = m
		return accept(m)
	}
	w.deliver(w.refs())
	for i, to := range []channel.RecipientKind{channel.ToComment, channel.ToPost} {
		if m := got["comment-"+rig.Address(i)]; m.To != to || m.Type != "" || m.Tag != "" || m.Text != "Hello" {
			t.Errorf("contact %d: %+v", i, m)
		}
		if r := w.last(i); r.State != job.Sent || r.Rule != message.PrivateReply {
			t.Errorf("contact %d: %+v", i, r)
		}
		r, _, err := w.Facts.Contact(t.Context(), "bakery", w.keys[i])
		if c, _ := r.Comment(); err != nil || !c.Used {
			t.Errorf("contact %d: %+v, %v", i, r.Comments, err)
		}
	}
	w.b = w.private("second")
	rig.Until(t, "the facts are there", func() bool {
		look, err := w.Gate.Look(t.Context(), w.b.Source(), w.keys)
		return err == nil && look.Contacts[0].Comments[0].Used && look.Contacts[1].Comments[0].Used
	})
	w.deliver(w.refs())
	for i := range w.keys {
		rig.Reason(t, w.last(i).Reason, reason.PrivateReplyUsed)
	}
	if len(got) != 2 {
		t.Errorf("%d messages", len(got))
	}
}

// TestTwoBroadcastsCantSpendOnePermission: the facts of both say that it is
// free, and one of them gets it.
func TestTwoBroadcastsCantSpendOnePermission(t *testing.T) {
	for _, batch := range []bool{false, true} {
		w := newWorld(t, 2, batch)
		w.commented()
		w.b = w.private("second")
		for i, k := range w.keys {
			if _, err := w.worker.Uses.Claim(t.Context(), "1234567890", "comment-"+rig.Address(i), job.Source{Month: "202611", Sender: "bakery", Name: "first~1"}.Job(k)); err != nil {
				t.Fatal(err)
			}
		}
		w.deliver(w.refs())
		for i := range w.keys {
			if r := w.last(i); r.State != job.Blocked || r.Reason != reason.PrivateReplyUsed || r.Evidence == "" {
				t.Errorf("job %d: %+v", i, r)
			}
		}
		if len(w.sent) != 0 {
			t.Errorf("sent to %v", w.sent)
		}
	}
}

// TestAPermissionServesItsOwnJobAgain: what was certainly not sent may be
// tried again by the job that has the permission.
func TestAPermissionServesItsOwnJobAgain(t *testing.T) {
	w := newWorld(t, 1, false)
	w.commented()
	w.b = w.private("first")
	w.answer = func(channel.Message) channel.Result {
		return channel.Result{Outcome: channel.NotSent, Reason: reason.PlatformUnreachable}
	}
	w.deliver(w.refs())
	r := w.last(0)
	if r.State != job.Pending {
		t.Fatalf("%+v, given back for %v", r, w.why)
	}
	e, _, err := w.Ledger.Last(t.Context(), w.b.Source().Job(w.keys[0]))
	rig.Must(t, err)
	w.answer = accept
	w.deliver([]job.Ref{{Contact: w.keys[0], Seq: e.Seq, Attempt: 1}})
	if r := w.last(0); r.State != job.Sent {
		t.Errorf("%+v", r)
	}
}

// TestABusyThreadHolds until the app that has it lets it go, by what the
// webhooks told and by what the platform answers.
func TestABusyThreadHolds(t *testing.T) {
	w := newWorld(t, 2, false)
	w.Update(t, "bakery", contact.Update{Address: rig.Address(0), Thread: contact.Thread{Taken: time.Now().Add(-time.Hour)}})
	w.answer = func(channel.Message) channel.Result {
		return channel.Result{Outcome: channel.Refused, Action: channel.ThreadBusy, Reason: reason.ThreadControlled, After: time.Minute, Limit: 3}
	}
	w.deliver(w.refs())
	w.want(0, job.Held, reason.ThreadControlled, 0)
	w.want(1, job.Held, reason.ThreadControlled, 1)
	if until := w.last(0).Until; time.Until(until) < 22*time.Hour {
		t.Errorf("held until %s", until)
	}
	rig.Reason(t, w.last(0).Reason, reason.ThreadControlled)
}

// TestACooledContactIsLeftAlone for as long as the platform asks; a sender
// with too many of them is paused, once.
func TestACooledContactIsLeftAlone(t *testing.T) {
	w := newWorld(t, MaxStrikes+1, false)
	w.answer = func(channel.Message) channel.Result {
		return channel.Result{Outcome: channel.Refused, Action: channel.CooldownOfOne, Reason: reason.ContactCapped, After: 24 * time.Hour, Code: 613, Subcode: 2018338}
	}
	w.deliver(w.refs()[:MaxStrikes-1])
	w.want(0, job.Held, reason.ContactCapped, 1)
	if until := w.last(0).Until; time.Until(until) < 23*time.Hour {
		t.Errorf("held until %s", until)
	}
	if len(w.paused) != 0 {
		t.Fatalf("paused for %v", w.paused)
	}
	w.deliver(w.refs()[MaxStrikes-1:])
	if len(w.paused) != 1 {
		t.Errorf("paused for %v", w.paused)
	}
	w.b = w.further(broadcast.Spec{ID: "second", Sender: "bakery", Message: message.Message{Text: "Hello"}})
	rig.Until(t, "the fact is there", func() bool {
		look, err := w.Gate.Look(t.Context(), w.b.Source(), w.keys[:1])
		return err == nil && !look.Contacts[0].CooledUntil.IsZero()
	})
	w.deliver(w.refs()[:1])
	w.want(0, job.Held, reason.ContactCapped, 1)
	rig.Reason(t, w.last(0).Reason, reason.ContactCapped)
}

// TestANewerPermissionIsNotSpentUnclaimed: what the recheck would use must be
// what was claimed.
func TestANewerPermissionIsNotSpentUnclaimed(t *testing.T) {
	w := newWorld(t, 1, false)
	w.commented()
	w.b = w.private("first")
	w.claimed = func() {
		w.claimed = nil
		w.Update(t, "bakery", contact.Update{Address: rig.Address(0), Comment: &contact.Permission{ID: "newer", At: time.Now()}})
	}
	w.deliver(w.refs())
	if r := w.last(0); r.State != job.Pending || len(w.sent) != 0 {
		t.Errorf("%+v, sent %v", r, w.sent)
	}
}
