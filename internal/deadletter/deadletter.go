// Package deadletter keeps what was not sent, for people who ask: a stream
// derived from the ledger, with what listing by reason, sender, source and
// time needs. It decides nothing, and it can be rebuilt from the ledger.
package deadletter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Letter is a job that ended blocked, failed or unknown.
type Letter struct {
	Job      string      `json:"job"`
	Sender   string      `json:"sender"`
	Source   string      `json:"source"`
	State    job.State   `json:"state"`
	Reason   reason.Code `json:"reason"`
	Rule     string      `json:"rule,omitempty"`
	Evidence string      `json:"evidence,omitempty"`
	At       time.Time   `json:"at"`
	Attempt  int         `json:"attempt,omitempty"`
	Code     int         `json:"code,omitempty"`
	Subcode  int         `json:"subcode,omitempty"`
	Detail   string      `json:"detail,omitempty"`
	Trace    string      `json:"trace,omitempty"`
	Seq      uint64      `json:"seq"` // of the outcome in the ledger
}

// Filter picks letters. Zero fields pick all.
type Filter struct {
	Reason reason.Code
	State  job.State
	Sender string
	Source string // source name, or a broadcast's id for all its occurrences
	Since  time.Time
	Until  time.Time // excluded
}

func (f Filter) match(l Letter) bool {
	return (f.Reason == "" || l.Reason == f.Reason) &&
		(f.State == "" || l.State == f.State) &&
		(f.Sender == "" || l.Sender == f.Sender) &&
		(f.Source == "" || l.Source == f.Source || strings.HasPrefix(l.Source, f.Source+"~")) &&
		!l.At.Before(f.Since) && (f.Until.IsZero() || l.At.Before(f.Until))
}

// Store keeps the letters.
type Store struct {
	nc    *nats.Conn
	js    jetstream.JetStream
	names subject.Names

	mu      sync.Mutex
	pending []written
	flush   sync.Mutex
}

// written is a letter on its way to the stream; without data it takes the
// place of one.
type written struct {
	subject string
	data    []byte
}

// maxPending is how many letters wait in memory at the most.
const maxPending = 2000

// Open creates the stream where it does not exist.
func Open(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, names subject.Names) (*Store, error) {
	_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: names.DeadStream(), Description: "dead letters, derived from the ledger", Subjects: []string{names.AllDead()},
		Storage: jetstream.FileStorage, MaxMsgsPerSubject: 1, AllowDirect: true,
	})
	if err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	return &Store{nc: nc, js: js, names: names}, nil
}

// flushTimeout bounds a flush that a full memory asks for.
const flushTimeout = 5 * time.Second

// Recorded takes in one record of the ledger. A flush that fails is no error
// of it: the letters stay, and no checkpoint moves past them before Flush has
// succeeded.
func (s *Store) Recorded(ctx context.Context, e ledger.Entry) error {
	r := e.Record
	var data []byte
	switch {
	case r.State.Dead() && !r.Discarded:
		var err error
		if data, err = json.Marshal(letter(e)); err != nil {
			return fmt.Errorf("dead letter of %s: %w", e.ID, err)
		}
	case r.Discarded, r.From.Dead() && r.Prev != 0:
		data = nil // an empty message takes the place of the letter
	default:
		return nil
	}
	s.mu.Lock()
	s.pending = append(s.pending, written{s.names.Dead(e.ID), data})
	full := len(s.pending) >= maxPending
	s.mu.Unlock()
	if full {
		ctx, cancel := context.WithTimeout(ctx, flushTimeout)
		defer cancel()
		_ = s.Flush(ctx)
	}
	return nil
}

func letter(e ledger.Entry) Letter {
	r := e.Record
	return Letter{
		Job: e.ID.String(), Sender: e.ID.Sender, Source: e.ID.Name, State: r.State, Reason: r.Reason, Rule: r.Rule, Evidence: r.Evidence,
		At: r.At, Attempt: r.Attempt, Code: r.Code, Subcode: r.Subcode, Detail: r.Detail, Trace: r.Trace, Seq: e.Seq,
	}
}

// flushAtOnce is how many letters are acknowledged together: few enough for a
// slow disk to sync them one by one within the time that an answer has.
const flushAtOnce = 100

// Flush makes durable what was taken in. Of what a slow store acknowledged
// before it failed at most flushAtOnce letters are written again. Taking the same records in again
// does no harm.
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
		if err = s.publish(ctx, ms[:n]); err == nil {
			ms = ms[n:]
		}
	}
	if err != nil {
		s.mu.Lock()
		s.pending = append(ms, s.pending...)
		s.mu.Unlock()
	}
	return err
}

func (s *Store) publish(ctx context.Context, ms []written) error {
	acks := make([]jetstream.PubAckFuture, 0, len(ms))
	for _, m := range ms {
		// Not tried again by the library: a letter of its would overtake a newer
		// one of the same job. The next flush tries all again, in order.
		a, err := s.js.PublishAsync(m.subject, m.data, jetstream.WithRetryAttempts(0))
		if err != nil {
			return fmt.Errorf("dead letters: %w", err)
		}
		acks = append(acks, a)
	}
	for _, a := range acks {
		select {
		case <-a.Ok():
		case err := <-a.Err():
			return fmt.Errorf("dead letters: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("dead letters: %w", ctx.Err())
		}
	}
	return nil
}

// ErrEnough ends a listing early without being an error.
var ErrEnough = errors.New("enough")

// Each calls fn with every letter that the filter picks, in the order in
// which they were written.
func (s *Store) Each(ctx context.Context, f Filter, fn func(Letter) error) error {
	sender := f.Sender
	if sender == "" {
		sender = "*"
	}
	q := stream.Query{Stream: s.names.DeadStream(), Subject: s.names.DeadOf(sender, "*"), Newest: true}
	err := stream.Each(ctx, s.js, q, func(m stream.Message) error {
		if len(m.Data) == 0 {
			return nil
		}
		var l Letter
		if err := json.Unmarshal(m.Data, &l); err != nil {
			return fmt.Errorf("dead letter at %d: %w", m.Seq, err)
		}
		if !f.match(l) {
			return nil
		}
		return fn(l)
	})
	if errors.Is(err, ErrEnough) {
		return nil
	}
	return err
}

// Get returns the letter of one job. It reports false for a job without one.
func (s *Store) Get(ctx context.Context, id job.ID) (Letter, bool, error) {
	subj := s.names.Dead(id)
	ms, err := stream.Newest(ctx, s.nc, s.names.DeadStream(), []string{subj})
	if err != nil {
		return Letter{}, false, fmt.Errorf("dead letter of %s: %w", id, err)
	}
	m, ok := ms[subj]
	if !ok || len(m.Data) == 0 {
		return Letter{}, false, nil
	}
	var l Letter
	if err := json.Unmarshal(m.Data, &l); err != nil {
		return l, false, fmt.Errorf("dead letter of %s: %w", id, err)
	}
	return l, true, nil
}
