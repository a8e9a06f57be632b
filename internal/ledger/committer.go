package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// retryPause is how long a record waits after its write could not be decided.
const retryPause = 50 * time.Millisecond

// ErrConflict says that the job is no longer where the entry expected it.
// Somebody else moved it: it is not ours.
var ErrConflict = errors.New("the job has moved on")

// Conflict is an ErrConflict with what was found instead.
type Conflict struct{ Last Entry }

// Error names the job and where it is.
func (c *Conflict) Error() string {
	return fmt.Sprintf("%v: %s is %s at %d", ErrConflict, c.Last.ID, c.Last.Record.State, c.Last.Seq)
}

var errStopped = errors.New("ledger: the committer has stopped")

// Unwrap returns ErrConflict.
func (c *Conflict) Unwrap() error { return ErrConflict }

// Priority says whose entries go first.
type Priority uint8

// Flows overtake broadcasts.
const (
	Bulk Priority = iota
	Urgent
)

// Append is one record to write, at the sequence that it must follow.
type Append struct {
	Entry // Seq is ignored; Record.Prev is what the subject must hold last
	// Result, set when Commit returns.
	Written uint64 // the record's sequence
	Err     error  // nil, ErrConflict, or "could not decide"
}

// Committer writes the records of all envelopes of a process as atomic
// batches, one in flight, urgent ones first. The records of a batch that
// conflicts are published one behind the other instead. A group that can't be
// decided steps out of the line and is tried on its own: others must not wait
// for it.
type Committer struct {
	nc    *nats.Conn
	js    jetstream.JetStream
	names subject.Names

	mu      sync.Mutex
	waiting [2][]*group // by priority
	passed  int         // batches in a row that took no bulk group although one waited
	wake    chan struct{}
	stopped chan struct{}
	nonce   string
	count   uint64

	undecided sync.WaitGroup // groups out of the line
	refusals  refusals
}

type group struct {
	name    string
	entries []*Append
	ctx     context.Context
	done    chan struct{}
}

// NewCommitter returns a committer that works until ctx ends.
func NewCommitter(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, names subject.Names) *Committer {
	c := &Committer{
		nc: nc, js: js, names: names,
		wake: make(chan struct{}, 1), stopped: make(chan struct{}), nonce: nuid.Next(),
	}
	go c.run(ctx)
	return c
}

// Writes says why nothing could be written for some seconds, though it was
// tried: a server whose disk is full answers every question, and refuses every
// record.
func (c *Committer) Writes() error { return c.refusals.last(time.Now()) }

// Wait blocks until the committer has stopped.
func (c *Committer) Wait() { <-c.stopped }

// Commit writes entries of one ledger stream and returns when each has its
// result. More than stream.MaxBatch are written one by one; none of their
// jobs may stand twice. What ctx ends before it is tried is not written; what
// it ends before it is decided may have been.
func (c *Committer) Commit(ctx context.Context, p Priority, entries []*Append) {
	if len(entries) == 0 {
		return
	}
	id := entries[0].ID
	g := &group{name: c.names.Ledger(id.Month, id.Part), entries: entries, ctx: ctx, done: make(chan struct{})}
	c.mu.Lock()
	for _, e := range entries {
		c.count++
		e.Record.Nonce = c.nonce + "." + strconv.FormatUint(c.count, 36)
		e.Written, e.Err = 0, nil
	}
	c.waiting[p] = append(c.waiting[p], g)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	select {
	case <-g.done:
	case <-c.stopped:
		select {
		case <-g.done:
		default:
			fail(entries, errStopped)
		}
	}
}

func fail(entries []*Append, err error) {
	for _, e := range entries {
		if e.Written == 0 && e.Err == nil {
			e.Err = err
		}
	}
}

func (c *Committer) run(ctx context.Context) {
	defer close(c.stopped)
	defer c.undecided.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		for groups := c.take(); len(groups) > 0; groups = c.take() {
			c.write(ctx, groups)
		}
	}
}

// patience is how many batches of urgent groups may pass while a bulk group
// waits that does not fit beside them, as those of another month don't.
const patience = 8

// take returns the groups of the next batch: urgent ones first, all of one
// stream, no job twice, at most stream.MaxBatch records.
func (c *Committer) take() []*group {
	c.mu.Lock()
	defer c.mu.Unlock()
	var picked []*group
	seen := make(map[string]bool)
	n, name := 0, ""
	first, second := Urgent, Bulk
	if c.passed >= patience {
		first, second = Bulk, Urgent
	}
	bulk := len(c.waiting[Bulk])
	for _, p := range []Priority{first, second} {
		rest := c.waiting[p][:0]
		for _, g := range c.waiting[p] {
			fits := (name == "" || g.name == name) && (n == 0 || n+len(g.entries) <= stream.MaxBatch) && !anySeen(seen, g)
			if !fits {
				rest = append(rest, g)
				continue
			}
			picked, n, name = append(picked, g), n+len(g.entries), g.name
			for _, e := range g.entries {
				seen[e.ID.String()] = true
			}
		}
		clear(c.waiting[p][len(rest):])
		c.waiting[p] = rest
	}
	if c.passed++; bulk == 0 || len(c.waiting[Bulk]) < bulk {
		c.passed = 0
	}
	return picked
}

func anySeen(seen map[string]bool, g *group) bool {
	if len(seen) == 0 {
		return false
	}
	for _, e := range g.entries {
		if seen[e.ID.String()] {
			return true
		}
	}
	return false
}

