package definition

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/sender"
)

// Cache gives workers definitions without a round trip for each envelope: a
// broadcast by its source and a flow by its version, since nothing of those
// changes once they are there, and senders and what became of flows as they
// were last heard of.
type Cache struct {
	store *Store

	mu         sync.Mutex
	broadcasts map[string]*Planned // by source name
	senders    map[string]*sender.Spec
	accounts   map[account][]*sender.Spec // by what they send from, sorted by id; a list is replaced, never changed
	programs   map[version]*flow.Program
	flows      map[string]flow.Flow
	live       []*flow.Program // of the flows that are active; nil: to be put together anew
	newest     uint64          // revision of what was last heard of flows
	moved      chan struct{}   // closed and replaced when newest grows
	heard      chan struct{}   // closed once what was there before has come
	stop       context.CancelFunc
	stopped    chan struct{}
}

type account struct{ channel, id string }

// Planned is a broadcast as it was launched, or would be, with its message
// read.
type Planned struct {
	Spec  broadcast.Spec
	Says  *message.Wording
	Trace string // W3C traceparent of the launch
}

// Plan reads a broadcast's message. t is the template that it names, nil where
// it names none.
func Plan(b *broadcast.Broadcast, t *content.Template) (*Planned, error) {
	if name := b.Spec.Message.Template; (name != "") != (t != nil) {
		return nil, fmt.Errorf("broadcast %s: template %s: %w", b.Spec.ID, name, ErrNotFound)
	}
	says, err := message.NewWording(message.Broadcast(), b.Spec.Message, t)
	if err != nil {
		return nil, fmt.Errorf("broadcast %s: message.%w", b.Spec.ID, err)
	}
	return &Planned{Spec: b.Spec, Says: says, Trace: b.Trace}, nil
}

// Plan reads a broadcast's message with the template that it was launched
// with; before that, with the one that is defined now.
func (s *Store) Plan(ctx context.Context, b *broadcast.Broadcast) (*Planned, error) {
	t, err := s.TemplateOf(ctx, b)
	if err != nil {
		return nil, err
	}
	return Plan(b, t)
}

// TemplateOf returns the template of a broadcast's message, nil for none.
func (s *Store) TemplateOf(ctx context.Context, b *broadcast.Broadcast) (*content.Template, error) {
	name := b.Spec.Message.Template
	if b.Template != nil || name == "" {
		return b.Template, nil
	}
	t, _, err := s.Template(ctx, name)
	switch {
	case errors.Is(err, ErrNotFound) || err == nil && t.Sender != "" && t.Sender != b.Spec.Sender:
		return nil, fmt.Errorf("broadcast %s: message.template %s is not defined for sender %s; apply its Template document first", b.Spec.ID, name, b.Spec.Sender)
	case err != nil:
		return nil, err
	}
	return t, nil
}

// NewCache returns a cache that hears of changed senders and flows until ctx
// ends or it is closed.
func NewCache(ctx context.Context, s *Store) (*Cache, error) {
	ctx, stop := context.WithCancel(ctx)
	w, err := s.watch(ctx)
	if err != nil {
		stop()
		return nil, err
	}
	c := &Cache{
		store: s, broadcasts: map[string]*Planned{}, senders: map[string]*sender.Spec{}, accounts: map[account][]*sender.Spec{},
		programs: map[version]*flow.Program{}, flows: map[string]flow.Flow{}, moved: make(chan struct{}), heard: make(chan struct{}), stop: stop, stopped: make(chan struct{}),
	}
	go c.listen(ctx, w)
	return c, nil
}

func (s *Store) watch(ctx context.Context) (jetstream.KeyWatcher, error) {
	w, err := s.kv.WatchFiltered(ctx, []string{"sender.>", "flow.*"})
	if err != nil {
		return nil, fmt.Errorf("watch senders and flows: %w", err)
	}
	return w, nil
}

// watchAgain lies between two tries to watch.
const watchAgain = time.Second

// listen hears until ctx ends. A watcher whose server was lost ends by itself
// where it can't have a successor at once: then another one tells everything
// anew.
func (c *Cache) listen(ctx context.Context, w jetstream.KeyWatcher) {
	defer close(c.stopped)
	all := sync.OnceFunc(func() { close(c.heard) })
	for {
		if w != nil {
			c.hear(ctx, w, all)
			_ = w.Stop() // that its consumer was lost before is no matter
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchAgain):
		}
		w, _ = c.store.watch(ctx) // tried again until it works: meanwhile what was heard last holds
	}
}

// hear takes in what a watcher tells until it or ctx ends.
func (c *Cache) hear(ctx context.Context, w jetstream.KeyWatcher, all func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case e, open := <-w.Updates():
			switch {
			case !open:
				return
			case e == nil: // the values from before have all come
				all()
			default:
				c.take(e)
			}
		}
	}
}

// take takes in one value.
func (c *Cache) take(e jetstream.KeyValueEntry) {
	if id, ok := strings.CutPrefix(e.Key(), "flow."); ok {
		c.hearFlow(id, e)
		return
	}
	v, _, err := parse[sender.Spec](e)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || e.Operation() != jetstream.KeyValuePut {
		c.set(strings.TrimPrefix(e.Key(), "sender."), nil)
	} else {
		c.set(v.ID, v)
	}
}

// set takes a sender's newest definition in; nil: it can't be read.
func (c *Cache) set(id string, v *sender.Spec) {
	if old := c.senders[id]; old != nil {
		at := account{old.Channel, old.Account}
		c.accounts[at] = slices.DeleteFunc(slices.Clone(c.accounts[at]), func(s *sender.Spec) bool { return s.ID == id })
		delete(c.senders, id)
	}
	if v == nil {
		return
	}
	at := account{v.Channel, v.Account}
	c.senders[id] = v
	c.accounts[at] = append(slices.Clone(c.accounts[at]), v)
	slices.SortFunc(c.accounts[at], func(a, b *sender.Spec) int { return strings.Compare(a.ID, b.ID) })
}

// OfAccount returns the senders that are an account of a channel, sorted by
// id, as they were last heard of; none where nobody is. The list must not be
// changed. It waits until those from before this cache are known.
func (c *Cache) OfAccount(ctx context.Context, channel, id string) ([]*sender.Spec, error) {
	if err := c.known(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.accounts[account{channel, id}], nil
}

// known waits until what was there before this cache has come.
func (c *Cache) known(ctx context.Context) error {
	select {
	case <-c.heard:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("definitions are not known yet: %w", ctx.Err())
	}
}

// Close stops listening. What was heard stays known.
func (c *Cache) Close() {
	c.stop()
	<-c.stopped
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
	if p, err = Plan(b, b.Template); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.broadcasts) >= maxCached {
		clear(c.broadcasts)
	}
	c.broadcasts[source] = p
	return p, nil
}
