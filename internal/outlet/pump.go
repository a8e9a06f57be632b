package outlet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/endpoint"
	"github.com/carillon-dev/carillon/internal/outcome"
	"github.com/carillon-dev/carillon/internal/push"
	"github.com/carillon-dev/carillon/internal/secret"
)

// pump pushes to one endpoint. Its state is written by compare-and-set, so
// that an order of somebody else is seen, and of two that both think that they
// lead one begins again from what the other wrote.
type pump struct {
	*Settings
	id   string
	wake chan struct{}
	seen atomic.Pointer[State] // for figures

	mu    sync.Mutex
	fresh map[string]bool // streams that may have outcomes after the cursor

	st    State
	rev   uint64
	dirty bool // st has what is not stored
	saved time.Time
	last  string            // the stream that a push was begun from last
	read  []outcome.Outcome // of the push that was begun last, while it was not tried
	told  time.Time         // when every stream was last thought to have news

	linger time.Time // no push is begun before, so that a trickle of outcomes shares one
}

const (
	// lookAgain is how often an idle pump looks for orders.
	lookAgain = time.Second
	// saveEvery is how often a cursor is stored that passes over what nobody
	// wants; what a crash costs is reading that much again.
	saveEvery = time.Second
	// listEvery is how often every stream is looked at, told or not.
	listEvery = 30 * time.Second
	// lingerFor is how long outcomes may wait for others to share a push with.
	lingerFor = 100 * time.Millisecond
	// mend is how long a pump rests when what it needs can't be read or written.
	mend = time.Second
)

// tell notes that a stream has news.
func (p *pump) tell(name string) {
	p.mu.Lock()
	p.fresh[name] = true
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run pumps until ctx ends.
func (p *pump) run(ctx context.Context) {
	for ctx.Err() == nil {
		wait, err := p.step(ctx)
		if errors.Is(err, errMoved) {
			p.rev, p.dirty = 0, false
			continue
		}
		if err != nil && ctx.Err() == nil {
			p.Log.WarnContext(ctx, "an endpoint could not be served; trying again", "endpoint", p.id, "error", err)
			p.rev, p.dirty, wait = 0, false, mend
		}
		if wait <= 0 {
			continue
		}
		wake := p.wake
		if now := time.Now(); p.st.Off != "" || now.Before(p.st.Rest) || now.Before(p.linger) {
			wake = nil // news don't end that
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-time.After(min(wait, lookAgain)):
		}
	}
}

// step does one thing and says how long nothing is to be done; 0: go on.
func (p *pump) step(ctx context.Context) (time.Duration, error) {
	if err := p.load(ctx); err != nil {
		return 0, err
	}
	if err := p.obey(ctx); err != nil {
		return 0, err
	}
	now := time.Now().UTC()
	if now.Sub(p.told) >= listEvery {
		if err := p.lookAtAll(ctx); err != nil {
			return 0, err
		}
		p.told = now
	}
	do, i, wait := p.st.next(now, p.news())
	switch do {
	case begin:
		if now.Before(p.linger) {
			return p.linger.Sub(now), p.save(ctx)
		}
		return 0, p.begin(ctx)
	case try:
		return 0, p.try(ctx, i)
	case rest:
	}
	return wait, p.save(ctx)
}

// load reads the state where somebody else may have written it.
func (p *pump) load(ctx context.Context) error {
	if p.dirty {
		return nil // storing it will tell
	}
	st, rev, err := p.Store.State(ctx, p.id)
	if err != nil {
		return err
	}
	if rev == p.rev && rev != 0 {
		return nil
	}
	p.st, p.rev, p.read, p.told = st, rev, nil, time.Time{}
	p.seen.Store(&st)
	return nil
}

// save stores the state.
func (p *pump) save(ctx context.Context) error {
	if !p.dirty {
		return nil
	}
	rev, err := p.Store.put(ctx, p.id, p.st, p.rev)
	if err != nil {
		return err
	}
	st := p.st
	p.rev, p.dirty, p.saved = rev, false, time.Now()
	p.seen.Store(&st)
	return nil
}

// obey carries out what was ordered, and begins where nothing was pushed yet:
// with what was recorded since the endpoint was defined.
func (p *pump) obey(ctx context.Context) (err error) {
	from := p.st.Replay
	if p.st.Cursor == nil && from.IsZero() {
		if from, err = p.Defs.Since(ctx, p.id); err != nil {
			return err
		}
	}
	if !from.IsZero() {
		if p.st.Cursor, err = p.Feed.Since(ctx, from); err != nil {
			return err
		}
		p.st.Replay, p.dirty = time.Time{}, true
		return errors.Join(p.save(ctx), p.lookAtAll(ctx))
	}
	if p.st.Redrive {
		return p.redrive(ctx)
	}
	return nil
}

// redrive takes up again what was given up, as far as there is room.
func (p *pump) redrive(ctx context.Context) error {
	dead, err := p.Store.Dead(ctx, p.id)
	if err != nil {
		return err
	}
	for _, d := range dead {
		known := slices.ContainsFunc(p.st.Waiting, func(w Push) bool { return w.ID == d.ID })
		if !known && len(p.st.Waiting) >= maxWaiting {
			return nil
		}
		if !known {
			p.st.Waiting = append(slices.Clone(p.st.Waiting), Push{ID: d.ID, Stream: d.Stream, After: d.After, To: d.To, Count: d.Count})
			p.dirty = true
		}
		if err := p.save(ctx); err != nil { // before it is gone there
			return err
		}
		if err := p.Store.unbury(ctx, p.id, d); err != nil {
			return err
		}
	}
	p.st.Redrive, p.dirty = false, true
	return p.save(ctx)
}

// lookAtAll takes every stream for one with news.
func (p *pump) lookAtAll(ctx context.Context) error {
	names, err := p.Feed.Ledger.Streams(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		p.tell(name)
	}
	return nil
}

func (p *pump) news() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.fresh) > 0
}

