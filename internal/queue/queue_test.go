package queue

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/job"
)

// open starts a Redis of its own.
func open(t *testing.T) redis.UniversalClient {
	t.Helper()
	e, err := engine.Start(t.Context(), engine.Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return e.Redis.Queue
}

// handler is a Handler of one function.
type handler func(ctx context.Context, e job.Envelope)

func (h handler) Deliver(ctx context.Context, e job.Envelope) { h(ctx, e) }

// serve starts a server that stops with the test.
func serve(t *testing.T, rdb redis.UniversalClient, prefix string, concurrency int, log *slog.Logger, h handler) (stop func()) {
	t.Helper()
	s := NewServer(rdb, prefix, concurrency, h, log)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(s.Stop)
	t.Cleanup(stop)
	return stop
}

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

func envelope(source string) job.Envelope {
	return job.Envelope{
		Source: job.Source{Month: "202611", Part: 2, Sender: "bakery", Name: source},
		Jobs:   []job.Ref{{Contact: job.Key{1}}, {Contact: job.Key{2}, Seq: 4711, Attempt: 3}},
	}
}

func enqueue(t *testing.T, q *Queue, source string, urgent bool) {
	t.Helper()
	if err := q.Enqueue(t.Context(), envelope(source), urgent); err != nil {
		t.Fatal(err)
	}
}

func received[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(60 * time.Second):
		t.Fatalf("not within 60 s: %s", what)
		panic("unreachable")
	}
}

// done waits until a queue has n tasks behind it, and fails the test unless
// every one of them ended well and none is left in any state.
func done(t *testing.T, rdb redis.UniversalClient, queue string, n int) {
	t.Helper()
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(60 * time.Second)
	for {
		i, err := inspector.GetQueueInfo(queue)
		if err != nil {
			t.Fatal(err)
		}
		if i.Processed >= n && i.Size == 0 {
			if i.Processed != n || i.Failed != 0 || i.Archived != 0 || i.Retry != 0 || i.Completed != 0 {
				t.Errorf("%s: %+v", queue, i)
			}
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within 60 s: %d tasks done; %s is %+v", n, queue, i)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	type delivery struct {
		envelope job.Envelope
		span     trace.SpanContext
		deadline time.Duration
	}
	got := make(chan delivery, 1)
	serve(t, rdb, "t1", 4, silent(), func(ctx context.Context, e job.Envelope) {
		d, _ := ctx.Deadline()
		got <- delivery{e, trace.SpanContextFromContext(ctx), time.Until(d)}
	})
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{3}, TraceFlags: trace.FlagsSampled})
	for i, urgent := range []bool{true, false} {
		e := envelope(fmt.Sprintf("menu~%d", i))
		if err := New(rdb, "t1").Enqueue(trace.ContextWithSpanContext(t.Context(), span), e, urgent); err != nil {
			t.Fatal(err)
		}
		d := received(t, "the delivery", got)
		if !reflect.DeepEqual(d.envelope, e) {
			t.Errorf("%+v, want %+v", d.envelope, e)
		}
		if d.span.TraceID() != span.TraceID() || d.span.SpanID() != span.SpanID() || !d.span.IsSampled() || !d.span.IsRemote() {
			t.Errorf("trace %v, want %v as a remote one", d.span, span)
		}
		if d.deadline <= 0 || d.deadline > TaskTimeout {
			t.Errorf("deadline in %v, want at most %v", d.deadline, TaskTimeout)
		}
	}
	done(t, rdb, "t1-flows", 1)
	done(t, rdb, "t1-broadcasts", 1)
}

func TestWithoutATrace(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	got := make(chan trace.SpanContext, 1)
	serve(t, rdb, "", 1, silent(), func(ctx context.Context, _ job.Envelope) { got <- trace.SpanContextFromContext(ctx) })
	enqueue(t, New(rdb, ""), "menu~1", false)
	if sc := received(t, "the delivery", got); sc.IsValid() {
		t.Errorf("a trace out of nothing: %v", sc)
	}
	done(t, rdb, "broadcasts", 1)
}

// A handler that panics has had its task: it is neither tried again nor
// archived, where asynq would sooner or later drop it.
func TestPanicEndsTheTask(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	var log bytes.Buffer
	var calls atomic.Int32
	stop := serve(t, rdb, "t1", 1, slog.New(slog.NewTextHandler(&log, nil)), func(context.Context, job.Envelope) {
		calls.Add(1)
		panic("boom")
	})
	q := New(rdb, "t1")
	enqueue(t, q, "menu~1", false)
	enqueue(t, q, "menu~2", false)
	done(t, rdb, "t1-broadcasts", 2)
	stop()
	if calls.Load() != 2 {
		t.Errorf("%d calls, want one for each", calls.Load())
	}
	if !strings.Contains(log.String(), "panicked") {
		t.Errorf("the log says nothing of it: %s", log.String())
	}
}

func TestUnreadableTaskIsDone(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	var log bytes.Buffer
	stop := serve(t, rdb, "t1", 2, slog.New(slog.NewTextHandler(&log, nil)), func(context.Context, job.Envelope) {
		t.Error("it was delivered")
	})
	client := asynq.NewClientFromRedisClient(rdb)
	for _, payload := range []string{"", "{", `{"v":2}`} {
		if _, err := client.EnqueueContext(t.Context(), asynq.NewTask(taskType, []byte(payload)), asynq.Queue("t1-flows"), asynq.MaxRetry(5)); err != nil {
			t.Fatal(err)
		}
	}
	done(t, rdb, "t1-flows", 3)
	stop()
	if n := strings.Count(log.String(), "can't be read"); n != 3 {
		t.Errorf("%d lines in the log, want 3: %s", n, log.String())
	}
}

