package gate_test

import (
	"errors"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// wound is a clock that is believed or not.
type wound struct{ err error }

func (w *wound) Check(time.Time) error { return w.err }

func TestLookHoldsWhereTheClockIsOff(t *testing.T) {
	r := rig.Open(t, engines)
	r.Project(t, nil)
	w := &wound{}
	g := gate.New(engines.Redis.Client, r.Keys, r.View, policy.Default())
	g.Clock = w
	source := job.Source{Sender: "bakery", Name: "menu~1"}
	if _, err := g.Look(t.Context(), source, nil); err != nil {
		t.Errorf("by a good clock: %v", err)
	}
	w.err = errors.New("an hour ahead")
	_, err := g.Look(t.Context(), source, nil)
	if !errors.Is(err, w.err) {
		t.Errorf("by one that is off: %v", err)
	}
	rig.Reason(t, gate.Blind(err), reason.ClockUncertain)
}
