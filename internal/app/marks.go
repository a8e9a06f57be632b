package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/subject"
)

// markEvery is how often an embedded store's records are counted, and what was
// noted of it is brought to disk. How far its streams have come is noted at
// every acknowledgement.
const markEvery = time.Second

// checkCounts refuses an embedded store that lacks records in the middle.
func (c *core) checkCounts(ctx context.Context) error {
	if c.engines.Marks == nil {
		return nil
	}
	counts, err := c.counts(ctx)
	if err != nil {
		return err
	}
	if err := c.engines.Marks.Fewer(counts); err != nil {
		return fmt.Errorf("data directory %s: %w", c.cfg.Data, err)
	}
	return nil
}

// counts returns how many records every stream has.
func (c *core) counts(ctx context.Context) (map[string]uint64, error) {
	out := map[string]uint64{}
	l := c.engines.JetStream.ListStreams(ctx)
	for s := range l.Info() {
		out[s.Config.Name] = s.State.Msgs
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

// keepMarks counts, and has the marks on disk, until ctx ends.
func (c *core) keepMarks(ctx context.Context) error {
	tick := time.NewTicker(markEvery)
	defer tick.Stop()
	for said := ""; ; {
		now := ""
		if err := c.mark(ctx); err != nil && ctx.Err() == nil {
			now = err.Error()
		}
		if now != "" && now != said { // the same is said once, not every second
			c.cfg.Log.WarnContext(ctx, "how far streams have come could not be noted", "error", now)
		}
		said = now
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *core) mark(ctx context.Context) error {
	counts, err := c.counts(ctx)
	if err != nil {
		return err
	}
	for stream, n := range counts {
		c.engines.Marks.Counted(stream, n, adds(c.names, stream))
	}
	return c.engines.Marks.Sync()
}
