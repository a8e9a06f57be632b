package meta

import (
	"io"
	"net/http"
	"testing"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// answered is the reason that a client gives to a platform's answer.
func answered(t *testing.T, status int, body string) reason.Code {
	t.Helper()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
	return open(t, Options{BaseURL: s.URL}).Send(t.Context(), account(), hello[0]).Reason
}

// TestReasonsFromTheWire gives each reason about the platform from the bytes
// that stand for it.
func TestReasonsFromTheWire(t *testing.T) {
	t.Parallel()
	rig.Reason(t, answered(t, 400, graphErrorBody(100, 2018034, "(#100) No message")), reason.PlatformRejected)
	rig.Reason(t, answered(t, 400, graphErrorBody(10, 2018278, "(#10) outside of allowed window")), reason.PlatformWindow)
	rig.Reason(t, answered(t, 400, graphErrorBody(551, 1545041, "(#551) This person isn't available")), reason.RecipientUnavailable)
	rig.Reason(t, answered(t, 400, graphErrorBody(100, 2018001, "(#100) No matching user found")), reason.RecipientNotFound)
	rig.Reason(t, answered(t, 400, graphErrorBody(10, 2018300, "(#10) another app is controlling this thread")), reason.ThreadControlled)
	rig.Reason(t, answered(t, 429, graphErrorBody(613, 0, "(#613) Calls exceeded the rate limit")), reason.RateCapped)
	rig.Reason(t, answered(t, 400, graphErrorBody(613, 2018338, "(#613) decrease the rate to this person")), reason.ContactCapped)
	rig.Reason(t, answered(t, 400, graphErrorBody(1, 1357046, "invalid JSON reply")), reason.OutcomeUnknown)
	rig.Reason(t, answered(t, 504, "<html>gateway timeout</html>"), reason.OutcomeUnknown)
}

func TestReasonsWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	s := serve(t, http.NotFound)
	c := open(t, Options{BaseURL: s.URL})
	for _, r := range c.SendBatch(t.Context(), account(), make([]channel.Message, MaxBatch+1)) {
		rig.Reason(t, r.Reason, reason.Internal)
	}
	s.Close()
	rig.Reason(t, c.Send(t.Context(), account(), hello[0]).Reason, reason.PlatformUnreachable)
}
