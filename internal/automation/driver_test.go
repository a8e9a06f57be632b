package automation

import (
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
)

// TestLife follows one run from its event to its end: by timers, messages and
// their outcomes.
func TestLife(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.Apply(t, waits)
	_, stop := h.leads()
	h.tell(order("cart.left", "1", 1, about(1)))
	h.until("cart", flow.Waiting, 1)
	if n := len(h.jobs("cart")); n != 0 {
		t.Errorf("%d messages before the wait is over", n)
	}
	if c, _, err := h.Facts.Control(t.Context(), facts.SourceControl, "cart"); err != nil || c.State != facts.Running {
		t.Errorf("rechecks don't know that the flow is live: %+v, %v", c, err)
	}
	h.later(time.Hour)
	h.planned("cart", 1)
	h.sent("cart", job.Sent)
	h.waiting("cart", 1, 24*time.Hour)
	h.later(24 * time.Hour)
	h.planned("cart", 2)
	h.sent("cart", job.Blocked)
	h.until("cart", flow.Done, 1)
	stop()
	r := h.of("cart", 1)[0].Run
	if len(r.Owes) != 0 || r.Seen == 0 || r.Outcomes["remind"].State != job.Sent || r.Outcomes["again"].State != job.Blocked {
		t.Errorf("%+v", r)
	}
}

// TestExit ends a run by an event that came before its time did, although it is
// only heard when both have come.
func TestExit(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.Apply(t, waits)
	_, stop := h.drive()
	for i := range 20 {
		h.tell(order("cart.left", "left"+itoa(i), i, about(i)))
	}
	h.until("cart", flow.Waiting, 20)
	stop()
	for i := range 20 {
		h.tell(order("order.placed", "placed"+itoa(i), i, about(i)))
	}
	h.later(time.Hour)
	h.drive()
	h.until("cart", flow.Exited, 20)
	if n := len(h.jobs("cart")); n != 0 {
		t.Errorf("%d reminders to people who have ordered", n)
	}
}

// TestKeywordsInTurn asserts that of the flows that have a keyword of a text
// one answers: that with the longest, unless its trigger is not for it.
func TestKeywordsInTurn(t *testing.T) {
	t.Parallel()
	h := open(t)
	for id, more := range map[string]string{"menu": "words: [menu]}", "hours": "words: [opening hours]}, where: event.id == 'm0'"} {
		h.Apply(t, "kind: Flow\nid: "+id+"\ntype: auto_reply\nsender: bakery\ntrigger: {keywords: {match: word, "+more+"}\nsteps: [{wait: {for: 1h}}]\n")
	}
	h.Apply(t, "kind: Flow\nid: all\ntype: auto_reply\nsender: bakery\ntrigger: {inbound: [message]}\nsteps: [{wait: {for: 1h}}]\n")
	h.drive()
	for i := range 2 {
		e := order(string(event.Message), "m"+itoa(i), i, nil)
		e.Channel, e.Account, e.MessageID, e.Text = "messenger", "1", e.ID, "menu and opening hours?"
		h.tell(e)
	}
	h.until("all", flow.Waiting, 2)
	if n := len(h.of("hours", 0)) + 2*len(h.of("menu", 0)); n != 1 {
		t.Errorf("to the longest keyword: %d", n)
	}
	if n := len(h.of("hours", 1)) + 2*len(h.of("menu", 1)); n != 2 {
		t.Errorf("to the other: %d", n)
	}
}
