// Package outlet pushes outcomes to the endpoints that are defined: one pump
// for each, so that none waits for another, and deliveries for none. Whoever
// leads runs them. It signs and calls by another room, and decides nothing of
// what is sent to people.
//
// Invariant: the cursor of an endpoint moves past an outcome only together
// with a push that has it, and a push is forgotten only when it was taken or
// stands among those that were given up. So every outcome is pushed at least
// once, whoever leads and whenever a process is killed; a repeat has the same
// ids.
package outlet

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/outcome"
	"github.com/carillon-dev/carillon/internal/push"
	"github.com/carillon-dev/carillon/internal/secret"
	"github.com/carillon-dev/carillon/internal/subject"
)

// Settings is what endpoints are pushed to with.
type Settings struct {
	Names    subject.Names
	Defs     *definition.Store
	Facts    *facts.Store
	Feed     *outcome.Feed
	Store    *Store
	Push     func(context.Context, push.Message) push.Result
	Secret   func(ref string) (secret.Text, error) // what env:NAME or file:PATH names
	Patience Patience
	Counts   *Counts
	Log      *slog.Logger
}

// Counts are figures of a process.
type Counts struct {
	Taken, Failed, Dead  atomic.Int64 // pushes
	Behind, Waiting, Off atomic.Int64 // records of the endpoint that lags most; pushes not taken yet; endpoints that are off
}

// Outlets runs a pump for every endpoint.
type Outlets struct {
	Settings
	mu    sync.Mutex
	pumps map[string]*pump
	heads map[string]uint64 // of the ledger's streams, as far as was told
	wg    sync.WaitGroup
}

// New returns outlets that do nothing until Run, which is called once.
func New(s Settings) *Outlets {
	return &Outlets{Settings: s, pumps: map[string]*pump{}, heads: map[string]uint64{}}
}

// lookEvery is how often new endpoints are looked for.
const lookEvery = time.Second

// Run pushes until ctx ends.
func (o *Outlets) Run(ctx context.Context) {
	defer o.wg.Wait()
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		o.look(ctx)
		o.measure()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// look starts pumps for endpoints that have none.
func (o *Outlets) look(ctx context.Context) {
	ids, err := o.Defs.Endpoints(ctx)
	if err != nil && ctx.Err() == nil {
		o.Log.WarnContext(ctx, "endpoints can't be listed; trying again", "error", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		if o.pumps[id] == nil {
			p := &pump{Settings: &o.Settings, id: id, fresh: map[string]bool{}, wake: make(chan struct{}, 1)}
			o.pumps[id] = p
			o.wg.Go(func() { p.run(ctx) })
		}
	}
}

// Recorded wakes the pumps for a record of the ledger.
func (o *Outlets) Recorded(_ context.Context, e ledger.Entry) error {
	if _, ok := outcome.Of(e); !ok {
		return nil
	}
	name := o.Names.Ledger(e.ID.Month, e.ID.Part)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.heads[name] = max(o.heads[name], e.Seq)
	for _, p := range o.pumps {
		p.tell(name)
	}
	return nil
}

// measure takes the figures of what is waited for.
func (o *Outlets) measure() {
	o.mu.Lock()
	defer o.mu.Unlock()
	var behind, waiting, off int64
	for _, p := range o.pumps {
		st := p.seen.Load()
		if st == nil {
			continue
		}
		lag := int64(0)
		for name, head := range o.heads {
			lag += int64(max(head, st.Cursor[name]) - st.Cursor[name])
		}
		behind, waiting = max(behind, lag), waiting+int64(len(st.Waiting))
		if st.Off != "" {
			off++
		}
	}
	o.Counts.Behind.Store(behind)
	o.Counts.Waiting.Store(waiting)
	o.Counts.Off.Store(off)
}
