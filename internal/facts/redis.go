package facts

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json" // v2: a third of the time, and every look passes here
	"github.com/redis/go-redis/v9"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
)

// The layout in Redis. All keys of an installation share one hash tag, since
// the watermark must move together with the records that it covers.
//
//	{carillon}:meta            hash: stream, wm, epoch, beat, opened; wiper while it is wiped
//	{carillon}:f:SENDER:KEY    a contact's record
//	{carillon}:c:KIND:ID       a control record
//	{carillon}:r:SENDER        the rate of a sender (internal/gate)
//	{carillon}:r:~             never there: what a look would change, were it

// Keys names Redis keys for an installation.
type Keys struct{ tag string }

// NewKeys returns the keys of the installation with the given prefix.
func NewKeys(prefix string) Keys {
	if prefix == "" {
		prefix = "carillon"
	}
	return Keys{"{" + prefix + "}:"}
}

// Meta is the hash that says how far the projection has come.
func (k Keys) Meta() string { return k.tag + "meta" }

// Contact is a contact's record.
func (k Keys) Contact(sender string, key job.Key) string {
	return k.tag + "f:" + sender + ":" + key.String()
}

// Control is a control record.
func (k Keys) Control(kind, id string) string { return k.tag + "c:" + kind + ":" + id }

// Rate is a sender's rate.
func (k Keys) Rate(sender string) string { return k.tag + "r:" + sender }

// primary is changed where it is there, which it never is: only a primary lets
// anybody try. It is among the keys that every role may set.
func (k Keys) primary() string { return k.Rate("~") }

func (k Keys) all() string { return k.tag + "*" }

// BeatLimit is how old the projector's beat may be before the gate closes. It
// is also how long nothing is acknowledged after a change of epoch: by then
// whoever still reads the old primary has seen its beat grow too old.
const BeatLimit = 3 * time.Second

// lookScript reads everything that a check needs, at one moment, and of a
// primary. One that was demoted while connections to it stayed open would
// answer with what has reached it by now, beat and epoch of the other primary
// among it: it refuses what may write, and the client leaves it for that.
//
//	KEYS  meta, primary, sender control, source control, contact…
//	reply now (µs), epoch, wm, beat (µs), then the values of KEYS[3…]
func lookScript() *redis.Script {
	return redis.NewScript(`
redis.call('SET', KEYS[2], '', 'XX')
local t = redis.call('TIME')
local m = redis.call('HMGET', KEYS[1], 'epoch', 'wm', 'beat')
local out = {t[1] * 1000000 + t[2], m[1], m[2], m[3]}
local v = redis.call('MGET', unpack(KEYS, 3))
for i = 1, #v do out[4 + i] = v[i] end
return out`)
}

// Why a look can't be relied on.
var (
	// ErrRebuilding says that Redis is not this installation's current
	// projection: it was flushed, restarted or replaced.
	ErrRebuilding = errors.New("facts are being rebuilt in Redis")
	// ErrStale says that nobody has proved for BeatLimit that the projection
	// is current.
	ErrStale = errors.New("facts in Redis may be stale")
)

// Look is what Redis shows of one source's contacts at one moment.
type Look struct {
	Now       time.Time // by Redis' clock
	Watermark uint64    // everything acknowledged up to here is in it
	Sender    *Control  // nil: nothing is recorded
	Source    *Control
	Contacts  []*contact.Record // in the order asked for; nil: nothing is known
}

// Until is the look at a job that nobody wants any more from a moment on; zero:
// as long as its source goes on.
func (l Look) Until(ends time.Time) Look {
	if l.Source == nil || ends.IsZero() || !l.Source.EndsAt.IsZero() && l.Source.EndsAt.Before(ends) {
		return l
	}
	c := *l.Source
	c.EndsAt = ends
	l.Source = &c
	return l
}

// runner is the Redis primary that connections lead to.
type runner interface{ RunID() string }

// View reads the projection.
type View struct {
	rdb      redis.UniversalClient
	run      runner
	keys     Keys
	identity string
	look     *redis.Script
}

// NewView returns a view of the projection of the stream with the given
// identity.
func NewView(rdb redis.UniversalClient, run runner, keys Keys, identity string) *View {
	return &View{rdb: rdb, run: run, keys: keys, identity: identity, look: lookScript()}
}

// Epoch is what an open projection must carry: this stream, this primary.
func (v *View) Epoch() string { return v.identity + "/" + v.run.RunID() }

// Look reads controls and contacts in one round trip. Its errors, ErrStale
// and ErrRebuilding among them, all mean that nothing may be sent.
func (v *View) Look(ctx context.Context, sender, source string, contacts []job.Key) (Look, error) {
	keys := make([]string, 0, len(contacts)+4)
	keys = append(keys, v.keys.Meta(), v.keys.primary(), v.keys.Control(SenderControl, sender), v.keys.Control(SourceControl, source))
	for _, c := range contacts {
		keys = append(keys, v.keys.Contact(sender, c))
	}
	raw, err := v.look.Run(ctx, v.rdb, keys).Slice()
	if err != nil {
		return Look{}, fmt.Errorf("look at facts: %w", err)
	}
	if len(raw) != len(keys)+2 {
		return Look{}, fmt.Errorf("look at facts: %d values, want %d", len(raw), len(keys)+2)
	}
	l, err := v.fresh(raw)
	if err != nil {
		return Look{}, err
	}
	if l.Sender, err = parse(raw[4], control); err != nil {
		return Look{}, err
	}
	if l.Source, err = parse(raw[5], control); err != nil {
		return Look{}, err
	}
	l.Contacts = make([]*contact.Record, len(contacts))
	for i := range contacts {
		if l.Contacts[i], err = parse(raw[6+i], contact.Decode); err != nil {
			return Look{}, err
		}
	}
	return l, nil
}

// Open returns nil where a look could be relied on, as every check before a
// send does, and otherwise why not.
func (v *View) Open(ctx context.Context) error {
	_, err := v.Look(ctx, "", "", nil)
	return err
}

// fresh reads the head of a look's answer and refuses one that nobody vouches
// for.
func (v *View) fresh(raw []any) (Look, error) {
	now, ok := raw[0].(int64)
	if !ok {
		return Look{}, fmt.Errorf("look at facts: time is %T", raw[0])
	}
	epoch, _ := raw[1].(string)
	if epoch != v.Epoch() {
		return Look{}, ErrRebuilding
	}
	wm, err1 := number(raw[2])
	beat, err2 := number(raw[3])
	if err1 != nil || err2 != nil {
		return Look{}, ErrRebuilding
	}
	// A beat from the future was written before the clock went back: nobody
	// can tell how old it is.
	if age := now - int64(beat); age < 0 || age > BeatLimit.Microseconds() {
		return Look{}, ErrStale
	}
	return Look{Now: time.UnixMicro(now).UTC(), Watermark: wm}, nil
}

func number(v any) (uint64, error) {
	s, ok := v.(string)
	if !ok {
		return 0, errors.New("missing")
	}
	return strconv.ParseUint(s, 10, 64)
}

func parse[T any](v any, decode func([]byte) (T, error)) (*T, error) {
	s, ok := v.(string)
	if !ok {
		return nil, nil
	}
	t, err := decode([]byte(s))
	if err != nil {
		return nil, fmt.Errorf("look at facts: %w", err)
	}
	return &t, nil
}

// control reads a control and refuses a field of a newer version, which may
// forbid what this one would do.
func control(b []byte) (c Control, err error) {
	return c, json.Unmarshal(b, &c, json.RejectUnknownMembers(true))
}
