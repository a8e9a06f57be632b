package ingest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/stream"
)

// together serves what is handed in while others are being served in one go:
// a burst of webhooks costs as many writes as it has hundreds of events, not
// as it has calls. The server takes 50 batches of a stream at a time and no
// more, so that hundreds of calls by themselves would end one record behind the
// other, and none of them in time.
//
// There is no goroutine behind it: of those who wait one serves all, and
// hands on to the next. A hand whose time is over leaves the line.
type together[R any] struct {
	// serve returns a result for each hand. After an error hands are served
	// one by one, so that none fails for what another has in it.
	serve func(ctx context.Context, hands [][]event.Event) ([]R, error)

	mu   sync.Mutex
	busy bool // somebody serves, or was told to
	line []*hand[R]
}

// hand is what one caller hands in.
type hand[R any] struct {
	ctx    context.Context // with a deadline
	events []event.Event
	turn   chan struct{} // told once: it was served, or it is to serve
	serves bool          // which of the two
	out    R
	err    error
}

// errCutShort is what those get whose server panicked.
var errCutShort = errors.New("whoever served this was cut short")

// join hands events in, by a context with a deadline, and returns what came of
// them. What was begun when the deadline comes is waited for, as long as
// anybody's time beside it goes.
func (t *together[R]) join(ctx context.Context, events []event.Event) (R, error) {
	h := &hand[R]{ctx: ctx, events: events, turn: make(chan struct{}, 1), err: errCutShort}
	if err := ctx.Err(); err != nil {
		return h.out, err
	}
	t.mu.Lock()
	t.line = append(t.line, h)
	h.serves, t.busy = !t.busy, true
	first := h.serves
	t.mu.Unlock()
	if !first {
		select {
		case <-h.turn:
		case <-ctx.Done():
			if t.leave(h) {
				return h.out, ctx.Err()
			}
			<-h.turn
		}
	}
	if h.serves {
		t.lead()
	}
	return h.out, h.err
}

// leave takes a hand out of the line, unless it is being served or to serve.
func (t *together[R]) leave(h *hand[R]) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, o := range t.line {
		if o == h && !h.serves {
			t.line = append(t.line[:i], t.line[i+1:]...)
			return true
		}
	}
	return false
}

// lead serves the head of the line, whoever leads among it, and has the next
// one lead.
func (t *together[R]) lead() {
	t.mu.Lock()
	n, events := 1, len(t.line[0].events)
	for n < len(t.line) && events+len(t.line[n].events) <= stream.MaxBatch {
		events += len(t.line[n].events)
		n++
	}
	some := t.line[:n:n]
	t.line = t.line[n:]
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.busy = len(t.line) > 0; t.busy {
			t.line[0].serves = true
			t.line[0].turn <- struct{}{}
		}
		for _, h := range some[1:] {
			h.turn <- struct{}{}
		}
		clear(some) // the line's array would keep a burst for as long as nobody comes
	}()
	t.all(some)
}

// all serves hands together, in the time that any of them has.
func (t *together[R]) all(some []*hand[R]) {
	var until time.Time
	hands := make([][]event.Event, len(some))
	for i, h := range some {
		hands[i] = h.events
		if d, ok := h.ctx.Deadline(); ok && d.After(until) {
			until = d
		}
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(some[0].ctx), until)
	defer cancel()
	out, err := t.serve(ctx, hands)
	for i, h := range some {
		if err == nil {
			h.out, h.err = out[i], nil
			continue
		}
		if h.err = err; len(some) > 1 && ctx.Err() == nil {
			t.all(some[i : i+1])
		}
	}
}
