package facts

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
)

// allThere fails the test unless the projection shows contacts [0, n).
func (h house) allThere(t *testing.T, n int) {
	t.Helper()
	h.there(t, n, h.look)
}

// there fails the test unless looks show contacts [0, n).
func (h house) there(t *testing.T, n int, look func(...job.Key) (Look, error)) {
	t.Helper()
	for from := 0; from < n; from += 50 {
		var ks []job.Key
		for i := from; i < min(from+50, n); i++ {
			ks = append(ks, h.key(i))
		}
		l, err := look(ks...)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range l.Contacts {
			if r == nil || r.Address != address(from+i) {
				t.Fatalf("contact %d is shown as %+v", from+i, r)
			}
		}
	}
}

func (h house) meta(t *testing.T, field string) string {
	t.Helper()
	v, err := h.Redis.Client.HGet(context.Background(), h.keys.Meta(), field).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatal(err)
	}
	return v
}

func (h house) set(t *testing.T, field string, v any) {
	t.Helper()
	noError(t, h.Redis.Client.HSet(context.Background(), h.keys.Meta(), field, v).Err())
}

func TestProjectorFollows(t *testing.T) {
	t.Parallel()
	h, w := open(t), &watched{}
	if _, err := h.look(); !errors.Is(err, ErrRebuilding) {
		t.Errorf("before anything was projected: %v", err)
	}
	h.people(t, 1200)
	seq, err := h.store.SetControl(t.Context(), SenderControl, bakery, Control{State: Paused, Rev: 1})
	noError(t, err)
	p := h.project(t, w)
	h.shows(t, seq)
	h.allThere(t, 1200)
	if n := p.opens(t); n != 1 {
		t.Errorf("%d epochs", n)
	}
	if l, err := h.look(); err != nil || l.Watermark != seq || l.Sender == nil || l.Sender.State != Paused || l.Source != nil {
		t.Errorf("%+v, %v", l, err)
	}
	if c := w.last(SenderControl, bakery); c.State != Paused {
		t.Errorf("the watcher was told %+v", c)
	}
	seq, err = h.store.SetControl(t.Context(), SourceControl, "menu~1", Control{State: Running, Rev: 1})
	noError(t, err)
	h.shows(t, seq)
	eventually(t, "the watcher is told", func() bool { return w.last(SourceControl, "menu~1").State == Running })
	m := h.merge(t, contact.Update{Address: address(0), OptOut: &contact.OptOut{Scope: contact.All, At: date(1)}})
	h.shows(t, m.Seq)
	if l, err := h.look(h.key(0)); err != nil || !l.Contacts[0].OptedOut(contact.All) || l.Source == nil {
		t.Errorf("%+v, %v", l, err)
	}
}

// hook counts what is sent to Redis.
type hook struct{ sent atomic.Int32 }

func (*hook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (k *hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		k.sent.Add(1)
		return next(ctx, cmd)
	}
}

func (k *hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		k.sent.Add(1)
		return next(ctx, cmds)
	}
}

func TestLook(t *testing.T) {
	t.Parallel()
	h := open(t)
	m := h.people(t, 3)
	p := h.project(t, nil)
	h.shows(t, m.Seq)
	p.stop() // its beat is good for BeatLimit, and its commands would be counted
	k := &hook{}
	h.Redis.Client.AddHook(k)
	l, err := h.look(h.key(2), h.key(77), h.key(0), h.key(2))
	noError(t, err)
	if k.sent.Load() != 1 {
		t.Errorf("%d round trips, want 1", k.sent.Load())
	}
	if l.Sender != nil || l.Source != nil {
		t.Errorf("controls out of nothing: %+v, %+v", l.Sender, l.Source)
	}
	for i, want := range []string{"p2", "", "p0", "p2"} {
		if r := l.Contacts[i]; (r == nil) != (want == "") || r != nil && r.Name != want {
			t.Errorf("contact %d is %+v, want %q", i, r, want)
		}
	}
	if d := time.Since(l.Now); d < -time.Minute || d > time.Minute {
		t.Errorf("Redis' clock reads %v", l.Now)
	}
	noError(t, h.Redis.Client.Set(t.Context(), h.keys.Contact(bakery, h.key(0)), "{", 0).Err())
	if _, err := h.look(h.key(0)); err == nil || errors.Is(err, ErrStale) || errors.Is(err, ErrRebuilding) {
		t.Errorf("of an unreadable record: %v", err)
	}
}

