package facts

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// shown is a Redis whose clock shows its clients something else.
type shown struct {
	hook
	ahead atomic.Int64
	fails atomic.Bool  // it goes away once it has shown that
	away  atomic.Int32 // commands that it won't answer
}

func (s *shown) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if s.away.Load() > 0 {
			s.away.Add(-1)
			return errors.New("away")
		}
		err := next(ctx, cmd)
		if at, ok := cmd.(*redis.TimeCmd); ok && err == nil {
			at.SetVal(at.Val().Add(time.Duration(s.ahead.Load())))
			if s.ahead.Load() != 0 && s.fails.CompareAndSwap(true, false) {
				s.away.Store(3)
			}
		}
		return err
	}
}

// TestRedisClockIsSet begins anew where Redis' clock was set: the rates that
// stand in Redis are of another time.
func TestRedisClockIsSet(t *testing.T) {
	t.Parallel()
	h, s := open(t), &shown{}
	h.Redis.Client.AddHook(s)
	m := h.people(t, 3)
	p := h.project(t, nil)
	h.shows(t, m.Seq)
	for _, ahead := range []time.Duration{time.Hour, 0, -time.Hour, 0, 2 * redisStep, 0} {
		before := p.opens(t) // it has asked for the time in this epoch
		noError(t, h.Redis.Client.Set(t.Context(), h.keys.Rate(bakery), 1, 0).Err())
		s.ahead.Store(int64(ahead))
		eventually(t, "everything begins anew", func() bool { n, _, _ := p.Opened(); return n > before })
		if h.Redis.Client.Exists(t.Context(), h.keys.Rate(bakery)).Val() != 0 {
			t.Errorf("%v ahead: the rates of another time still stand", ahead)
		}
	}
	h.shows(t, m.Seq)
	h.allThere(t, 3)
}

// TestRedisGoesAwayAsItsClockIsSet has it go away before anything is wiped: that
// is made up for once it is back, though its clock runs on evenly from there.
func TestRedisGoesAwayAsItsClockIsSet(t *testing.T) {
	t.Parallel()
	h, s := open(t), &shown{}
	s.fails.Store(true)
	h.Redis.Client.AddHook(s)
	m := h.people(t, 3)
	p := h.project(t, nil)
	h.shows(t, m.Seq)
	before := p.opens(t)
	noError(t, h.Redis.Client.Set(t.Context(), h.keys.Rate(bakery), 1, 0).Err())
	s.ahead.Store(int64(time.Hour))
	eventually(t, "it opens again", func() bool { n, open, _ := p.Opened(); return open && n > before })
	if h.Redis.Client.Exists(t.Context(), h.keys.Rate(bakery)).Val() != 0 {
		t.Error("the rates of another time still stand")
	}
}

// TestRedisClockWasSetBack finds a beat from the future: nobody looked while
// the clock was set.
func TestRedisClockWasSetBack(t *testing.T) {
	t.Parallel()
	h := open(t)
	m := h.people(t, 3)
	p := h.project(t, nil)
	h.shows(t, m.Seq)
	p.stop()
	noError(t, h.Redis.Client.HSet(t.Context(), h.keys.Meta(), "beat", time.Now().Add(time.Hour).UnixMicro()).Err())
	noError(t, h.Redis.Client.Set(t.Context(), h.keys.Rate(bakery), 1, 0).Err())
	h.project(t, nil).opens(t)
	if h.Redis.Client.Exists(t.Context(), h.keys.Rate(bakery)).Val() != 0 {
		t.Error("the rates of another time still stand")
	}
	h.shows(t, m.Seq)
	h.allThere(t, 3)
}

func TestTimeIsTheServers(t *testing.T) {
	t.Parallel()
	h := open(t)
	before := time.Now()
	at, err := h.store.Time(t.Context())
	noError(t, err)
	if at.Before(before.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("NATS says that it is %v", at)
	}
}
