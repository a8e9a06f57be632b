package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Counts is how many jobs of a source are in each state. Jobs without a
// record are not in it: they are the audience minus its sum.
type Counts struct {
	States  map[job.State]int              `json:"states"`
	Reasons map[string]map[reason.Code]int `json:"reasons"` // by state, of jobs that are in it now
	Seq     uint64                         `json:"seq"`     // ledger sequence up to which it counts
	LastAt  time.Time                      `json:"last_at,omitzero"`
}

// NewCounts returns counts of nothing.
func NewCounts() Counts {
	return Counts{States: map[job.State]int{}, Reasons: map[string]map[reason.Code]int{}}
}

// Clone returns a copy that shares nothing.
func (c Counts) Clone() Counts {
	out := c
	out.States = maps.Clone(c.States)
	out.Reasons = make(map[string]map[reason.Code]int, len(c.Reasons))
	for s, r := range c.Reasons {
		out.Reasons[s] = maps.Clone(r)
	}
	return out
}

// Total returns how many jobs have a record.
func (c Counts) Total() int {
	n := 0
	for _, v := range c.States {
		n += v
	}
	return n
}

// Add counts one record. It needs only the record: what the job was before
// stands in it.
func (c *Counts) Add(e Entry) {
	r := e.Record
	c.Seq, c.LastAt = e.Seq, r.At
	if r.Discarded {
		return
	}
	if r.Prev != 0 {
		c.move(r.From, r.FromReason, -1)
	}
	c.move(r.State, r.Reason, 1)
}

func (c *Counts) move(s job.State, why reason.Code, by int) {
	if c.States[s] += by; c.States[s] == 0 {
		delete(c.States, s)
	}
	if why == "" || s == job.Pending || s == job.Claimed {
		return // on its way: why it came back is history, not a state
	}
	byReason := c.Reasons[string(s)]
	if byReason == nil {
		byReason = map[reason.Code]int{}
		c.Reasons[string(s)] = byReason
	}
	if byReason[why] += by; byReason[why] == 0 {
		delete(byReason, why)
	}
	if len(byReason) == 0 {
		delete(c.Reasons, string(s))
	}
}

// Watcher is told of every record, in the order of its stream, by one
// goroutine. It must not block for long.
type Watcher interface {
	Recorded(ctx context.Context, e Entry) error
}

// flushEvery is how often the running tallies are checkpointed: what a crash
// costs is reading that much of the ledger again.
const flushEvery = 2 * time.Second

// Tally follows the ledger, keeps the counts of every source, and tells its
// watchers. Watchers that keep something durable do so in Flush, before the
// checkpoint moves past it.
type Tally struct {
	ledger   *Ledger
	js       jetstream.JetStream
	kv       jetstream.KeyValue
	log      *slog.Logger
	watchers []Watcher
	flushers []func(context.Context) error

	mu      sync.Mutex
	sources map[job.Source]*Counts
	dirty   map[job.Source]bool
	seen    map[string]uint64 // by stream
	moved   chan struct{}     // closed and replaced whenever seen moves
	started map[string]bool

	inbox chan followed
}

type followed struct {
	stream string
	m      stream.Message
}

// OpenTally loads the checkpoint, creating its bucket where needed.
func OpenTally(ctx context.Context, l *Ledger, names subject.Names, log *slog.Logger) (*Tally, error) {
	kv, err := l.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: names.Tallies(), Description: "running counts of every source, rebuilt from the ledger where missing", Storage: jetstream.FileStorage,
	})
	if err != nil {
		return nil, fmt.Errorf("tallies: %w", err)
	}
	t := &Tally{
		ledger: l, js: l.js, kv: kv, log: log,
		sources: map[job.Source]*Counts{}, dirty: map[job.Source]bool{}, seen: map[string]uint64{},
		moved: make(chan struct{}), started: map[string]bool{}, inbox: make(chan followed, 4096),
	}
	return t, t.load(ctx)
}

