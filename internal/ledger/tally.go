package ledger

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/killpoint"
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

// Tally follows the ledger and keeps the counts of every source, those of a
// flow together (job.Source.Whole). Any number of
// processes may each have one; the one that leads (Lead) tells watchers too,
// and keeps a checkpoint that all of them start from.
//
// What it stores only ever grows, by compare-and-set: a count is replaced by
// one of a later sequence, the checkpoint by a later one. So a leader that was
// replaced while it was stopped can't undo what its successor stored.
type Tally struct {
	ledger *Ledger
	kv     jetstream.KeyValue
	log    *slog.Logger
	leads  chan *lead
	hurry  chan struct{} // asks for a checkpoint now

	mu      sync.Mutex
	sources map[job.Source]*Counts // of wholes
	dirty   map[job.Source]bool
	seen    map[string]uint64 // by stream
	moved   chan struct{}     // closed and replaced whenever seen moves

	Kill *killpoint.Plan // set before Run; nil: at no point

	revs map[string]uint64 // of what this tally stored last, by key; by Run alone
}

// TallyConfig returns the settings of the bucket of running counts.
func TallyConfig(names subject.Names) jetstream.StreamConfig {
	return stream.Bucket(names.Tallies(), "running counts of every source, rebuilt from the ledger where missing", 1)
}

// OpenTally loads the checkpoint, creating its bucket where needed.
func OpenTally(ctx context.Context, l *Ledger, names subject.Names, log *slog.Logger) (*Tally, error) {
	kv, err := l.streams.KeyValue(ctx, TallyConfig(names))
	if err != nil {
		return nil, fmt.Errorf("tallies: %w", err)
	}
	t := &Tally{
		ledger: l, kv: kv, log: log, leads: make(chan *lead, 1), hurry: make(chan struct{}, 1),
		sources: map[job.Source]*Counts{}, dirty: map[job.Source]bool{}, seen: map[string]uint64{}, moved: make(chan struct{}),
		revs: map[string]uint64{},
	}
	return t, t.load(ctx)
}

// Of returns a source's counts as of their Seq.
func (t *Tally) Of(s job.Source) Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.sources[s.Whole()]; c != nil {
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
	if c := t.sources[s.Whole()]; c != nil {
		return c.Clone(), pos
	}
	return NewCounts(), pos
}

// CatchUp waits until everything that the source's ledger holds now is
// counted.
func (t *Tally) CatchUp(ctx context.Context, s job.Source) error {
	head, err := stream.Head(ctx, t.ledger.js, t.ledger.names.Ledger(s.Month, s.Part))
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
		head, err := stream.Head(ctx, t.ledger.js, name)
		if err != nil {
			return err
		}
		if err := t.wait(ctx, func() bool { return t.seen[name] >= head }); err != nil {
			return err
		}
	}
	return nil
}

// storedEvery is how often the stored checkpoint is looked at.
const storedEvery = 50 * time.Millisecond

// Stored waits until what watchers keep of everything that all ledgers hold
// now is durable, whichever process leads and keeps it.
func (t *Tally) Stored(ctx context.Context) error {
	if err := t.CatchUpAll(ctx); err != nil {
		return err
	}
	t.mu.Lock()
	want := maps.Clone(t.seen)
	t.mu.Unlock()
	tick := time.NewTicker(storedEvery)
	defer tick.Stop()
	for {
		have, err := t.checkpoint(ctx)
		if err != nil || reached(have, want) {
			return err
		}
		select {
		case t.hurry <- struct{}{}: // who leads need not be this one: then it is not long either
		default:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func reached(have, want map[string]uint64) bool {
	for name, seq := range want {
		if have[name] < seq {
			return false
		}
	}
	return true
}

// WaitIdle waits until no job of the source is claimed.
func (t *Tally) WaitIdle(ctx context.Context, s job.Source) error {
	return t.wait(ctx, func() bool {
		c := t.sources[s.Whole()]
		return c == nil || c.States[job.Claimed] == 0
	})
}

// OfFlow returns the counts of a flow, by month, part and sender.
func (t *Tally) OfFlow(id string) map[job.Source]Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[job.Source]Counts{}
	for s, c := range t.sources {
		if s.Name == id {
			out[s] = c.Clone()
		}
	}
	return out
}

// OpenFlows returns the flows of which jobs have no outcome, by month, part
// and sender.
func (t *Tally) OpenFlows() []job.Source {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []job.Source
	for s, c := range t.sources {
		if s.IsFlow() && c.States[job.Pending]+c.States[job.Held]+c.States[job.Claimed] > 0 {
			out = append(out, s)
		}
	}
	return out
}

// UnknownOf returns how many jobs of a sender have an outcome that is unknown.
func (t *Tally) UnknownOf(sender string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.of(sender, job.Unknown)
}

// ClaimedOf returns how many jobs of a sender are claimed.
func (t *Tally) ClaimedOf(sender string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.of(sender, job.Claimed)
}

func (t *Tally) of(sender string, in job.State) int {
	n := 0
	for s, c := range t.sources {
		if s.Sender == sender {
			n += c.States[in]
		}
	}
	return n
}

// WaitSenderIdle waits until no job of the sender is claimed.
func (t *Tally) WaitSenderIdle(ctx context.Context, sender string) error {
	return t.wait(ctx, func() bool { return t.of(sender, job.Claimed) == 0 })
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
