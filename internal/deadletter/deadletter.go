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
	"github.com/carillon-dev/carillon/internal/killpoint"
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

	Kill *killpoint.Plan // set before it is used; nil: at no point

	mu      sync.Mutex
	pending []written
	flush   sync.Mutex
}

// written is a letter on its way to the stream. One without a state takes the
// place of a letter that is no longer one.
type written struct {
	subject string
	seq     uint64 // of the ledger: an older one never replaces a newer
	data    []byte
}

// maxPending is how many letters wait in memory at the most.
const maxPending = 2000

// Config returns the settings of the stream.
func Config(names subject.Names) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: names.DeadStream(), Description: "dead letters, derived from the ledger", Subjects: []string{names.AllDead()},
		Storage: jetstream.FileStorage, MaxMsgsPerSubject: 1, AllowDirect: true,
	}
}

// Open opens the stream, which the provider may create where it does not
// exist.
func Open(ctx context.Context, nc *nats.Conn, p stream.Provider, names subject.Names) (*Store, error) {
	if _, err := p.Open(ctx, Config(names)); err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	return &Store{nc: nc, js: p.JS, names: names}, nil
}

// flushTimeout bounds a flush that a full memory asks for.
const flushTimeout = 5 * time.Second

// Recorded takes in one record of the ledger. A flush that fails is no error
// of it: the letters stay, and no checkpoint moves past them before Flush has
// succeeded.
func (s *Store) Recorded(ctx context.Context, e ledger.Entry) error {
	r := e.Record
	l := Letter{Seq: e.Seq}
	switch {
	case r.State.Dead() && !r.Discarded:
		l = letter(e)
	case r.Discarded, r.From.Dead() && r.Prev != 0:
	default:
		return nil
	}
	data, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("dead letter of %s: %w", e.ID, err)
	}
	s.mu.Lock()
	s.pending = append(s.pending, written{s.names.Dead(e.ID), e.Seq, data})
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
		l, err := read(m)
		if err != nil || l.State == "" || !f.match(l) {
			return err
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
	l, err := read(ms[subj])
	return l, l.State != "", err
}

// read reads a letter; one without a state where there is none, or none any
// more.
func read(m stream.Message) (l Letter, err error) {
	if len(m.Data) == 0 {
		return l, nil
	}
	if err = json.Unmarshal(m.Data, &l); err != nil {
		return Letter{}, fmt.Errorf("dead letter at %d: %w", m.Seq, err)
	}
	return l, nil
}
