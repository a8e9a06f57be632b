package definition

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/internal/subject"
)

// ErrNotFound says that nothing of that id is defined.
var ErrNotFound = errors.New("not found")

// ErrChanged says that somebody else changed the definition meanwhile.
var ErrChanged = errors.New("changed by somebody else meanwhile")

// Store keeps definitions in a bucket.
type Store struct{ kv jetstream.KeyValue }

// history is how many revisions of a definition stay readable, for a person
// who asks what it was; the bucket's limit.
const history = 64

// Open creates the bucket where it does not exist.
func Open(ctx context.Context, js jetstream.JetStream, names subject.Names) (*Store, error) {
	kv, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: names.Definitions(), Description: "senders and broadcasts", History: history, Storage: jetstream.FileStorage,
	})
	if err != nil {
		return nil, fmt.Errorf("definitions: %w", err)
	}
	return &Store{kv}, nil
}

// Bind returns a value stored once for the installation, storing the given
// one if there is none.
func (s *Store) Bind(ctx context.Context, key, value string) (string, error) {
	if _, err := s.kv.Create(ctx, "installation."+key, []byte(value)); err == nil {
		return value, nil
	}
	e, err := s.kv.Get(ctx, "installation."+key)
	if err != nil {
		return "", fmt.Errorf("definitions: %s: %w", key, err)
	}
	return string(e.Value()), nil
}

func get[T any](ctx context.Context, s *Store, kind, id string) (*T, uint64, error) {
	e, err := s.kv.Get(ctx, kind+"."+id)
	if errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrInvalidKey) {
		return nil, 0, fmt.Errorf("%s %s: %w", kind, id, ErrNotFound)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%s %s: %w", kind, id, err)
	}
	return parse[T](e)
}

func parse[T any](e jetstream.KeyValueEntry) (*T, uint64, error) {
	var v T
	if err := json.Unmarshal(e.Value(), &v); err != nil {
		return nil, 0, fmt.Errorf("%s at revision %d: %w", e.Key(), e.Revision(), err)
	}
	return &v, e.Revision(), nil
}

// put stores a value at the revision that it was read at; 0: it is new.
func put[T any](ctx context.Context, s *Store, kind, id string, v *T, rev uint64) (uint64, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", kind, id, err)
	}
	now, err := s.kv.Update(ctx, kind+"."+id, b, rev)
	if errors.Is(err, jetstream.ErrKeyExists) {
		return 0, fmt.Errorf("%s %s: %w", kind, id, ErrChanged)
	}
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", kind, id, err)
	}
	return now, nil
}

// Sender returns a sender and its revision.
func (s *Store) Sender(ctx context.Context, id string) (*sender.Spec, uint64, error) {
	return get[sender.Spec](ctx, s, "sender", id)
}

// PutSender stores a sender at the revision that it was read at.
func (s *Store) PutSender(ctx context.Context, v *sender.Spec, rev uint64) (uint64, error) {
	return put(ctx, s, "sender", v.ID, v, rev)
}

// Broadcast returns a broadcast and its revision.
func (s *Store) Broadcast(ctx context.Context, id string) (*broadcast.Broadcast, uint64, error) {
	return get[broadcast.Broadcast](ctx, s, "broadcast", id)
}

// PutBroadcast stores a broadcast at the revision that it was read at.
func (s *Store) PutBroadcast(ctx context.Context, v *broadcast.Broadcast, rev uint64) (uint64, error) {
	return put(ctx, s, "broadcast", v.Spec.ID, v, rev)
}

// Senders returns the ids of all senders, sorted.
func (s *Store) Senders(ctx context.Context) ([]string, error) { return s.ids(ctx, "sender.") }

// Broadcasts returns the ids of all broadcasts, sorted.
func (s *Store) Broadcasts(ctx context.Context) ([]string, error) { return s.ids(ctx, "broadcast.") }

func (s *Store) ids(ctx context.Context, prefix string) ([]string, error) {
	l, err := s.kv.ListKeysFiltered(ctx, prefix+">")
	if err != nil {
		return nil, fmt.Errorf("definitions: %w", err)
	}
	var out []string
	for k := range l.Keys() {
		out = append(out, strings.TrimPrefix(k, prefix))
	}
	if err := ctx.Err(); err != nil { // the listing ends early then, and says nothing
		return nil, fmt.Errorf("definitions: %w", err)
	}
	slices.Sort(out)
	return slices.Compact(out), nil // a key written meanwhile may come twice
}

// Cache gives workers definitions without a round trip for each envelope: a
// broadcast by its source, since nothing of it changes once it is launched,
// and senders as they were last heard of.
type Cache struct {
	store *Store

	mu         sync.Mutex
	broadcasts map[string]*Planned // by source name
	senders    map[string]*sender.Spec
	watcher    jetstream.KeyWatcher
	stopped    chan struct{}
}

// Planned is a broadcast as it was launched, with its text parsed.
type Planned struct {
	Spec  broadcast.Spec
	Text  *broadcast.Template
	Trace string // W3C traceparent of the launch
}

// NewCache returns a cache that hears of changed senders until ctx ends.
func NewCache(ctx context.Context, s *Store) (*Cache, error) {
	w, err := s.kv.Watch(ctx, "sender.>")
	if err != nil {
		return nil, fmt.Errorf("watch senders: %w", err)
	}
	c := &Cache{store: s, broadcasts: map[string]*Planned{}, senders: map[string]*sender.Spec{}, watcher: w, stopped: make(chan struct{})}
	go c.listen()
	return c, nil
}

func (c *Cache) listen() {
	defer close(c.stopped)
	for e := range c.watcher.Updates() {
		if e == nil {
			continue // the values from before have all come
		}
		v, _, err := parse[sender.Spec](e)
		c.mu.Lock()
		if err != nil || e.Operation() != jetstream.KeyValuePut {
			delete(c.senders, strings.TrimPrefix(e.Key(), "sender."))
		} else {
			c.senders[v.ID] = v
		}
		c.mu.Unlock()
	}
}

// Close stops listening.
func (c *Cache) Close() error {
	err := c.watcher.Stop()
	<-c.stopped
	return err
}

// Sender returns a sender's newest definition.
func (c *Cache) Sender(ctx context.Context, id string) (*sender.Spec, error) {
	c.mu.Lock()
	v := c.senders[id]
	c.mu.Unlock()
	if v != nil {
		return v, nil
	}
	v, _, err := c.store.Sender(ctx, id)
	return v, err
}

// maxCached bounds how many planned broadcasts a cache keeps.
const maxCached = 1000

// Broadcast returns the broadcast that a source belongs to.
func (c *Cache) Broadcast(ctx context.Context, source string) (*Planned, error) {
	c.mu.Lock()
	p := c.broadcasts[source]
	c.mu.Unlock()
	if p != nil {
		return p, nil
	}
	b, _, err := c.store.Broadcast(ctx, broadcast.IDOf(source))
	if err != nil {
		return nil, err
	}
	t, err := broadcast.ParseTemplate(b.Spec.Message.Text)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", source, err)
	}
	p = &Planned{Spec: b.Spec, Text: t, Trace: b.Trace}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.broadcasts) >= maxCached {
		clear(c.broadcasts)
	}
	c.broadcasts[source] = p
	return p, nil
}
