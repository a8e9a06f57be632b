package model_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/audit"
	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/consent"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/lane"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/plan"
	"github.com/carillon-dev/carillon/internal/receipt"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/internal/sender"
)

var engines *engine.Engines

func TestMain(m *testing.M) {
	os.Exit(rig.Main(m, func(e *engine.Engines) { engines = e }))
}

// stage is one installation on which any number of histories are played side
// by side, each with contacts and broadcasts of its own.
type stage struct {
	*rig.Rooms
	ctx      context.Context
	cache    *definition.Cache
	sched    *scheduler.Scheduler
	desk     *consent.Desk
	receipts *receipt.Desk
	auditor  *audit.Auditor
	platform *platform
	sender   *sender.Spec
	n        atomic.Int64
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{Rooms: rig.Open(t, engines), ctx: t.Context(), platform: newPlatform(t)}
	s.Apply(t, rig.Bakery)
	s.Settled(t, nil)
	var err error
	s.sender, _, err = s.Defs.Sender(s.ctx, "bakery")
	rig.Must(t, err)
	s.cache, err = definition.NewCache(s.ctx, s.Defs)
	rig.Must(t, err)
	t.Cleanup(s.cache.Close)
	echoes, err := receipt.OpenEchoes(s.ctx, s.Streams, s.Names)
	rig.Must(t, err)
	tally, _ := s.Count(t, s.Dead)
	witness := &receipt.Witness{Echoes: echoes, Defs: s.Defs}
	s.sched = scheduler.New(scheduler.Config{
		NATS: engines.NATS, Names: s.Names, Defs: s.Defs, Facts: s.Facts, Audiences: s.Audiences, Ledger: s.Ledger, Commits: s.Commits,
		Tally: tally, Dead: s.Dead, Witness: witness, Tracer: s.Tracer, Log: s.Log,
	})
	s.desk = &consent.Desk{Facts: s.Facts, Ledger: s.Ledger}
	s.receipts = &receipt.Desk{Ledger: s.Ledger, Commits: before{s.Commits}, Key: s.Facts.Key, Echoes: echoes, Stats: &receipt.Stats{}, Log: s.Log}
	s.auditor = &audit.Auditor{Audiences: s.Audiences, Ledger: s.Ledger, Tally: tally, Witness: witness}
	return s
}

// contact makes a new contact known who wrote an hour ago.
func (s *stage) contact() (address string, k job.Key, err error) {
	address = fmt.Sprintf("7000%09d", s.n.Add(1))
	m, err := s.Facts.Merge(s.ctx, s.sender.ID, []contact.Update{{Address: address, LastInbound: time.Now().Add(-time.Hour)}})
	if err == nil {
		err = s.Facts.InForce(s.ctx, m.Seq)
	}
	return address, s.Facts.Key(s.sender.ID, address), err
}

// broadcast stores a broadcast to contacts as it is once its audience is
// frozen.
func (s *stage) broadcast(keys ...job.Key) (*broadcast.Broadcast, error) {
	now := time.Now().UTC()
	b := &broadcast.Broadcast{
		Spec:  broadcast.Spec{ID: fmt.Sprintf("h%d", s.n.Add(1)), Sender: s.sender.ID, Message: message.Message{Text: "Hello"}},
		State: broadcast.Running, Occurrence: 1, LaunchedAt: now, DueAt: now, EndsAt: now.Add(time.Hour),
		Month: now.Format("200601"), Frozen: &broadcast.FreezeLog{At: now, Seen: len(keys)},
	}
	ms := make([]plan.Member, len(keys))
	for i, k := range keys {
		ms[i].Key = k
	}
	snap, err := s.Audiences.Save(s.ctx, broadcast.SourceName(b.Spec.ID, 1), ms)
	if err != nil {
		return nil, err
	}
	b.Snapshot = &snap
	rev, err := s.Defs.PutBroadcast(s.ctx, b, 0)
	if err != nil {
		return nil, err
	}
	return b, errors.Join(s.Ledger.Ensure(s.ctx, b.Month, b.Part), s.control(b, facts.Control{State: facts.Running, EndsAt: b.EndsAt, Rev: rev}))
}

// control writes what rechecks see of a broadcast and returns once they do.
func (s *stage) control(b *broadcast.Broadcast, c facts.Control) error {
	seq, err := s.Facts.SetControl(s.ctx, facts.SourceControl, b.Source().Name, c)
	if err != nil {
		return err
	}
	return s.Facts.InForce(s.ctx, seq)
}

// eyes see Redis or don't: to who can't see it is another primary.
type eyes struct {
	*engine.Redis
	shut atomic.Bool
}

// RunID is that of the primary.
func (e *eyes) RunID() string {
	if e.shut.Load() {
		return "another"
	}
	return e.Redis.RunID()
}

// lone is an audience of one.
type lone job.Key

// Chunk returns the one.
func (l lone) Chunk(_ context.Context, i int) ([]job.Key, error) {
	if i > 0 {
		return nil, nil
	}
	return []job.Key{job.Key(l)}, nil
}

// queue takes envelopes.
type queue chan job.Envelope

// Enqueue takes one.
func (q queue) Enqueue(_ context.Context, e job.Envelope, _ bool) error {
	q <- e
	return nil
}

// lead lets a new leader look after one job, from where its ledger says that it
// is, until done. A claim counts as lapsed a margin after its deadline.
func (s *stage) lead(id job.ID, margin time.Duration, done func(queue) error) error {
	found, err := lane.Find(func(fn func(ledger.Entry) error) error { return s.Ledger.History(s.ctx, id, fn) })
	if err != nil {
		return err
	}
	q := make(queue, 1)
	l := lane.New(s.sender, lane.Config{Queue: q, Commits: before{s.Commits}, Share: lane.NewShare(24), Log: s.Log, Repair: time.Hour, Margin: margin, Lease: time.Hour})
	l.Add(id.Source, "", lone(id.Contact), 0)
	l.Start(id.Source, found)
	ctx, cancel := context.WithCancel(s.ctx)
	go l.Run(ctx)
	defer l.Wait()
	defer cancel()
	return done(q)
}

// until waits for what nothing announces.
func until(what string, cond func() (bool, error)) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(rig.Patience)
	for {
		ok, err := cond()
		if ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-limit:
			return fmt.Errorf("not within %s: %s", rig.Patience, what)
		}
	}
}
