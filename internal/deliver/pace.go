package deliver

import (
	"context"
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// highUsage is the percentage of a quota from which a sender or an app slows
// down: the platform refuses at 100, and calls that are on their way still count.
const highUsage = 90

// pressure is what answers say of one quota.
type pressure struct {
	usage int           // the highest percentage
	pause time.Duration // the longest that a rate error asks for; 0: there was none
}

// adapt slows the sender down, or its app, by what answers say of their quotas.
// Where no app is named the sender takes what is said of it. A spent budget is
// no rate error: it says how much may go, not how fast.
func (r *run) adapt(ctx context.Context, results []channel.Result) {
	var own, shared pressure
	app := &shared
	if r.app == "" {
		app = &own
	}
	for _, res := range results {
		own.usage = max(own.usage, res.Usage)
		app.usage = max(app.usage, res.AppUsage) // which may be the same
		if res.Action != channel.SlowSender || res.Reason != reason.RateCapped {
			continue
		}
		whose := &own
		if res.App {
			whose = app
		}
		whose.pause = max(whose.pause, res.After, time.Second)
	}
	r.relieve(ctx, r.source.Sender, own)
	r.relieve(ctx, r.app, shared)
}

// relieve cuts the pace of whose quota it is. A usage that goes with a rate
// error says the same once more.
func (r *run) relieve(ctx context.Context, name string, p pressure) {
	var err error
	switch {
	case p.pause > 0:
		err = r.Gate.Halve(ctx, name, p.pause)
	case p.usage >= highUsage:
		err = r.Gate.Ease(ctx, name)
	}
	if err != nil {
		r.Log.WarnContext(ctx, "a sender could not be slowed down", "sender", r.source.Sender, "error", err)
	}
}
