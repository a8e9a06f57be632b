package deliver

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/rate"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// asSingles sends one call for each task, each at its own slot, claimed in
// waves shortly before.
func (r *run) asSingles(ctx context.Context, tasks []*task) {
	c := gate.ChargeOf(r.sender)
	_, tasks = r.slots(ctx, c, false, tasks)
	var calls crew
	answers := r.settler(ctx, len(tasks))
	defer func() { calls.wait(); answers.close() }()
	for len(tasks) > 0 {
		n := 1
		for n < len(tasks) && tasks[n].slot.From.Sub(tasks[0].slot.From) < wave {
			n++
		}
		part := tasks[:n]
		tasks = tasks[n:]
		if !sleepUntil(ctx, part[0].slot.From.Add(-r.lead())) {
			r.unspend(context.WithoutCancel(ctx), append(part, tasks...))
			r.giveBack(ctx, append(refs(part), refs(tasks)...), time.Now(), reason.RateCapped)
			return
		}
		r.wave(ctx, &calls, answers, c, part)
	}
}

// maxRounds is how often claimed tasks whose slot was over ask for another.
const maxRounds = 3

// wave claims a few tasks and sends each at its slot. The calls go on while
// the next wave begins.
func (r *run) wave(ctx context.Context, calls *crew, answers *settler, c rate.Charge, tasks []*task) {
	began := time.Now()
	tasks = r.claim(ctx, tasks)
	for round := 0; len(tasks) > 0; round++ {
		if late := r.overdue(tasks); len(late) > 0 {
			if tasks = r.again(ctx, c, tasks, late, round); len(tasks) == 0 {
				return
			}
			sleepUntil(ctx, tasks[0].slot.From.Add(-minLead)) // the recheck stands right before the wire
		}
		tasks = r.recheck(ctx, tasks)
		if round == 0 {
			r.learn(time.Since(began))
		}
		var over missed
		for _, t := range tasks {
			if !sleepUntil(ctx, t.slot.From) || r.isOver(t) {
				over.add(t)
				continue
			}
			over.leaving.Add(1)
			calls.do(func() {
				late := r.isOver(t)
				if late {
					over.add(t)
				}
				over.leaving.Done()
				if !late {
					r.guard(ctx, 1, func() { answers.add(t, r.send(ctx, t)) })
				}
			})
		}
		tasks = over.all()
	}
}

// missed collects tasks whose slot was over before they could leave.
type missed struct {
	leaving sync.WaitGroup // calls that have not begun
	mu      sync.Mutex
	tasks   []*task
}

func (m *missed) add(t *task) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tasks = append(m.tasks, t)
}

// all returns them once every other call has begun.
func (m *missed) all() []*task {
	m.leaving.Wait()
	return m.tasks
}

func (r *run) isOver(t *task) bool { return !time.Now().Before(t.slot.Until) }

func (r *run) overdue(tasks []*task) []*task {
	var late []*task
	for _, t := range tasks {
		if r.isOver(t) {
			late = append(late, t)
		}
	}
	return late
}

// again takes new slots for tasks that missed theirs; what they count was taken
// from the budget before. Those that get none go back; a task never waits longer
// than its claim stands.
func (r *run) again(ctx context.Context, c rate.Charge, tasks, late []*task, round int) []*task {
	var s gate.Slots
	err := errors.New("too many rounds")
	if round < maxRounds && ctx.Err() == nil {
		r.Stats.Takes.Add(1)
		s, err = r.Gate.Take(ctx, gate.Ask{Sender: r.source.Sender, App: r.app, Charge: c, Units: units(late), Lead: minLead})
	}
	if err != nil {
		s = gate.Slots{}
	}
	for i, slot := range s.Slots {
		late[i].slot = slot
	}
	if none := late[len(s.Slots):]; len(none) > 0 {
		r.Stats.Requeued.Add(int64(len(none)))
		r.refuse(none)
		tasks = without(tasks, none)
	}
	slices.SortStableFunc(tasks, func(a, b *task) int { return a.slot.From.Compare(b.slot.From) })
	return tasks
}

func without(tasks, gone []*task) []*task {
	drop := make(map[*task]bool, len(gone))
	for _, t := range gone {
		drop[t] = true
	}
	var out []*task
	for _, t := range tasks {
		if !drop[t] {
			out = append(out, t)
		}
	}
	return out
}

// send makes one call.
func (r *run) send(ctx context.Context, t *task) channel.Result {
	if trace.SpanFromContext(ctx).IsRecording() { // a span that nobody exports is not worth its allocations here
		var span trace.Span
		ctx, span = r.Tracer.Start(ctx, "send message", trace.WithSpanKind(trace.SpanKindClient))
		defer span.End()
	}
	// The call must not be cut short because the task's time is over: then
	// nobody would know whether it was accepted. Its own timeout bounds it.
	cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), SendTimeout)
	defer cancel()
	m := r.message(t)
	return r.call(ctx, 1, func() []channel.Result {
		return []channel.Result{r.to.Send(cctx, r.account, m)}
	})[0]
}

// settler records the answers of an envelope's calls as they come: those that
// come while others are being recorded go together.
type settler struct {
	run     *run
	ctx     context.Context
	answers chan answer
	done    chan struct{}
}

type answer struct {
	task   *task
	result channel.Result
}

func (r *run) settler(ctx context.Context, n int) *settler {
	s := &settler{run: r, ctx: ctx, answers: make(chan answer, n), done: make(chan struct{})}
	go s.work()
	return s
}

// add hands over one answer. It never blocks: there is room for every task.
func (s *settler) add(t *task, res channel.Result) { s.answers <- answer{t, res} }

// close returns once every answer is recorded. Nothing may be added any more.
func (s *settler) close() {
	close(s.answers)
	<-s.done
}

func (s *settler) work() {
	defer close(s.done)
	for a := range s.answers {
		tasks, results := []*task{a.task}, []channel.Result{a.result}
		for more := true; more; {
			select {
			case a, ok := <-s.answers:
				if more = ok; ok {
					tasks, results = append(tasks, a.task), append(results, a.result)
				}
			default:
				more = false
			}
		}
		s.run.guard(s.ctx, len(tasks), func() { s.run.settle(s.ctx, tasks, results) })
	}
}
