package definition

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/internal/endpoint"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// ErrNotFound says that nothing of that id is defined.
var ErrNotFound = errors.New("not found")

// ErrUnreadable says that a definition is there and says what nobody here
// understands: a newer version of the program wrote it.
var ErrUnreadable = errors.New("it can't be read here")

// Lasting tells whether asking again for a definition brings no other answer.
func Lasting(err error) bool { return errors.Is(err, ErrNotFound) || errors.Is(err, ErrUnreadable) }

// ErrChanged says that somebody else changed the definition meanwhile.
var ErrChanged = errors.New("changed by somebody else meanwhile")

// Store keeps definitions in a bucket.
type Store struct {
	streams stream.Provider
	kv      jetstream.KeyValue
}

// history is how many revisions of a definition stay readable, for a person
// who asks what it was; the bucket's limit.
const history = 64

// Config returns the settings of the bucket.
func Config(names subject.Names) jetstream.StreamConfig {
	return stream.Bucket(names.Definitions(), "senders and broadcasts", history)
}

// Open opens the bucket, which the provider may create where it does not
// exist.
func Open(ctx context.Context, p stream.Provider, names subject.Names) (*Store, error) {
	kv, err := p.KeyValue(ctx, Config(names))
	if err != nil {
		return nil, fmt.Errorf("definitions: %w", err)
	}
	return &Store{streams: p, kv: kv}, nil
}

// Bind returns a value stored once for the installation. Where there is none
// the given one is stored, by those who create what is missing; the others
// wait for it.
func (s *Store) Bind(ctx context.Context, key, value string) (string, error) {
	if s.streams.Create {
		if _, err := s.kv.Create(ctx, "installation."+key, []byte(value)); err == nil {
			return value, nil
		}
	}
	return s.Bound(ctx, key)
}

// Rebind stores a value for the installation in the place of any other.
func (s *Store) Rebind(ctx context.Context, key, value string) error {
	bound, err := s.Bound(ctx, key)
	if err == nil && bound != value {
		_, err = s.kv.PutString(ctx, "installation."+key, value)
	}
	if err != nil {
		return fmt.Errorf("definitions: %s: %w", key, err)
	}
	return nil
}

// Bound returns a value stored once for the installation: "" where none is,
// to those who may store one; the others wait for it.
func (s *Store) Bound(ctx context.Context, key string) (value string, err error) {
	if s.streams.Create {
		return s.Noted(ctx, key)
	}
	err = s.streams.Await(ctx, "the installation's "+key, func(ctx context.Context) (bool, error) {
		var found bool
		value, found, err = s.noted(ctx, key)
		return found && !unanswered(ctx, err), err
	})
	if err != nil {
		return "", fmt.Errorf("definitions: %s: %w", key, err)
	}
	return value, nil
}

// Noted returns a value stored for the installation, "" where there is none: of
// what need not be there nobody waits for it.
func (s *Store) Noted(ctx context.Context, key string) (string, error) {
	for late := time.Now().Add(s.streams.Patience); ; {
		value, _, err := s.noted(ctx, key)
		switch {
		case err == nil:
			return value, nil
		case !unanswered(ctx, err), !time.Now().Before(late):
			return "", fmt.Errorf("definitions: %s: %w", key, err)
		}
	}
}

// noted asks once. found is false where the answer is that there is nothing.
func (s *Store) noted(ctx context.Context, key string) (value string, found bool, err error) {
	e, err := s.kv.Get(ctx, "installation."+key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", true, err
	}
	return string(e.Value()), true, nil
}