// Watch adds a watcher, and what makes durable what it kept. Only before Run.
func (t *Tally) Watch(w Watcher, flush func(context.Context) error) {
	t.watchers = append(t.watchers, w)
	if flush != nil {
		t.flushers = append(t.flushers, flush)
	}
}

const checkpointKey = "checkpoint"

func sourceKey(s job.Source) string {
	return fmt.Sprintf("source.%s.%d.%s.%s", s.Month, s.Part, s.Sender, keyToken(s.Name))
}

// keyToken writes '~', which a bucket's keys may not hold, as '='.
func keyToken(name string) string {
	b := []byte(name)
	for i := range b {
		if b[i] == '~' {
			b[i] = '='
		}
	}
	return string(b)
}

type savedCounts struct {
	Source job.Source `json:"source"`
	Counts Counts     `json:"counts"`
}

func (t *Tally) load(ctx context.Context) error {
	cp, err := t.kv.Get(ctx, checkpointKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("tallies: checkpoint: %w", err)
	}
	if err := json.Unmarshal(cp.Value(), &t.seen); err != nil {
		return fmt.Errorf("tallies: checkpoint: %w", err)
	}
	keys, err := t.kv.ListKeysFiltered(ctx, "source.>")
	if err != nil {
		return fmt.Errorf("tallies: %w", err)
	}
	for key := range keys.Keys() {
		v, err := t.kv.Get(ctx, key)
		if err != nil {
			return fmt.Errorf("tallies: %s: %w", key, err)
		}
		s := savedCounts{Counts: NewCounts()}
		if err := json.Unmarshal(v.Value(), &s); err != nil {
			return fmt.Errorf("tallies: %s: %w", key, err)
		}
		t.sources[s.Source] = &s.Counts
	}
	return nil
}

// Run follows every ledger stream, those that appear later too, until ctx
// ends. It returns the first error that it can't go on after.
func (t *Tally) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	find := time.NewTicker(time.Second)
	defer find.Stop()
	flush := time.NewTicker(flushEvery)
	defer flush.Stop()
	if err := t.followNew(ctx, &wg, cancel); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			t.save(context.WithoutCancel(ctx))
			return stopped(ctx)
		case f := <-t.inbox:
			// Nothing after a record that a watcher refused may be taken: the
			// checkpoint would move past it.
			if err := t.take(ctx, f); err != nil && ctx.Err() == nil {
				t.save(ctx)
				return err
			} else if err != nil {
				t.save(context.WithoutCancel(ctx))
				return stopped(ctx)
			}
		case <-find.C:
			if err := t.followNew(ctx, &wg, cancel); err != nil {
				t.log.Warn("ledger streams can't be listed; trying again", "error", err)
			}
		case <-flush.C:
			t.save(ctx)
		}
	}
}

// stopped returns why a context ended, nil where somebody just stopped it.
func stopped(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (t *Tally) followNew(ctx context.Context, wg *sync.WaitGroup, cancel context.CancelCauseFunc) error {
	names, err := t.ledger.Streams(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if t.started[name] {
			continue
		}
		t.started[name] = true
		t.mu.Lock()
		from := t.seen[name] + 1
		t.mu.Unlock()
		ch := make(chan stream.Message, 256)
		wg.Go(func() {
			if err := stream.Follow(ctx, t.js, name, from, ch); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case m := <-ch:
					select {
					case t.inbox <- followed{name, m}:
					case <-ctx.Done():
						return
					}
				}
			}
		})
	}
	return nil
}

