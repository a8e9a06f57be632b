package outlet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// Store keeps where endpoints stand, and the pushes that were given up.
type Store struct {
	kv jetstream.KeyValue
	js jetstream.JetStream
}

// Config returns the settings of the bucket.
func Config(names subject.Names) jetstream.StreamConfig {
	return stream.Bucket(names.Outlets(), "how far outcomes were pushed to endpoints, and what was given up", 1)
}

// Open opens the bucket, which the provider may create where it does not
// exist.
func Open(ctx context.Context, p stream.Provider, names subject.Names) (*Store, error) {
	kv, err := p.KeyValue(ctx, Config(names))
	if err != nil {
		return nil, fmt.Errorf("outlets: %w", err)
	}
	return &Store{kv: kv, js: p.JS}, nil
}

// State returns where an endpoint stands, and the revision; 0 for one that
// nothing was pushed to.
func (s *Store) State(ctx context.Context, id string) (State, uint64, error) {
	var out State
	e, err := s.kv.Get(ctx, "state."+id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return out, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(e.Value(), &out)
	}
	if err != nil {
		return State{}, 0, fmt.Errorf("where endpoint %s stands: %w", id, err)
	}
	return out, e.Revision(), nil
}

// errMoved says that somebody else wrote where an endpoint stands.
var errMoved = errors.New("somebody else wrote it meanwhile")

func (s *Store) put(ctx context.Context, id string, st State, rev uint64) (uint64, error) {
	b, err := json.Marshal(st)
	if err != nil {
		return 0, err
	}
	now, err := s.kv.Update(ctx, "state."+id, b, rev)
	if stream.Conflict(err) {
		return 0, errMoved
	}
	if err != nil {
		return 0, fmt.Errorf("where endpoint %s stands: %w", id, err)
	}
	return now, nil
}

// editTries is how often an order is given again after another's word.
const editTries = 20

// edit changes where an endpoint stands, whoever writes it meanwhile.
func (s *Store) edit(ctx context.Context, id string, change func(*State)) (State, error) {
	for range editTries {
		st, rev, err := s.State(ctx, id)
		if err != nil {
			return st, err
		}
		change(&st)
		if _, err = s.put(ctx, id, st, rev); !errors.Is(err, errMoved) {
			return st, err
		}
	}
	return State{}, fmt.Errorf("where endpoint %s stands: %w", id, errMoved)
}

// TurnOn lets pushes to an endpoint go on where they stopped.
func (s *Store) TurnOn(ctx context.Context, id string) (State, error) {
	return s.edit(ctx, id, (*State).turnOn)
}

// TurnOff stops pushes to an endpoint. Nothing is lost: its cursor stays.
func (s *Store) TurnOff(ctx context.Context, id, why string) (State, error) {
	return s.edit(ctx, id, func(st *State) { st.turnOff(why, time.Now().UTC()) })
}

// Replay orders that everything since a moment is pushed again; the zero
// moment that all is which was given up.
func (s *Store) Replay(ctx context.Context, id string, since time.Time) (State, error) {
	return s.edit(ctx, id, func(st *State) {
		if since.IsZero() {
			st.Redrive = true
			return
		}
		st.Replay = since.UTC()
	})
}

// Dead returns the pushes to an endpoint that were given up, the oldest first.
func (s *Store) Dead(ctx context.Context, id string) ([]Push, error) {
	var out []Push
	q := stream.Query{Stream: "KV_" + s.kv.Bucket(), Subject: "$KV." + s.kv.Bucket() + ".dead." + id + ".*", Newest: true}
	err := stream.Each(ctx, s.js, q, func(m stream.Message) error {
		if len(m.Data) == 0 {
			return nil // it was taken up again
		}
		var p Push
		if err := json.Unmarshal(m.Data, &p); err != nil {
			return err
		}
		out = append(out, p)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("pushes to %s that were given up: %w", id, err)
	}
	slices.SortFunc(out, func(a, b Push) int { return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.ID, b.ID)) })
	return out, nil
}

func (s *Store) bury(ctx context.Context, id string, p Push) error {
	b, err := json.Marshal(p)
	if err == nil {
		_, err = s.kv.Put(ctx, "dead."+id+"."+p.ID, b)
	}
	if err != nil {
		return fmt.Errorf("a push to %s that is given up: %w", id, err)
	}
	return nil
}

func (s *Store) unbury(ctx context.Context, id string, p Push) error {
	if err := s.kv.Delete(ctx, "dead."+id+"."+p.ID); err != nil {
		return fmt.Errorf("a push to %s that was given up: %w", id, err)
	}
	return nil
}
