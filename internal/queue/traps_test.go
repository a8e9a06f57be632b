package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/carillon-dev/carillon/internal/job"
)

// These tests put asynq where it is known to lose, repeat or overlap tasks.
// What they find is listed in docs/asynq.md with what makes it harmless.

const bulk = "t1-broadcasts"

// key names what asynq keeps of the queue of these tests.
func key(what string) string { return "asynq:{" + bulk + "}:" + what }

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if !within(time.Minute, ok) {
		t.Fatalf("not within a minute: %s", what)
	}
}

// within reports whether something came true in time.
func within(d time.Duration, ok func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(d)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			return false
		}
	}
	return true
}

// only is the one task that stands in a list or a set of asynq's.
func only(t *testing.T, rdb redis.UniversalClient, what string) string {
	t.Helper()
	ids, err := rdb.LRange(t.Context(), key(what), 0, -1).Result()
	if err != nil || len(ids) != 1 {
		t.Fatalf("%s: %v, %v", what, ids, err)
	}
	return ids[0]
}

// archived fails the test where asynq put anything into its archive, which it
// trims.
func archived(t *testing.T, rdb redis.UniversalClient) {
	t.Helper()
	if n, err := rdb.ZCard(t.Context(), key("archived")).Result(); n != 0 || err != nil {
		t.Errorf("%d tasks are archived, %v", n, err)
	}
}

// expire has a task's lease end long ago, as a host whose clock is ahead sees
// it, and lets others find that: each server looks when it starts.
func expire(t *testing.T, rdb redis.UniversalClient, id string, h handler) {
	t.Helper()
	long := float64(time.Now().Add(-time.Hour).Unix())
	for range 10 { // its owner may extend the lease meanwhile, as it does every 5 s
		rdb.ZAddXX(t.Context(), key("lease"), redis.Z{Score: long, Member: id})
		serve(t, rdb, "t1", 1, silent(), h)
		if within(2*time.Second, func() bool { return rdb.ZScore(t.Context(), key("retry"), id).Err() == nil }) {
			return
		}
	}
	t.Fatal("nobody finds the lease that is over")
}

// A task is handed over with nothing that asynq may hold against it later: no
// bound on retries, no id of ours, no lock, no retention.
func TestHowATaskIsHandedOver(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	q := New(rdb, "t1")
	enqueue(t, q, "menu~1", false)
	enqueue(t, q, "menu~1", false) // the same again, which a lock or an id would refuse
	all, err := asynq.NewInspectorFromRedisClient(rdb).ListPendingTasks(bulk)
	if err != nil || len(all) != 2 {
		t.Fatalf("%d tasks, %v", len(all), err)
	}
	for _, task := range all {
		if task.MaxRetry != 1<<30 || task.Timeout != TaskTimeout || task.Retention != 0 || task.Group != "" || !task.Deadline.IsZero() {
			t.Errorf("%+v", task)
		}
	}
	if keys := rdb.Keys(t.Context(), key("unique:*")).Val(); len(keys) != 0 {
		t.Errorf("locks: %v", keys)
	}
}

// passing is a hook that changes nothing, for those that change one thing.
type passing struct{}

func (passing) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (passing) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (passing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// deaf fails the first command that says that a task is done, before it
// reaches Redis.
type deaf struct {
	passing
	failed atomic.Bool
}

func (d *deaf) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); cmd.Name() == "evalsha" && len(args) > 3 && args[3] == key("active") && d.failed.CompareAndSwap(false, true) {
			cmd.SetErr(io.EOF)
			return cmd.Err()
		}
		return next(ctx, cmd)
	}
}

// One lost answer when a task is done, and asynq delivers it again a minute
// later: what it keeps for a second try never works.
func TestTaskWhoseEndIsLostComesAgain(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	var hook deaf
	rdb.AddHook(&hook)
	got := make(chan job.Envelope, 2)
	h := func(_ context.Context, e job.Envelope) { got <- e }
	serve(t, rdb, "t1", 1, silent(), h)
	enqueue(t, New(rdb, "t1"), "menu~1", false)
	first := received(t, "the delivery", got)
	until(t, "its end is lost", hook.failed.Load)
	id := only(t, rdb, "active")
	expire(t, rdb, id, h)
	if second := received(t, "it comes again", got); second.Source != first.Source {
		t.Errorf("%+v, want %+v", second, first)
	}
	done(t, rdb, bulk, 1)
	archived(t, rdb)
}

// The library tries again where an answer was lost, and then finds its own
// task: that is no reason to hand its jobs over once more.
func TestTaskIsHandedOverAlthoughTheAnswerIsLost(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	var hook cutting
	rdb.AddHook(&hook)
	q := New(rdb, "t1")
	enqueue(t, q, "menu~0", false) // which also lists the queue
	hook.armed.Store(true)
	enqueue(t, q, "menu~1", false)
	if n := rdb.LLen(t.Context(), key("pending")).Val(); n != 2 || hook.armed.Load() {
		t.Errorf("%d tasks", n)
	}
}