// A primary that was demoted is not looked at any more, however fresh its beat,
// and what is there to refuse on is not left behind.
func TestReplicaIsNotLookedAt(t *testing.T) {
	t.Parallel()
	h := open(t)
	m := h.people(t, 1)
	p := h.project(t, nil)
	h.shows(t, m.Seq)
	p.stop() // its beat is good for BeatLimit
	_, err := h.look(h.key(0))
	noError(t, err)
	if n := h.Redis.Client.Exists(t.Context(), h.keys.primary()).Val(); n != 0 {
		t.Error("a look left something behind")
	}
	before := h.Redis.Client.PoolStats().TotalConns
	noError(t, h.Redis.Queue.ReplicaOf(t.Context(), "127.0.0.1", "1").Err())
	if _, err := h.look(h.key(0)); err == nil || !strings.Contains(err.Error(), "READONLY") {
		t.Errorf("of a replica: %v", err)
	}
	if n := h.Redis.Client.PoolStats().TotalConns; n != before-1 {
		t.Errorf("%d connections, of %d: the one that it refused on is kept", n, before)
	}
}

// fixedRun is a Redis of which only the run id is asked.
type fixedRun string

func (r fixedRun) RunID() string { return string(r) }

func TestFresh(t *testing.T) {
	v := NewView(nil, fixedRun("r1"), NewKeys(""), "FACTS@1")
	const now = int64(1_800_000_000_000_000)
	at := func(µs int64) string { return strconv.FormatInt(µs, 10) }
	limit := BeatLimit.Microseconds()
	for _, c := range []struct {
		name            string
		epoch, wm, beat any
		want            error
	}{
		{"just now", "FACTS@1/r1", "7", at(now), nil},
		{"at the limit", "FACTS@1/r1", "7", at(now - limit), nil},
		{"1 µs past it", "FACTS@1/r1", "7", at(now - limit - 1), ErrStale},
		{"from the future", "FACTS@1/r1", "7", at(now + 1), ErrStale},
		{"flushed", nil, nil, nil, ErrRebuilding},
		{"not open", nil, "7", at(now), ErrRebuilding},
		{"no watermark", "FACTS@1/r1", nil, at(now), ErrRebuilding},
		{"no beat", "FACTS@1/r1", "7", nil, ErrRebuilding},
		{"another primary", "FACTS@1/r2", "7", at(now), ErrRebuilding},
		{"another stream", "FACTS@2/r1", "7", at(now), ErrRebuilding},
	} {
		l, err := v.fresh([]any{now, c.epoch, c.wm, c.beat})
		if !errors.Is(err, c.want) || err == nil && (l.Watermark != 7 || l.Now.UnixMicro() != now) {
			t.Errorf("%s: %+v, %v; want %v", c.name, l, err, c.want)
		}
	}
}

