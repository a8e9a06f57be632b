package definition

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/flow"
)

// Known returns what became of all flows, those that were deleted too, sorted
// by id, as they were last heard of. It waits until those from before this
// cache are known.
func (c *Cache) Known(ctx context.Context) ([]flow.Flow, error) {
	if err := c.known(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Values(c.flows), func(a, b flow.Flow) int { return strings.Compare(a.ID, b.ID) }), nil
}

// FlowSince returns when the first version of a flow was applied.
func (s *Store) FlowSince(ctx context.Context, id string) (time.Time, error) {
	e, err := s.kv.Get(ctx, "flow."+id+".1")
	if err != nil {
		return time.Time{}, fmt.Errorf("flow %s: %w", id, err)
	}
	return e.Created(), nil
}
