package queue

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// failurePause is how long a script that Redis failed or refused takes at
// least. Asynq asks for its next task again at once after an error: a Redis
// that is full or read-only answers so quickly that it and a core of ours
// would do nothing else.
const failurePause = 100 * time.Millisecond

// patient is a client of Redis as asynq's servers get it. What it is asked for
// and what it answers stay the same; only failures take their time.
type patient struct{ redis.UniversalClient }

// EvalSha runs a script by its hash. That Redis does not know the script is no
// failure: it is sent next.
func (p patient) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	cmd := p.UniversalClient.EvalSha(ctx, sha, keys, args...)
	if !redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
		pause(ctx, cmd.Err())
	}
	return cmd
}

// Eval runs a script by its text.
func (p patient) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	cmd := p.UniversalClient.Eval(ctx, script, keys, args...)
	pause(ctx, cmd.Err())
	return cmd
}

// Subscribe returns a subscription that has ended. Asynq would hear by it of
// tasks to be cancelled, which nobody does, and takes its end for a message: a
// process that is told to end while Redis is silent closed its client first,
// and panicked.
func (p patient) Subscribe(ctx context.Context, _ ...string) *redis.PubSub {
	s := p.UniversalClient.Subscribe(ctx)
	_ = s.Close() // it has no connection yet
	return s
}

func pause(ctx context.Context, err error) {
	if err == nil || errors.Is(err, redis.Nil) { // nil: the queue is empty
		return
	}
	t := time.NewTimer(failurePause)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
