package gate_test

import (
	"errors"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/rate"
	"github.com/carillon-dev/carillon/internal/rig"
)

// TestNoSlotsWithoutABeat gives none where Redis' clock may have been set since
// the rate was last written: both sides of what is believed.
func TestNoSlotsWithoutABeat(t *testing.T) {
	r := rig.Open(t, engines)
	_, stop := r.Settled(t, nil)
	stop()
	ask := gate.Ask{Sender: "bakery", Charge: rate.Limit{PerSecond: 10, Burst: 10}.Call(), Units: gate.Ones(1)}
	for name, c := range map[string]struct {
		age  time.Duration
		want error
	}{
		"young":           {0, nil},
		"older":           {facts.BeatLimit / 2, nil}, // the rest is a busy machine's
		"too old":         {facts.BeatLimit, facts.ErrRebuilding},
		"from the future": {-time.Hour, facts.ErrRebuilding},
	} {
		now, err := engines.Redis.Client.Time(t.Context()).Result()
		rig.Must(t, err)
		rig.Must(t, engines.Redis.Client.HSet(t.Context(), r.Keys.Meta(), "beat", now.Add(-c.age).UnixMicro()).Err())
		if _, err := r.Gate.Take(t.Context(), ask); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
