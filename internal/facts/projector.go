package facts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/redis/go-redis/v9"

	"github.com/carillon-dev/carillon/internal/clock"
	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// beatEvery is how often the projector proves that it has caught up.
const beatEvery = 250 * time.Millisecond

// retryAfter is how long the projector waits after an engine failed it.
const retryAfter = 200 * time.Millisecond

// maxApply is how many records go to Redis in one call; Lua's stack bounds it.
const maxApply = 500

// Watcher is told of every control record that was applied, those found again
// after a restart too.
type Watcher interface {
	Controlled(kind, id string, c Control)
}

// Projector applies the facts stream to Redis, in order, each batch together
// with the watermark. It is the only writer of the projection, and any number
// of them may run: one that finds the watermark further than it left it goes
// on from there, since another one has applied what lies between. Elsewhere
// than ahead, it begins again.
type Projector struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	rdb     redis.UniversalClient
	view    *View
	keys    Keys
	names   subject.Names
	watch   Watcher
	log     *slog.Logger
	scripts projectorScripts

	Kill *killpoint.Plan // set before Run; nil: at no point

	// Sure tells whether what a stream's leader answered a moment ago can have
	// been all that was acknowledged until then; set before Run; nil: always.
	Sure func() bool

	clock clock.Reader
	redis clock.Span // how far ahead Redis' clock was when it was last asked in this epoch; zero: it was not
	jump  error      // what Redis' clock did that not everything was wiped for yet; nil: nothing

	mu       sync.Mutex
	position uint64    // the watermark that this projector left
	openedAt time.Time // monotonic; zero while no epoch is open
	epochs   int
	opened   chan struct{} // closed and replaced at every opening
}

// NewProjector returns a projector. watch may be nil.
func NewProjector(nc *nats.Conn, js jetstream.JetStream, v *View, names subject.Names, watch Watcher, log *slog.Logger) *Projector {
	return &Projector{
		nc: nc, js: js, rdb: v.rdb, view: v, keys: v.keys, names: names, watch: watch, log: log,
		opened: make(chan struct{}), scripts: newProjectorScripts(), clock: clock.NewReader(),
	}
}

// errElsewhere says that Redis is not as this projector left it.
var errElsewhere = errors.New("redis is not as this projector left it")

// errJumped says that Redis' clock was set. What stands in Redis in its time,
// such as the rates of senders, is worth nothing any more: it is begun anew.
var errJumped = errors.New("the clock of Redis was set")

// redisStep is how far Redis' clock may be set unnoticed: so much of a second's
// calls may a sender make beyond its rate. No machine that is kept by NTP sets
// its clock that far once it runs; it is slewed. A step forward below BeatLimit
// passes slots until the next beat: what was given in the second before it may
// be forgotten, so that in that second a sender makes twice its calls at the
// most. The platform refuses them as too many, and they go again later.
const redisStep = 50 * time.Millisecond

// errAhead says that Redis holds what the stream does not: the stream was
// restored from a backup.
var errAhead = errors.New("the projection is ahead of the facts stream")

