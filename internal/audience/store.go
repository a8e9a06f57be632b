// Package audience keeps audiences as they were frozen, in chunks, so that a
// reader of millions holds one chunk at a time.
//
// It never writes over what another snapshot names: an object is named by
// what it holds, so that two who freeze one audience at a time, as a leader
// that was paused and its successor do, leave each their own.
package audience

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/plan"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// Store keeps snapshots in an object store.
type Store struct{ objects jetstream.ObjectStore }

// Config returns the settings of the object store.
func Config(names subject.Names) jetstream.StreamConfig {
	return stream.Objects(names.Audiences(), "audiences as frozen, in send order")
}

// Open opens the object store, which the provider may create where it does
// not exist.
func Open(ctx context.Context, p stream.Provider, names subject.Names) (*Store, error) {
	o, err := p.ObjectStore(ctx, Config(names))
	if err != nil {
		return nil, fmt.Errorf("audiences: %w", err)
	}
	return &Store{o}, nil
}

func chunkName(object string, i int) string { return object + "." + strconv.Itoa(i) }

// Save stores ordered members and returns what names them: the given name and
// what they are, order and all. What a freeze that was cut short has stored
// is taken as it is.
func (s *Store) Save(ctx context.Context, name string, ms []plan.Member) (broadcast.Snapshot, error) {
	var d plan.Digest
	for _, m := range ms {
		d.Add(m.Key)
	}
	hash := sha256.New()
	var chunks [][]byte // 16 bytes a member, beside those that the caller holds
	for part := range slices.Chunk(ms, plan.ChunkSize) {
		b := plan.EncodeChunk(part)
		_, _ = hash.Write(b) // never fails
		chunks = append(chunks, b)
	}
	object := name + "." + hex.EncodeToString(hash.Sum(nil)[:16])
	for i, b := range chunks {
		if err := s.put(ctx, chunkName(object, i), b); err != nil {
			return broadcast.Snapshot{}, fmt.Errorf("audience %s: %w", object, err)
		}
	}
	return broadcast.Snapshot{Object: object, Count: len(ms), Chunk: plan.ChunkSize, Digest: d.String()}, nil
}

// put stores a chunk unless it is there: to write it again would purge the
// bytes that a reader may be in the middle of.
func (s *Store) put(ctx context.Context, name string, b []byte) error {
	_, err := s.objects.GetInfo(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		_, err = s.objects.PutBytes(ctx, name, b)
	}
	return err
}

// Chunk returns one chunk of a snapshot, none past its end.
func (s *Store) Chunk(ctx context.Context, snap broadcast.Snapshot, i int) ([]job.Key, error) {
	if i*snap.Chunk >= snap.Count {
		return nil, nil
	}
	b, err := s.objects.GetBytes(ctx, chunkName(snap.Object, i))
	if err != nil {
		return nil, fmt.Errorf("audience %s chunk %d: %w", snap.Object, i, err)
	}
	keys, err := plan.DecodeChunk(b)
	if err != nil {
		return nil, fmt.Errorf("audience %s chunk %d: %w", snap.Object, i, err)
	}
	if want := min(snap.Chunk, snap.Count-i*snap.Chunk); len(keys) != want {
		return nil, fmt.Errorf("audience %s chunk %d: %d contacts, want %d", snap.Object, i, len(keys), want)
	}
	return keys, nil
}

// Each calls fn with every contact of a snapshot, in send order.
func (s *Store) Each(ctx context.Context, snap broadcast.Snapshot, fn func(job.Key) error) error {
	for i := 0; ; i++ {
		keys, err := s.Chunk(ctx, snap, i)
		if err != nil {
			return err
		}
		if keys == nil {
			return nil
		}
		for _, k := range keys {
			if err := fn(k); err != nil {
				return err
			}
		}
	}
}
