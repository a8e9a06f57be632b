package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/lane"
	"github.com/carillon-dev/carillon/internal/ledger"
)

// Leader carries out what broadcasts are meant to do, for as long as it leads.
type Leader struct {
	*Scheduler
	lane lane.Config
	life context.Context
	wg   sync.WaitGroup
	wake chan struct{}

	doers, tellers chan struct{} // one place for each that is at work

	mu     sync.Mutex
	lanes  map[string]*lane.Lane
	active map[string]*active   // broadcasts that have something to do, by id
	opened map[string]time.Time // broadcasts of which an ended job became pending, by id, and from when on to look at them
	short  bool                 // there was something to do, and no hand free

	controls map[string]facts.Control // of senders, as heard last
	errands  errands
}

// active is a broadcast that has something to do.
type active struct {
	b       *broadcast.Broadcast
	rev     uint64
	busy    bool      // something is being done for it
	telling bool      // its control is being written
	fed     bool      // its lane releases it
	owed    bool      // its control is not known to be written, or its lane to be told
	drained time.Time // since when nothing is left to release; zero: not so
	rest    time.Time // until then nothing is tried: something failed
}

// tick is how often the leader looks at what is due, ended or finished.
const tick = 100 * time.Millisecond

// NewLeader returns a leader of lanes that are all made alike. It does nothing
// until Run, which is called once.
func NewLeader(s *Scheduler, c lane.Config) *Leader {
	return &Leader{
		Scheduler: s, lane: c, wake: make(chan struct{}, 1), doers: make(chan struct{}, hands), tellers: make(chan struct{}, hands),
		lanes: map[string]*lane.Lane{}, active: map[string]*active{}, opened: map[string]time.Time{}, controls: map[string]facts.Control{}, errands: newErrands(),
	}
}

// Run works until ctx ends. Failures of one broadcast are logged and tried
// again; its error means that nothing can be done at all.
func (l *Leader) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	l.life = ctx
	err := l.run(ctx)
	cancel()
	l.rest()
	l.wg.Wait() // not deferred: a panic must not wait for the lanes
	return err
}

func (l *Leader) run(ctx context.Context) error {
	stop, err := l.listen()
	if err != nil {
		return err
	}
	defer stop()
	// Whether a broadcast is really over is told by its tally, which may be a
	// checkpoint behind.
	if err := l.Tally.CatchUpAll(ctx); err != nil {
		return fmt.Errorf("leader: the tallies do not catch up: %w", err)
	}
	l.resume()
	known := make(chan struct{})
	failed := make(chan error, 1)
	l.wg.Go(func() { failed <- l.Defs.Watch(ctx, l.heard, func() { close(known) }) })
	l.wg.Go(func() { l.standing(ctx) })
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-known: // what is there has been adopted, all at its newest
			l.look()
		}
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-l.wake:
		}
	}
}

// listen subscribes to what is asked of a leader, and told to one.
func (l *Leader) listen() (stop func(), err error) {
	back, err := l.NATS.Subscribe(l.Names.Returned("*"), l.returned)
	if err != nil {
		return nil, fmt.Errorf("leader: %w", err)
	}
	ask, err := l.NATS.Subscribe(l.Names.Lanes(), l.answer)
	if err != nil {
		_ = back.Unsubscribe()
		return nil, fmt.Errorf("leader: %w", err)
	}
	return func() { _, _ = back.Unsubscribe(), ask.Unsubscribe() }, nil
}

func (l *Leader) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// heard takes in a definition as it is now, whoever changed it.
func (l *Leader) heard(c definition.Change) {
	switch {
	case c.Err != nil:
		l.Log.Error("a definition can't be read; it is left alone", "error", c.Err)
	case c.Broadcast != nil && c.Broadcast.State != broadcast.Draft:
		l.adopt(c.Broadcast, c.Rev)
	case c.Sender != nil:
		if n := l.laneOf(c.Sender.ID); n != nil {
			n.Configure(c.Sender)
		}
	}
}

// adopt takes on a broadcast as it is at a revision. Its control may
// not be written: whoever moved it may have crashed before.
func (l *Leader) adopt(b *broadcast.Broadcast, rev uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.active[b.Spec.ID]
	if a == nil {
		a = &active{}
		l.active[b.Spec.ID] = a
	}
	if rev <= a.rev {
		return
	}
	if a.fed && a.b.State.Over() && !b.State.Over() { // reopened: its lane has closed it
		if n := l.lanes[b.Spec.Sender]; n != nil {
			n.Forget(b.Source())
		}
		a.fed = false
	}
	a.b, a.rev, a.owed = b, rev, true
	l.poke()
}

// moved takes a broadcast through a verb of the leader's own.
func (l *Leader) moved(ctx context.Context, id string, v broadcast.Verb, edit func(*broadcast.Broadcast)) error {
	m, err := l.move(ctx, id, v, edit)
	if err != nil {
		return ignoreChanged(err)
	}
	l.adopt(m.b, m.rev)
	l.mu.Lock()
	a := l.active[id]
	l.mu.Unlock()
	if a != nil { // its control is written, so that its lane may be told at once
		l.applied(a, m.rev)
	}
	return nil
}

// laneOf returns the lane of a sender that has one.
func (l *Leader) laneOf(id string) *lane.Lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lanes[id]
}

// Recorded follows the ledger for the lanes.
func (l *Leader) Recorded(_ context.Context, e ledger.Entry) error {
	if e.ID.Flow() != "" {
		l.recordedErrand(e)
		return nil
	}
	if n := l.laneOf(e.ID.Sender); n != nil {
		n.Recorded(e)
	}
	if e.Record.State == job.Pending && e.Record.From.Ended() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.opened[broadcast.IDOf(e.ID.Name)] = time.Time{}
	}
	return nil
}

// Controlled follows the controls of senders and of flows, for the lanes: those
// that are there, and those that are just being opened.
func (l *Leader) Controlled(kind, id string, c facts.Control) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if kind != facts.SenderControl {
		if isFlow(id) {
			l.controlledFlow(id, c)
		}
		return
	}
	if c.Rev < l.controls[id].Rev {
		return
	}
	l.controls[id] = c
	if n := l.lanes[id]; n != nil {
		n.SetPaused(c.State == facts.Paused)
	}
}

// Lost tells the lanes that the queue may have lost what it held.
func (l *Leader) Lost() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.lanes {
		n.Again()
	}
}

func (l *Leader) returned(m *nats.Msg) {
	var r Returned
	if err := json.Unmarshal(m.Data, &r); err != nil {
		l.Log.Warn("jobs given back can't be read; they are released again later", "error", err)
		return
	}
	if n := l.laneOf(r.Source.Sender); n != nil {
		n.GivenBack(r.Source, r.Jobs, time.Now().Add(r.Wait))
	}
}

// Loads returns what each lane has in hand, or that of one sender.
func (l *Leader) Loads(sender string) []lane.Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []lane.Load{}
	for id, n := range l.lanes {
		if sender == "" || sender == id {
			out = append(out, n.Load())
		}
	}
	return out
}

// answer says what the lanes hold, or the lane of the sender that is named.
func (l *Leader) answer(m *nats.Msg) {
	data, err := json.Marshal(l.Loads(string(m.Data)))
	if err == nil {
		err = m.Respond(data)
	}
	if err != nil {
		l.Log.Warn("what the lanes hold could not be told", "error", err)
	}
}
