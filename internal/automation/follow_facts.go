package automation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/stream"
)

// factsKey is where it is kept how far changes of contacts were followed,
// beside how far events were heard.
const factsKey = "flows-facts"

// followed is how far changes of contacts were followed, as it is stored.
type followed struct {
	Seq   uint64               `json:"seq"`
	Known map[string]time.Time `json:"known"` // by flow: when it came to stand as it does, once everybody was looked at since
}

// follower tells flows that contacts changed, whoever said so: a platform, a
// CRM, an import, a pull of labels. The facts have only the newest record of
// each contact, so that of two changes in one moment flows may see what both
// came to.
type follower struct {
	d      *Driver
	sort   map[string]follows // by flow
	rev    uint64             // of what is stored
	stored time.Time

	mu sync.Mutex
	is followed
}

// follows is what the versions of a flow make of changes of contacts.
type follows struct {
	version int
	begins  bool // the newest begins runs by them
	moves   bool // runs of any may be moved by them
}

// survey looks at everybody on behalf of flows that came to stand.
type survey struct {
	of     map[string]time.Time // by flow, see followed
	missed atomic.Bool          // one of them did not hear all of it
}

func newFollower(d *Driver) *follower {
	return &follower{d: d, sort: map[string]follows{}, is: followed{Known: map[string]time.Time{}}}
}

// knows tells whether it is remembered of everybody whether they had what the
// flow's trigger is about when it came to stand.
func (f *follower) knows(l *live) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.is.Known[l.ID].Equal(l.At)
}

