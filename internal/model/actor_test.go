package model_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/deliver"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/model"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// ago is how long ago everything in a history is made to have happened, so
// that nothing has to be waited for: not until a job may go again, nor until
// an operator may redrive.
const ago = time.Hour

// before writes records as if it were an hour earlier.
type before struct{ *ledger.Committer }

// Commit writes records.
func (b before) Commit(ctx context.Context, p ledger.Priority, es []*ledger.Append) {
	for _, e := range es {
		r := &e.Record
		if time.Since(r.At) < ago/2 { // one that lost is written again
			r.At = r.At.Add(-ago)
		}
		if !r.Until.IsZero() && time.Until(r.Until) > -ago/2 {
			r.Until = r.Until.Add(-ago)
		}
	}
	b.Committer.Commit(ctx, p, es)
}

// place is where a worker has come to: what it does next unless it is told
// something else.
type place struct {
	doing model.Op
	rec   ledger.Record // about to settle: the outcome
	done  bool          // it has let go of its task
}

// actor is one worker process with one task. It stops at every place that a
// history can name, and goes on as it is told to.
type actor struct {
	at      chan place
	orders  chan model.Op
	dead    atomic.Bool
	decides model.Op // what the platform does with its call
	to      *platform
	commits before

	mu   sync.Mutex
	back []reason.Code // why jobs were given back
}

var errKilled = errors.New("killed")

// start lets a new worker deliver one job.
func (s *stage) start(g *gate.Gate, src job.Source, ref job.Ref) *actor {
	a := &actor{at: make(chan place, 1), orders: make(chan model.Op), to: s.platform, commits: before{s.Commits}}
	w := &deliver.Worker{
		Life: s.ctx, Gate: g, Commits: a, Defs: s.cache, Platform: func(string) channel.Platform { return a }, Effects: a, Lane: a,
		Account: func(n *sender.Spec) (channel.Account, error) {
			return channel.Account{ID: n.Account, Token: "t"}, nil
		},
		Tracer: s.Tracer, Log: s.Log, Name: "w", Stats: &deliver.Stats{},
	}
	go func() {
		w.Deliver(s.ctx, job.Envelope{Source: src, Jobs: []job.Ref{ref}})
		a.at <- place{done: true}
	}()
	return a
}

// reach stops at a place until it is said what to do there.
func (a *actor) reach(p place) model.Op {
	if a.dead.Load() {
		return model.Die
	}
	a.at <- p
	return <-a.orders
}

// wait returns the place that the worker comes to.
func (a *actor) wait() (place, error) {
	select {
	case p := <-a.at:
		return p, nil
	case <-time.After(rig.Patience):
		return place{}, errors.New("the worker does not get on")
	}
}

// tell says what to do and returns the place after it.
func (a *actor) tell(o model.Op) (place, error) {
	select {
	case a.orders <- o:
		return a.wait()
	case <-time.After(rig.Patience):
		return place{}, errors.New("the worker is at no place where it can be told anything")
	}
}

// kill ends the worker where it stands: nothing that it does from now on gets
// anywhere.
func (a *actor) kill() error {
	a.dead.Store(true)
	p, err := a.tell(model.Die)
	if err == nil && !p.done {
		err = errors.New("a dead worker got on")
	}
	return err
}

// Commit stops before a claim, after it, and before an outcome.
func (a *actor) Commit(ctx context.Context, p ledger.Priority, es []*ledger.Append) {
	if len(es) == 0 {
		return
	}
	r := es[0].Record
	claims := r.State == job.Claimed
	switch {
	case claims:
		a.reach(place{doing: model.Claim})
	case r.From == job.Claimed:
		a.reach(place{doing: model.Settle, rec: r})
	}
	if a.dead.Load() {
		for _, e := range es {
			e.Err = errKilled
		}
		return
	}
	a.commits.Commit(ctx, p, es)
	if claims && es[0].Err == nil {
		a.reach(place{doing: model.Recheck})
	}
}

// Send stops right before the wire. How long a history holds the call up does
// not count.
func (a *actor) Send(_ context.Context, acc channel.Account, m channel.Message) channel.Result {
	a.decides = a.reach(place{doing: model.Accept})
	ctx, cancel := context.WithTimeout(context.Background(), rig.Patience)
	defer cancel()
	if a.dead.Load() || a.decides == model.Unsent {
		return a.to.down.Send(ctx, acc, m)
	}
	a.to.calledBy(m.Job, a)
	return a.to.up.Send(ctx, acc, m)
}

// SendBatch is never asked for: the sender may not batch.
func (a *actor) SendBatch(context.Context, channel.Account, []channel.Message) []channel.Result {
	return nil
}

// GiveBack notes why.
func (a *actor) GiveBack(_ context.Context, _ job.Source, _ []job.Ref, _ time.Time, why reason.Code) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.back = append(a.back, why)
}

// gaveBack tells whether the job went back to its lane.
func (a *actor) gaveBack() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.back) > 0
}

// Learn, PauseSender and OptOut are what no answer here asks for.
func (a *actor) Learn(context.Context, string, []contact.Update) error { return nil }

// PauseSender pauses nobody.
func (a *actor) PauseSender(context.Context, string, time.Time, reason.Code, string) (bool, error) {
	return false, nil
}

// OptOut records nothing.
func (a *actor) OptOut(context.Context, string, string, time.Time) error { return nil }