// batchFrom is from how many records on an atomic batch is faster than
// publishing them one behind the other. A batch costs the server 10 to 15 ms
// before its first record, since it stages it in files of its own, and then
// 30 µs a record; a record by itself, synced, costs 120 µs. Both were taken on
// one machine in one run; the ratio is what counts.
const batchFrom = 120

func (c *Committer) write(ctx context.Context, groups []*group) {
	groups = slices.DeleteFunc(groups, abandoned)
	var all []*Append
	for _, g := range groups {
		all = append(all, g.entries...)
	}
	err := errRefused
	if len(all) >= batchFrom {
		err = c.batch(all)
	}
	if errors.Is(err, errRefused) { // as one of its records may be: then each speaks for itself
		c.pipeline(all)
		err = nil
	}
	if slices.ContainsFunc(all, func(e *Append) bool { return e.Written > 0 }) {
		c.refusals.over()
	}
	for _, g := range groups {
		if err == nil && c.group(g) {
			close(g.done)
			continue
		}
		c.undecided.Go(func() { c.persist(ctx, g) })
	}
}

// abandoned ends a group whose caller has given up.
func abandoned(g *group) bool {
	err := g.ctx.Err()
	if err != nil {
		fail(g.entries, fmt.Errorf("ledger: not written: %w", err))
		close(g.done)
	}
	return err != nil
}

// errRefused says that the stream answered, and wrote nothing.
var errRefused = errors.New("refused")

// group decides what is left of one group, record by record, and reports
// whether every one has its result.
func (c *Committer) group(g *group) bool {
	for _, e := range g.entries {
		if e.Written == 0 && e.Err == nil && !c.single(g.ctx, e) {
			return false // the next ones would wait as long
		}
	}
	return true
}

// persist tries a group's records one by one until all are decided, its
// caller gives up or the committer stops. It makes no batches: the server
// keeps what it got of a broken one for seconds, and keeps few.
func (c *Committer) persist(ctx context.Context, g *group) {
	defer close(g.done)
	for {
		select { // not at once: a server that refuses at once would be asked in a busy loop
		case <-ctx.Done():
			fail(g.entries, errStopped)
			return
		case <-time.After(retryPause):
		}
		if c.group(g) {
			return
		}
	}
}

// batch writes all entries or none. Its error says only that the batch was
// not acknowledged, not that nothing was written.
func (c *Committer) batch(entries []*Append) error {
	ms := make([]*nats.Msg, len(entries))
	for i, e := range entries {
		m, err := c.message(e)
		if err != nil {
			return err
		}
		ms[i] = m
	}
	first, err := stream.Batch(context.Background(), c.nc, ms)
	if _, answered := errors.AsType[*jetstream.APIError](err); answered {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	if err != nil {
		return err
	}
	for i, e := range entries {
		e.Written = first + uint64(i)
	}
	return nil
}

// pipeline publishes records one behind the other without waiting for the
// answer to each. What is not acknowledged in time is left undecided.
func (c *Committer) pipeline(entries []*Append) {
	acks := make([]jetstream.PubAckFuture, len(entries))
	for i, e := range entries {
		m, err := c.message(e)
		if err != nil {
			e.Err = err
			continue
		}
		if acks[i], err = c.js.PublishMsgAsync(m, jetstream.WithRetryAttempts(0)); err != nil {
			acks[i] = nil // undecided: it may be in the buffer of a broken connection
		}
	}
	late := time.NewTimer(stream.AckWait)
	defer late.Stop()
	for i, e := range entries {
		if acks[i] == nil {
			continue
		}
		select {
		case ack := <-acks[i].Ok():
			e.Written = ack.Sequence
		case <-acks[i].Err(): // what it means, a leader read decides
		case <-late.C:
			return
		}
	}
}

func (c *Committer) message(e *Append) (*nats.Msg, error) {
	data, err := json.Marshal(e.Record)
	if err != nil {
		return nil, fmt.Errorf("ledger record of %s: %w", e.ID, err)
	}
	return stream.Expect(c.names.Job(e.ID), data, e.Record.Prev), nil
}

// single tries once to write a record and reports whether it has its result.
// Whatever the answer says, only a leader read of the nonce decides whose the
// last record is: a timeout may hide a success, and a refusal may answer our
// own write sent twice. A leader that was cut off from its cluster doesn't know
// it for some seconds, and answers with what was: a record from before the
// expected one decides nothing.
func (c *Committer) single(ctx context.Context, e *Append) (decided bool) {
	if err := ctx.Err(); err != nil {
		e.Err = fmt.Errorf("write %s: %w", e.ID, err)
		return true
	}
	m, err := c.message(e)
	if err != nil {
		e.Err = err
		return true
	}
	seq, err := stream.Publish(context.Background(), c.nc, m)
	if err == nil {
		c.refusals.over()
		e.Written = seq
		return true
	}
	now, found, rerr := last(context.Background(), c.nc, c.names, e.ID)
	switch {
	case rerr != nil:
		err = errors.Join(err, rerr)
	case found && now.Record.Nonce == e.Record.Nonce:
		e.Written = now.Seq
		return true
	case now.Seq > e.Record.Prev:
		now.ID = e.ID
		e.Err = &Conflict{now}
		return true
	}
	c.refusals.add(time.Now(), err)
	if ended := ctx.Err(); ended != nil {
		e.Err = fmt.Errorf("write %s: %w", e.ID, errors.Join(ended, err))
	}
	return e.Err != nil
}
