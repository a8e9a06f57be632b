package automation

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/stream"
)

// crowd is how many runs a benchmark has: a CRM's mass update has ten times
// as many within a minute.
const crowd = 10_000

// storm keeps events about as many contacts.
func (h *house) storm(n int) {
	h.t.Helper()
	var ms []*nats.Msg
	for i := range n {
		e := order("cart.left", fmt.Sprintf("storm%d", i), i, about(i))
		data, err := e.Encode()
		rig.Must(h.t, err)
		ms = append(ms, stream.Expect(h.Names.Event("crm/shop", e.ID), data, 0))
		if len(ms) == stream.MaxBatch || i == n-1 {
			_, err := stream.Batch(h.t.Context(), engines.NATS, ms)
			rig.Must(h.t, err)
			ms = nil
		}
	}
}

// BenchmarkStorm begins a run for each of many events that wait, wakes them all
// in one second, and plans the message of each.
func BenchmarkStorm(b *testing.B) {
	for b.Loop() {
		h := open(b)
		h.Apply(b, waits)
		h.storm(crowd)
		d := h.driver()
		ctx, cancel := context.WithCancel(b.Context())
		over := make(chan error)
		began := time.Now()
		go func() { over <- d.Run(ctx) }()
		rig.Until(b, "all runs began", func() bool { return d.Counts.Started.Load() == crowd })
		b.ReportMetric(float64(crowd)/time.Since(began).Seconds(), "begun/s")
		s, err := engines.JetStream.Stream(b.Context(), h.Names.RunsStream())
		rig.Must(b, err)
		b.ReportMetric(float64(s.CachedInfo().State.Bytes)/crowd, "B/run")
		ts, err := engines.JetStream.Stream(b.Context(), h.Names.TimersStream())
		rig.Must(b, err)
		b.ReportMetric(float64(ts.CachedInfo().State.Bytes)/crowd, "B/timer")
		h.later(time.Hour + time.Minute)
		began = time.Now()
		d.hurry()
		rig.Until(b, "all runs were woken", func() bool { return d.Counts.Woken.Load() == crowd })
		rig.Until(b, "all messages are planned", func() bool { return h.states("cart")[flow.Waiting] == crowd && len(h.jobs("cart")) == crowd })
		b.ReportMetric(float64(crowd)/time.Since(began).Seconds(), "woken/s")
		cancel()
		rig.Must(b, <-over)
	}
}