func (t *Tally) take(ctx context.Context, f followed) error {
	e, err := t.ledger.Entry(f.m)
	if err != nil {
		return err
	}
	for _, w := range t.watchers {
		if err := w.Recorded(ctx, e); err != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.sources[e.ID.Source]
	if c == nil {
		n := NewCounts()
		c = &n
		t.sources[e.ID.Source] = c
	}
	if e.Seq > c.Seq { // a checkpoint may be ahead of the stream's position, never behind it
		c.Add(e)
		t.dirty[e.ID.Source] = true
	}
	t.seen[f.stream] = e.Seq
	close(t.moved)
	t.moved = make(chan struct{})
	return nil
}

// save writes the counts that changed, then how far they reach. A crash in
// between leaves counts that are ahead, which take skips over.
func (t *Tally) save(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	t.mu.Lock()
	changed := make([]savedCounts, 0, len(t.dirty))
	for s := range t.dirty {
		changed = append(changed, savedCounts{s, t.sources[s].Clone()})
	}
	clear(t.dirty)
	seen := maps.Clone(t.seen)
	t.mu.Unlock()
	if len(changed) == 0 {
		return
	}
	if err := t.write(ctx, changed, seen); err != nil {
		t.log.Warn("tallies could not be checkpointed; the next checkpoint covers it", "error", err)
		t.mu.Lock()
		for _, c := range changed {
			t.dirty[c.Source] = true
		}
		t.mu.Unlock()
	}
}

func (t *Tally) write(ctx context.Context, changed []savedCounts, seen map[string]uint64) error {
	for _, f := range t.flushers {
		if err := f(ctx); err != nil {
			return err
		}
	}
	for _, c := range changed {
		b, err := json.Marshal(c)
		if err != nil {
			return err
		}
		if _, err := t.kv.Put(ctx, sourceKey(c.Source), b); err != nil {
			return err
		}
	}
	b, err := json.Marshal(seen)
	if err != nil {
		return err
	}
	_, err = t.kv.Put(ctx, checkpointKey, b)
	return err
}

// Of returns a source's counts as of their Seq.
func (t *Tally) Of(s job.Source) Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.sources[s]; c != nil {
		return c.Clone()
	}
	return NewCounts()
}

// At returns a source's counts together with how far its stream was counted,
// taken at one moment.
func (t *Tally) At(s job.Source) (Counts, uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	pos := t.seen[t.ledger.names.Ledger(s.Month, s.Part)]
	if c := t.sources[s]; c != nil {
		return c.Clone(), pos
	}
	return NewCounts(), pos
}

// CatchUp waits until everything that the source's ledger holds now is
// counted.
func (t *Tally) CatchUp(ctx context.Context, s job.Source) error {
	head, err := stream.Head(ctx, t.js, t.ledger.names.Ledger(s.Month, s.Part))
	if err != nil {
		return err
	}
	return t.wait(ctx, func() bool { return t.seen[t.ledger.names.Ledger(s.Month, s.Part)] >= head })
}

// CatchUpAll waits until everything that all ledgers hold now is counted.
func (t *Tally) CatchUpAll(ctx context.Context) error {
	names, err := t.ledger.Streams(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		head, err := stream.Head(ctx, t.js, name)
		if err != nil {
			return err
		}
		if err := t.wait(ctx, func() bool { return t.seen[name] >= head }); err != nil {
			return err
		}
	}
	return nil
}

// WaitIdle waits until no job of the source is claimed.
func (t *Tally) WaitIdle(ctx context.Context, s job.Source) error {
	return t.wait(ctx, func() bool {
		c := t.sources[s]
		return c == nil || c.States[job.Claimed] == 0
	})
}

// ClaimedOf returns how many jobs of a sender are claimed.
func (t *Tally) ClaimedOf(sender string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.claimedOf(sender)
}

func (t *Tally) claimedOf(sender string) int {
	n := 0
	for s, c := range t.sources {
		if s.Sender == sender {
			n += c.States[job.Claimed]
		}
	}
	return n
}

// WaitSenderIdle waits until no job of the sender is claimed.
func (t *Tally) WaitSenderIdle(ctx context.Context, sender string) error {
	return t.wait(ctx, func() bool { return t.claimedOf(sender) == 0 })
}

func (t *Tally) wait(ctx context.Context, ready func() bool) error {
	for {
		t.mu.Lock()
		ok, moved := ready(), t.moved
		t.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		}
	}
}