func TestUrgentOvertakes(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	q := New(rdb, "t1")
	for i := range 5 {
		enqueue(t, q, fmt.Sprintf("bulk~%d", i), false)
	}
	enqueue(t, q, "flow", true)
	order := make(chan string, 6)
	serve(t, rdb, "t1", 1, silent(), func(_ context.Context, e job.Envelope) { order <- e.Source.Name })
	for i, want := range []string{"flow", "bulk~0", "bulk~1"} {
		if got := received(t, want, order); got != want {
			t.Errorf("delivery %d is %s, want %s", i, got, want)
		}
	}
}

// What the workers of this installation deliver at a time is told by what they
// tell of themselves; those of others, and those that have stopped, don't count.
func TestSlots(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	idle := func(context.Context, job.Envelope) {}
	counted := func(prefix string, want int) {
		t.Helper()
		q, limit := New(rdb, prefix), time.After(60*time.Second)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			got, err := q.Slots()
			if err != nil {
				t.Fatal(err)
			}
			if got == want {
				return
			}
			select {
			case <-tick.C:
			case <-limit:
				t.Fatalf("not within 60 s: %q has %d slots, want %d", prefix, got, want)
			}
		}
	}
	counted("t1", 0)
	serve(t, rdb, "t1", 7, silent(), idle)
	stop := serve(t, rdb, "t1", 1, silent(), idle)
	serve(t, rdb, "t2", 24, silent(), idle)
	counted("t1", 8)
	counted("t2", 24)
	stop()
	counted("t1", 7)
	counted("", 0)
}

// Stop takes nothing new, and what is at work comes to its end.
func TestStopWaitsForWhatIsAtWork(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	began, release := make(chan string, 9), make(chan struct{})
	var ended atomic.Int32
	s := NewServer(rdb, "t1", 2, handler(func(_ context.Context, e job.Envelope) {
		began <- e.Source.Name
		<-release
		ended.Add(1)
	}), silent())
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	q := New(rdb, "t1")
	for i := range 2 {
		enqueue(t, q, fmt.Sprintf("menu~%d", i), false)
		received(t, "the delivery", began)
	}
	stopped := make(chan int32, 1)
	go func() { s.Stop(); stopped <- ended.Load() }()
	takesNothing(t, rdb, servers)
	enqueue(t, q, "late", true)
	select {
	case <-stopped:
		t.Fatal("Stop returned although two deliveries are at work")
	default:
	}
	close(release)
	if n := received(t, "Stop", stopped); n != 2 {
		t.Errorf("Stop returned after %d of 2 deliveries had ended", n)
	}
	done(t, rdb, "t1-broadcasts", 2)
}

// takesNothing waits until n servers say that they take no more tasks, which
// they tell Redis every few seconds.
func takesNothing(t *testing.T, rdb redis.UniversalClient, n int) {
	t.Helper()
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(60 * time.Second)
	for {
		all, err := inspector.Servers()
		if err != nil {
			t.Fatal(err)
		}
		closed := 0
		for _, s := range all {
			if s.Status == "closed" {
				closed++
			}
		}
		if closed == n {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within 60 s: %d of %d servers have stopped", closed, n)
		}
	}
}

func TestStopWithoutStart(t *testing.T) {
	t.Parallel()
	NewServer(open(t), "t1", 2, handler(nil), silent()).Stop()
}

// The servers of a process share its concurrency, whatever it is.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	for _, n := range []int{1, 2, 3, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			prefix := fmt.Sprintf("c%d", n)
			var mu sync.Mutex
			now, most := 0, 0
			count := func(by int) {
				mu.Lock()
				defer mu.Unlock()
				now += by
				most = max(most, now)
			}
			full, release := make(chan struct{}, 100), make(chan struct{})
			stop := serve(t, rdb, prefix, n, silent(), func(context.Context, job.Envelope) {
				count(1)
				full <- struct{}{}
				<-release
				count(-1)
			})
			q := New(rdb, prefix)
			for i := range 3 * n {
				enqueue(t, q, fmt.Sprintf("menu~%d", i), false)
			}
			for range n {
				received(t, "as many deliveries as may be", full)
			}
			close(release)
			done(t, rdb, prefix+"-broadcasts", 3*n)
			stop()
			if most != n {
				t.Errorf("%d at a time, want %d", most, n)
			}
		})
	}
}

func TestInstallationsAreApart(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	got := make(chan string, 2)
	serve(t, rdb, "t2", 1, silent(), func(_ context.Context, e job.Envelope) { got <- e.Source.Name })
	enqueue(t, New(rdb, "t1"), "theirs", true)
	enqueue(t, New(rdb, "t2"), "ours", false)
	if name := received(t, "the delivery", got); name != "ours" {
		t.Errorf("delivered %s", name)
	}
}

func TestEnqueueRefuses(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	if err := New(rdb, "t1").Enqueue(t.Context(), job.Envelope{Source: job.Source{Name: "menu~1"}}, false); err == nil {
		t.Error("an empty envelope was taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := New(rdb, "t1").Enqueue(ctx, envelope("menu~1"), false); err == nil || !strings.Contains(err.Error(), "menu~1") {
		t.Errorf("with an ended context: %v", err)
	}
}
