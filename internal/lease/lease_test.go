package lease

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/rig"
)

var engines *engine.Engines

func TestMain(m *testing.M) {
	os.Exit(rig.Main(m, func(e *engine.Engines) { engines = e }))
}

// shelf is a bucket in memory, for time that passes at once. It may be cut
// off, or answer nothing for what it stores.
type shelf struct {
	mu    sync.Mutex
	value []byte
	rev   uint64
	cut   bool
	mute  bool
}

type slip struct {
	jetstream.KeyValueEntry
	value []byte
	rev   uint64
}

func (s slip) Value() []byte    { return s.value }
func (s slip) Revision() uint64 { return s.rev }

var errCut = errors.New("cut off")

func (s *shelf) Get(context.Context, string) (jetstream.KeyValueEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		return nil, errCut
	}
	if s.rev == 0 {
		return nil, jetstream.ErrKeyNotFound
	}
	return slip{value: s.value, rev: s.rev}, nil
}

func (s *shelf) Create(ctx context.Context, key string, value []byte, _ ...jetstream.KVCreateOpt) (uint64, error) {
	return s.Update(ctx, key, value, 0)
}

func (s *shelf) Update(_ context.Context, _ string, value []byte, rev uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		return 0, errCut
	}
	if rev != s.rev {
		return 0, jetstream.ErrKeyExists
	}
	s.value, s.rev = value, s.rev+1
	if s.mute {
		return 0, errCut
	}
	return s.rev, nil
}

func (s *shelf) set(cut, mute bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut, s.mute = cut, mute
}

// door is one process' way to the shelf. What goes through a closed one gets
// no answer, as on a network that was cut.
type door struct {
	*shelf
	closed atomic.Bool
}

func (d *door) shut(closed bool) { d.closed.Store(closed) }

func (d *door) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	if d.closed.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return d.shelf.Get(ctx, key)
}

func (d *door) Update(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	if d.closed.Load() {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return d.shelf.Update(ctx, key, value, rev)
}

// process is one part in a lease, which notes when it led.
type process struct {
	door
	lease *Lease
	mu    sync.Mutex
	leads bool
	began time.Time
	ended time.Time
	stop  context.CancelFunc
	done  chan struct{}
}

func run(s *shelf, holder string) *process { return runFit(s, holder, nil) }

func runFit(s *shelf, holder string, fit func() bool) *process {
	p := &process{door: door{shelf: s}, done: make(chan struct{})}
	l := &Lease{kv: &p.door, key: "k", holder: holder, log: slog.New(slog.DiscardHandler), Fit: fit}
	p.lease = l
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = func() { cancel(); <-p.done }
	go func() {
		defer close(p.done)
		_ = l.Run(ctx, func(ctx context.Context) error {
			p.note(true)
			<-ctx.Done()
			p.note(false)
			return nil
		})
	}()
	return p
}

func (p *process) note(leads bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leads = leads
	if leads {
		p.began = time.Now()
	} else {
		p.ended = time.Now()
	}
}

func (p *process) leading() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leads
}

// after lets time pass and everything settle.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestOneLeads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		a := run(s, "a")
		after(0)
		if !a.leading() {
			t.Fatal("nobody leads although nobody has before")
		}
		b := run(s, "b")
		after(time.Hour)
		if !a.leading() || b.leading() {
			t.Errorf("after an hour a leads: %v, b leads: %v", a.leading(), b.leading())
		}
		a.stop()
		after(look)
		if a.leading() || !b.leading() {
			t.Errorf("a gave it back, yet b leads: %v", b.leading())
		}
		b.stop()
	})
}

// Who is not fit leaves the lease to others, and takes it once it is.
func TestWhoIsNotFitDoesNotLead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fit atomic.Bool
		s := &shelf{}
		a := runFit(s, "a", fit.Load)
		after(time.Minute)
		if a.leading() {
			t.Fatal("it leads though it is not fit")
		}
		b := run(s, "b")
		after(look)
		if !b.leading() {
			t.Error("another does not lead")
		}
		fit.Store(true)
		b.stop()
		after(look)
		if !a.leading() {
			t.Error("it does not lead though it is fit")
		}
		a.stop()
	})
}

