package automation

import (
	"context"
	"errors"
	"sync"
)

// inboxSize is how much may wait to be taken in beside events and timers,
// which wait in their streams. Whoever tells more waits.
const inboxSize = 10_000

// errOver says that the driver takes nothing in any more.
var errOver = errors.New("flows are not carried out here any more")

// inbox is what waits for the next round. It knows when all that came before a
// moment is done.
type inbox struct {
	wake chan struct{} // has a value where there is something

	mu    sync.Mutex
	news  []*news
	in    uint64        // how much ever came
	out   uint64        // how much of that is done
	moved chan struct{} // closed and replaced when something left, or all is over
	over  bool
}

func newInbox() *inbox {
	return &inbox{wake: make(chan struct{}, 1), moved: make(chan struct{})}
}

// put adds news, and waits where there is no room.
func (b *inbox) put(ctx context.Context, n *news) error {
	return b.when(ctx, func() bool {
		if len(b.news) >= inboxSize {
			return false
		}
		b.news = append(b.news, n)
		b.in++
		select {
		case b.wake <- struct{}{}:
		default:
		}
		return true
	})
}

// take returns what waits, at most so much.
func (b *inbox) take(most int) []*news {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(most, len(b.news))
	out := b.news[:n:n]
	if b.news = b.news[n:]; len(b.news) > 0 {
		select {
		case b.wake <- struct{}{}:
		default:
		}
	} else {
		b.news = nil
	}
	b.tell()
	return out
}

// finished notes that what was taken is done.
func (b *inbox) finished(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.out += uint64(n)
	b.tell()
}

// settled waits until all that came before is done.
func (b *inbox) settled(ctx context.Context) error {
	b.mu.Lock()
	want := b.in
	if b.over && b.out >= want {
		b.mu.Unlock()
		return nil
	}
	b.mu.Unlock()
	return b.when(ctx, func() bool { return b.out >= want })
}

// close has everybody go who waits.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	b.tell()
}

func (b *inbox) tell() {
	close(b.moved)
	b.moved = make(chan struct{})
}

// when calls try until it says that it is done.
func (b *inbox) when(ctx context.Context, try func() bool) error {
	for {
		b.mu.Lock()
		if b.over {
			b.mu.Unlock()
			return errOver
		}
		ok, moved := try(), b.moved
		b.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
