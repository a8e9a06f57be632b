package automation

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/internal/run"
	"github.com/carillon-dev/carillon/internal/stream"
)

const (
	// ahead is how far ahead timers are loaded.
	ahead = 2 * time.Minute
	// loadEvery is how often minutes that come near are looked for.
	loadEvery = 5 * time.Second
	// maxLoaded is how many timers are in memory before no further minute is
	// loaded: those that are due come first.
	maxLoaded = 200_000
	// settleFor is how long whoever kept a timer may take to store the run whose
	// time it is. A younger timer that no run wants is looked at once more.
	settleFor = 30 * time.Second
)

// load keeps the wheel filled from the stream, and forgets there what is
// handled, until ctx ends.
func (d *Driver) load(ctx context.Context) error {
	head, err := d.Timers.Head(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	follow := make(chan stream.Message, 64)
	g.Go(func() error { return d.Timers.Follow(ctx, head+1, follow) })
	g.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case m := <-follow:
				d.added(ctx, m)
			}
		}
	})
	g.Go(func() error {
		tick := time.NewTicker(loadEvery)
		defer tick.Stop()
		var said complaint
		for {
			err := d.loadNear(ctx)
			if err == nil {
				err = d.purge(ctx)
			}
			if said.new(ctx, err) {
				d.Log.WarnContext(ctx, "timers can't be loaded or forgotten; trying again", "error", err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-d.reload:
			case <-tick.C:
			}
		}
	})
	return g.Wait()
}

// complaint is the last failure of something that is tried again and again: the
// same one is told once.
type complaint string

// new tells whether a failure is another one than the last.
func (c *complaint) new(ctx context.Context, err error) bool {
	was := *c
	if *c = ""; err != nil {
		*c = complaint(err.Error())
	}
	return err != nil && *c != was && ctx.Err() == nil
}

func (d *Driver) added(ctx context.Context, m stream.Message) {
	g, err := d.Timers.Decode(m)
	if err != nil { // it was never one of ours
		d.Log.WarnContext(ctx, "timers can't be read; they are passed over", "sequence", m.Seq, "error", err)
		return
	}
	d.wheel.add(g)
	d.poke()
}

// loadNear loads the minutes that come near, the earliest first.
func (d *Driver) loadNear(ctx context.Context) error {
	near, err := d.Timers.Minutes(ctx, d.Now().Add(ahead))
	if err != nil {
		return err
	}
	for _, m := range near {
		if !d.wheel.wants(m) {
			continue
		}
		if !m.Calls && d.wheel.size() >= maxLoaded {
			break
		}
		d.wheel.reach(m) // before it is read, so that what comes meanwhile is taken in by the stream
		err := d.Timers.Load(ctx, m, func(g run.Group) error { d.wheel.add(g); return nil })
		if err != nil {
			return err
		}
		d.wheel.loaded(m)
		d.poke()
	}
	return nil
}

// purge forgets the minutes of which everything is handled.
func (d *Driver) purge(ctx context.Context) error {
	for m, upTo := range d.wheel.over(d.Now()) {
		if upTo > 0 {
			if err := d.Timers.Purge(ctx, m, upTo); err != nil {
				return fmt.Errorf("timers that are handled: %w", err)
			}
		}
		d.wheel.forget(m, upTo)
	}
	return nil
}
