package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/stream"
)

// Wanted is what is read at once.
type Wanted struct {
	Runs     []flow.ID
	Of       []Whom // all runs of a contact, by any of their identities
	Memories []Whom
}

// Remembered is what a flow remembers of a contact.
type Remembered struct {
	Memory flow.Memory
	Rev    uint64
}

// Found is what was read. What is not there is not in it.
type Found struct {
	Runs     map[flow.ID]Stored
	Of       map[Whom][]flow.ID // each is in Runs
	Memories map[Whom]Remembered
}

const (
	// maxLiteral is how many subjects one request names. The server answers
	// none of those that find more than 1,024.
	maxLiteral = 1000
	// maxWild is how many contacts' runs one request asks for.
	maxWild = 100
	// readers is how many requests are under way at once.
	readers = 4
)

// Read reads many runs at once. Any replica may answer that has what this store
// wrote and what Catch found: an event that changes nothing of an older state
// would be lost without a write that could be refused. What others wrote since
// may be missing: whoever writes names the revision that it saw, and asks the
// leader by Get once that was refused.
func (s *Store) Read(ctx context.Context, w Wanted) (*Found, error) {
	f := &Found{Runs: map[flow.ID]Stored{}, Of: map[Whom][]flow.ID{}, Memories: map[Whom]Remembered{}}
	also, err := s.readOf(ctx, w.Of, f)
	if err != nil {
		return nil, err
	}
	var subjects []string
	asked := map[flow.ID]bool{}
	ask := func(id flow.ID) {
		if _, have := f.Runs[id]; !have && !asked[id] {
			asked[id] = true
			subjects = append(subjects, s.names.Run(id))
		}
	}
	for _, id := range w.Runs {
		ask(id)
	}
	for _, a := range also {
		ask(a.id)
	}
	for _, m := range w.Memories {
		subjects = append(subjects, s.names.Memory(m.Flow, m.Contact))
	}
	ms, err := s.newest(ctx, subjects, maxLiteral)
	if err != nil {
		return nil, err
	}
	if err := s.take(ms, f); err != nil {
		return nil, err
	}
	for _, a := range also {
		if _, there := f.Runs[a.id]; there {
			f.Of[a.whom] = append(f.Of[a.whom], a.id)
		}
	}
	return f, nil
}

// alias says that a run is also of somebody who is not its first identity.
type alias struct {
	whom Whom
	id   flow.ID
}

// readOf reads the runs of contacts, and which runs are theirs under another
// identity.
func (s *Store) readOf(ctx context.Context, of []Whom, f *Found) (also []alias, err error) {
	subjects := make([]string, 0, 2*len(of))
	for _, w := range of {
		subjects = append(subjects, s.names.RunsOf(w.Flow, w.Contact), s.names.AliasesOf(w.Flow, w.Contact))
	}
	ms, err := s.newest(ctx, subjects, maxWild)
	if err != nil {
		return nil, err
	}
	for _, m := range ms {
		if id, as, ok := s.names.ParseAlias(m.Subject); ok {
			also = append(also, alias{Whom{id.Flow, as}, id})
			continue
		}
		r, err := s.decode(m)
		if err != nil {
			return nil, err
		}
		f.Runs[r.ID] = r
		f.Of[WhomOf(r.ID)] = append(f.Of[WhomOf(r.ID)], r.ID)
	}
	return also, nil
}

func (s *Store) take(ms map[string]stream.Message, f *Found) error {
	for _, m := range ms {
		flowID, contact, isMemory := s.names.ParseMemory(m.Subject)
		if !isMemory {
			r, err := s.decode(m)
			if err != nil {
				return err
			}
			f.Runs[r.ID] = r
			continue
		}
		v := Remembered{Rev: m.Seq}
		if err := json.Unmarshal(m.Data, &v.Memory); err != nil {
			return fmt.Errorf("what flow %s remembers of a contact: %w", flowID, err)
		}
		f.Memories[Whom{flowID, contact}] = v
	}
	return nil
}

// newest returns the newest messages of subjects, asking for so many at once.
func (s *Store) newest(ctx context.Context, subjects []string, atOnce int) (map[string]stream.Message, error) {
	var parts [][]string
	for len(subjects) > 0 {
		n := min(len(subjects), atOnce)
		parts, subjects = append(parts, subjects[:n]), subjects[n:]
	}
	found := make([]map[string]stream.Message, len(parts))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, part := range parts {
		g.Go(func() (err error) { found[i], err = s.some(gctx, part); return err })
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("runs: %w", err)
	}
	out := map[string]stream.Message{}
	for _, ms := range found {
		for k, m := range ms {
			out[k] = m
		}
	}
	return out, nil
}

// some asks once, and where that finds more than the server answers at once,
// for less; a contact who has that many runs alone is read message by message.
func (s *Store) some(ctx context.Context, subjects []string) (map[string]stream.Message, error) {
	ms, err := s.caught(ctx, subjects)
	if !errors.Is(err, stream.ErrTooMany) {
		return ms, err
	}
	ms = map[string]stream.Message{}
	add := func(m stream.Message) error { ms[m.Subject] = m; return nil }
	if len(subjects) == 1 {
		return ms, stream.Each(ctx, s.js, stream.Query{Stream: s.names.RunsStream(), Subject: subjects[0], Newest: true}, add)
	}
	for _, part := range [][]string{subjects[:len(subjects)/2], subjects[len(subjects)/2:]} {
		some, err := s.some(ctx, part)
		if err != nil {
			return nil, err
		}
		for _, m := range some {
			_ = add(m)
		}
	}
	return ms, nil
}

const (
	// behindFor is how long a replica that is behind is asked again, and
	// behindRest the pause between.
	behindFor  = 5 * time.Second
	behindRest = 20 * time.Millisecond
)

// caught asks until a replica answers that is not behind.
func (s *Store) caught(ctx context.Context, subjects []string) (map[string]stream.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, behindFor)
	defer cancel()
	for {
		s.mu.Lock()
		since := s.mark
		s.mu.Unlock()
		ms, err := stream.NewestSince(ctx, s.nc, s.names.RunsStream(), since, subjects)
		if !errors.Is(err, stream.ErrBehind) {
			if !covers(subjects, since.Subject) {
				delete(ms, since.Subject)
			}
			return ms, err
		}
		_, there, lastErr := stream.Last(ctx, s.nc, s.names.RunsStream(), since.Subject)
		if lastErr != nil {
			return nil, lastErr
		}
		if !there { // it ended long ago, and is a mark no more
			s.mu.Lock()
			if s.mark == since {
				s.mark = stream.Mark{}
			}
			s.mu.Unlock()
			continue
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(behindRest):
		}
	}
}

// covers tells whether subjects, of which wildcards stand at the end alone,
// include one.
func covers(subjects []string, one string) bool {
	return slices.ContainsFunc(subjects, func(s string) bool {
		head, wild := strings.CutSuffix(s, "*")
		return s == one || wild && strings.HasPrefix(one, head) && !strings.Contains(one[len(head):], ".")
	})
}
