package api

import (
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/lane"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// A sidelined lane is shown with its own sender, and with no other.
func TestSidelinedIsShown(t *testing.T) {
	t.Parallel()
	aside := lane.Sidelined{Reason: reason.OutcomeUnknown, Since: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)}
	loads := []lane.Load{{Sender: "cafe"}, {Sender: "bakery", Waiting: 7, Sidelined: &aside}}
	got := wireSender(&sender.Spec{ID: "bakery", Weight: 3}, facts.Control{}, loads, 0)
	if got.Spec.Weight != 3 || got.Load == nil || got.Load.Waiting != 7 || got.Load.Sidelined == nil ||
		got.Load.Sidelined.Reason != aside.Reason || !got.Load.Sidelined.Since.Equal(aside.Since) {
		t.Errorf("shown as %+v", got)
	}
	if got := wireSender(&sender.Spec{ID: "cafe"}, facts.Control{}, loads, 0); got.Load == nil || got.Load.Sidelined != nil {
		t.Errorf("another one is shown as %+v", got)
	}
}
