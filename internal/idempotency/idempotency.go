// Package idempotency lets a request be sent again without being carried out
// again: the answer to the first is kept under its key and given to the
// repeats. It knows nothing of HTTP or of what is done.
//
// Its invariants: of all the requests with one key of one caller one at a
// time is carried out, whichever process they come to; once an answer is
// kept, none is for Kept. Nothing that is stored can be read or matched
// without what the caller authenticates with: names, digests and answers are
// keyed by it, so that neither a secret in an answer nor a phone number in a
// request lies in the store.
package idempotency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

const (
	// Kept is for how long an answer is kept at the least.
	Kept = 24 * time.Hour
	// Lease is how long a key stays taken that nobody renews: so long after a
	// crash it is free again, however long what was at work would have taken.
	Lease = time.Minute
	// renewEvery leaves room for two renewals to fail.
	renewEvery = Lease / 4
	// MaxBody bounds the body of an answer that is kept, in bytes.
	MaxBody = 512 << 10
)

// ErrAtWork says that a request with this key is being carried out.
var ErrAtWork = errors.New("a request with this key is being carried out")

// ErrOther says that the key was used for another request.
var ErrOther = errors.New("this key was used for another request")

// Answer is what is given again.
type Answer struct {
	Status int    `json:"status"`
	Type   string `json:"type"` // of the body
	Body   []byte `json:"body"`
	Cut    bool   `json:"cut,omitempty"` // the body was longer than MaxBody and is not there
}

// record is what the bucket holds under a key.
type record struct {
	Owner  string `json:"owner"`            // a nonce of the claim
	Line   []byte `json:"line"`             // digest of method, path and query
	Body   []byte `json:"body,omitempty"`   // digest of the request's body
	Answer []byte `json:"answer,omitempty"` // sealed; absent: at work
}

// Store keeps keys and answers in a bucket.
type Store struct {
	js jetstream.JetStream
	kv jetstream.KeyValue
}

// Config returns the settings of the bucket of keys. Each key may have a life
// of its own, and what it leaves behind is of no use.
func Config(names subject.Names) jetstream.StreamConfig {
	c := stream.Bucket(names.Idempotency(), "answers kept for repeats of a request", 1)
	c.MaxAge, c.AllowMsgTTL, c.SubjectDeleteMarkerTTL = Kept+time.Hour, true, time.Second
	return c
}

// Open opens the bucket of keys.
func Open(ctx context.Context, p stream.Provider, names subject.Names) (*Store, error) {
	kv, err := p.KeyValue(ctx, Config(names))
	if err != nil {
		return nil, fmt.Errorf("idempotency keys: %w", err)
	}
	return &Store{p.JS, kv}, nil
}

// Claim is a key that was taken for a request. It is renewed until Keep or
// Free is called, one of which must be.
type Claim struct {
	store *Store
	key   Key
	rec   record // as it is while at work
	stop  func()

	mu  sync.Mutex
	rev uint64
}

// Done is an answer that was kept.
type Done struct {
	key Key
	rec record
}

// Begin takes a key for a request, of which line is method, path and query.
// Exactly one of its results is set: the claim, the answer to an earlier
// request with this line, or an error, ErrAtWork or ErrOther among them.
func (s *Store) Begin(ctx context.Context, k Key, line string) (*Claim, *Done, error) {
	c := &Claim{store: s, key: k, rec: record{Owner: nuid.Next(), Line: k.digest("line", []byte(line))}}
	for range tries {
		rev, err := s.put(ctx, k, c.rec, 0, Lease)
		if err == nil {
			c.rev = rev
			c.stop = every(renewEvery, c.renew)
			return c, nil, nil
		}
		if !stream.Conflict(err) {
			return nil, nil, fmt.Errorf("idempotency keys: %w", err)
		}
		done, err := s.look(ctx, k, c.rec.Line)
		if !errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil, done, err
		}
		// Its lease ended between the two, or a replica that is behind was asked.
	}
	return nil, nil, ErrAtWork
}

// tries is how often a key is tried to be taken that seems to be free and
// is not.
const tries = 3

