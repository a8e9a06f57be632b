package receipt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/deliver"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// Echoes keeps how far each sender's echoes have come: the newest of the
// messages whose own id came back. Losing it costs only time, until the next
// echo says it again.
type Echoes struct {
	kv jetstream.KeyValue

	mu    sync.Mutex
	noted map[string]time.Time // by sender, as this process knows it
}

// Come is how far the echoes of one sender have come.
type Come struct {
	// Left is a moment before which no message left that is meant here, and
	// after which one did whose echo has come; by the clock of the worker that
	// sent it. Zero: no echo has ever come.
	Left  time.Time `json:"left"`
	Heard time.Time `json:"heard"` // when that echo was taken in, by the scheduler's clock
}

// noteEvery is how much further echoes must have come to be noted again. It is
// small beside the least time that an echo is waited for.
const noteEvery = 5 * time.Second

// EchoesConfig returns the settings of the bucket.
func EchoesConfig(names subject.Names) jetstream.StreamConfig {
	return stream.Bucket(names.Echoes(), "how far each sender's echoes have come", 1)
}

// OpenEchoes opens the bucket, which the provider may create where it does not
// exist.
func OpenEchoes(ctx context.Context, p stream.Provider, names subject.Names) (*Echoes, error) {
	kv, err := p.KeyValue(ctx, EchoesConfig(names))
	if err != nil {
		return nil, fmt.Errorf("echoes: %w", err)
	}
	return &Echoes{kv: kv, noted: map[string]time.Time{}}, nil
}

// heard is, by sender, the newest moment after which a message left whose echo
// came.
type heard map[string]time.Time

// add takes in the jobs of one contact that were named. What is counted is a
// moment before which the message can't have left: its claim, or so long before
// its outcome as a claim stands. An outcome that is unknown gives none.
func (h heard) add(t *thread) {
	for _, at := range t.heard {
		left := at.Record.At
		if !at.Record.Left().IsZero() {
			left = at.Record.Left().Add(-deliver.ClaimDeadline)
		} else if at.Record.State != job.Claimed {
			continue
		}
		if left.After(h[t.sender]) {
			h[t.sender] = left
		}
	}
}

// note stores how far echoes have come where that is further than it says.
func (s *Echoes) note(ctx context.Context, h heard, now time.Time) error {
	var errs []error
	for id, left := range h {
		s.mu.Lock()
		known := left.Before(s.noted[id].Add(noteEvery))
		s.mu.Unlock()
		if known {
			continue
		}
		stored, err := s.store(ctx, id, Come{Left: left.UTC(), Heard: now})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.mu.Lock()
		s.noted[id] = stored
		s.mu.Unlock()
	}
	return errors.Join(errs...)
}

// storeTries is how often a note is held against what others store.
const storeTries = 5

// store stores a note unless a later one is there, and returns which it is.
func (s *Echoes) store(ctx context.Context, id string, c Come) (time.Time, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return time.Time{}, err
	}
	for range storeTries {
		have, rev, err := s.get(ctx, id)
		if err != nil || !c.Left.After(have.Left) {
			return have.Left, err
		}
		_, err = s.kv.Update(ctx, id, b, rev)
		if err == nil {
			return c.Left, nil
		}
		if !stream.Conflict(err) {
			return time.Time{}, err
		}
	}
	return time.Time{}, fmt.Errorf("echoes of %s: others keep storing them", id)
}

func (s *Echoes) get(ctx context.Context, id string) (c Come, rev uint64, err error) {
	e, err := s.kv.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return c, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(e.Value(), &c)
	}
	if err != nil {
		return c, 0, fmt.Errorf("echoes of %s: %w", id, err)
	}
	return c, e.Revision(), nil
}

// Evidence returns what the echoes of a sender say of its unknown outcomes at
// a moment.
func (s *Echoes) Evidence(ctx context.Context, n *sender.Spec, now time.Time) (Evidence, error) {
	c, _, err := s.get(ctx, n.ID)
	return Evidence{Come: c, Now: now, After: n.Unknown.After()}, err
}
