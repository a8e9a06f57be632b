package run

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// TimersConfig returns the settings of the stream of timers. A minute's are
// purged once all of them are handled.
func TimersConfig(names subject.Names) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               names.TimersStream(),
		Description:        "when runs are to be looked at next, by minute",
		Subjects:           names.TimersSubjects(),
		Storage:            jetstream.FileStorage,
		Retention:          jetstream.LimitsPolicy,
		Discard:            jetstream.DiscardNew,
		MaxMsgs:            -1,
		MaxBytes:           -1,
		MaxMsgsPerSubject:  -1,
		DenyDelete:         true,
		AllowAtomicPublish: true,
	}
}

// Timer says that a run is to be looked at.
type Timer struct {
	Run  flow.ID
	At   time.Time
	Call string // id of an effect that calls somebody: it is looked after until it has an outcome. "": the run's Due
}

// wireTimer is a timer as it is stored, many in one message.
type wireTimer struct {
	Run  string    `json:"run"`
	At   time.Time `json:"at"`
	Call string    `json:"call,omitempty"`
}

// Timers keeps timers. It is safe for concurrent use.
type Timers struct {
	nc    *nats.Conn
	js    jetstream.JetStream
	names subject.Names
}

// OpenTimers opens the stream, which the provider may create where it does not
// exist.
func OpenTimers(ctx context.Context, nc *nats.Conn, p stream.Provider, names subject.Names) (*Timers, error) {
	if _, err := p.Open(ctx, TimersConfig(names)); err != nil {
		return nil, fmt.Errorf("timers: %w", err)
	}
	return &Timers{nc: nc, js: p.JS, names: names}, nil
}

// maxTogether is how many timers one message has, some 100 KB.
const maxTogether = 1000

// Append keeps timers. A run's is kept before the run whose Due it is, so that
// none is stored that nobody wakes; one that is kept twice does no harm.
func (t *Timers) Append(ctx context.Context, timers []Timer) error {
	ms, err := t.messages(timers)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(ms, stream.MaxBatch) {
		if _, err := stream.Batch(ctx, t.nc, some); err != nil {
			return fmt.Errorf("timers: %w", err)
		}
	}
	return nil
}

func (t *Timers) messages(timers []Timer) ([]*nats.Msg, error) {
	bySubject := map[string][]wireTimer{}
	var order []string
	for _, v := range timers {
		subj := t.names.Due(v.At)
		if v.Call != "" {
			subj = t.names.Calls(v.At)
		}
		if bySubject[subj] == nil {
			order = append(order, subj)
		}
		bySubject[subj] = append(bySubject[subj], wireTimer{v.Run.String(), v.At.UTC(), v.Call})
	}
	var out []*nats.Msg
	for _, subj := range order {
		for some := range slices.Chunk(bySubject[subj], maxTogether) {
			data, err := json.Marshal(some)
			if err != nil {
				return nil, fmt.Errorf("timers: %w", err)
			}
			out = append(out, &nats.Msg{Subject: subj, Data: data, Header: nats.Header{}})
		}
	}
	return out, nil
}

// Minute is one minute's timers, or the calls that began in it.
type Minute struct {
	At    time.Time // its beginning
	Calls bool
}

// Minutes returns every minute that has timers and begins before a moment.
func (t *Timers) Minutes(ctx context.Context, before time.Time) ([]Minute, error) {
	s, err := t.js.Stream(ctx, t.names.TimersStream())
	if err != nil {
		return nil, fmt.Errorf("timers: %w", err)
	}
	var out []Minute
	for _, all := range t.names.TimersSubjects() {
		info, err := s.Info(ctx, jetstream.WithSubjectFilter(all))
		if err != nil {
			return nil, fmt.Errorf("timers: %w", err)
		}
		for subj := range info.State.Subjects {
			if at, calls, ok := t.names.ParseDue(subj); ok && at.Before(before) {
				out = append(out, Minute{at, calls})
			}
		}
	}
	slices.SortFunc(out, func(a, b Minute) int { return a.At.Compare(b.At) })
	return out, nil
}

// Group is the timers of one message.
type Group struct {
	Minute Minute
	Timers []Timer
	Seq    uint64
	Kept   time.Time // when the server stored it
}

// Load calls fn with the timers of a minute.
func (t *Timers) Load(ctx context.Context, m Minute, fn func(Group) error) error {
	q := stream.Query{Stream: t.names.TimersStream(), Subject: t.subject(m)}
	err := stream.Each(ctx, t.js, q, func(m stream.Message) error {
		g, err := t.Decode(m)
		if err != nil {
			return err
		}
		return fn(g)
	})
	if err != nil {
		return fmt.Errorf("timers of %s: %w", m.At.Format(time.RFC3339), err)
	}
	return nil
}

func (t *Timers) subject(m Minute) string {
	if m.Calls {
		return t.names.Calls(m.At)
	}
	return t.names.Due(m.At)
}

// Decode reads one message of the stream.
func (t *Timers) Decode(m stream.Message) (Group, error) {
	g := Group{Seq: m.Seq, Kept: m.At}
	at, calls, ok := t.names.ParseDue(m.Subject)
	var wire []wireTimer
	if err := json.Unmarshal(m.Data, &wire); err != nil || !ok {
		return g, fmt.Errorf("timers at %d: subject %s: %w", m.Seq, m.Subject, err)
	}
	g.Minute, g.Timers = Minute{at, calls}, make([]Timer, len(wire))
	for i, w := range wire {
		id, err := flow.ParseID(w.Run)
		if err != nil {
			return g, fmt.Errorf("timers at %d: %w", m.Seq, err)
		}
		g.Timers[i] = Timer{id, w.At, w.Call}
	}
	return g, nil
}

// Head returns the sequence of the newest message of timers.
func (t *Timers) Head(ctx context.Context) (uint64, error) {
	return stream.Head(ctx, t.js, t.names.TimersStream())
}

// Follow sends every message from a sequence on, to be read by Decode, until
// ctx ends.
func (t *Timers) Follow(ctx context.Context, from uint64, to chan<- stream.Message) error {
	return stream.Follow(ctx, t.js, t.names.TimersStream(), from, to)
}

// Purge forgets the timers of a minute up to a sequence, all of which are
// handled; what was kept after it stays.
func (t *Timers) Purge(ctx context.Context, m Minute, upTo uint64) error {
	s, err := t.js.Stream(ctx, t.names.TimersStream())
	if err == nil {
		err = s.Purge(ctx, jetstream.WithPurgeSubject(t.subject(m)), jetstream.WithPurgeSequence(upTo+1))
	}
	if err != nil {
		return fmt.Errorf("timers that are handled, %s: %w", m.At.Format(time.RFC3339)+" "+strconv.FormatBool(m.Calls), err)
	}
	return nil
}
