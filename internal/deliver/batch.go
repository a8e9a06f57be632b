package deliver

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/rate"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// asBatch sends one Graph batch for all tasks, at one moment.
func (r *run) asBatch(ctx context.Context, tasks []*task) {
	c := gate.ChargeOf(r.sender)
	s, tasks := r.slots(ctx, c, true, tasks)
	if len(tasks) == 0 {
		return
	}
	slot := s.Slots[0]
	if !sleepUntil(ctx, slot.From.Add(-r.lead())) {
		r.giveBack(ctx, refs(tasks), time.Now(), reason.RateCapped)
		return
	}
	for _, t := range tasks {
		t.slot = slot
	}
	began := time.Now()
	tasks = r.claim(ctx, tasks)
	for round := 0; len(tasks) > 0; round++ {
		if r.isOver(tasks[0]) {
			var ok bool
			if s, ok = r.againAsBatch(ctx, c, tasks, round); !ok {
				return
			}
		}
		tasks = r.recheck(ctx, tasks)
		if round == 0 {
			r.learn(time.Since(began))
		}
		if len(tasks) == 0 {
			_ = r.Gate.Give(ctx, r.source.Sender, s, 1) // costs only time where it fails
			return
		}
		if sleepUntil(ctx, tasks[0].slot.From) && !r.isOver(tasks[0]) {
			r.sendBatch(ctx, tasks)
			return
		}
	}
}

// againAsBatch takes a new slot for a batch that missed its own, or lets its
// claims go.
func (r *run) againAsBatch(ctx context.Context, c rate.Charge, tasks []*task, round int) (gate.Slots, bool) {
	if round < maxRounds && ctx.Err() == nil {
		r.Stats.Takes.Add(1)
		if s, err := r.Gate.Take(ctx, gate.Ask{Sender: r.source.Sender, App: r.app, Charge: c, Units: gate.Ones(1), Lead: minLead}); err == nil && len(s.Slots) == 1 {
			for _, t := range tasks {
				t.slot = s.Slots[0]
			}
			return s, true
		}
	}
	r.Stats.Requeued.Add(int64(len(tasks)))
	r.refuse(tasks)
	return gate.Slots{}, false
}

func (r *run) sendBatch(ctx context.Context, tasks []*task) {
	ctx, span := r.Tracer.Start(ctx, "send batch", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.Int("messaging.batch.message_count", len(tasks))))
	defer span.End()
	cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), SendTimeout)
	defer cancel()
	ms := make([]channel.Message, len(tasks))
	for i, t := range tasks {
		ms[i] = r.message(t)
	}
	r.settle(ctx, tasks, r.call(ctx, len(ms), func() []channel.Result {
		if len(ms) == 1 {
			return []channel.Result{r.to.Send(cctx, r.account, ms[0])}
		}
		return r.to.SendBatch(cctx, r.account, ms)
	}))
}