// Whatever happens to Redis, the gate closes and opens again by itself, with
// everything in it.
func TestProjectorRepairs(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(t *testing.T, h house){
		"flushed": func(t *testing.T, h house) {
			noError(t, h.Redis.Client.FlushAll(t.Context()).Err())
		},
		"killed": func(t *testing.T, h house) {
			was := h.Redis.RunID()
			info, err := h.Redis.Client.Info(t.Context(), "server").Result()
			noError(t, err)
			_, rest, _ := strings.Cut(info, "process_id:")
			pid, err := strconv.Atoi(strings.TrimSpace(strings.SplitN(rest, "\n", 2)[0]))
			noError(t, err)
			noError(t, syscall.Kill(pid, syscall.SIGKILL))
			eventually(t, "Redis is back", func() bool { return h.Redis.RunID() != was })
		},
		"watermark gone": func(t *testing.T, h house) {
			noError(t, h.Redis.Client.HDel(t.Context(), h.keys.Meta(), "wm").Err())
		},
		"rolled back": func(t *testing.T, h house) { // as by a replica that lagged
			noError(t, h.Redis.Client.Del(t.Context(), h.keys.Contact(bakery, h.key(599))).Err())
			noError(t, h.Redis.Client.HSet(t.Context(), h.keys.Meta(), "wm", 599, "epoch", "of another primary").Err())
		},
		"epoch of another": func(t *testing.T, h house) { h.set(t, "epoch", h.store.Identity()+"/other") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			m := h.people(t, 600)
			p := h.project(t, nil)
			h.shows(t, m.Seq)
			p.opens(t)
			_, _, next := p.Opened()
			harm(t, h)
			select {
			case <-next:
			case <-time.After(60 * time.Second):
				t.Fatal("no other epoch was opened")
			}
			h.shows(t, m.Seq)
			h.allThere(t, 600)
		})
	}
}

func TestStaleWithoutAProjector(t *testing.T) {
	t.Parallel()
	h := open(t)
	m := h.people(t, 1)
	p := h.project(t, nil)
	h.shows(t, m.Seq)
	p.stop()
	if h.meta(t, "beat") == "" {
		t.Error("the projector took its beat with it")
	}
	now, err := h.Redis.Client.Time(t.Context()).Result()
	noError(t, err)
	h.set(t, "beat", now.UnixMicro()) // however long the stop took
	if _, err := h.look(); err != nil {
		t.Errorf("right after the projector stopped: %v", err)
	}
	h.set(t, "beat", now.Add(-BeatLimit).UnixMicro()) // by now it is older than the limit
	h.closed(t, ErrStale)
	opened := h.meta(t, "opened")
	q := h.project(t, nil)
	h.shows(t, m.Seq)
	if n := q.opens(t); n != 1 || h.meta(t, "opened") != opened {
		t.Errorf("a projector that takes over opened %d epochs; the epoch began at %s, now %s", n, opened, h.meta(t, "opened"))
	}
}

// Nobody vouches for facts while the stream's leader may be one that was cut
// off: the gate opens, and stays open, only once somebody is sure.
func TestNoBeatUnlessSure(t *testing.T) {
	t.Parallel()
	h := open(t)
	m := h.people(t, 1)
	var sure atomic.Bool
	asked := make(chan struct{}, 1)
	p := NewProjector(h.NATS, h.JetStream, h.view, h.names, nil, slog.New(slog.DiscardHandler))
	p.Sure = func() bool {
		select {
		case asked <- struct{}{}:
		default:
		}
		return sure.Load()
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { p.Run(ctx) })
	defer run.Wait()
	defer cancel()
	for range 2 { // the second time it knows the first answer
		<-asked
	}
	if _, open, _ := p.Opened(); open {
		t.Error("the gate opened although nobody was sure")
	}
	sure.Store(true)
	h.shows(t, m.Seq)
	sure.Store(false)
	for range 3 { // one beat may be under way
		<-asked
	}
	was := h.meta(t, "beat")
	<-asked
	<-asked
	if now := h.meta(t, "beat"); now != was {
		t.Errorf("the beat went from %s to %s although nobody was sure", was, now)
	}
}

// What another stream projected is not this one's, even where the numbers
// look alike. Other installations on the same Redis are left alone.
func TestProjectionOfAnotherStream(t *testing.T) {
	t.Parallel()
	for name, meta := range map[string]map[string]any{
		"another":     {"stream": "t1_FACTS@another", "wm": "3", "epoch": "x", "beat": "1"},
		"nobody's":    {"epoch": "x"},
		"half wiped":  {"wiper": "somebody"},
		"from beyond": {"wm": "1000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			if name == "from beyond" { // a stream restored from a backup
				meta["stream"] = h.store.Identity()
			}
			ghost, theirs := h.keys.Contact(bakery, h.key(77)), NewKeys("t2").Contact(bakery, h.key(77))
			noError(t, h.Redis.Client.MSet(t.Context(), ghost, "{}", theirs, "{}").Err())
			noError(t, h.Redis.Client.HSet(t.Context(), h.keys.Meta(), meta).Err())
			m := h.people(t, 5)
			h.project(t, nil)
			h.shows(t, m.Seq)
			h.allThere(t, 5)
			l, err := h.look(h.key(77))
			if err != nil || l.Contacts[0] != nil || l.Watermark != m.Seq {
				t.Errorf("%+v, %v", l, err)
			}
			if n := h.Redis.Client.Exists(t.Context(), theirs).Val(); n != 1 {
				t.Error("another installation's key is gone")
			}
		})
	}
}

