package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// stack is what was started, to be stopped in reverse.
type stack struct {
	steps []step
	wg    sync.WaitGroup
	fatal chan error // the first failure that ends the process
}

type step struct {
	name string
	stop func(context.Context) error
}

func newStack() *stack { return &stack{fatal: make(chan error, 1)} }

func (s *stack) onStop(name string, stop func(context.Context) error) {
	s.steps = append(s.steps, step{name, stop})
}

// run starts a loop that ends with its context; stopping it waits for that.
// What it returns before it was told to end is fatal.
func (s *stack) run(name string, loop func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.wg.Go(func() {
		defer close(done)
		if err := loop(ctx); ctx.Err() == nil {
			if err == nil {
				err = errors.New("ended by itself")
			}
			s.fail(fmt.Errorf("%s: %w", name, err))
		}
	})
	s.onStop(name, func(stop context.Context) error {
		cancel()
		select {
		case <-done:
			return nil
		case <-stop.Done():
			return stop.Err()
		}
	})
}

func (s *stack) fail(err error) {
	select {
	case s.fatal <- err:
	default:
	}
}

// stop stops everything in reverse, within one deadline, and names what
// failed to.
func (s *stack) stop(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var errs []error
	for i := len(s.steps) - 1; i >= 0; i-- {
		if err := s.steps[i].stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", s.steps[i].name, err))
		}
	}
	s.steps = nil
	return errors.Join(errs...)
}
