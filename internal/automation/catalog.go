package automation

import (
	"context"
	"sync"
	"time"

	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/sender"
)

// Defined is the catalog of what is defined. It is safe for concurrent use.
type Defined struct {
	cache *definition.Cache
	store *definition.Store

	mu    sync.Mutex
	since map[string]time.Time
}

// NewDefined returns the catalog of what a cache hears of.
func NewDefined(c *definition.Cache, s *definition.Store) *Defined {
	return &Defined{cache: c, store: s, since: map[string]time.Time{}}
}

// Flows returns all flows as they were last heard of.
func (d *Defined) Flows(ctx context.Context) ([]Flow, error) {
	all, err := d.cache.Known(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]Flow, len(all))
	for i, f := range all {
		if _, known := d.since[f.ID]; !known {
			if d.since[f.ID], err = d.store.FlowSince(ctx, f.ID); err != nil {
				delete(d.since, f.ID)
				return nil, err
			}
		}
		out[i] = Flow{f, d.since[f.ID]}
	}
	return out, nil
}

// Catch returns once every change of a flow was heard of that was answered
// before.
func (d *Defined) Catch(ctx context.Context) error { return d.cache.Catch(ctx) }

// Program returns one version of a flow.
func (d *Defined) Program(ctx context.Context, id string, version int) (*flow.Program, error) {
	return d.cache.Program(ctx, id, version)
}

// Sender returns a sender as it was last heard of.
func (d *Defined) Sender(ctx context.Context, id string) (*sender.Spec, error) {
	return d.cache.Sender(ctx, id)
}
