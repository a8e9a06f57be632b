package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/stream"
)

// Entry is one run of a change.
type Entry struct {
	ID   flow.ID
	Run  *flow.Run
	Rev  uint64        // that is replaced; 0: there is none. Once it is written its own
	Also []job.Key     // the other identities of the run, by which it is found too
	Keep time.Duration // once it has ended; 0: for good
}

// Change is what one flow writes of one contact: all of it or nothing.
type Change struct {
	Whom   Whom
	Runs   []*Entry     // at most MaxRuns
	Memory *flow.Memory // nil: what is remembered stays
	MemRev uint64       // that Memory replaces; 0: there is none
	Err    error        // what came of it; ErrMoved: somebody was quicker
}

// MaxRuns is how many runs one change may have.
const MaxRuns = 100

// Keep returns how long a flow's ended runs are kept; 0: for good, since that
// a contact was there is asked for whenever they come again.
func Keep(r flow.Reentry, after time.Duration) time.Duration {
	if r.Never || r.Key != "" && after == 0 {
		return 0
	}
	return max(KeptFor, after)
}

// Save writes one change.
func (s *Store) Save(ctx context.Context, c *Change) error {
	s.Write(ctx, []*Change{c})
	return c.Err
}

// writers is how many changes are written alone at a time.
const writers = 16

// Write writes changes of different contacts or flows, many with one sync, and
// tells each what came of it. After an error other than ErrMoved a change may
// have been written all the same.
func (s *Store) Write(ctx context.Context, changes []*Change) {
	var g errgroup.Group
	g.SetLimit(writers)
	var some []*Change
	var ms []*nats.Msg
	flush := func() {
		batch, messages := some, ms
		some, ms = nil, nil
		if len(batch) > 0 {
			s.writeAll(ctx, &g, batch, messages)
		}
	}
	for _, c := range changes {
		own, err := s.messages(c)
		if c.Err = err; err != nil {
			continue
		}
		if len(ms)+len(own) > stream.MaxBatch {
			flush()
		}
		some, ms = append(some, c), append(ms, own...)
	}
	flush()
	_ = g.Wait()
}

// writeAll writes changes as one batch, and where that does not go each alone:
// only then is it known which of them somebody else was at.
func (s *Store) writeAll(ctx context.Context, g *errgroup.Group, changes []*Change, ms []*nats.Msg) {
	first, err := stream.Batch(ctx, s.nc, ms)
	if err == nil {
		s.reached(stream.Mark{Subject: ms[0].Subject, Seq: first + uint64(len(ms)) - 1})
		for _, c := range changes {
			first = c.written(first)
		}
		return
	}
	if len(changes) == 1 || ctx.Err() != nil {
		for _, c := range changes {
			c.refused(err)
		}
		return
	}
	for _, c := range changes {
		g.Go(func() error {
			own, err := s.messages(c)
			if err != nil {
				c.Err = err
				return nil //nolint:nilerr // it is this change's alone
			}
			first, err := stream.Batch(ctx, s.nc, own)
			if err != nil {
				c.refused(err)
				return nil
			}
			s.reached(stream.Mark{Subject: own[0].Subject, Seq: first + uint64(len(own)) - 1})
			c.written(first)
			return nil
		})
	}
}

// written notes the revisions of a change whose first message has a sequence,
// and returns that of the next change.
func (c *Change) written(first uint64) uint64 {
	for _, e := range c.Runs {
		e.Rev = first
		first += 1 + uint64(len(e.Also))
	}
	if c.Memory != nil {
		c.MemRev = first
		first++
	}
	return first
}

func (c *Change) refused(err error) {
	if stream.Conflict(err) {
		err = ErrMoved
	}
	c.Err = fmt.Errorf("runs of flow %s: %w", c.Whom.Flow, err)
}

var errEmpty = errors.New("a change without anything to write")

func (s *Store) messages(c *Change) ([]*nats.Msg, error) {
	if len(c.Runs) > MaxRuns {
		return nil, fmt.Errorf("%d runs in one change, want at most %d", len(c.Runs), MaxRuns)
	}
	var out []*nats.Msg
	for _, e := range c.Runs {
		data, err := json.Marshal(e.Run)
		if err != nil {
			return nil, fmt.Errorf("run %s: %w", e.ID, err)
		}
		m := stream.Expect(s.names.Run(e.ID), data, e.Rev)
		m.Header.Set(headerState, string(e.Run.State))
		m.Header.Set(headerVersion, strconv.Itoa(e.Run.Version))
		out = append(out, e.lasting(m))
		for _, k := range e.Also {
			out = append(out, e.lasting(&nats.Msg{Subject: s.names.Alias(e.ID, k), Header: nats.Header{}}))
		}
	}
	if c.Memory != nil {
		data, err := json.Marshal(c.Memory)
		if err != nil {
			return nil, fmt.Errorf("what flow %s remembers of a contact: %w", c.Whom.Flow, err)
		}
		out = append(out, stream.Expect(s.names.Memory(c.Whom.Flow, c.Whom.Contact), data, c.MemRev))
	}
	if len(out) == 0 {
		return nil, errEmpty
	}
	return out, nil
}

// lasting has the server forget a run that has ended.
func (e *Entry) lasting(m *nats.Msg) *nats.Msg {
	if e.Run.State.Over() && e.Keep > 0 {
		m.Header.Set("Nats-TTL", strconv.FormatInt(int64(max(e.Keep, time.Second)/time.Second), 10))
	}
	return m
}
