package definition

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/flow"
)

// version names what never changes once it is there.
type version struct {
	flow string
	n    int
}

// hearFlow takes in what became of a flow. One that can't be read is not live:
// what a newer version wrote of it may forbid something.
func (c *Cache) hearFlow(id string, e jetstream.KeyValueEntry) {
	v, _, err := parse[flow.Flow](e)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = nil
	c.newest = max(c.newest, e.Revision())
	close(c.moved)
	c.moved = make(chan struct{})
	if err != nil || e.Operation() != jetstream.KeyValuePut {
		delete(c.flows, id)
		return
	}
	c.flows[id] = *v
}

// Flow returns what became of a flow, as it was last heard of; false for one
// that is not known. It waits until those from before this cache are known.
func (c *Cache) Flow(ctx context.Context, id string) (flow.Flow, bool, error) {
	if err := c.known(ctx); err != nil {
		return flow.Flow{}, false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.flows[id]
	return f, ok, nil
}

// Program returns a version of a flow, compiled. Asking again brings no other
// answer where its error is lasting, see Lasting.
func (c *Cache) Program(ctx context.Context, id string, n int) (*flow.Program, error) {
	at := version{id, n}
	c.mu.Lock()
	p := c.programs[at]
	c.mu.Unlock()
	if p != nil {
		return p, nil
	}
	spec, err := c.store.FlowSpec(ctx, id, n)
	if err != nil {
		return nil, err
	}
	if p, err = flow.Compile(spec, n); err != nil {
		return nil, fmt.Errorf("flow %s, version %d: %w: %w", id, n, ErrUnreadable, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.programs) >= maxCached {
		clear(c.programs)
	}
	c.programs[at] = p
	return p, nil
}

// Flows returns the newest versions of all flows that are active, sorted by
// id, as they were last heard of. The list must not be changed. It waits until
// the flows from before this cache are known.
func (c *Cache) Flows(ctx context.Context) ([]*flow.Program, error) {
	if err := c.known(ctx); err != nil {
		return nil, err
	}
	for {
		c.mu.Lock()
		live, flows := c.live, maps.Clone(c.flows)
		c.mu.Unlock()
		if live != nil {
			return live, nil
		}
		live = []*flow.Program{}
		for _, id := range slices.Sorted(maps.Keys(flows)) {
			if f := flows[id]; f.State == flow.Active {
				p, err := c.Program(ctx, id, f.Version)
				if err != nil {
					return nil, err
				}
				live = append(live, p)
			}
		}
		c.mu.Lock()
		if maps.Equal(flows, c.flows) { // else one changed meanwhile
			c.live = live
			c.mu.Unlock()
			return live, nil
		}
		c.mu.Unlock()
	}
}