// cutting takes one answer away and ends its connection, once armed.
type cutting struct {
	passing
	armed atomic.Bool
}

func (c *cutting) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		return cut{conn, &c.armed}, err
	}
}

type cut struct {
	net.Conn
	armed *atomic.Bool
}

func (c cut) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.armed.CompareAndSwap(true, false) {
		return 0, io.EOF
	}
	return n, err
}

// A lease that is over for somebody else's clock: the task runs a second time
// beside the first, and whoever ends first ends it for both.
func TestTaskRunsTwiceAtATime(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	var now atomic.Int32
	began, release := make(chan int32, 2), make(chan struct{})
	h := func(context.Context, job.Envelope) {
		began <- now.Add(1)
		<-release
		now.Add(-1)
	}
	serve(t, rdb, "t1", 1, silent(), h)
	enqueue(t, New(rdb, "t1"), "menu~1", false)
	received(t, "the delivery", began)
	expire(t, rdb, only(t, rdb, "active"), h)
	if n := received(t, "the second one beside it", began); n != 2 {
		t.Errorf("%d at a time", n)
	}
	close(release)
	until(t, "both have ended", func() bool { return now.Load() == 0 })
	archived(t, rdb)
	enqueue(t, New(rdb, "t1"), "menu~2", false)
	received(t, "what comes after it", began)
}

// Whoever cancels a task from outside isn't heard: it runs to its end, once.
func TestCancellingATaskIsNotHeard(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	began, release, ended := make(chan struct{}, 2), make(chan struct{}), make(chan error, 2)
	serve(t, rdb, "t1", 1, silent(), func(ctx context.Context, _ job.Envelope) {
		began <- struct{}{}
		<-release
		ended <- ctx.Err()
	})
	enqueue(t, New(rdb, "t1"), "menu~1", false)
	received(t, "the delivery", began)
	if err := asynq.NewInspectorFromRedisClient(rdb).CancelProcessing(only(t, rdb, "active")); err != nil {
		t.Fatal(err)
	}
	if n, err := rdb.PubSubNumSub(t.Context(), "asynq:cancel").Result(); err != nil || n["asynq:cancel"] != 0 {
		t.Errorf("%v listen, %v", n, err)
	}
	close(release)
	if err := received(t, "the end", ended); err != nil {
		t.Errorf("it ended with %v", err)
	}
	done(t, rdb, bulk, 1)
}

// A client that is closed under a server, as by a process that is told to end
// while Redis is silent, ends nothing else.
func TestClientClosedUnderAServer(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	c, ok := rdb.(*redis.Client)
	if !ok {
		t.Fatalf("a %T", rdb)
	}
	own := redis.NewClient(&redis.Options{Network: c.Options().Network, Addr: c.Options().Addr})
	began := make(chan struct{}, 1)
	stop := serve(t, own, "t1", 1, silent(), func(context.Context, job.Envelope) { began <- struct{}{} })
	enqueue(t, New(rdb, "t1"), "menu~1", false)
	received(t, "the delivery", began)
	if err := own.Close(); err != nil {
		t.Fatal(err)
	}
	stop()
}

// A task without its hash, and one that is active without a lease, are never
// heard of again. The next ones are.
func TestOrphansKeepNobodyWaiting(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	q := New(rdb, "t1")
	enqueue(t, q, "gone~1", false)
	if n := rdb.Del(t.Context(), key("t:"+only(t, rdb, "pending"))).Val(); n != 1 {
		t.Fatal("there was no hash")
	}
	began, release := make(chan string, 3), make(chan struct{}, 3)
	serve(t, rdb, "t1", 1, silent(), func(_ context.Context, e job.Envelope) {
		began <- e.Source.Name
		<-release
	})
	until(t, "the one without a hash is taken", func() bool { return rdb.LLen(t.Context(), key("active")).Val() == 1 })
	enqueue(t, q, "leaseless~1", false)
	if got := received(t, "the second", began); got != "leaseless~1" {
		t.Fatalf("delivered %s", got)
	}
	if err := rdb.Del(t.Context(), key("lease")).Err(); err != nil {
		t.Fatal(err)
	}
	release <- struct{}{}
	enqueue(t, q, "after~1", false)
	if got := received(t, "the next one", began); got != "after~1" {
		t.Errorf("delivered %s", got)
	}
	release <- struct{}{}
	archived(t, rdb)
}