// Two projectors share the work: neither closes the gate, both tell their
// watchers of everything, and either may go.
func TestTwoProjectors(t *testing.T) {
	t.Parallel()
	h, wa, wb := open(t), &watched{}, &watched{}
	h.people(t, 100)
	a, b := h.project(t, wa), h.project(t, wb)
	na, nb := a.opens(t), b.opens(t)
	h.shows(t, 100)
	for rev := uint64(1); rev <= 150; rev++ {
		_, err := h.store.SetControl(t.Context(), SenderControl, bakery, Control{State: Running, Rev: rev})
		noError(t, err)
		if _, err := h.look(); err != nil {
			t.Fatalf("at revision %d the gate is closed: %v", rev, err)
		}
	}
	for _, w := range []*watched{wa, wb} {
		eventually(t, "it was told of the newest", func() bool { return w.last(SenderControl, bakery).Rev == 150 })
	}
	h.shows(t, h.head(t))
	if ma, _, _ := a.Opened(); ma != na {
		t.Errorf("the first opened %d epochs, before %d", ma, na)
	}
	if mb, _, _ := b.Opened(); mb != nb {
		t.Errorf("the second opened %d epochs, before %d", mb, nb)
	}
	a.stop()
	m := h.people(t, 120)
	noError(t, h.store.InForce(t.Context(), m.Seq))
	h.allThere(t, 120)
}

// Two projectors that find Redis empty, again and again, do not take away what
// the other has applied.
func TestTwoProjectorsRebuild(t *testing.T) {
	t.Parallel()
	h := open(t)
	const n = 1500
	m := h.people(t, n)
	a, b := h.project(t, nil), h.project(t, nil)
	whenOpen := func(ks ...job.Key) (l Look, err error) { // either may close it to wipe what the other has begun
		eventually(t, "the gate is open", func() bool { l, err = h.look(ks...); return err == nil && l.Watermark >= m.Seq })
		return l, err
	}
	for range 4 {
		h.shows(t, m.Seq)
		a.opens(t)
		b.opens(t)
		h.there(t, n, whenOpen)
		noError(t, h.Redis.Client.FlushAll(t.Context()).Err())
	}
	h.there(t, n, whenOpen)
}

