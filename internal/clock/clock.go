// Package clock tells whether a process may believe its own clock. It compares
// that with clocks of others, and between two comparisons with the machine's
// monotonic clock, so that a clock which is set is noticed at the next look. It
// never says what time it is, and never corrects anything: two clocks that
// differ don't say which of them is wrong, so that nothing is done by either.
package clock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Limit is how far clocks may differ. A window that closes is judged that
// exactly, so it is no longer than a message takes anyway; machines that keep
// time by NTP are a hundred times closer.
const Limit = time.Second

const (
	every    = time.Second           // between two comparisons
	patience = 10 * time.Second      // how long the last one serves while none succeeds
	timeout  = 2 * time.Second       // of one
	lookOut  = 20 * time.Millisecond // between two looks of who waits
)

// ErrUnheard says that there is nothing to compare with just now.
var ErrUnheard = errors.New("the clock could not be compared with that of NATS")

// Off says that two clocks differ.
type Off struct {
	Witness string
	By      time.Duration // the witness is ahead of this process, at least; negative: behind
}

// Error says by how much, and of what.
func (o *Off) Error() string {
	how := "behind"
	if o.By < 0 {
		how = "ahead of"
	}
	return fmt.Sprintf("this machine's clock is %s %s that of %s; set whichever is wrong", o.By.Abs().Round(time.Millisecond), how, o.Witness)
}

// Store is the witness without which nothing is believed: the clock of the
// engine that keeps the truth. Others are heard where they speak.
const Store = "NATS"

// Watch compares one process' clock with others. New makes one; it is safe
// for concurrent use.
type Watch struct {
	Reader
	log *slog.Logger

	mu     sync.Mutex
	spans  map[string]Span
	agreed Instant // when this clock was believed after the store was heard last; zero: never
}

// New returns a watch that has heard nothing, so that nothing is believed yet.
func New(log *slog.Logger) *Watch {
	return &Watch{Reader: NewReader(), log: log, spans: map[string]Span{}}
}

// Hear takes in what another clock said, exact up to a grain, to a question
// that was sent and answered at two moments, as time.Now returned them.
func (w *Watch) Hear(witness string, theirs time.Time, grain time.Duration, sent, received time.Time) {
	w.hear(witness, Compare(theirs, grain, w.Instant(sent), w.Instant(received)))
}

func (w *Watch) hear(witness string, s Span) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spans[witness] = s
	if w.believe(s.At) == nil {
		w.agreed = s.At
	}
}

// Check returns nil where this process' clock may be believed at a moment, as
// time.Now returned it; else ErrUnheard, or an *Off.
func (w *Watch) Check(now time.Time) error { return w.check(w.Instant(now)) }

func (w *Watch) check(now Instant) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.believe(now)
}

func (w *Watch) believe(now Instant) error {
	if s, ok := w.spans[Store]; !ok || now.Mono-s.At.Mono > patience {
		return ErrUnheard
	}
	for _, name := range slices.Sorted(maps.Keys(w.spans)) {
		s := w.spans[name]
		if now.Mono-s.At.Mono > patience {
			continue // who has fallen silent holds nobody for ever
		}
		if by := s.By(now).Apart(); by.Abs() > Limit+slack(now.Mono-s.At.Mono) {
			return &Off{Witness: name, By: by}
		}
	}
	return nil
}

// Agreed is the time at which the clocks agreed last, run on by the monotonic
// clock: what people ask for meanwhile is dated by it, so that it keeps its place
// among what they said before and say afterwards. False where they never agreed;
// then it is what this process' clock shows.
func (w *Watch) Agreed() (time.Time, bool) { return w.agreedAt(w.Instant(time.Now())) }

func (w *Watch) agreedAt(now Instant) (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.believe(now) == nil {
		return now.Wall, true
	}
	if w.agreed == (Instant{}) {
		return now.Wall, false
	}
	return w.agreed.Wall.Add(now.Mono - w.agreed.Mono), true
}

// Skew is the largest difference of clocks that is certain at a moment.
func (w *Watch) Skew(now time.Time) time.Duration {
	at := w.Instant(now)
	w.mu.Lock()
	defer w.mu.Unlock()
	var most time.Duration
	for _, s := range w.spans {
		most = max(most, s.By(at).Apart().Abs())
	}
	return most
}

// Until waits until the clock may be believed, or no longer may, and returns
// what Check says then; nil too once ctx has ended.
func (w *Watch) Until(ctx context.Context, believed bool) error {
	tick := time.NewTicker(lookOut)
	defer tick.Stop()
	for {
		if err := w.Check(time.Now()); (err == nil) == believed {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Ask compares with the store once. What it can't hear changes nothing.
func (w *Watch) Ask(ctx context.Context, store func(context.Context) (time.Time, error)) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	sent := time.Now()
	if theirs, err := store(ctx); err == nil {
		w.Hear(Store, theirs, 0, sent, time.Now())
	}
}

// Run compares with the store again and again until ctx ends, and logs when
// the clock begins or ceases to be believed.
func (w *Watch) Run(ctx context.Context, store func(context.Context) (time.Time, error)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	doubted := false
	for {
		err := w.Check(time.Now())
		switch {
		case err != nil && !doubted:
			w.log.WarnContext(ctx, "this process holds everything: its clock can't be believed", "cause", err)
		case err == nil && doubted:
			w.log.InfoContext(ctx, "this process' clock can be believed again")
		}
		doubted = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		w.Ask(ctx, store)
	}
}
