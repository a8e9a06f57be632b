package definition

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

// Alone is Try where nothing else is defined: it says whether the documents of
// one file stand by themselves. It asks no engine.
func Alone(ctx context.Context, file string, docs []Document, check Check) ([]Applied, error) {
	s := &Store{kv: nothing{}}
	return s.Try(ctx, file, docs, check)
}

// nothing is a bucket in which there is nothing. It is only ever read by key
// and listed.
type nothing struct{ jetstream.KeyValue }

// Get finds nothing.
func (nothing) Get(context.Context, string) (jetstream.KeyValueEntry, error) {
	return nil, jetstream.ErrKeyNotFound
}

// ListKeysFiltered lists nothing.
func (nothing) ListKeysFiltered(context.Context, ...string) (jetstream.KeyLister, error) {
	return noKeys{}, nil
}

type noKeys struct{}

// Keys returns none.
func (noKeys) Keys() <-chan string {
	ch := make(chan string)
	close(ch)
	return ch
}

// Stop has nothing to stop.
func (noKeys) Stop() error { return nil }

// Error returns none.
func (noKeys) Error() error { return nil }
