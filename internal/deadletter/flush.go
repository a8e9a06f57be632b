package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/stream"
)

// flushAtOnce is how many letters are acknowledged together: few enough for a
// slow disk to sync them one by one within the time that an answer has.
const flushAtOnce = 100

// Flush makes durable what was taken in. Of what a slow store acknowledged
// before it failed at most flushAtOnce letters are written again. Taking the
// same records in again does no harm, nor does another process that does so:
// a letter only ever gives way to one of a later record.
func (s *Store) Flush(ctx context.Context) error {
	s.flush.Lock() // one at a time, so that letters of a job keep their order
	defer s.flush.Unlock()
	s.mu.Lock()
	ms := s.pending
	s.pending = nil
	s.mu.Unlock()
	var err error
	for len(ms) > 0 && err == nil {
		n := min(len(ms), flushAtOnce)
		if err = s.write(ctx, newest(ms[:n])); err == nil {
			ms = ms[n:]
			s.Kill.Pass(killpoint.DeadLetterKept)
		}
	}
	if err != nil {
		s.mu.Lock()
		s.pending = append(ms, s.pending...)
		s.mu.Unlock()
	}
	return err
}

// newest keeps the last of each job.
func newest(ms []written) []written {
	seen := make(map[string]bool, len(ms))
	out := make([]written, 0, len(ms))
	for _, m := range slices.Backward(ms) {
		if !seen[m.subject] {
			seen[m.subject] = true
			out = append(out, m)
		}
	}
	slices.Reverse(out)
	return out
}

// writeTries is how often a letter is held against what is there.
const writeTries = 5

// write stores letters where nothing is yet, as nearly always, and the others
// where they are newer than what is there.
func (s *Store) write(ctx context.Context, ms []written) error {
	at := map[string]uint64{} // where a subject's message is; 0: there is none
	for range writeTries {
		refused, err := s.publish(ctx, ms, at)
		if err != nil || len(refused) == 0 {
			return err
		}
		if ms, err = s.newer(ctx, refused, at); err != nil {
			return err
		}
	}
	return errors.New("dead letters: somebody else keeps writing them")
}

// newer returns the letters that are newer than what is there, and notes
// where that is.
func (s *Store) newer(ctx context.Context, ms []written, at map[string]uint64) ([]written, error) {
	subjects := make([]string, len(ms))
	for i, m := range ms {
		subjects[i] = m.subject
	}
	have, err := stream.Newest(ctx, s.nc, s.names.DeadStream(), subjects)
	if err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	var out []written
	for _, m := range ms {
		l, err := read(have[m.subject])
		if err != nil {
			return nil, err
		}
		if at[m.subject] = have[m.subject].Seq; l.Seq < m.seq {
			out = append(out, m)
		}
	}
	return out, nil
}

// publish writes letters all at once, each where its subject is as at says,
// and returns those of which it is not.
func (s *Store) publish(ctx context.Context, ms []written, at map[string]uint64) (refused []written, err error) {
	acks := make([]jetstream.PubAckFuture, 0, len(ms))
	for _, m := range ms {
		a, err := s.js.PublishAsync(m.subject, m.data, jetstream.WithExpectLastSequencePerSubject(at[m.subject]), jetstream.WithRetryAttempts(0))
		if err != nil {
			return nil, fmt.Errorf("dead letters: %w", err)
		}
		acks = append(acks, a)
	}
	for i, a := range acks {
		select {
		case <-a.Ok():
		case err := <-a.Err():
			if !stream.Conflict(err) {
				return nil, fmt.Errorf("dead letters: %w", err)
			}
			refused = append(refused, ms[i])
		case <-ctx.Done():
			return nil, fmt.Errorf("dead letters: %w", ctx.Err())
		}
	}
	return refused, nil
}
