package api_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/api"
	"github.com/carillon-dev/carillon/internal/contact"
)

// off is a clock that can't be believed, and was at a moment; zero: never.
type off struct{ agreed time.Time }

func (off) Check(time.Time) error { return errors.New("an hour behind") }

func (o off) Agreed() (time.Time, bool) { return o.agreed, !o.agreed.IsZero() }

// TestOrdersByAClockThatIsOff refuses an import whose time nobody knows, and
// records an opt-out as of the time that was last agreed on. Where none was, it
// refuses that too. What only reads is answered.
func TestOrdersByAClockThatIsOff(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "late")
	agreed := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		clock              off
		method, path, body string
		want               int
	}{
		{off{}, "POST", "/v1/senders/late/optouts", `{"contact":"psid-1","scope":"all","source":"test"}`, 503},
		{off{}, "POST", "/v1/senders/late/pause", "", 503},
		{off{}, "GET", "/v1/senders/late", "", 200},
		{off{agreed}, "POST", "/v1/senders/late/optouts", `{"contact":"psid-2","scope":"all","source":"test"}`, 200},
		{off{agreed}, "POST", "/v1/senders/late/contacts/changes", `{"contacts":[{"contact":"psid-3","opt_out":"all","source":"test"}]}`, 503},
		{off{agreed}, "POST", "/v1/senders/late/pause", "", 200},
		{off{agreed}, "POST", "/v1/senders/late/resume", "", 503},
		{off{agreed}, "GET", "/v1/senders/late", "", 200},
	} {
		s := h.door(t, func(to *api.Config) { to.Clock = c.clock })
		w := knock(t, s, c.method, c.path, c.body, token, "127.0.0.1:1")
		if w.Code != c.want || c.want == 503 && !strings.Contains(w.Body.String(), "nothing was done: an hour behind; or ask another scheduler") {
			t.Errorf("%s, agreed %v: %d %s", c.path, c.clock.agreed, w.Code, w.Body)
		}
	}
	for address, want := range map[string][]contact.OptOut{
		"psid-1": nil, "psid-3": nil,
		"psid-2": {{Scope: contact.All, At: agreed, Source: "test"}},
	} {
		if r, _, err := h.facts.Contact(t.Context(), "late", h.facts.Key("late", address)); err != nil || !slices.Equal(r.OptOuts, want) {
			t.Errorf("%s: %+v, %v", address, r.OptOuts, err)
		}
	}
}
