package app

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/store"
	"github.com/carillon-dev/carillon/internal/subject"
)

// marksFile stands beside an embedded store and says how far its streams had
// come: a file of the store that lost its end looks whole by itself.
const marksFile = "marks"

// markEvery is how often that is noted: what was written since is not missed
// where it is cut off. It is short since every claim in it would be made again;
// asking an embedded server takes less than a millisecond.
const markEvery = 100 * time.Millisecond

// checkMarks refuses an embedded store that lost what it had.
func (c *core) checkMarks(ctx context.Context) error {
	if c.cfg.NATSURL != "" {
		return nil
	}
	path := filepath.Join(c.cfg.Data, marksFile)
	was, err := store.ReadMarks(path)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	is, err := c.marks(ctx)
	if err != nil {
		return err
	}
	if err := was.Behind(is); err != nil {
		return fmt.Errorf("data directory %s: %w; going on could send again what was sent: restore a backup, or the files as they were. Where this was meant, remove %s", c.cfg.Data, err, path)
	}
	return nil
}

// marks looks how far every stream has come.
func (c *core) marks(ctx context.Context) (store.Marks, error) {
	out := store.Marks{}
	l := c.engines.JetStream.ListStreams(ctx)
	for s := range l.Info() {
		out[s.Config.Name] = store.Mark{Last: s.State.LastSeq, Messages: s.State.Msgs, Adds: adds(c.names, s.Config.Name)}
	}
	if err := l.Err(); err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	return out, nil
}

// adds tells the streams of which nothing is ever taken away, not even by age:
// what is over while no process runs is gone at the next start.
func adds(n subject.Names, stream string) bool {
	return strings.HasPrefix(stream, n.LedgerPrefix()) || slices.Contains([]string{n.FactsStream(), n.JournalStream(), "KV_" + n.Definitions()}, stream)
}

// keepMarks notes how far the streams have come, until ctx ends.
func (c *core) keepMarks(ctx context.Context) error {
	tick := time.NewTicker(markEvery)
	defer tick.Stop()
	var kept store.Marks
	failing := false
	for {
		m, err := c.marks(ctx)
		if err == nil && !maps.Equal(m, kept) {
			if err = store.WriteMarks(filepath.Join(c.cfg.Data, marksFile), m); err == nil {
				kept = m
			}
		}
		if err != nil && !failing && ctx.Err() == nil { // once, not ten times a second
			c.cfg.Log.WarnContext(ctx, "how far streams have come could not be noted", "error", err)
		}
		failing = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil // what was written last is in the store, if not in the marks
		}
	}
}
