// Package queue hands envelopes to workers now, through asynq. It holds no
// future and no truth: a task may be lost, repeated or run twice at a time,
// and the ledger makes all three harmless. Nothing ever asks it what it
// holds, only who works.
package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/propagation"

	"github.com/carillon-dev/carillon/internal/job"
)

// The times of a task, each longer than the one inside it: the platform's
// answer (under 4 s) < TaskTimeout < ShutdownTimeout < the pod's grace.
const (
	TaskTimeout     = 15 * time.Second
	ShutdownTimeout = 20 * time.Second
)

const (
	taskType   = "deliver"
	flows      = "flows"
	broadcasts = "broadcasts"
)

// Queue puts envelopes where workers take them.
type Queue struct {
	client    *asynq.Client
	inspector *asynq.Inspector
	prefix    string
}

// New returns a queue on the given Redis. The prefix keeps installations
// apart.
func New(rdb redis.UniversalClient, prefix string) *Queue {
	return &Queue{client: asynq.NewClientFromRedisClient(rdb), inspector: asynq.NewInspectorFromRedisClient(rdb), prefix: prefix}
}

func name(prefix, q string) string {
	if prefix == "" {
		return q
	}
	return prefix + "-" + q
}

// Enqueue hands over one envelope; urgent ones overtake the others. The trace
// of ctx travels along.
func (q *Queue) Enqueue(ctx context.Context, e job.Envelope, urgent bool) error {
	payload, err := e.Encode()
	if err != nil {
		return err
	}
	headers := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, headers)
	to := broadcasts
	if urgent {
		to = flows
	}
	// A task is never archived, since asynq trims what it archives: attempts
	// are counted in the ledger, and retries here only bridge a restart.
	_, err = q.client.EnqueueContext(ctx, asynq.NewTaskWithHeaders(taskType, payload, headers),
		asynq.Queue(name(q.prefix, to)), asynq.MaxRetry(1<<30), asynq.Timeout(TaskTimeout))
	// Ids are drawn, so that one which is there already is of this very task:
	// the answer to the first try was lost on its way.
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return fmt.Errorf("enqueue envelope of %s: %w", e.Source.Name, err)
	}
	return nil
}

// Slots returns how many envelopes the workers of this installation deliver at
// a time, by what each of them told Redis in the last ten seconds. Those that
// take nothing more don't count.
func (q *Queue) Slots() (int, error) {
	all, err := q.inspector.Servers()
	if err != nil {
		return 0, fmt.Errorf("count workers: %w", err)
	}
	n := 0
	for _, s := range all {
		if _, ours := s.Queues[name(q.prefix, broadcasts)]; ours && s.Status == "active" {
			n += s.Concurrency
		}
	}
	return n, nil
}

// Handler delivers one envelope. It must return within the deadline of ctx.
type Handler interface {
	Deliver(ctx context.Context, e job.Envelope)
}

// Server runs a handler on what is queued.
type Server struct {
	servers []*asynq.Server
	mux     asynq.Handler
}

// servers is how many asynq servers one process runs: each takes tasks one
// after another, which one round trip bounds.
const servers = 2

// pollEvery is how long an idle server waits before it looks again; asynq's
// own second would be most of a flow's way.
const pollEvery = 10 * time.Millisecond

// NewServer returns a server that delivers up to concurrency envelopes at a
// time. It does nothing until Start.
func NewServer(rdb redis.UniversalClient, prefix string, concurrency int, h Handler, log *slog.Logger) *Server {
	s := &Server{mux: handle(h, log)}
	n := max(1, min(servers, concurrency))
	for i := range n {
		s.servers = append(s.servers, asynq.NewServerFromRedisClient(patient{rdb}, asynq.Config{
			Concurrency:       max(1, (concurrency+i)/n), // rounded so that they add up
			Queues:            map[string]int{name(prefix, flows): 10, name(prefix, broadcasts): 1},
			StrictPriority:    true,
			TaskCheckInterval: pollEvery,
			ShutdownTimeout:   ShutdownTimeout,
			Logger:            quiet{log},
			LogLevel:          asynq.WarnLevel,
			RetryDelayFunc:    func(int, error, *asynq.Task) time.Duration { return time.Second },
			IsFailure:         func(error) bool { return false },
		}))
	}
	return s
}

// handle wraps a handler so that a task always ends as done: whatever became
// of its jobs stands in the ledger, and what does not is released again.
func handle(h Handler, log *slog.Logger) asynq.Handler {
	return asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) (err error) {
		defer func() {
			if v := recover(); v != nil {
				log.Error("an envelope's delivery panicked; its jobs are released again", "panic", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
				err = nil
			}
		}()
		e, err := job.DecodeEnvelope(t.Payload())
		if err != nil {
			log.Error("a task can't be read; its jobs are released again", "error", err)
			return nil
		}
		h.Deliver(propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier(t.Headers())), e)
		return nil
	})
}

// Start begins to take tasks.
func (s *Server) Start() error {
	for _, srv := range s.servers {
		if err := srv.Start(s.mux); err != nil {
			return fmt.Errorf("start taking tasks: %w", err)
		}
	}
	return nil
}

// Stop takes no new tasks and returns when those at work are done, at most
// ShutdownTimeout later.
func (s *Server) Stop() {
	for _, srv := range s.servers {
		srv.Stop()
	}
	done := make(chan struct{}, len(s.servers))
	for _, srv := range s.servers {
		go func() { srv.Shutdown(); done <- struct{}{} }()
	}
	for range s.servers {
		<-done
	}
}

// quiet hands asynq's own log lines to slog.
type quiet struct{ log *slog.Logger }

func (q quiet) line(args []any) string { return "asynq: " + fmt.Sprint(args...) }

// Debug drops the line.
func (q quiet) Debug(...any) {}

// Info drops the line.
func (q quiet) Info(...any) {}

// Warn logs the line for who debugs asynq. What it warns of, tasks lost or
// repeated, the ledger makes harmless; Redis being away is said once, by who
// holds because of it.
func (q quiet) Warn(args ...any) { q.log.Debug(q.line(args)) }

// Error logs the line as Warn does, for the same cause.
func (q quiet) Error(args ...any) { q.log.Debug(q.line(args)) }

// Fatal logs the line; ending the process is not a library's business.
func (q quiet) Fatal(args ...any) { q.log.Error(q.line(args)) }
