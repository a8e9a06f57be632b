package api_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/api"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/scheduler"
)

// off is a clock that can't be believed.
type off struct{}

func (off) Check(time.Time) error { return errors.New("an hour behind") }

// TestNoOrdersByAClockThatIsOff refuses an opt-out whose time nobody knows, and
// records nothing of it. What only reads is answered.
func TestNoOrdersByAClockThatIsOff(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "late")
	s := h.door(t, func(c *api.Config) {
		with := c.Scheduler.Config
		with.Clock = off{}
		c.Scheduler = scheduler.New(with)
	})
	w := knock(t, s, "POST", "/v1/senders/late/optouts", `{"contact":"psid-1","scope":"all","source":"test"}`, token, "127.0.0.1:1")
	if w.Code != 503 || !strings.Contains(w.Body.String(), "nothing was done: an hour behind; or ask another scheduler") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	r, _, err := h.facts.Contact(t.Context(), "late", h.facts.Key("late", "psid-1"))
	if err != nil || r.OptedOut(contact.All) {
		t.Errorf("it was recorded: %v", err)
	}
	if w := knock(t, s, "GET", "/v1/senders/late", "", token, "127.0.0.1:1"); w.Code != 200 {
		t.Errorf("to read: %d %s", w.Code, w.Body)
	}
}