// pick returns the stream to begin a push from: each in its turn.
func (p *pump) pick() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	names := slices.Sorted(maps.Keys(p.fresh))
	i, found := slices.BinarySearch(names, p.last)
	if found {
		i++
	}
	p.last = names[i%len(names)]
	delete(p.fresh, p.last) // before it is read: what comes meanwhile is news again
	return p.last
}

// begin makes a push of what comes after the cursor, or moves the cursor past
// what the endpoint does not want.
func (p *pump) begin(ctx context.Context) error {
	spec, _, err := p.Defs.Endpoint(ctx, p.id)
	if err != nil {
		return err
	}
	name := p.pick()
	s, err := p.Feed.ReadStream(ctx, name, p.st.Cursor[name], spec.Size(), wanted(spec))
	if ahead, ok := errors.AsType[*outcome.Ahead](err); ok {
		p.st.turnOff(ahead.Error()+"; say from when to go on, by a replay", time.Now().UTC())
		p.dirty = true
		return p.save(ctx)
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) { // an old month was dropped
		return nil
	}
	if err != nil || s.More {
		p.tell(name)
	} else {
		p.linger = time.Now().Add(lingerFor)
	}
	if err != nil || s.To == p.st.Cursor[name] {
		return err
	}
	p.st.Cursor, p.dirty = p.st.Cursor.With(name, s.To), true
	if n := len(s.Outcomes); n > 0 {
		first, last := s.Outcomes[0], s.Outcomes[n-1]
		p.st.Waiting = append(slices.Clone(p.st.Waiting), Push{ID: outcome.Message(first, last, n), Stream: name, After: first.Seq - 1, To: last.Seq, Count: n})
		p.read = s.Outcomes
		return p.save(ctx) // before it leaves: a repeat has the same outcomes
	}
	if time.Since(p.saved) >= saveEvery {
		return p.save(ctx)
	}
	return nil
}

