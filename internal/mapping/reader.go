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

// Reader finds out whether a call is the CRM's and what it says.
type Reader interface {
	Read(c hook.Call) (hook.Told, error)
}

// Mapped is a reader whose events are mapped by the hook that is called.
type Mapped struct {
	Reader
	Cache *Cache
}

// Read reads a call, and maps what it told.
func (m Mapped) Read(c hook.Call) (hook.Told, error) {
	told, err := m.Reader.Read(c)
	if err != nil {
		return told, err
	}
	rules, err := m.Cache.Of(c.Hook)
	if err != nil { // it was compiled when it was applied
		return hook.Told{}, &hook.Malformed{Why: err.Error()}
	}
	told.Events = rules.All(told.Events)
	return told, nil
}
