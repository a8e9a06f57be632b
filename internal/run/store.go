// Package run keeps where every run of a flow stands, what flows remember of
// contacts, and when runs are to be looked at next. It reads and writes; what
// happens in a run is decided elsewhere.
//
// Invariant: a run, and with it what its flow remembers of the contact, is
// replaced only by whoever names the revision that is there, all at once. Of
// two that go on with one run, one is told that somebody was quicker.
package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// KeptFor is how long a run that has ended is kept, unless its flow needs it
// longer to know that it was there: as long as the event that began it, so
// that reading that event again begins nothing.
const KeptFor = 35 * 24 * time.Hour

// headerState and headerVersion say of a stored run what counting asks for,
// so that nobody reads what people wrote to count them.
const (
	headerState   = "Carillon-State"
	headerVersion = "Carillon-Version"
)

// ErrMoved says that somebody else wrote the run, or what is remembered of the
// contact, meanwhile.
var ErrMoved = errors.New("somebody else went on with the run meanwhile")

// Config returns the settings of the stream of runs. A run that ended has an
// end of its own, see Change.
func Config(names subject.Names) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               names.RunsStream(),
		Description:        "where each run of a flow stands, and what flows remember of contacts",
		Subjects:           names.RunsSubjects(),
		Storage:            jetstream.FileStorage,
		Retention:          jetstream.LimitsPolicy,
		Discard:            jetstream.DiscardOld,
		MaxMsgs:            -1,
		MaxBytes:           -1,
		MaxMsgsPerSubject:  1,
		DenyDelete:         true,
		DenyPurge:          true,
		AllowDirect:        true, // reads of many are checked by the revision that the write expects
		AllowMsgTTL:        true,
		AllowAtomicPublish: true,
	}
}

// Store keeps runs. It is safe for concurrent use.
type Store struct {
	nc    *nats.Conn
	js    jetstream.JetStream
	names subject.Names

	mu   sync.Mutex
	mark stream.Mark // the newest that is known to be there: no read is answered by who does not have it
}

// Catch has every read from now on see what was written before, whoever did.
func (s *Store) Catch(ctx context.Context) error {
	m, found, err := stream.Last(ctx, s.nc, s.names.RunsStream(), s.names.RunsOfFlow(""))
	if err != nil {
		return fmt.Errorf("runs: %w", err)
	}
	if found {
		s.reached(stream.Mark{Subject: m.Subject, Seq: m.Seq})
	}
	return nil
}

func (s *Store) reached(m stream.Mark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Seq > s.mark.Seq {
		s.mark = m
	}
}

// Open opens the stream, which the provider may create where it does not
// exist.
func Open(ctx context.Context, nc *nats.Conn, p stream.Provider, names subject.Names) (*Store, error) {
	if _, err := p.Open(ctx, Config(names)); err != nil {
		return nil, fmt.Errorf("runs: %w", err)
	}
	return &Store{nc: nc, js: p.JS, names: names}, nil
}

// Stored is a run as it is kept.
type Stored struct {
	ID  flow.ID
	Run flow.Run
	Rev uint64 // of it, for compare-and-set; 0: there is none yet
}

// Whom is one contact, by their key as the first identity of a run, in one flow.
type Whom struct {
	Flow    string
	Contact job.Key
}

// WhomOf returns whose run it is.
func WhomOf(id flow.ID) Whom { return Whom{id.Flow, id.Contact} }

// Get returns a run as the stream's leader has it, with its revision; it
// reports false, and revision 0, where there is none.
func (s *Store) Get(ctx context.Context, id flow.ID) (r flow.Run, rev uint64, found bool, err error) {
	m, found, err := stream.Last(ctx, s.nc, s.names.RunsStream(), s.names.Run(id))
	if err == nil && found {
		err = json.Unmarshal(m.Data, &r)
	}
	if err != nil {
		return flow.Run{}, 0, false, fmt.Errorf("run %s: %w", id, err)
	}
	return r, m.Seq, found, nil
}

// Memory returns what a flow remembers of a contact, as the stream's leader
// has it; the zero Memory and revision 0 where it remembers nothing.
func (s *Store) Memory(ctx context.Context, w Whom) (v flow.Memory, rev uint64, err error) {
	m, found, err := stream.Last(ctx, s.nc, s.names.RunsStream(), s.names.Memory(w.Flow, w.Contact))
	if err == nil && found {
		err = json.Unmarshal(m.Data, &v)
	}
	if err != nil {
		return flow.Memory{}, 0, fmt.Errorf("what flow %s remembers of a contact: %w", w.Flow, err)
	}
	return v, m.Seq, nil
}

// Of returns the runs of a contact in a flow, those that have ended too, in no
// order. The contact may be any of the run's identities.
func (s *Store) Of(ctx context.Context, flowID string, contact job.Key) ([]Stored, error) {
	w := Whom{flowID, contact}
	f, err := s.Read(ctx, Wanted{Of: []Whom{w}})
	if err != nil {
		return nil, err
	}
	out := make([]Stored, 0, len(f.Of[w]))
	for _, id := range f.Of[w] {
		out = append(out, f.Runs[id])
	}
	return out, nil
}

// Each calls fn with every run of a flow, or of all flows where flowID is "",
// those that have ended too.
func (s *Store) Each(ctx context.Context, flowID string, fn func(Stored) error) error {
	q := stream.Query{Stream: s.names.RunsStream(), Subject: s.names.RunsOfFlow(flowID), Newest: true}
	return s.each(ctx, q, func(m stream.Message) error {
		r, err := s.decode(m)
		if err != nil {
			return err
		}
		return fn(r)
	})
}

// Kind is what runs are counted by.
type Kind struct {
	State   flow.State
	Version int
}

// Count returns how many runs of a flow there are, those that ended as long as
// they are kept.
func (s *Store) Count(ctx context.Context, flowID string) (map[Kind]int, error) {
	out := map[Kind]int{}
	q := stream.Query{Stream: s.names.RunsStream(), Subject: s.names.RunsOfFlow(flowID), Newest: true, Headers: true}
	err := s.each(ctx, q, func(m stream.Message) error {
		v, err := strconv.Atoi(m.Header.Get(headerVersion))
		if err != nil {
			return fmt.Errorf("run at %d: %w", m.Seq, err)
		}
		out[Kind{flow.State(m.Header.Get(headerState)), v}]++
		return nil
	})
	return out, err
}

func (s *Store) each(ctx context.Context, q stream.Query, fn func(stream.Message) error) error {
	if err := stream.Each(ctx, s.js, q, fn); err != nil {
		return fmt.Errorf("runs of %s: %w", strings.TrimSuffix(q.Subject, ".*.*"), err)
	}
	return nil
}

func (s *Store) decode(m stream.Message) (out Stored, err error) {
	var ok bool
	if out.ID, ok = s.names.ParseRun(m.Subject); !ok {
		return out, fmt.Errorf("runs at %d: %s is no run's subject", m.Seq, m.Subject)
	}
	out.Rev = m.Seq
	if err := json.Unmarshal(m.Data, &out.Run); err != nil {
		return out, fmt.Errorf("run %s: %w", out.ID, err)
	}
	return out, nil
}