func wanted(spec *endpoint.Spec) outcome.Pick {
	return func(o outcome.Outcome) bool { return spec.Events.Match(o.Sender, o.State, o.Reason) }
}

// message is the body of a push.
type message struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"` // of this try
	Data      data      `json:"data"`
}

type data struct {
	Outcomes []outcome.Outcome `json:"outcomes"`
}

// messageType is what every push is.
const messageType = "carillon.outcomes"

// try pushes the i-th of those that wait, and notes what came of it.
func (p *pump) try(ctx context.Context, i int) error {
	spec, _, err := p.Defs.Endpoint(ctx, p.id)
	if err != nil {
		return err
	}
	r, err := p.call(ctx, spec, p.st.Waiting[i])
	if errors.Is(err, jetstream.ErrStreamNotFound) { // an old month was dropped: the others must not wait for it
		gone := p.st.Waiting[i]
		gone.Error, p.dirty = "the ledger of its month was dropped", true
		p.st.Waiting = slices.Delete(slices.Clone(p.st.Waiting), i, i+1)
		if err := p.bury(ctx, gone); err != nil {
			return err
		}
		return p.save(ctx)
	}
	if err != nil {
		return err
	}
	if ctx.Err() != nil { // whoever leads next tries again
		return ctx.Err()
	}
	p.dirty = true
	now := time.Now().UTC()
	if r.Taken() {
		p.Counts.Taken.Add(1)
		p.st.took(i, now)
		return nil // stored with what comes next: a repeat does no harm
	}
	p.Counts.Failed.Add(1)
	was := p.st.Off
	dead := p.st.failed(i, r, now, p.Patience, rand.Float64()) //nolint:gosec // spread, no secret
	if dead != nil {
		if err := p.bury(ctx, *dead); err != nil {
			return err
		}
	}
	if was == "" && p.st.Off != "" {
		p.Log.WarnContext(ctx, "an endpoint was turned off", "endpoint", p.id, "why", p.st.Off)
	}
	return p.save(ctx)
}

// bury puts a push among those that were given up.
func (p *pump) bury(ctx context.Context, dead Push) error {
	p.Counts.Dead.Add(1)
	p.Log.WarnContext(ctx, "a push to an endpoint was given up", "endpoint", p.id, "push", dead.ID, "attempts", dead.Attempts, "error", dead.Error)
	return p.Store.bury(ctx, p.id, dead)
}

// call makes one call. Its error says that the push could not be made up; what
// is wrong with the endpoint, its secrets included, is in the result.
func (p *pump) call(ctx context.Context, spec *endpoint.Spec, w Push) (push.Result, error) {
	outs := p.read
	if p.read = nil; len(outs) == 0 || outs[0].Seq != w.After+1 || outs[len(outs)-1].Seq != w.To {
		var err error
		if outs, err = p.Feed.Between(ctx, w.Stream, w.After, w.To, wanted(spec)); err != nil {
			return push.Result{}, err
		}
	}
	if len(outs) == 0 {
		return push.Result{}, nil // the endpoint wants none of them any more
	}
	if err := outcome.Know(ctx, p.Facts, outs, spec.Attributes); err != nil {
		return push.Result{}, err
	}
	now := time.Now().UTC()
	body, err := json.Marshal(message{messageType, now, data{outs}})
	if err != nil {
		return push.Result{}, err
	}
	secrets := make([]secret.Text, len(spec.Secrets))
	for i, ref := range spec.Secrets {
		if secrets[i], err = p.Secret(ref); err != nil {
			return push.Result{Err: fmt.Errorf("secret %d: %w", i+1, err)}, nil
		}
	}
	return p.Push(ctx, push.Message{URL: spec.URL, AllowPrivate: spec.AllowPrivate, ID: w.ID, At: now, Body: body, Secrets: secrets}), nil
}
