package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Provider opens streams. One side makes those that are missing, the other
// may only look; neither changes one that is there, since its settings are
// its operator's, and a replica or a limit more is none of ours to take back.
type Provider struct {
	JS       jetstream.JetStream
	Create   bool          // make what is missing; without, it is waited for
	Replicas int           // of what is made, and the least of what is there; 0: of what is made 1, of what is there any
	Patience time.Duration // how long to wait for what the other side makes; 0: not at all
	Log      *slog.Logger  // told that something is waited for; nil: nobody is
}

// Replicas returns how many replicas streams should have: as set, and where
// that is 0 three on a cluster, one elsewhere. Three is the least that
// outlives a server.
func Replicas(set int, clustered bool) int {
	switch {
	case set > 0:
		return set
	case clustered:
		return 3
	default:
		return 1
	}
}

// lookAgain is how often something missing is looked for.
const lookAgain = 100 * time.Millisecond

// Open returns the stream of that name. It refuses one whose settings differ
// from the wanted ones in what the program relies on; the error names each,
// and the command that restores them.
func (p Provider) Open(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	s, err := p.find(ctx, want)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", want.Name, err)
	}
	want.Replicas = p.Replicas
	if err := agree(s.CachedInfo().Config, want); err != nil {
		return nil, fmt.Errorf("stream %s: %w", want.Name, err)
	}
	return s, nil
}

// KeyValue opens the stream of a bucket, as Open does, and returns the bucket.
func (p Provider) KeyValue(ctx context.Context, want jetstream.StreamConfig) (jetstream.KeyValue, error) {
	if _, err := p.Open(ctx, want); err != nil {
		return nil, err
	}
	return seen(ctx, want.Name, func(ctx context.Context) (jetstream.KeyValue, error) {
		return p.JS.KeyValue(ctx, strings.TrimPrefix(want.Name, ofBuckets))
	})
}

// ObjectStore opens the stream of an object store, as Open does, and returns
// the store.
func (p Provider) ObjectStore(ctx context.Context, want jetstream.StreamConfig) (jetstream.ObjectStore, error) {
	if _, err := p.Open(ctx, want); err != nil {
		return nil, err
	}
	return seen(ctx, want.Name, func(ctx context.Context) (jetstream.ObjectStore, error) {
		return p.JS.ObjectStore(ctx, strings.TrimPrefix(want.Name, ofObjects))
	})
}

// seen asks for what is known to be there until it is found: while a cluster
// makes it, as for two schedulers that start at once, another of its servers
// may answer, which has not heard of it.
func seen[T any](ctx context.Context, name string, ask func(context.Context) (T, error)) (T, error) {
	limit, cancel := context.WithTimeout(ctx, electionLimit)
	defer cancel()
	for {
		found, err := ask(limit)
		if err == nil {
			return found, nil
		}
		if !errors.Is(err, jetstream.ErrBucketNotFound) {
			return found, fmt.Errorf("stream %s: %w", name, err)
		}
		select {
		case <-limit.Done():
			return found, fmt.Errorf("stream %s: %w", name, err)
		case <-time.After(lookAgain):
		}
	}
}

// find returns the stream as it is there, or as it is there once it was made.
func (p Provider) find(ctx context.Context, want jetstream.StreamConfig) (s jetstream.Stream, err error) {
	look := func(ctx context.Context) (jetstream.Stream, error) { return p.JS.Stream(ctx, want.Name) }
	if !p.Create {
		err = p.Await(ctx, "stream "+want.Name, func(ctx context.Context) (bool, error) {
			s, err = led(ctx, look)
			return !errors.Is(err, jetstream.ErrStreamNotFound), err
		})
		return s, err
	}
	s, err = led(ctx, look)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return s, err
	}
	want.Replicas = max(p.Replicas, 1)
	s, err = led(ctx, func(ctx context.Context) (jetstream.Stream, error) { return p.JS.CreateStream(ctx, want) })
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // somebody made it meanwhile
		return led(ctx, look)
	}
	if err != nil {
		return nil, fmt.Errorf("with %d replicas (CARILLON_NATS_REPLICAS): %w", want.Replicas, err)
	}
	return s, nil
}

// Missing says that something is not there which only the other side makes.
type Missing struct{ What string }

// Error says what to do.
func (m *Missing) Error() string { return m.What + " does not exist yet: start a scheduler first" }

// Await looks for what the other side makes, again and again for as long as
// the provider has patience, and returns the first error of look that comes
// with something found. Its other errors: a *Missing, and that ctx ended.
func (p Provider) Await(ctx context.Context, what string, look func(context.Context) (found bool, err error)) error {
	late := time.NewTimer(p.Patience)
	defer late.Stop()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for first := true; ; first = false {
		if found, err := look(ctx); found {
			return err
		}
		if first && p.Patience > 0 && p.Log != nil {
			p.Log.WarnContext(ctx, "waiting for a scheduler to make what this process needs", "missing", what, "at_most", p.Patience)
		}
		select {
		case <-again.C:
		case <-late.C:
			return &Missing{what}
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", &Missing{what}, ctx.Err())
		}
	}
}

// What the names of streams begin with that are key-value buckets, and object
// stores.
const (
	ofBuckets = "KV_"
	ofObjects = "OBJ_"
)

// Bucket returns the settings of a key-value bucket, which is a stream, with
// so many revisions of each key.
func Bucket(name, description string, history int64) jetstream.StreamConfig {
	c := bucket(ofBuckets+name, description, "$KV."+name+".>")
	c.DenyDelete, c.MaxMsgsPerSubject, c.MaxMsgSize = true, history, -1
	return c
}

// Objects returns the settings of an object store, which is a stream.
func Objects(name, description string) jetstream.StreamConfig {
	return bucket(ofObjects+name, description, "$O."+name+".C.>", "$O."+name+".M.>")
}

// bucket is what both are. The library would allow direct reads, which any
// replica may answer, with what was there a moment ago: a leader that has
// just taken over must not go on from that.
func bucket(name, description string, subjects ...string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: name, Description: description, Subjects: subjects, Storage: jetstream.FileStorage,
		Discard: jetstream.DiscardNew, MaxMsgs: -1, MaxBytes: -1, MaxConsumers: -1, AllowRollup: true,
	}
}