// Run projects until ctx ends. Whatever fails, it begins again; why is said
// once for as long as it is the same.
func (p *Projector) Run(ctx context.Context) {
	said := ""
	for ctx.Err() == nil {
		before, _, _ := p.Opened()
		err := p.epoch(ctx)
		p.setOpened(time.Time{})
		if ctx.Err() != nil {
			return
		}
		if after, _, _ := p.Opened(); after > before || err.Error() != said {
			said = err.Error()
			p.log.Warn("the gate is closed until facts are projected again", "cause", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}

// epoch projects until something fails: prepare, replay, open, follow.
func (p *Projector) epoch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	if err := p.rdb.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	epoch := p.view.Epoch()
	p.redis = clock.Span{} // it may be another's
	if err := p.afresh(ctx); err != nil {
		return err
	}
	from, err := p.begin(ctx, epoch)
	if err != nil {
		return err
	}
	p.setPosition(from)
	head, err := p.head(ctx)
	if err != nil {
		return err
	}
	if from > head {
		if err := p.wipe(ctx); err != nil {
			return err
		}
		return errAhead
	}
	if err := p.recall(ctx); err != nil {
		return err
	}
	msgs := make(chan stream.Message, 2*maxApply)
	failed := make(chan error, 2)
	wg.Go(func() { failed <- stream.Follow(ctx, p.js, p.names.FactsStream(), from+1, msgs) })
	if err := p.replay(ctx, head, msgs, failed); err != nil {
		return err
	}
	// The replay may have taken minutes: the first beat covers what came
	// meanwhile too.
	now, head, err := p.moment(ctx)
	if err != nil {
		return err
	}
	if err := p.replay(ctx, head, msgs, failed); err != nil {
		return err
	}
	if err := p.open(ctx, epoch, now); err != nil {
		return err
	}
	wg.Go(func() { failed <- p.beats(ctx, epoch) })
	for {
		if err := p.step(ctx, msgs, failed); err != nil {
			return err
		}
	}
}

// recall tells the watcher of every control as it is now: what another
// projector applied while this one was away does not come by again.
func (p *Projector) recall(ctx context.Context) error {
	if p.watch == nil {
		return nil
	}
	q := stream.Query{Stream: p.names.FactsStream(), Subject: p.names.Control("*", "*"), Newest: true}
	return stream.Each(ctx, p.js, q, func(m stream.Message) error {
		return p.controlled([]stream.Message{m})
	})
}

func (p *Projector) replay(ctx context.Context, head uint64, msgs <-chan stream.Message, failed <-chan error) error {
	for p.at() < head {
		if err := p.step(ctx, msgs, failed); err != nil {
			return err
		}
		p.Kill.Pass(killpoint.WhileRebuilding)
	}
	return nil
}

// head asks the stream's leader how far it goes, and refuses another stream
// of the same name: nothing that is written to it comes by here.
func (p *Projector) head(ctx context.Context) (uint64, error) {
	s, err := p.js.Stream(ctx, p.names.FactsStream())
	if err != nil {
		return 0, fmt.Errorf("facts: %w", err)
	}
	if id := identity(s.CachedInfo()); id != p.view.identity {
		return 0, fmt.Errorf("facts: the stream is now %s, not %s; restart this process", id, p.view.identity)
	}
	return s.CachedInfo().State.LastSeq, nil
}

// moment returns a time by Redis' clock and a sequence that the stream had
// reached no earlier. It waits for as long as somebody may lead the stream
// whom the one who answers doesn't know.
func (p *Projector) moment(ctx context.Context) (time.Time, uint64, error) {
	for {
		now, err := p.redisTime(ctx)
		if err != nil {
			return now, 0, err
		}
		head, err := p.head(ctx)
		if err != nil || p.Sure == nil || p.Sure() {
			return now, head, err
		}
		select {
		case <-ctx.Done():
			return now, 0, ctx.Err()
		case <-time.After(beatEvery):
		}
	}
}

// redisTime asks Redis for the time. Where its clock was set since it was last
// asked in this epoch, everything is begun anew.
func (p *Projector) redisTime(ctx context.Context) (time.Time, error) {
	sent := time.Now()
	now, err := p.rdb.Time(ctx).Result()
	if err != nil {
		return now, fmt.Errorf("redis: %w", err)
	}
	was := p.redis
	p.redis = clock.Compare(now, time.Microsecond, p.clock.Instant(sent), p.clock.Instant(time.Now()))
	if was == (clock.Span{}) || p.redis.Steady(was, redisStep) {
		return now, nil
	}
	p.jump = fmt.Errorf("%w by %v", errJumped, p.redis.Moved(was).Round(time.Millisecond))
	return now, p.afresh(ctx)
}

// afresh wipes what stands in Redis in the time of a clock that was set since,
// and says so. Where it fails, each epoch that follows begins with it.
func (p *Projector) afresh(ctx context.Context) error {
	if p.jump == nil {
		return nil
	}
	if err := p.wipe(ctx); err != nil {
		return fmt.Errorf("%w: %w", p.jump, err)
	}
	said := p.jump
	p.jump = nil
	return said
}

func (p *Projector) step(ctx context.Context, msgs <-chan stream.Message, failed <-chan error) error {
	select {
	case err := <-failed:
		if err == nil {
			err = ctx.Err()
		}
		return err
	case m := <-msgs:
		batch := []stream.Message{m}
		for len(batch) < maxApply && len(msgs) > 0 {
			batch = append(batch, <-msgs)
		}
		return p.apply(ctx, batch)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin returns the watermark to go on from. It closes the gate unless the
// epoch that is open is this one. What another stream, or nobody, projected
// is wiped.
func (p *Projector) begin(ctx context.Context, epoch string) (uint64, error) {
	wm, err := p.scripts.begin.Run(ctx, p.rdb, []string{p.keys.Meta()}, p.view.identity, epoch).Text()
	if err == nil && wm == "" {
		if err := p.wipe(ctx); err != nil {
			return 0, err
		}
		wm, err = p.scripts.begin.Run(ctx, p.rdb, []string{p.keys.Meta()}, p.view.identity, epoch).Text()
	}
	if err != nil {
		return 0, fmt.Errorf("redis: %w", err)
	}
	if wm == "" {
		return 0, errElsewhere
	}
	return strconv.ParseUint(wm, 10, 64)
}

// wipe removes every key of the installation and starts the watermark at 0.
// There is no watermark meanwhile, so that nothing is applied that it would
// take away, and a wipe cut short is begun again. Of two, the later goes on.
func (p *Projector) wipe(ctx context.Context) error {
	meta, token := p.keys.Meta(), nuid.Next()
	if err := p.scripts.clear.Run(ctx, p.rdb, []string{meta}, token).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	it := p.rdb.Scan(ctx, 0, p.keys.all(), maxApply).Iterator()
	some := []string{meta}
	for it.Next(ctx) {
		if it.Val() != meta {
			some = append(some, it.Val())
		}
		if len(some) > maxApply {
			if err := p.wiped(p.scripts.unlink.Run(ctx, p.rdb, some, token)); err != nil {
				return err
			}
			some = some[:1]
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	if err := p.wiped(p.scripts.unlink.Run(ctx, p.rdb, some, token)); err != nil {
		return err
	}
	return p.wiped(p.scripts.start.Run(ctx, p.rdb, []string{meta}, token, p.view.identity))
}

func (p *Projector) wiped(cmd *redis.Cmd) error {
	n, err := cmd.Int()
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	if n == 0 {
		return errElsewhere
	}
	return nil
}

// apply brings Redis past the messages. What another projector was quicker
// with is left out, but the watcher is told of all.
func (p *Projector) apply(ctx context.Context, ms []stream.Message) error {
	last := ms[len(ms)-1].Seq
	for at := p.at(); at < last; at = p.at() {
		i := slices.IndexFunc(ms, func(m stream.Message) bool { return m.Seq > at })
		now, err := p.put(ctx, at, ms[i:])
		if err != nil {
			return err
		}
		if now <= at {
			return errElsewhere
		}
		p.setPosition(now)
	}
	p.tell(p.at())
	return p.controlled(ms)
}

// put applies messages if the watermark is at the given place, and returns
// where it is afterwards; 0 where there is none of this stream.
func (p *Projector) put(ctx context.Context, at uint64, ms []stream.Message) (uint64, error) {
	keys := append(make([]string, 0, len(ms)+1), p.keys.Meta())
	args := append(make([]any, 0, len(ms)+3), p.view.identity, at, ms[len(ms)-1].Seq)
	for _, m := range ms {
		control, first, second, ok := p.names.ParseFacts(m.Subject)
		switch {
		case !ok:
			continue
		case control:
			keys = append(keys, p.keys.Control(first, second))
		default:
			keys = append(keys, p.keys.tag+"f:"+first+":"+second)
		}
		args = append(args, m.Data)
	}
	wm, err := p.scripts.apply.Run(ctx, p.rdb, keys, args...).Text()
	if err != nil {
		return 0, fmt.Errorf("redis: %w", err)
	}
	return strconv.ParseUint(wm, 10, 64)
}

func (p *Projector) controlled(ms []stream.Message) error {
	if p.watch == nil {
		return nil
	}
	for _, m := range ms {
		control, kind, id, ok := p.names.ParseFacts(m.Subject)
		if !ok || !control {
			continue
		}
		var c Control
		if err := json.Unmarshal(m.Data, &c); err != nil {
			return fmt.Errorf("facts at %d: %w", m.Seq, err)
		}
		p.watch.Controlled(kind, id, c)
	}
	return nil
}

// open lets the gate see the projection, which was current at the given time
// by Redis' clock. Where another projector has done so, the epoch is as old
// as that.
func (p *Projector) open(ctx context.Context, epoch string, now time.Time) error {
	age, err := p.scripts.open.Run(ctx, p.rdb, []string{p.keys.Meta()}, p.view.identity, p.at(), epoch, now.UnixMicro()).Int64()
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	if age < 0 {
		return errElsewhere
	}
	if p.view.Epoch() != epoch {
		return errElsewhere // another primary took over while we replayed
	}
	p.log.Info("facts are projected; the gate is open", "watermark", p.at())
	p.setOpened(time.Now().Add(-time.Duration(age) * time.Microsecond))
	return nil
}

// beats proves again and again that everything which was in the stream a
// moment ago has been applied. Being behind the newest record is no reason
// against it.
func (p *Projector) beats(ctx context.Context, epoch string) error {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if p.view.Epoch() != epoch {
			return errElsewhere
		}
		was := p.at()
		now, head, err := p.moment(ctx)
		if err != nil {
			return err
		}
		if head < was {
			return errAhead
		}
		if err := p.beat(ctx, epoch, head, now); err != nil {
			return err
		}
	}
}

func (p *Projector) beat(ctx context.Context, epoch string, head uint64, now time.Time) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for p.at() < head {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	n, err := p.scripts.beat.Run(ctx, p.rdb, []string{p.keys.Meta()}, head, epoch, now.UnixMicro()).Int()
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	if n == 0 {
		return errElsewhere
	}
	p.tell(p.at())
	return nil
}

// tell wakes who waits for facts to be in force, once the epoch is old enough
// that nobody can still be reading another primary.
func (p *Projector) tell(seq uint64) {
	p.mu.Lock()
	opened := p.openedAt
	p.mu.Unlock()
	if opened.IsZero() || time.Since(opened) < BeatLimit {
		return
	}
	data, err := json.Marshal(appliedNote{Identity: p.view.identity, Seq: seq})
	if err != nil {
		return // two plain fields always marshal
	}
	if err := p.nc.Publish(p.names.Applied(), data); err != nil {
		p.log.Warn("waiting requests can't be told that facts are in force", "error", err)
	}
}

// Watermark returns how far this projector has brought Redis.
func (p *Projector) Watermark() uint64 { return p.at() }

func (p *Projector) at() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.position
}

func (p *Projector) setPosition(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.position = seq
}

func (p *Projector) setOpened(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.openedAt = t
	if !t.IsZero() {
		p.epochs++
		close(p.opened)
		p.opened = make(chan struct{})
	}
}

// Opened returns how many epochs this projector has opened, whether one is
// open now, and a channel that is closed at the next opening.
func (p *Projector) Opened() (epochs int, open bool, next <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.epochs, !p.openedAt.IsZero(), p.opened
}
