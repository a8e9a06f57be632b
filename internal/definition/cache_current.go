package definition

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/stream"
)

// Catch returns once this cache has heard of every change of a flow that was
// answered before: whoever is told of an event right after a flow was applied
// must not miss it, whichever process applied it.
func (c *Cache) Catch(ctx context.Context) error {
	bucket := c.store.kv.Bucket()
	m, found, err := stream.Last(ctx, c.store.streams.JS.Conn(), "KV_"+bucket, "$KV."+bucket+".flow.*")
	if err != nil {
		return fmt.Errorf("flows: %w", err)
	}
	for found {
		c.mu.Lock()
		heard, moved := c.newest >= m.Seq, c.moved
		c.mu.Unlock()
		if heard {
			break
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("flows are not known yet: %w", ctx.Err())
		}
	}
	return nil
}

// Hearing returns every version of the flows that are not deleted, as they are
// now, by id, the newest of each first: events may begin runs of that one, and
// move those of the others. A version that can't be read any more is left out.
func (c *Cache) Hearing(ctx context.Context) ([]*flow.Program, error) {
	if err := c.Catch(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	flows := maps.Clone(c.flows)
	c.mu.Unlock()
	var out []*flow.Program
	for _, id := range slices.Sorted(maps.Keys(flows)) {
		if flows[id].State == flow.Deleted {
			continue
		}
		for v := flows[id].Version; v > 0; v-- {
			p, err := c.Program(ctx, id, v)
			if err != nil && !Lasting(err) { // an event must not pass by a flow since nobody answered
				return nil, err
			}
			if err == nil {
				out = append(out, p)
			}
		}
	}
	return out, nil
}