// After FLUSHALL asynq never lists its queues again. Tasks are taken all the
// same, and workers are known again with their next word.
func TestFlushedQueueGoesOn(t *testing.T) {
	t.Parallel()
	rdb := open(t)
	q := New(rdb, "t1")
	got := make(chan string, 2)
	serve(t, rdb, "t1", 3, silent(), func(_ context.Context, e job.Envelope) { got <- e.Source.Name })
	enqueue(t, q, "menu~1", false)
	received(t, "the delivery", got)
	if err := rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	enqueue(t, q, "menu~2", false)
	if name := received(t, "the delivery after it", got); name != "menu~2" {
		t.Errorf("delivered %s", name)
	}
	if n := rdb.Exists(t.Context(), "asynq:queues").Val(); n != 0 {
		t.Error("the queues are listed again: docs/asynq.md says that they are not")
	}
	until(t, "the workers are known again", func() bool { n, err := q.Slots(); return err == nil && n == 3 })
}

// refused waits until Redis has refused so much with an error of that kind, and
// returns how long that took.
func refused(t *testing.T, rdb redis.UniversalClient, kind string, n int) time.Duration {
	t.Helper()
	from := time.Now()
	until(t, "tasks are asked for in vain", func() bool {
		stats, err := rdb.Info(t.Context(), "errorstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(stats) {
			var count int
			if _, err := fmt.Sscanf(line, "errorstat_"+kind+":count=%d", &count); err == nil && count >= n {
				return true
			}
		}
		return false
	})
	return time.Since(from)
}

// A Redis that is full, or read-only since it was demoted, refuses at once.
// The servers don't ask as quickly as it does, and go on when it gives again.
func TestRefusingRedisIsNotHammered(t *testing.T) {
	t.Parallel()
	const n = 40
	for kind, c := range map[string]struct {
		refuse, relent []any
		least          time.Duration // of n refusals to two servers; a few are of other commands
	}{
		"OOM":      {[]any{"CONFIG", "SET", "maxmemory", "1"}, []any{"CONFIG", "SET", "maxmemory", "0"}, n / 2 * failurePause / 2},
		"READONLY": {[]any{"REPLICAOF", "127.0.0.1", "1"}, []any{"REPLICAOF", "NO", "ONE"}, n / 2 / 4 * failurePause / 2}, // the library tries each four times
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			rdb := open(t)
			q := New(rdb, "t1")
			got := make(chan string, 2)
			serve(t, rdb, "t1", 2, silent(), func(_ context.Context, e job.Envelope) { got <- e.Source.Name })
			enqueue(t, q, "menu~1", false)
			received(t, "the delivery", got)
			if err := rdb.Do(t.Context(), c.refuse...).Err(); err != nil {
				t.Fatal(err)
			}
			if took := refused(t, rdb, kind, n); took < c.least {
				t.Errorf("%d refusals within %v", n, took)
			}
			if err := q.Enqueue(t.Context(), envelope("menu~2"), false); err == nil || !strings.Contains(err.Error(), "menu~2") {
				t.Errorf("enqueued into a Redis that takes nothing: %v", err)
			}
			if err := rdb.Do(t.Context(), c.relent...).Err(); err != nil {
				t.Fatal(err)
			}
			enqueue(t, q, "menu~3", false)
			if name := received(t, "the delivery after it", got); name != "menu~3" {
				t.Errorf("delivered %s", name)
			}
			archived(t, rdb)
		})
	}
}

// answer is a Redis that answers every script alike.
type answer struct {
	redis.UniversalClient
	err error
}

func (a answer) EvalSha(ctx context.Context, _ string, _ []string, _ ...any) *redis.Cmd {
	return redis.NewCmdResult(nil, a.err)
}

func (a answer) Eval(ctx context.Context, _ string, _ []string, _ ...any) *redis.Cmd {
	return redis.NewCmdResult(nil, a.err)
}

func TestOnlyFailuresTakeTheirTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		err       error
		sha, text time.Duration
	}{
		{"answered", nil, 0, 0},
		{"empty", redis.Nil, 0, 0},
		{"unreachable", errors.New("dial: connection refused"), failurePause, failurePause},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := patient{answer{err: c.err}}
				from := time.Now()
				if err := p.EvalSha(t.Context(), "", nil).Err(); !errors.Is(err, c.err) {
					t.Errorf("%v", err)
				}
				if took := time.Since(from); took != c.sha {
					t.Errorf("by its hash: %v", took)
				}
				from = time.Now()
				if err := p.Eval(t.Context(), "", nil).Err(); !errors.Is(err, c.err) {
					t.Errorf("%v", err)
				}
				if took := time.Since(from); took != c.text {
					t.Errorf("by its text: %v", took)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				from = time.Now()
				p.Eval(ctx, "", nil)
				if took := time.Since(from); took != 0 {
					t.Errorf("with an ended context: %v", took)
				}
			})
		})
	}
}