// A wipe that another one took over removes nothing any more: the other may
// have applied records since.
func TestOvertakenWipe(t *testing.T) {
	t.Parallel()
	h := open(t)
	p := NewProjector(h.NATS, h.JetStream, h.view, h.names, nil, nil)
	meta, key := h.keys.Meta(), h.keys.Contact(bakery, h.key(0))
	for _, token := range []string{"old", "new"} {
		noError(t, p.scripts.clear.Run(t.Context(), h.Redis.Client, []string{meta}, token).Err())
	}
	noError(t, p.wiped(p.scripts.start.Run(t.Context(), h.Redis.Client, []string{meta}, "new", h.store.Identity())))
	noError(t, h.Redis.Client.Set(t.Context(), key, "{}", 0).Err())
	for what, cmd := range map[string]*redis.Cmd{
		"unlink": p.scripts.unlink.Run(t.Context(), h.Redis.Client, []string{meta, key}, "old"),
		"start":  p.scripts.start.Run(t.Context(), h.Redis.Client, []string{meta}, "old", "FACTS@2"),
	} {
		if err := p.wiped(cmd); !errors.Is(err, errElsewhere) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if h.Redis.Client.Exists(t.Context(), key).Val() != 1 || h.meta(t, "stream") != h.store.Identity() {
		t.Error("the overtaken wipe did something")
	}
}

// A projector that was away hears of the controls that another one applied.
func TestWatcherHearsWhatItMissed(t *testing.T) {
	t.Parallel()
	h := open(t)
	seq, err := h.store.SetControl(t.Context(), SenderControl, bakery, Control{State: Paused, Rev: 3})
	noError(t, err)
	first := h.project(t, nil)
	h.shows(t, seq)
	first.stop()
	w := &watched{}
	h.project(t, w)
	eventually(t, "it was told", func() bool { return w.last(SenderControl, bakery).Rev == 3 })
}

// Nothing is acknowledged without a projector, nor before an epoch is old
// enough that nobody still reads another primary.
func TestInForce(t *testing.T) {
	t.Parallel()
	h := open(t)
	m := h.people(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.store.InForce(ctx, m.Seq); !errors.Is(err, ErrNotInForce) || !errors.Is(err, context.Canceled) {
		t.Errorf("without a projector: %v", err)
	}
	noError(t, h.store.InForce(ctx, 0)) // nothing was written, nothing to wait for
	p := h.project(t, nil)
	noError(t, h.store.InForce(t.Context(), m.Seq))
	h.oldEnough(t)
	if n, _, _ := p.Opened(); n == 0 {
		t.Error("in force without an open epoch")
	}
	m = h.merge(t, named(0, "x"))
	noError(t, h.store.InForce(t.Context(), m.Seq))
	if l, err := h.look(h.key(0)); err != nil || l.Contacts[0].Name != "x" {
		t.Errorf("acknowledged, but Redis shows %+v, %v", l, err)
	}
	// After a flush the next epoch must grow old first.
	_, _, next := p.Opened()
	noError(t, h.Redis.Client.FlushAll(t.Context()).Err())
	m = h.merge(t, named(0, "y"))
	noError(t, h.store.InForce(t.Context(), m.Seq))
	h.oldEnough(t)
	select {
	case <-next:
	default:
		t.Error("in force although the flush was not repaired")
	}
}

// oldEnough fails the test unless the epoch is as old as it must be before
// anything is acknowledged.
func (h house) oldEnough(t *testing.T) {
	t.Helper()
	now, err := h.Redis.Client.Time(t.Context()).Result()
	noError(t, err)
	opened, err := strconv.ParseInt(h.meta(t, "opened"), 10, 64)
	if age := now.Sub(time.UnixMicro(opened)); err != nil || age < BeatLimit {
		t.Errorf("in force in an epoch %v old (%v), want at least %v", age, err, BeatLimit)
	}
}

// Notes of another stream's projector acknowledge nothing.
func TestInForceIgnoresOthers(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, note := range []string{`{"id":"t1_FACTS@another","seq":99}`, `{"seq":99}`, `{`} {
		noError(t, h.NATS.Publish(h.names.Applied(), []byte(note)))
	}
	noError(t, h.NATS.Publish(h.names.Applied(), []byte(`{"id":"`+h.store.Identity()+`","seq":5}`)))
	noError(t, h.store.InForce(t.Context(), 5))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.store.InForce(ctx, 6); !errors.Is(err, ErrNotInForce) {
		t.Errorf("%v", err)
	}
}

// When the stream is replaced under a running projector, nobody vouches for
// the projection any more.
func TestStreamReplaced(t *testing.T) {
	t.Parallel()
	h := open(t)
	m := h.people(t, 3)
	h.project(t, nil)
	h.shows(t, m.Seq)
	noError(t, h.JetStream.DeleteStream(t.Context(), h.names.FactsStream()))
	_, err := h.JetStream.CreateStream(t.Context(), Config(h.names))
	noError(t, err)
	eventually(t, "the gate is closed", func() bool { _, err := h.look(); return err != nil })
	h.people(t, 1)
	if _, err := h.look(); err == nil {
		t.Error("the gate opened on a stream that this process does not follow")
	}
}
