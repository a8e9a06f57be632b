package ingest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/stream"
)

// counter is a together whose results are how many events a hand had, and that
// serves when it is let.
type counter struct {
	together[int]
	let chan struct{} // one for each serving

	mu     sync.Mutex
	served [][]int // of each serving, the hands' sizes
}

func newCounter(bad func(hands []int) error) *counter {
	c := &counter{let: make(chan struct{}, 1000)}
	c.serve = func(ctx context.Context, hands [][]event.Event) ([]int, error) {
		select {
		case <-c.let:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		out := make([]int, len(hands))
		for i, h := range hands {
			out[i] = len(h)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.served = append(c.served, out)
		if bad != nil {
			if err := bad(out); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return c
}

func (c *counter) allow(n int) {
	for range n {
		c.let <- struct{}{}
	}
}

// lineUp has hands join one after the other, and returns what waits for all
// and tells their errors.
func (c *counter) lineUp(t *testing.T, within time.Duration, sizes ...int) func() []error {
	t.Helper()
	errs := make([]error, len(sizes))
	var wg sync.WaitGroup
	for i, n := range sizes {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			got, err := c.join(ctx, make([]event.Event, n))
			if errs[i] = err; err == nil && got != n {
				t.Errorf("a hand of %d got the result of one of %d", n, got)
			}
		})
		synctest.Wait()
	}
	return func() []error { wg.Wait(); return errs }
}

// Who comes while others are served is served with the others who do, as many
// as one batch takes, and in the order in which they came.
func TestServedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounter(nil)
		wait := c.lineUp(t, time.Minute, 7, 1, 2, stream.MaxBatch-3, 4, stream.MaxBatch+5, 6)
		c.allow(100)
		if err := errors.Join(wait()...); err != nil {
			t.Fatal(err)
		}
		want := [][]int{{7}, {1, 2, stream.MaxBatch - 3}, {4}, {stream.MaxBatch + 5}, {6}}
		if !slices.EqualFunc(c.served, want, slices.Equal) {
			t.Errorf("served %v, want %v", c.served, want)
		}
		if err := errors.Join(c.lineUp(t, time.Minute, 9)()...); err != nil {
			t.Errorf("the next one: %v", err)
		}
	})
}

// None fails for what another has in it.
func TestServedByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errBad := errors.New("thirteen")
		c := newCounter(func(hands []int) error {
			if slices.Contains(hands, 13) {
				return errBad
			}
			return nil
		})
		wait := c.lineUp(t, time.Minute, 1, 2, 13, 3)
		c.allow(100)
		if errs := wait(); errs[0] != nil || errs[1] != nil || !errors.Is(errs[2], errBad) || errs[3] != nil {
			t.Errorf("%v", errs)
		}
	})
}

// Who has no time left leaves the line and costs nobody anything; who is being
// served is waited for as long as anybody's time beside it goes.
func TestTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounter(nil)
		first := c.lineUp(t, time.Minute, 1)
		short, long := c.lineUp(t, time.Second, 2), c.lineUp(t, time.Hour, 3)
		if errs := short(); !errors.Is(errs[0], context.DeadlineExceeded) {
			t.Errorf("%v", errs)
		}
		c.allow(1)
		if err := errors.Join(first()...); err != nil {
			t.Error(err)
		}
		synctest.Wait() // the third is being served
		beside := c.lineUp(t, time.Second, 4)
		c.allow(100)
		if err := errors.Join(append(long(), beside()...)...); err != nil {
			t.Error(err)
		}
		if want := [][]int{{1}, {3}, {4}}; !slices.EqualFunc(c.served, want, slices.Equal) {
			t.Errorf("served %v, want %v", c.served, want)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.join(ctx, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("who has gone already: %v", err)
		}
	})
}

// The time of all ends the serving, and not that of who happens to lead.
func TestLeaderHasLittleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounter(nil)
		first := c.lineUp(t, time.Minute, 1)
		leads, beside := c.lineUp(t, 2*time.Second, 2), c.lineUp(t, time.Minute, 3)
		c.allow(1)
		if err := errors.Join(first()...); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the second leads
		time.Sleep(3 * time.Second)
		c.allow(1)
		if err := errors.Join(append(leads(), beside()...)...); err != nil {
			t.Error(err)
		}
	})
}

// Whoever panics while it serves leaves the others an error, and the line to the next.
func TestLeaderPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounter(func(hands []int) error {
			if slices.Contains(hands, 13) {
				panic("thirteen")
			}
			return nil
		})
		first := c.lineUp(t, time.Minute, 1)
		broken := make(chan any, 1)
		go func() {
			defer func() { broken <- recover() }()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, _ = c.join(ctx, make([]event.Event, 13))
		}()
		synctest.Wait()
		beside, next := c.lineUp(t, time.Minute, 2), c.lineUp(t, time.Minute, stream.MaxBatch)
		c.allow(100)
		if what := <-broken; what != "thirteen" {
			t.Errorf("recovered %v", what)
		}
		if errs := beside(); !errors.Is(errs[0], errCutShort) {
			t.Errorf("beside: %v", errs)
		}
		if err := errors.Join(append(first(), next()...)...); err != nil {
			t.Error(err)
		}
	})
}
