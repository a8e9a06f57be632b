package ledger

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/stream"
)

// Watcher is told of every record, in the order of its stream, by one
// goroutine. It must not block for long.
type Watcher interface {
	Recorded(ctx context.Context, e Entry) error
}

// flushEvery is how often the running tallies are checkpointed: what a crash
// costs is reading that much of the ledger again.
const flushEvery = 2 * time.Second

// findEvery is how often new ledger streams are looked for, and streams that
// could not be followed are tried again.
const findEvery = time.Second

// lead is one stretch of leading.
type lead struct {
	ctx      context.Context
	watchers []Watcher
	flush    func(context.Context) error
	done     chan error
}

// Lead has Run tell watchers of every record after the checkpoint, some of
// which they may have been told before, and keep the checkpoint, until ctx
// ends. flush makes durable what watchers keep, before the checkpoint moves
// past it; nil where they keep nothing. The result is one value, when the
// leading is over: a watcher's error, or nil.
func (t *Tally) Lead(ctx context.Context, flush func(context.Context) error, watchers ...Watcher) <-chan error {
	l := &lead{ctx, watchers, flush, make(chan error, 1)}
	select {
	case t.leads <- l:
	case <-ctx.Done():
		l.done <- nil
	}
	return l.done
}

// Run follows every ledger stream, those that appear later too, until ctx
// ends. It returns the first error that it can't go on after.
func (t *Tally) Run(ctx context.Context) error {
	next := t.asked()
	for {
		r := &round{Tally: t, lead: next, started: map[string]bool{}, inbox: make(chan followed, 4096), failed: make(chan failure)}
		var err error
		next, err = r.run(ctx)
		if r.lead != nil {
			r.lead.done <- err // a leader's failure ends its leading, not the counting
			err = nil
		}
		if err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// asked returns who waits to lead, if anybody.
func (t *Tally) asked() *lead {
	select {
	case l := <-t.leads:
		return l
	default:
		return nil
	}
}

// round follows the ledger without a change of who leads.
type round struct {
	*Tally
	lead    *lead             // nil: another process leads, or nobody
	told    map[string]uint64 // by stream: how far the watchers were told
	started map[string]bool
	inbox   chan followed
	failed  chan failure
	wg      sync.WaitGroup
}

type followed struct {
	stream string
	m      stream.Message
}

type failure struct {
	stream string
	err    error
}

// run returns whom the next round is led by, if anybody.
func (r *round) run(ctx context.Context) (*lead, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer r.wg.Wait()
	defer cancel()
	var over <-chan struct{}
	if r.lead != nil {
		var err error
		if r.told, err = r.checkpoint(r.lead.ctx); err != nil {
			return nil, err
		}
		r.rewind()
		over = r.lead.ctx.Done()
		defer r.save(context.WithoutCancel(ctx))
	}
	find := time.NewTicker(findEvery)
	defer find.Stop()
	flush := time.NewTicker(flushEvery)
	defer flush.Stop()
	r.followNew(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil, nil
		case <-over:
			return nil, nil
		case l := <-r.leads:
			return l, nil
		case f := <-r.inbox:
			// Nothing after a record that a watcher refused may be taken: the
			// checkpoint would move past it.
			if err := r.take(ctx, f); err != nil {
				return nil, err
			}
		case f := <-r.failed:
			r.log.Warn("a ledger stream can't be followed; trying again", "stream", f.stream, "error", f.err)
			r.started[f.stream] = false
		case <-find.C:
			r.followNew(ctx)
		case <-flush.C:
			r.save(ctx)
		case <-r.hurry:
			r.save(ctx)
		}
	}
}

// rewind goes back to where both this tally and the watchers are: a checkpoint
// may be ahead of a tally that was slow to follow, whose counts would lack
// what lies between. Whoever waits for a record waits until it was told.
func (r *round) rewind() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, seq := range r.told {
		r.told[name] = min(seq, r.seen[name])
	}
	r.seen = maps.Clone(r.told)
}

// from returns the sequence that following a stream begins at.
func (r *round) from(name string) uint64 {
	if r.lead != nil {
		return r.told[name] + 1
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[name] + 1
}

func (r *round) followNew(ctx context.Context) {
	names, err := r.ledger.Streams(ctx)
	if err != nil && ctx.Err() == nil {
		r.log.Warn("ledger streams can't be listed; trying again", "error", err)
	}
	for _, name := range names {
		if r.started[name] {
			continue
		}
		r.started[name] = true
		from, ch := r.from(name), make(chan stream.Message, 256)
		r.wg.Go(func() {
			defer close(ch)
			if err := stream.Follow(ctx, r.ledger.js, name, from, ch); err != nil {
				select {
				case r.failed <- failure{name, err}:
				case <-ctx.Done():
				}
			}
		})
		r.wg.Go(func() {
			for m := range ch {
				select {
				case r.inbox <- followed{name, m}:
				case <-ctx.Done():
				}
			}
		})
	}
}

func (r *round) take(ctx context.Context, f followed) error {
	e, err := r.ledger.Entry(f.m)
	if err != nil {
		return err
	}
	if r.lead != nil {
		for _, w := range r.lead.watchers {
			if err := w.Recorded(ctx, e); err != nil {
				return err
			}
		}
		r.told[f.stream] = e.Seq
	}
	r.count(f.stream, e)
	return nil
}

// count counts a record, unless it was counted before: a checkpoint may be
// ahead of the stream's position, and who begins to lead reads some again.
func (t *Tally) count(name string, e Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	whole := e.ID.Whole()
	c := t.sources[whole]
	if c == nil {
		n := NewCounts()
		c = &n
		t.sources[whole] = c
	}
	if e.Seq > c.Seq {
		c.Add(e)
		t.dirty[whole] = true
	}
	t.seen[name] = e.Seq
	close(t.moved)
	t.moved = make(chan struct{})
}

// save stores the counts that changed, then how far they and the watchers
// are. A crash in between leaves counts that are ahead, which count skips.
func (r *round) save(ctx context.Context) {
	if r.lead == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	changed := r.changed()
	if len(changed) == 0 {
		return
	}
	if err := r.write(ctx, changed, maps.Clone(r.told)); err != nil {
		r.log.Warn("tallies could not be checkpointed; the next checkpoint covers it", "error", err)
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, c := range changed {
			r.dirty[c.Source] = true
		}
	}
}

func (r *round) write(ctx context.Context, changed []savedCounts, told map[string]uint64) error {
	if r.lead.flush != nil {
		if err := r.lead.flush(ctx); err != nil {
			return err
		}
	}
	for _, c := range changed {
		if err := r.storeCounts(ctx, c); err != nil {
			return err
		}
	}
	r.Kill.Pass(killpoint.TallyKept)
	return r.storeCheckpoint(ctx, told)
}

// errContended says that a key was changed again and again meanwhile.
var errContended = errors.New("somebody else keeps storing it")