// unanswered tells whether nobody answered in the library's time: a stream of
// several replicas that was made a moment ago has no leader yet.
func unanswered(ctx context.Context, err error) bool {
	return errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
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

// parse reads a definition and refuses one with a field of a newer version:
// what it asks for would not be done, and a change would lose it.
func parse[T any](e jetstream.KeyValueEntry) (*T, uint64, error) {
	var v T
	d := json.NewDecoder(bytes.NewReader(e.Value()))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return nil, 0, fmt.Errorf("%s at revision %d: %w: %w", e.Key(), e.Revision(), ErrUnreadable, err)
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
	if stream.Conflict(err) {
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

// Hook returns a hook and its revision.
func (s *Store) Hook(ctx context.Context, id string) (*hook.Spec, uint64, error) {
	return get[hook.Spec](ctx, s, "hook", id)
}

// PutHook stores a hook at the revision that it was read at.
func (s *Store) PutHook(ctx context.Context, v *hook.Spec, rev uint64) (uint64, error) {
	return put(ctx, s, "hook", v.ID, v, rev)
}

// Template returns a template and its revision.
func (s *Store) Template(ctx context.Context, id string) (*content.Template, uint64, error) {
	return get[content.Template](ctx, s, "template", id)
}

// PutTemplate stores a template at the revision that it was read at.
func (s *Store) PutTemplate(ctx context.Context, v *content.Template, rev uint64) (uint64, error) {
	return put(ctx, s, "template", v.ID, v, rev)
}

// Templates returns the ids of all templates, sorted.
func (s *Store) Templates(ctx context.Context) ([]string, error) { return s.ids(ctx, "template.") }

// Hooks returns the ids of all hooks, sorted.
func (s *Store) Hooks(ctx context.Context) ([]string, error) { return s.ids(ctx, "hook.") }

// Endpoint returns an endpoint and its revision.
func (s *Store) Endpoint(ctx context.Context, id string) (*endpoint.Spec, uint64, error) {
	return get[endpoint.Spec](ctx, s, "endpoint", id)
}

// PutEndpoint stores an endpoint at the revision that it was read at.
func (s *Store) PutEndpoint(ctx context.Context, v *endpoint.Spec, rev uint64) (uint64, error) {
	return put(ctx, s, "endpoint", v.ID, v, rev)
}

// Endpoints returns the ids of all endpoints, sorted.
func (s *Store) Endpoints(ctx context.Context) ([]string, error) { return s.ids(ctx, "endpoint.") }

// Since returns when the oldest revision of an endpoint that is kept was
// stored: when it was defined, unless it was changed very often since.
func (s *Store) Since(ctx context.Context, id string) (time.Time, error) {
	h, err := s.kv.History(ctx, "endpoint."+id)
	if err != nil {
		return time.Time{}, fmt.Errorf("endpoint %s: %w", id, err)
	}
	return h[0].Created(), nil
}

// Senders returns the ids of all senders, sorted.
func (s *Store) Senders(ctx context.Context) ([]string, error) { return s.ids(ctx, "sender.") }

// Broadcasts returns the ids of all broadcasts, sorted.
func (s *Store) Broadcasts(ctx context.Context) ([]string, error) { return s.ids(ctx, "broadcast.") }

func (s *Store) ids(ctx context.Context, prefix string) ([]string, error) {
	return s.keys(ctx, prefix, ">")
}

// keys returns what of the keys that a pattern finds stands behind a prefix.
func (s *Store) keys(ctx context.Context, prefix, pattern string) ([]string, error) {
	l, err := s.kv.ListKeysFiltered(ctx, prefix+pattern)
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

// Change is a definition as it is now: a sender, a broadcast, or an error that
// says why it can't be read.
type Change struct {
	Sender    *sender.Spec
	Broadcast *broadcast.Broadcast
	Rev       uint64
	Err       error
}

// Watch calls changed with every definition as it is, current once it has told
// all that was there, and changed again whenever one changes, until ctx ends.
// A definition that can't be read ends it with an error.
func (s *Store) Watch(ctx context.Context, changed func(Change), current func()) error {
	w, err := s.kv.WatchFiltered(ctx, []string{"sender.>", "broadcast.>"}, jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("watch definitions: %w", err)
	}
	defer func() { _ = w.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, open := <-w.Updates():
			if !open {
				return fmt.Errorf("watch definitions: %w", nats.ErrConnectionClosed)
			}
			if e == nil {
				current()
				continue
			}
			changed(changeOf(e))
		}
	}
}

func changeOf(e jetstream.KeyValueEntry) (c Change) {
	if strings.HasPrefix(e.Key(), "sender.") {
		c.Sender, c.Rev, c.Err = parse[sender.Spec](e)
		return c
	}
	c.Broadcast, c.Rev, c.Err = parse[broadcast.Broadcast](e)
	return c
}
