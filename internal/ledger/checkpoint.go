package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/stream"
)

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

// load reads the counts as they were stored last.
func (t *Tally) load(ctx context.Context) error {
	var err error
	if t.seen, err = t.checkpoint(ctx); err != nil {
		return err
	}
	prefix := "$KV." + t.kv.Bucket() + ".source."
	read := func() error {
		return stream.Each(ctx, t.ledger.js, stream.Query{Stream: "KV_" + t.kv.Bucket(), Subject: prefix + ">", Newest: true}, func(m stream.Message) error {
			s := savedCounts{Counts: NewCounts()}
			if err := json.Unmarshal(m.Data, &s); err != nil {
				return fmt.Errorf("%s: %w", m.Subject, err)
			}
			t.sources[s.Source] = &s.Counts
			return nil
		})
	}
	err = read()
	for range loadTries {
		if !errors.Is(err, stream.ErrBehind) {
			break
		}
		err = read()
	}
	if err != nil {
		return fmt.Errorf("tallies: %w", err)
	}
	return nil
}

// loadTries is how often counts are read again from a replica that is behind
// the checkpoint's.
const loadTries = 20

// checkpoint reads how far every stream was counted, as stored last. The
// counts that are stored are at least as far.
func (t *Tally) checkpoint(ctx context.Context) (map[string]uint64, error) {
	out := map[string]uint64{}
	cp, err := t.kv.Get(ctx, checkpointKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return out, nil
	}
	if err == nil {
		err = json.Unmarshal(cp.Value(), &out)
	}
	if err != nil {
		return nil, fmt.Errorf("tallies: checkpoint: %w", err)
	}
	return out, nil
}

func (t *Tally) stored(ctx context.Context, key string) (savedCounts, uint64, error) {
	s := savedCounts{Counts: NewCounts()}
	v, err := t.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return s, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(v.Value(), &s)
	}
	if err != nil {
		return s, 0, fmt.Errorf("tallies: %s: %w", key, err)
	}
	return s, v.Revision(), nil
}

// changed takes the counts that have to be stored.
func (t *Tally) changed() []savedCounts {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]savedCounts, 0, len(t.dirty))
	for s := range t.dirty {
		out = append(out, savedCounts{s, t.sources[s].Clone()})
	}
	clear(t.dirty)
	return out
}

// storeCounts stores counts unless later ones are there.
func (t *Tally) storeCounts(ctx context.Context, c savedCounts) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return t.store(ctx, sourceKey(c.Source), b, func() ([]byte, uint64, error) {
		have, rev, err := t.stored(ctx, sourceKey(c.Source))
		if err != nil || rev > 0 && have.Counts.Seq >= c.Counts.Seq {
			return nil, rev, err
		}
		return b, rev, nil
	})
}

// storeCheckpoint stores how far this tally is, for each stream the later of
// what it says and what is there.
func (t *Tally) storeCheckpoint(ctx context.Context, told map[string]uint64) error {
	b, err := json.Marshal(told)
	if err != nil {
		return err
	}
	return t.store(ctx, checkpointKey, b, func() ([]byte, uint64, error) {
		e, err := t.kv.Get(ctx, checkpointKey)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return b, 0, nil
		}
		if err != nil {
			return nil, 0, err
		}
		have, ahead := map[string]uint64{}, false
		if err := json.Unmarshal(e.Value(), &have); err != nil {
			return nil, 0, err
		}
		for name, seq := range told {
			ahead = ahead || seq > have[name]
			have[name] = max(have[name], seq)
		}
		if !ahead {
			return nil, e.Revision(), nil
		}
		merged, err := json.Marshal(have)
		return merged, e.Revision(), err
	})
}

// storeTries is how often a value is merged with what is there before the
// next checkpoint has to do.
const storeTries = 5

// store stores a value where this tally was the last to, and otherwise what
// merge makes of it and of what is there; nothing where that says so.
func (t *Tally) store(ctx context.Context, key string, b []byte, merge func() (merged []byte, rev uint64, err error)) error {
	rev, known := t.revs[key]
	for range storeTries {
		if !known {
			var err error
			if b, rev, err = merge(); err != nil {
				return err
			}
			if b == nil {
				t.revs[key] = rev
				return nil
			}
		}
		now, err := t.kv.Update(ctx, key, b, rev)
		if err == nil {
			t.revs[key] = now
			return nil
		}
		if !stream.Conflict(err) {
			return err
		}
		known = false
	}
	return fmt.Errorf("tallies: %s: %w", key, errContended)
}