// run follows until ctx ends. Failures are logged and tried again.
func (f *follower) run(ctx context.Context) {
	var said complaint
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, lastPause) {
		err := f.follow(ctx)
		if errors.Is(err, errOver) {
			return
		}
		if said.new(ctx, err) {
			f.d.Log.WarnContext(ctx, "changes of contacts can't be followed; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// follow looks at everybody for flows that are new, and tells changes as they
// come.
func (f *follower) follow(ctx context.Context) error {
	if err := f.load(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	changes := make(chan stream.Message, maxRound)
	g.Go(func() error {
		t := time.NewTicker(tick)
		defer t.Stop()
		began := false
		for {
			all, fresh, err := f.look(ctx)
			if err == nil && !began && len(all) > 0 {
				began = true
				err = f.begin(ctx, g, all, fresh, changes)
			}
			if err == nil && len(fresh) > 0 {
				err = f.survey(ctx, fresh)
			}
			if err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-t.C:
			case m := <-changes:
				if err := f.tell(ctx, m, changes); err != nil {
					return err
				}
			}
		}
	})
	return g.Wait()
}

// begin begins to follow the facts. Where nobody did on behalf of flows that
// stand now, what was before is nobody's.
func (f *follower) begin(ctx context.Context, g *errgroup.Group, all, fresh map[string]time.Time, to chan<- stream.Message) error {
	head, err := stream.Head(ctx, f.d.JS, f.d.Names.FactsStream())
	if err != nil {
		return err
	}
	f.mu.Lock()
	if len(fresh) == len(all) || f.is.Seq > head {
		f.is.Seq = head
	}
	from := f.is.Seq + 1
	f.mu.Unlock()
	g.Go(func() error { return stream.Follow(ctx, f.d.JS, f.d.Names.FactsStream(), from, to) })
	return nil
}

// look returns the flows that are active and follow contacts, and of those the
// ones for which nobody looked at everybody since they came to stand.
func (f *follower) look(ctx context.Context) (all, fresh map[string]time.Time, err error) {
	flows, err := f.d.Catalog.Flows(ctx)
	if err != nil {
		return nil, nil, err
	}
	all, fresh = map[string]time.Time{}, map[string]time.Time{}
	for _, l := range flows {
		if l.State != flow.Active {
			continue
		}
		s, err := f.sorted(ctx, l)
		if err != nil {
			return nil, nil, err
		}
		if !s.begins && !s.moves {
			continue
		}
		all[l.ID] = l.At
		if s.begins && !f.knows(&live{Flow: l}) {
			fresh[l.ID] = l.At
		}
	}
	return all, fresh, nil
}

func (f *follower) sorted(ctx context.Context, l Flow) (follows, error) {
	s, ok := f.sort[l.ID]
	if ok && s.version == l.Version {
		return s, nil
	}
	s = follows{version: l.Version}
	for v := 1; v <= l.Version; v++ {
		p, err := f.d.Catalog.Program(ctx, l.ID, v)
		if err != nil && !definition.Lasting(err) {
			return s, err
		}
		if err != nil {
			continue // its runs are left alone, which is said elsewhere
		}
		s.moves = s.moves || p.Follows()
		if _, begins, err := p.Slot(nil, flow.Identity{}, flow.World{}); v == l.Version {
			s.begins = begins && err == nil
		}
	}
	f.sort[l.ID] = s
	return s, nil
}

// survey has flows look at everybody.
func (f *follower) survey(ctx context.Context, fresh map[string]time.Time) error {
	s := &survey{of: fresh}
	err := stream.Each(ctx, f.d.JS, stream.Query{Stream: f.d.Names.FactsStream()}, func(m stream.Message) error {
		return f.put(ctx, m, s)
	})
	if err == nil {
		err = f.d.inbox.settled(ctx)
	}
	if err != nil || s.missed.Load() { // the flow was about to change: the next look knows how
		return err
	}
	f.mu.Lock()
	maps.Copy(f.is.Known, fresh)
	f.mu.Unlock()
	return f.save(ctx)
}

// tell tells a change, and those that came meanwhile.
func (f *follower) tell(ctx context.Context, m stream.Message, more <-chan stream.Message) error {
	for n := 1; ; n++ {
		if err := f.put(ctx, m, nil); err != nil {
			return err
		}
		last := m.Seq
		if n < maxRound {
			select {
			case m = <-more:
				continue
			default:
			}
		}
		if err := f.d.inbox.settled(ctx); err != nil {
			return err
		}
		f.mu.Lock()
		f.is.Seq = last
		f.mu.Unlock()
		if time.Since(f.stored) < saveEvery {
			return nil
		}
		return f.save(ctx)
	}
}

// put tells flows of one record. Of who was erased nothing is left to follow:
// their runs end by the event that says so.
func (f *follower) put(ctx context.Context, m stream.Message, s *survey) error {
	control, sender, _, ok := f.d.Names.ParseFacts(m.Subject)
	if control || !ok {
		return nil
	}
	r, err := contact.Decode(m.Data)
	if err != nil {
		f.d.Log.WarnContext(ctx, "a contact's record can't be read; flows pass over it", "sequence", m.Seq, "error", err)
		return nil
	}
	if r.Address == "" {
		return nil
	}
	return f.d.inbox.put(ctx, &news{kind: changed, sender: sender, contact: r, seq: m.Seq, survey: s})
}

// load reads how far changes were followed.
func (f *follower) load(ctx context.Context) error {
	is, rev, err := f.read(ctx)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.is, f.rev = is, rev
	return nil
}

func (f *follower) read(ctx context.Context) (followed, uint64, error) {
	is := followed{Known: map[string]time.Time{}}
	e, err := f.d.Marks.Get(ctx, factsKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return is, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(e.Value(), &is)
	}
	if err != nil {
		return is, 0, fmt.Errorf("how far flows followed contacts: %w", err)
	}
	return is, e.Revision(), nil
}

// save stores how far changes were followed, unless somebody else, who leads
// now, came farther.
func (f *follower) save(ctx context.Context) error {
	for {
		f.mu.Lock()
		b, err := json.Marshal(f.is)
		f.mu.Unlock()
		if err == nil {
			var rev uint64
			if rev, err = f.d.Marks.Update(ctx, factsKey, b, f.rev); err == nil {
				f.rev, f.stored = rev, time.Now()
				return nil
			}
		}
		if !stream.Conflict(err) {
			return fmt.Errorf("how far flows followed contacts: %w", err)
		}
		is, rev, err := f.read(ctx)
		if err != nil {
			return err
		}
		f.mu.Lock()
		f.rev = rev
		f.is.Seq = max(f.is.Seq, is.Seq)
		for id, at := range is.Known {
			if at.After(f.is.Known[id]) {
				f.is.Known[id] = at
			}
		}
		f.mu.Unlock()
	}
}
