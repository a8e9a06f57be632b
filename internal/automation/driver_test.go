package automation

import (
	"testing"
	"time"

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
