package mapping

import (
	"reflect"
	"sync"

	"github.com/carillon-dev/carillon/internal/hook"
)

// Cache keeps compiled mappings by hook, for as long as the document is the
// same. It is safe for concurrent use.
type Cache struct {
	mu   sync.Mutex
	have map[string]compiled
}

type compiled struct {
	sources []string
	rules   []hook.Rule
	mapping *Mapping
}

// NewCache returns an empty cache.
func NewCache() *Cache { return &Cache{have: map[string]compiled{}} }

// Of returns the mapping of a hook.
func (c *Cache) Of(h *hook.Spec) (*Mapping, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, ok := c.have[h.ID]; ok && reflect.DeepEqual(k.rules, h.Map) && reflect.DeepEqual(k.sources, h.Sources) {
		return k.mapping, nil
	}
	m, err := Compile(h)
	if err == nil {
		c.have[h.ID] = compiled{h.Sources, h.Map, m}
	}
	return m, err
}
