package label

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// State is what is known of pulling one sender's labels.
type State struct {
	Ordered time.Time `json:"ordered,omitzero"` // when somebody last ordered it
	Run     Run       `json:"run,omitzero"`     // the last one; zero: there was none
}

// Waits tells whether an order was given that no run has taken up.
func (s State) Waits() bool { return !s.Ordered.Equal(s.Run.Order) }

// Run is one reading of a Page's labels.
type Run struct {
	Order    time.Time `json:"order,omitzero"` // the newest order when it began: it carries that out
	Began    time.Time `json:"began,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`     // zero: it goes on, or was cut short and begins again
	Labels   int       `json:"labels,omitempty"`   // that the Page has
	Contacts int       `json:"contacts,omitempty"` // known when it began
	Read     int       `json:"read,omitempty"`     // contacts whose labels were read
	Changed  int       `json:"changed,omitempty"`  // of those, whose labels changed here
	Gone     int       `json:"gone,omitempty"`     // contacts that the platform does not know, or does not show
	Failed   int       `json:"failed,omitempty"`   // contacts that could not be read this time
	Unusable int       `json:"unusable,omitempty"` // of the Page's labels, whose names can't be labels here
	Error    *Error    `json:"error,omitempty"`    // why it ended early; nil: it did not
}

// Error is why a run ended early, in words that an operator may see.
type Error struct {
	Code    int    `json:"code,omitempty"` // the platform's; 0: it gave none
	Subcode int    `json:"subcode,omitempty"`
	Detail  string `json:"detail"`
	Link    string `json:"link,omitempty"` // where the platform sends the operator
}

// Store keeps states in a bucket, so that they outlive whoever leads.
type Store struct {
	kv jetstream.KeyValue
	js jetstream.JetStream
}

// Config returns the settings of the bucket.
func Config(names subject.Names) jetstream.StreamConfig {
	return stream.Bucket(names.Labels(), "what pulling the labels of Pages came to", 1)
}

// Open opens the bucket, which the provider may create where it does not
// exist.
func Open(ctx context.Context, p stream.Provider, names subject.Names) (*Store, error) {
	kv, err := p.KeyValue(ctx, Config(names))
	if err != nil {
		return nil, fmt.Errorf("labels: %w", err)
	}
	return &Store{kv: kv, js: p.JS}, nil
}

// State returns a sender's state, the zero one where nothing was pulled.
func (s *Store) State(ctx context.Context, sender string) (State, error) {
	st, _, err := s.get(ctx, sender)
	return st, err
}

func (s *Store) get(ctx context.Context, sender string) (st State, rev uint64, err error) {
	e, err := s.kv.Get(ctx, sender)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return State{}, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(e.Value(), &st)
	}
	if err != nil {
		return State{}, 0, fmt.Errorf("labels of %s: %w", sender, err)
	}
	return st, e.Revision(), nil
}

// States returns the states of all senders that have one.
func (s *Store) States(ctx context.Context) (map[string]State, error) {
	out := map[string]State{}
	prefix := "$KV." + s.kv.Bucket() + "."
	err := stream.Each(ctx, s.js, stream.Query{Stream: "KV_" + s.kv.Bucket(), Subject: prefix + "*", Newest: true}, func(m stream.Message) error {
		var st State
		if err := json.Unmarshal(m.Data, &st); err != nil {
			return err
		}
		out[strings.TrimPrefix(m.Subject, prefix)] = st
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("labels: %w", err)
	}
	return out, nil
}

// Order has a sender's labels pulled soon, by whoever leads.
func (s *Store) Order(ctx context.Context, sender string, at time.Time) (State, error) {
	return s.edit(ctx, sender, func(st *State) { st.Ordered = at.UTC() })
}

// editTries is how often a change is made again after another's word.
const editTries = 20

// edit changes a state, whoever writes it meanwhile.
func (s *Store) edit(ctx context.Context, sender string, change func(*State)) (State, error) {
	var err error
	for range editTries {
		st, rev, failed := s.get(ctx, sender)
		if failed != nil {
			return st, failed
		}
		change(&st)
		b, failed := json.Marshal(st)
		if failed != nil {
			return st, failed
		}
		if _, err = s.kv.Update(ctx, sender, b, rev); err == nil {
			return st, nil
		}
		if !stream.Conflict(err) {
			break
		}
	}
	return State{}, fmt.Errorf("labels of %s: %w", sender, err)
}
