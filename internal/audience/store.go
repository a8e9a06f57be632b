// Package audience keeps audiences as they were frozen, in chunks, so that a
// reader of millions holds one chunk at a time.
package audience

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/plan"
	"github.com/carillon-dev/carillon/internal/subject"
)

// Store keeps snapshots in an object store.
type Store struct{ objects jetstream.ObjectStore }

// Open creates the object store where it does not exist.
func Open(ctx context.Context, js jetstream.JetStream, names subject.Names) (*Store, error) {
	o, err := js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket: names.Audiences(), Description: "audiences as frozen, in send order", Storage: jetstream.FileStorage,
	})
	if err != nil {
		return nil, fmt.Errorf("audiences: %w", err)
	}
	return &Store{o}, nil
}

func chunkName(object string, i int) string { return object + "." + strconv.Itoa(i) }

// Save stores ordered members under a name and returns what names them. A
// name that was used before is written over, which a freeze cut short relies
// on.
func (s *Store) Save(ctx context.Context, object string, ms []plan.Member) (broadcast.Snapshot, error) {
	var d plan.Digest
	for _, m := range ms {
		d.Add(m.Key)
	}
	for i := 0; i*plan.ChunkSize < len(ms); i++ {
		end := min((i+1)*plan.ChunkSize, len(ms))
		if _, err := s.objects.PutBytes(ctx, chunkName(object, i), plan.EncodeChunk(ms[i*plan.ChunkSize:end])); err != nil {
			return broadcast.Snapshot{}, fmt.Errorf("audience %s: %w", object, err)
		}
	}
	return broadcast.Snapshot{Object: object, Count: len(ms), Chunk: plan.ChunkSize, Digest: d.String()}, nil
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