// Who is cut off stops before anybody else begins, and the other begins
// within the limit and a look.
func TestCutOffHandsOver(t *testing.T) {
	t.Parallel()
	for _, phase := range []time.Duration{0, time.Nanosecond, every / 3, every / 2, every - time.Nanosecond} {
		synctest.Test(t, func(t *testing.T) {
			s := &shelf{}
			a := run(s, "a")
			after(0)
			b := run(s, "b")
			after(time.Minute + phase)
			a.shut(true)
			cut := time.Now()
			after(2 * Limit)
			if a.leading() || !b.leading() {
				t.Fatalf("a leads: %v, b leads: %v", a.leading(), b.leading())
			}
			if !a.ended.Before(b.began) {
				t.Errorf("a led until %v, b from %v on", a.ended.Sub(cut), b.began.Sub(cut))
			}
			if led := a.ended.Sub(cut); led > Limit-margin {
				t.Errorf("a led for %v after it was cut off", led)
			}
			if took := b.began.Sub(cut); took > Limit+2*look {
				t.Errorf("nobody led for %v", took)
			}
			a.shut(false)
			after(time.Minute)
			if a.leading() || !b.leading() {
				t.Error("a took it back from b, which is well")
			}
			a.stop()
			b.stop()
		})
	}
}

// Who leads is sure of it as long as its renewals are acknowledged, and not for
// much longer.
func TestSure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		a := run(s, "a")
		defer a.stop()
		b := run(s, "b")
		defer b.stop()
		after(time.Minute) // its last renewal is now
		leads, follows := a, b
		if b.leading() {
			leads, follows = b, a
		}
		if !leads.lease.Sure() || follows.lease.Sure() {
			t.Errorf("who leads is sure: %v, who follows: %v", leads.lease.Sure(), follows.lease.Sure())
		}
		s.set(false, true) // what is stored gets no answer
		after(sure - time.Nanosecond)
		if !leads.lease.Sure() {
			t.Error("not sure any more so soon after a renewal")
		}
		after(time.Nanosecond)
		if leads.lease.Sure() || !leads.leading() {
			t.Errorf("sure: %v, leading: %v", leads.lease.Sure(), leads.leading())
		}
		s.set(false, false)
		after(every)
		if !leads.lease.Sure() {
			t.Error("not sure again after a renewal")
		}
	})
}

// When nobody can reach the store nobody leads, and the one who did is no
// worse placed than others afterwards.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		a := run(s, "a")
		after(0)
		b := run(s, "b")
		after(time.Minute)
		s.set(true, false)
		after(Limit - margin + every)
		if a.leading() || b.leading() {
			t.Errorf("the store is away; a leads: %v, b leads: %v", a.leading(), b.leading())
		}
		s.set(false, false)
		after(2 * Limit)
		if a.leading() == b.leading() {
			t.Errorf("the store is back; a leads: %v, b leads: %v", a.leading(), b.leading())
		}
		a.stop()
		b.stop()
	})
}

// A renewal that was stored and whose answer got lost is not a loss.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		a := run(s, "a")
		after(time.Minute)
		began := a.began
		s.set(false, true)
		after(2 * time.Second)
		s.set(false, false)
		after(time.Minute)
		if !a.leading() || a.began != began {
			t.Errorf("it leads: %v, since %v", a.leading(), a.began.Sub(began))
		}
		a.stop()
	})
}

// A process that was killed and starts under the same name goes on at once.
func TestSameNameGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		a := run(s, "one")
		after(time.Minute)
		a.shut(true) // as a kill does: it gives nothing back
		a.stop()
		again := run(s, "one")
		after(0)
		if !again.leading() {
			t.Error("it waits for itself")
		}
		again.stop()
	})
}

// What leads and fails gives the lease back, to be tried again by anybody.
func TestFailureGivesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		l := &Lease{kv: s, key: "k", holder: "a", log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(context.Background())
		var n atomic.Int32
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx, func(context.Context) error { n.Add(1); return errors.New("no") }) }()
		after(rest - time.Nanosecond)
		if n.Load() != 1 {
			t.Errorf("it led %d times, and others had no chance", n.Load())
		}
		after(look + time.Nanosecond)
		cancel()
		if err := <-ended; err != nil || n.Load() != 2 {
			t.Errorf("it led %d times: %v", n.Load(), err)
		}
	})
}

// On a real bucket many race, and one at a time leads.
func TestOnRealBucket(t *testing.T) {
	t.Parallel()
	r := rig.Open(t, engines)
	var mu sync.Mutex
	leading, terms := 0, make(chan context.CancelCauseFunc, 100)
	for i := range 5 {
		l, err := Open(t.Context(), r.Streams, r.Names, "scheduler", rig.Address(i), r.Log)
		rig.Must(t, err)
		rig.Loop(t, func(ctx context.Context) error {
			return l.Run(ctx, func(ctx context.Context) error {
				mu.Lock()
				if leading++; leading > 1 {
					t.Errorf("%d lead", leading)
				}
				mu.Unlock()
				ctx, cancel := context.WithCancelCause(ctx)
				terms <- cancel
				<-ctx.Done()
				mu.Lock()
				leading--
				mu.Unlock()
				return nil
			})
		})
	}
	for range 4 {
		select {
		case end := <-terms:
			end(nil)
		case <-time.After(rig.Patience):
			t.Fatal("nobody leads")
		}
	}
}
