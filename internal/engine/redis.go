package engine

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisMinimum is the oldest Redis served: asynq and the scripts use commands
// and options of 6.2.
var redisMinimum = version{6, 2, 0}

// noticeEvery is how often a restarted child is tried until it answers.
const noticeEvery = 20 * time.Millisecond

// Redis is the connection to Redis, and what is known of which Redis it is.
type Redis struct {
	// Client is for facts, caps and beats. It never retries: a command whose
	// answer was lost may have been applied, and only the caller knows what
	// that means.
	Client redis.UniversalClient
	// Queue is for asynq, whose commands may be repeated, with the client's
	// own retries.
	Queue redis.UniversalClient

	where string // for errors; holds no credentials

	mu      sync.Mutex
	runID   string        // of the server that Client connected to last
	changed chan struct{} // closed and replaced when runID changes
}

// RunID returns the run id of the primary that Client's newest connection
// reached; "" before the first. Redis draws a new one each time it starts, so
// that another run id means that the data may be another's too: restarted
// empty, or a replica that was behind.
func (r *Redis) RunID() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.runID
}

// Changed returns the run id as RunID does, and a channel that is closed when
// it is no longer that one. Taking both at once leaves no gap to miss a
// change in.
func (r *Redis) Changed() (runID string, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.runID, r.changed
}

// newRedis makes both clients from one set of options. Nothing connects yet.
func newRedis(ep endpoint) *Redis {
	r := &Redis{where: ep.where, changed: make(chan struct{})}
	r.Client = ep.client(tuning{retries: -1, dials: 1, onConnect: r.identify})
	r.Queue = ep.client(tuning{})
	return r
}

// identify runs on every new connection of Client before its first command.
// Where it fails the connection is not used: whoever can't tell which Redis
// answers must not trust the answer.
func (r *Redis) identify(ctx context.Context, cn *redis.Conn) error {
	text, err := cn.Info(ctx, "server").Result()
	if err != nil {
		return fmt.Errorf("redis at %s: info server: %w", r.where, err)
	}
	info := parseInfo(text)
	if info["redis_mode"] == "sentinel" {
		return nil // the library asks it where the primary is, with the same hook
	}
	id := info["run_id"]
	if id == "" {
		return fmt.Errorf("redis at %s: info server has no run_id", r.where)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if id != r.runID {
		r.runID = id
		close(r.changed)
		r.changed = make(chan struct{})
	}
	return nil
}

// check proves that the server answers, and that it will do.
func (r *Redis) check(ctx context.Context, log *slog.Logger) error {
	info := map[string]string{}
	for _, section := range []string{"server", "replication", "memory"} {
		text, err := r.Client.Info(ctx, section).Result()
		if err != nil {
			return redisError(r.where, err)
		}
		maps.Copy(info, parseInfo(text))
	}
	if err := judge(info); err != nil {
		return fmt.Errorf("redis at %s %w", r.where, err)
	}
	if p := info["maxmemory_policy"]; p != "noeviction" {
		log.Warn("redis may evict keys, or doesn't say; tasks and facts would vanish one by one; set maxmemory-policy noeviction", "server", r.where, "maxmemory_policy", p)
	}
	return nil
}

// judge refuses a server that is too old or not a primary.
func judge(info map[string]string) error {
	v, err := parseVersion(info["redis_version"])
	if err != nil {
		return fmt.Errorf("says %w", err)
	}
	if v.before(redisMinimum) {
		return fmt.Errorf("is version %v; %v or later is needed", v, redisMinimum)
	}
	if role := info["role"]; role != "master" {
		return fmt.Errorf("is a replica (role %q); give the primary's URL, or Sentinel's with ?master_name=", role)
	}
	return nil
}

// notice makes Client connect to a child that has started again, so that the
// new run id shows although nobody may be sending commands just now.
func (r *Redis) notice(ctx context.Context) {
	tick := time.NewTicker(noticeEvery)
	defer tick.Stop()
	for r.Client.Ping(ctx).Err() != nil {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *Redis) close(context.Context) error {
	queueErr := r.Queue.Close()
	if err := r.Client.Close(); err != nil {
		return err
	}
	return queueErr
}

// tuning is what Client and Queue differ in. The zero value keeps the
// library's defaults.
type tuning struct {
	retries   int // per command; -1 is none
	dials     int // attempts per connection
	onConnect func(context.Context, *redis.Conn) error
}

// poolSize is how many connections a client keeps at most: commands here take
// well under a millisecond, so that a few per core keep Redis busy, and the
// rest is for goroutines caught between sending and reading.
func poolSize() int { return 4*runtime.GOMAXPROCS(0) + 16 }

// parseInfo reads the answer of INFO: lines of "key:value", comments with #.
func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && k[:min(1, len(k))] != "#" {
			info[k] = v
		}
	}
	return info
}
