package story_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/story"
	"github.com/carillon-dev/carillon/pkg/reason"
)

func TestSentence(t *testing.T) {
	until := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	for want, r := range map[string]ledger.Record{
		"attempt 2: a worker claimed it to send it by rule standard_window": {State: job.Claimed, Attempt: 2, Rule: "standard_window"},
		"the platform accepted it as m_1":                                   {State: job.Sent, MessageID: "m_1", Evidence: "not said again"},
		"redriven by ada: it goes through every check again":                {State: job.Pending, From: job.Blocked, By: "ada"},
		"the time it was held until has come":                               {State: job.Pending, From: job.Held},
		"nothing left; it goes again: rate_capped":                          {State: job.Pending, From: job.Claimed, Reason: reason.RateCapped},
		"taken off the dead letters by ada":                                 {State: job.Failed, From: job.Failed, Discarded: true, By: "ada", Reason: reason.OptedOut},
		"blocked: opted_out (":                                              {State: job.Blocked, Reason: reason.OptedOut, Evidence: "opted out"},
		`; platform error 10/2018278 "outside of window"`:                   {State: job.Failed, Reason: reason.PlatformWindow, Code: 10, Subcode: 2018278, Detail: "outside of window"},
		"; the sender sleeps; not before 2026-11-23 08:00:00Z":              {State: job.Held, Reason: reason.QuietHours, Evidence: "the sender sleeps", Until: until},
		"unknown: outcome_unknown (":                                        {State: job.Unknown, Reason: reason.OutcomeUnknown},
	} {
		if got := story.Sentence(r); !strings.Contains(got, want) {
			t.Errorf("%s: %q lacks %q", r.State, got, want)
		}
	}
}

type world struct {
	*rig.Rooms
	teller story.Teller
	keys   []job.Key
	b      *broadcast.Broadcast
}

func newWorld(t *testing.T) world {
	t.Helper()
	r := rig.Open(t, engines)
	r.Apply(t, rig.Bakery)
	w := world{Rooms: r, keys: r.Contacts(t, "bakery", 2)}
	w.b = r.Running(t, broadcast.Spec{
		ID: "spring", Sender: "bakery", Message: message.Message{Text: "Hello {{.name}}"}, Audience: broadcast.Audience{Labels: []string{"regular"}},
	}, w.keys)
	w.teller = story.Teller{Defs: r.Defs, Facts: r.Facts, Audiences: r.Audiences, Ledger: r.Ledger, Gate: r.Gate}
	return w
}

// told is a story as lines of what happened.
func told(s story.Story) string {
	var b strings.Builder
	for _, st := range s.Steps {
		b.WriteString(st.What + "|")
	}
	return b.String() + string(s.State) + "|" + string(s.Bucket) + "|" + string(s.Reason)
}

func TestJob(t *testing.T) {
	w := newWorld(t)
	id := w.b.Source().Job(w.keys[0])
	tell := func(want, now string) {
		t.Helper()
		s, err := w.teller.Job(t.Context(), id)
		rig.Must(t, err)
		if got := told(s); got != want {
			t.Errorf("told %s\nwant %s", got, want)
		}
		verdict := ""
		if s.Now != nil {
			verdict = s.Now.Verdict
		}
		if verdict != now {
			t.Errorf("now %q, want %q", verdict, now)
		}
	}
	state := func(st broadcast.State) {
		t.Helper()
		_, rev, err := w.Defs.Broadcast(t.Context(), "spring")
		rig.Must(t, err)
		w.b.State = st
		_, err = w.Defs.PutBroadcast(t.Context(), w.b, rev)
		rig.Must(t, err)
	}
	tell("launched|planned|waiting|pending|pending|", "send")
	state(broadcast.Paused)
	tell("launched|planned|waiting|pending|pending|", "send")
	state(broadcast.Cancelled)
	tell("launched|planned|cancelled|pending|cancelled|cancelled", "")
	state(broadcast.Expired)
	tell("launched|planned|expired|pending|expired|expired", "")
	state(broadcast.Running)
	w.Record(t, id, ledger.Record{State: job.Held, Reason: reason.QuietHours, Until: time.Now().Add(time.Hour)})
	tell("launched|planned|held|held|pending|quiet_hours", "send")
	w.Record(t, id, ledger.Record{State: job.Pending})
	w.Record(t, id, ledger.Record{State: job.Claimed})
	w.Record(t, id, ledger.Record{State: job.Failed, Reason: reason.PlatformRejected})
	const failed = "launched|planned|held|pending|claimed|failed|"
	tell(failed+"failed|failed|platform_rejected", "send")
	w.Record(t, id, ledger.Record{State: job.Failed, Reason: reason.PlatformRejected, Discarded: true, By: "ada"})
	tell(failed+"discarded|failed|failed|platform_rejected", "send")
	w.Record(t, id, ledger.Record{State: job.Pending, By: "ada"})
	w.Record(t, id, ledger.Record{State: job.Claimed})
	w.Record(t, id, ledger.Record{State: job.Sent, MessageID: "m_1"})
	tell(failed+"discarded|pending|claimed|sent|sent|sent|", "")
}

func TestUnknownJob(t *testing.T) {
	w := newWorld(t)
	winter, another := w.b.Source(), w.b.Source()
	winter.Name, another.Name = "winter~1", "spring~2"
	for name, id := range map[string]job.ID{
		"no such broadcast": winter.Job(w.keys[0]), "another occurrence": another.Job(w.keys[0]), "not in the audience": w.b.Source().Job(job.Key{9}),
	} {
		if _, err := w.teller.Job(t.Context(), id); !errors.Is(err, story.ErrUnknownJob) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestContact(t *testing.T) {
	w := newWorld(t)
	inside, err := w.teller.Contact(t.Context(), "bakery", rig.Address(0))
	rig.Must(t, err)
	if !inside.Known || len(inside.Stories) != 1 || len(inside.Missed) != 0 || inside.Stories[0].Broadcast != "spring" {
		t.Errorf("%+v", inside)
	}
	update := func(address string, labels ...string) {
		_, err := w.Facts.Merge(t.Context(), "bakery", []contact.Update{{Address: address, Profile: &contact.Profile{Labels: labels}}})
		rig.Must(t, err)
	}
	update("77", "staff")
	update("78", "regular")
	for address, want := range map[string]string{
		"77": `it lacks the label "regular"`,
		"78": "it was not known, or did not match, when the audience was frozen at ",
		"79": "nothing is known of this contact; was it imported for this sender?",
	} {
		c, err := w.teller.Contact(t.Context(), "bakery", address)
		rig.Must(t, err)
		if len(c.Stories) != 0 || len(c.Missed) != 1 || !strings.HasPrefix(c.Missed[0].Why, want) {
			t.Errorf("contact %s: %+v, want %q", address, c.Missed, want)
		}
	}
	if c, err := w.teller.Contact(t.Context(), "shop", rig.Address(0)); err != nil || c.Known || len(c.Missed) != 0 {
		t.Errorf("another sender's: %+v, %v", c, err)
	}
}