func (s *Store) look(ctx context.Context, k Key, line []byte) (*Done, error) {
	r, _, err := s.get(ctx, k)
	switch {
	case err != nil:
		return nil, err
	case !same(r.Line, line):
		return nil, ErrOther
	case r.Answer == nil:
		return nil, ErrAtWork
	}
	return &Done{k, r}, nil
}

// get returns what is stored under a key; ErrKeyNotFound where nothing is.
func (s *Store) get(ctx context.Context, k Key) (r record, rev uint64, err error) {
	e, err := s.kv.Get(ctx, k.name)
	if err != nil {
		return r, 0, fmt.Errorf("idempotency keys: %w", err)
	}
	if err := json.Unmarshal(e.Value(), &r); err != nil {
		return r, 0, fmt.Errorf("idempotency keys: at revision %d: %w", e.Revision(), err)
	}
	return r, e.Revision(), nil
}

// Answer returns the answer to a request with this body, of which body is
// what Key.Body made. Its error is ErrOther where the first had another one.
func (d *Done) Answer(body []byte) (Answer, error) {
	if !same(d.rec.Body, body) {
		return Answer{}, ErrOther
	}
	plain, err := d.key.open(d.rec.Answer)
	if err != nil {
		return Answer{}, fmt.Errorf("idempotency keys: %w", err)
	}
	var a Answer
	if err := json.Unmarshal(plain, &a); err != nil {
		return a, fmt.Errorf("idempotency keys: %w", err)
	}
	return a, nil
}

// Keep stores the answer to the request whose body was body, as Key.Body made
// it. With an error the key is free again once its lease has ended.
func (c *Claim) Keep(ctx context.Context, body []byte, a Answer) error {
	c.stop()
	if len(a.Body) > MaxBody {
		a.Body, a.Cut = nil, true
	}
	plain, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("idempotency keys: %w", err)
	}
	r := c.rec
	r.Body, r.Answer = body, c.key.seal(plain)
	if err := c.replace(ctx, r, 0); err != nil {
		return fmt.Errorf("idempotency keys: %w", err)
	}
	return nil
}

// Free gives the key back: nothing was done that a repeat could do again.
func (c *Claim) Free(ctx context.Context) error {
	c.stop()
	if err := c.store.kv.Purge(ctx, c.key.name, jetstream.LastRevision(c.rev), jetstream.PurgeTTL(time.Second)); err != nil {
		return fmt.Errorf("idempotency keys: %w", err)
	}
	return nil
}

// renew begins the lease anew. Where that fails the next one may succeed; a
// lease that ended all the same lets a repeat be carried out beside us.
func (c *Claim) renew(ctx context.Context) { _ = c.replace(ctx, c.rec, Lease) }

// replace stores what follows the claim's newest record. Where the
// acknowledgement of an earlier one was lost, that one is ours and is
// followed.
func (c *Claim) replace(ctx context.Context, r record, ttl time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		rev, err := c.store.put(ctx, c.key, r, c.rev, ttl)
		if err == nil {
			c.rev = rev
			return nil
		}
		newest, rev, lookErr := c.store.get(ctx, c.key)
		if lookErr != nil || newest.Owner != c.rec.Owner || rev <= c.rev {
			return err
		}
		c.rev = rev
	}
}

// put stores a record at the revision that it must follow, 0 where there may
// be none, for a life of ttl, 0 for the bucket's.
func (s *Store) put(ctx context.Context, k Key, r record, last uint64, ttl time.Duration) (uint64, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return 0, err
	}
	if last == 0 {
		return s.kv.Create(ctx, k.name, b, jetstream.KeyTTL(ttl))
	}
	opts := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(last)}
	if ttl > 0 {
		opts = append(opts, jetstream.WithMsgTTL(ttl))
	}
	// The library's Update has no life of its own for a value.
	ack, err := s.js.Publish(ctx, "$KV."+s.kv.Bucket()+"."+k.name, b, opts...)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// every calls fn again and again until the returned function is called, which
// returns once fn no longer runs. It may be called twice.
func every(pause time.Duration, fn func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(pause)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				fn(ctx)
			}
		}
	}()
	return func() { cancel(); <-ended }
}
