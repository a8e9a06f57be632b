package automation

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/stream"
)

const (
	// maxRound is how much of each kind one round takes in: enough that a sync
	// of the disk is shared by many.
	maxRound = 1000
	// tick is how often something is looked for that nothing announces: a flow
	// that was changed, a timer that is due.
	tick = 50 * time.Millisecond
	// The pauses before a round that failed is tried again.
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// New returns a driver. It does nothing until Run, which is called once.
func New(c Config) *Driver {
	if c.Now == nil {
		c.Now = time.Now
	}
	d := &Driver{
		Config: c, inbox: newInbox(), wheel: newWheel(), wake: make(chan struct{}, 1), reload: make(chan struct{}, 1),
		flows: map[string]*live{}, hearers: map[sort][]listener{}, done: map[flow.ID]uint64{},
		zones: map[string]*time.Location{}, warned: map[string]time.Time{},
	}
	d.calls, d.follower = newCalls(d), newFollower(d)
	return d
}

// Run carries flows out until ctx ends. Failures are logged and tried again;
// its error means that nothing can be done at all.
func (d *Driver) Run(ctx context.Context) error {
	defer d.inbox.close()
	if err := d.begin(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	d.life = ctx
	events := make(chan stream.Message, maxRound)
	g.Go(func() error { return stream.Follow(ctx, d.JS, d.Names.EventsStream(), d.heard.at+1, events) })
	g.Go(func() error { return d.load(ctx) })
	g.Go(func() error { d.calls.run(ctx); return nil })
	g.Go(func() error { d.follower.run(ctx); return nil })
	g.Go(func() error { return d.rounds(ctx, events) })
	err := g.Wait()
	d.inbox.close()
	_ = d.beside.Wait()
	return err
}

// believed is the time, unless nobody knows it: then nothing is due.
func (d *Driver) believed() (time.Time, error) {
	now := d.Now()
	if d.Clock == nil {
		return now, nil
	}
	return now, d.Clock.Check(now)
}

// rounds makes rounds until ctx ends.
func (d *Driver) rounds(ctx context.Context, events <-chan stream.Message) error {
	t := time.NewTicker(tick)
	defer t.Stop()
	said, pause := complaint(""), firstPause
	for ctx.Err() == nil {
		r := &round{}
		var err error
		for {
			if err = d.gather(ctx, events, r); err == nil {
				err = d.carryOut(ctx, r)
			}
			if err == nil || ctx.Err() != nil {
				break
			}
			if said.new(ctx, err) {
				d.Log.WarnContext(ctx, "flows can't be carried out; trying again", "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, lastPause)
		}
		if ctx.Err() != nil {
			break
		}
		said, pause = "", firstPause
		if r.size() > 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case m := <-events:
			d.first = &m
		case <-d.inbox.wake:
		case <-d.wake:
		case <-t.C:
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stream.AckWait)
	defer cancel()
	if err := d.saveMark(last); err != nil {
		d.Log.WarnContext(ctx, "how far flows heard events could not be stored; they hear some again", "error", err)
	}
	return nil
}

// round is what is taken in at once.
type round struct {
	events, inbox, missed []*news
	timers                []*entry
	last                  uint64 // of the events
	then                  func(context.Context)
}

func (r *round) size() int { return len(r.events) + len(r.inbox) + len(r.timers) + len(r.missed) }

// gather collects what there is. What was collected for a round that failed
// stays in it.
func (d *Driver) gather(ctx context.Context, events <-chan stream.Message, r *round) error {
	d.listen(ctx, events, r)
	if len(r.events) > 0 { // flows are looked at as they were when the events were kept, or later
		if err := d.Catalog.Catch(ctx); err != nil {
			return err
		}
	}
	if err := d.look(ctx); err != nil {
		return err
	}
	if err := d.abreast(ctx); err != nil {
		return err
	}
	if r.then == nil {
		missed, then, err := d.catchUp(ctx)
		if err != nil {
			return err
		}
		r.missed, r.then = missed, then
	}
	r.inbox = append(r.inbox, d.inbox.take(maxRound-len(r.inbox))...)
	upTo, err := d.believed()
	if err != nil {
		return err
	}
	if d.heard.asOf.Before(upTo) {
		upTo = d.heard.asOf
	}
	if due := d.wheel.due(upTo, maxRound-len(r.timers)); len(due) > 0 {
		d.Counts.Late.Store(d.Now().Sub(due[0].next).Milliseconds())
		r.timers = append(r.timers, due...)
		d.Kill.Pass(killpoint.TimerWoken)
	}
	d.Counts.Loaded.Store(int64(d.wheel.size()))
	return nil
}

// listen collects the events that have come.
func (d *Driver) listen(ctx context.Context, events <-chan stream.Message, r *round) {
	take := func(m stream.Message) {
		r.events, r.last = append(r.events, d.told(ctx, m, nil)), m.Seq
	}
	if d.first != nil {
		take(*d.first)
		d.first = nil
	}
	for len(r.events) < maxRound {
		select {
		case m := <-events:
			take(m)
			continue
		default:
		}
		break
	}
}

// carryOut takes a round in, and lets go of what led to it.
func (d *Driver) carryOut(ctx context.Context, r *round) error {
	all := make([]*news, 0, r.size())
	all = append(append(append(all, r.missed...), r.events...), r.inbox...)
	for _, e := range r.timers {
		all = append(all, &news{kind: woken, id: e.Run, entry: e})
	}
	if err := d.waves(ctx, all, 0); err != nil {
		return err
	}
	for _, n := range r.inbox {
		if n.kind == surveyed {
			if err := d.surveyed(ctx, n); err != nil {
				return err
			}
		}
	}
	if len(r.events) > 0 {
		d.heard.at = r.last
	}
	if time.Since(d.heard.saved) >= saveEvery {
		if err := d.saveMark(ctx); err != nil {
			return err
		}
	}
	d.Counts.Heard.Add(int64(len(r.events)))
	for _, n := range all {
		d.letGo(n)
	}
	r.then(ctx) // after timers were put aside, so that a flow that goes on takes them up
	d.inbox.finished(len(r.inbox))
	return nil
}

// letGo forgets news that were taken in.
func (d *Driver) letGo(n *news) {
	switch n.kind {
	case woken:
		d.woke(n)
	case settled:
		if n.called {
			d.calls.settled(n)
		}
		d.Counts.Settled.Add(1)
	default:
	}
}

func (d *Driver) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// hurry has timers looked for now.
func (d *Driver) hurry() {
	select {
	case d.reload <- struct{}{}:
	default:
	}
}
