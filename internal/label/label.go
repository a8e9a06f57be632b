// Package label makes the custom labels of a Page labels of its contacts: by
// the Page's word they are there or gone, under names that begin with Prefix.
// Whoever leads pulls them, when a Sender document says so or somebody orders
// it. It never writes to the platform, and never touches a label of another
// name.
//
// Invariant: a pull that fails changes nothing but what it read before, and
// stops nothing else of its sender. What could not be read counts as unknown,
// never as gone.
package label

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/sender"
)

// Prefix begins the labels that are the Page's.
const Prefix = "fb:"

// Pace is the time between two calls for one sender: two a second, the lowest
// rate that the platform names for reading in a Page's name. Messages, which
// come out of the same budget, have hundreds.
const Pace = 500 * time.Millisecond

// Reader asks a platform for one page of an account's labels, or of a
// person's. Its error is a *channel.Fault where the platform is the cause.
type Reader interface {
	Labels(ctx context.Context, a channel.Account, person, after string) (channel.Labels, error)
}

// Settings is what labels are pulled with.
type Settings struct {
	Defs    *definition.Store
	Facts   *facts.Store
	Store   *Store
	Reader  Reader
	Account func(*sender.Spec) (channel.Account, error) // with its credential
	Pace    time.Duration                               // between two calls for one sender, over 0
	Log     *slog.Logger
}

// Puller pulls labels, of each sender one run at a time. Make one for each
// term.
type Puller struct {
	Settings
	mu   sync.Mutex
	busy map[string]bool
	wg   sync.WaitGroup
}

// New returns a puller that does nothing until Run, which is called once.
func New(s Settings) *Puller { return &Puller{Settings: s, busy: map[string]bool{}} }

const (
	// orderEvery is how often orders are looked for: somebody waits for them.
	orderEvery = time.Second
	// lookEvery is how often documents are, as standing orders are.
	lookEvery = 15 * time.Second
)

// Run pulls what is due until ctx ends.
func (p *Puller) Run(ctx context.Context) {
	defer p.wg.Wait()
	t := time.NewTicker(orderEvery)
	defer t.Stop()
	for looked := (time.Time{}); ; {
		documents := time.Since(looked) >= lookEvery
		if documents {
			looked = time.Now()
		}
		if err := p.look(ctx, documents); err != nil && ctx.Err() == nil {
			p.Log.WarnContext(ctx, "what labels are to be pulled can't be read; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// look begins what is due: by orders, and where documents are looked at too,
// by those.
func (p *Puller) look(ctx context.Context, documents bool) error {
	states, err := p.Store.States(ctx)
	if err != nil {
		return err
	}
	for id, st := range states {
		if st.Waits() || st.Run.Ended.IsZero() {
			err = errors.Join(err, p.begin(ctx, id, st))
		}
	}
	if !documents {
		return err
	}
	ids, failed := p.Defs.Senders(ctx)
	err = errors.Join(err, failed)
	for _, id := range ids {
		err = errors.Join(err, p.begin(ctx, id, states[id]))
	}
	return err
}

// begin begins a run for a sender where one is due and none goes on.
func (p *Puller) begin(ctx context.Context, id string, st State) error {
	p.mu.Lock()
	busy := p.busy[id]
	p.mu.Unlock()
	if busy {
		return nil
	}
	spec, _, err := p.Defs.Sender(ctx, id)
	if errors.Is(err, definition.ErrNotFound) {
		return nil
	}
	if err != nil || !due(spec, st, time.Now()) {
		return err
	}
	p.mu.Lock()
	p.busy[id] = true
	p.mu.Unlock()
	p.wg.Go(func() {
		p.run(ctx, spec)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.busy, id)
	})
	return nil
}

// due tells whether a sender's labels are to be pulled now.
func due(spec *sender.Spec, st State, now time.Time) bool {
	switch every := spec.Labels.Every(); {
	case !spec.HasLabels():
		return false
	case st.Waits():
		return true
	case st.Run.Began.IsZero():
		return every > 0
	case st.Run.Ended.IsZero(): // it was cut short
		return true
	default:
		return every > 0 && !now.Before(st.Run.Began.Add(every))
	}
}

// run pulls once and keeps what it came to.
func (p *Puller) run(ctx context.Context, spec *sender.Spec) {
	st, err := p.Store.State(ctx, spec.ID)
	if err == nil && !due(spec, st, time.Now()) {
		return // a run ended since it was looked at
	}
	if err == nil {
		st, err = p.Store.edit(ctx, spec.ID, func(st *State) { st.Run = Run{Order: st.Ordered, Began: time.Now().UTC()} })
	}
	if err == nil {
		out := p.pull(ctx, spec, st.Run)
		if ctx.Err() != nil {
			return // it is cut short: who leads next begins again
		}
		out.Ended = time.Now().UTC()
		if e := out.Error; e != nil {
			p.Log.WarnContext(ctx, "the labels of a Page could not be pulled to the end", "sender", spec.ID, "code", e.Code, "subcode", e.Subcode, "detail", e.Detail, "link", e.Link)
		}
		_, err = p.Store.edit(ctx, spec.ID, func(st *State) { st.Run = out })
	}
	if err != nil && ctx.Err() == nil {
		p.Log.WarnContext(ctx, "what pulling labels came to could not be kept; trying again", "sender", spec.ID, "error", err)
	}
}
