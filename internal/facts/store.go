// Package facts keeps what is known of contacts, and what a recheck must see
// at once: as truth in a stream, and projected to Redis for the gate. It says
// when a fact is in force, and it makes Redis prove that what it shows is
// current before anybody may rely on it.
package facts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// Store writes facts and tells when they are in force.
type Store struct {
	nc    *nats.Conn
	js    jetstream.JetStream
	names subject.Names
	keyer contact.Keyer
	id    string // the stream's identity: made anew with the stream

	Kill *killpoint.Plan // set before it is used; nil: at no point

	mu      sync.Mutex
	applied uint64        // highest watermark that may be acknowledged
	moved   chan struct{} // closed and replaced when applied grows
	sub     *nats.Subscription
}

// Config returns the settings of the facts stream.
func Config(names subject.Names) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               names.FactsStream(),
		Description:        "one merged record for each contact, and controls; the newest of each is the truth",
		Subjects:           names.FactsSubjects(),
		Storage:            jetstream.FileStorage,
		Retention:          jetstream.LimitsPolicy,
		Discard:            jetstream.DiscardOld,
		MaxMsgs:            -1,
		MaxBytes:           -1,
		MaxMsgsPerSubject:  1,
		AllowDirect:        true, // reads are checked by the sequence that the write expects
		AllowAtomicPublish: true,
	}
}

// Open opens the stream, which the provider may create where it does not
// exist, and listens for the projector.
func Open(ctx context.Context, nc *nats.Conn, p stream.Provider, names subject.Names, keyer contact.Keyer) (*Store, error) {
	s, err := p.Open(ctx, Config(names))
	if err != nil {
		return nil, fmt.Errorf("facts: %w", err)
	}
	st := &Store{
		nc: nc, js: p.JS, names: names, keyer: keyer, moved: make(chan struct{}),
		id: identity(s.CachedInfo()),
	}
	st.sub, err = nc.Subscribe(names.Applied(), st.heard)
	if err != nil {
		return nil, fmt.Errorf("facts: %w", err)
	}
	return st, nil
}

func identity(s *jetstream.StreamInfo) string {
	return s.Config.Name + "@" + s.Created.UTC().Format(time.RFC3339Nano)
}

// Time returns what the clock of the server shows that leads the stream.
func (s *Store) Time(ctx context.Context) (time.Time, error) {
	st, err := s.js.Stream(ctx, s.names.FactsStream())
	if err != nil {
		return time.Time{}, fmt.Errorf("facts: %w", err)
	}
	return st.CachedInfo().TimeStamp, nil
}

// Close stops listening.
func (s *Store) Close() error { return s.sub.Unsubscribe() }

// Identity names the facts stream; another stream has another.
func (s *Store) Identity() string { return s.id }

// Key returns the key of an address as one sender knows it.
func (s *Store) Key(sender, address string) job.Key { return s.keyer.Key(sender, address) }

// Applied is what the projector tells: everything up to Seq is in force.
type appliedNote struct {
	Identity string `json:"id"`
	Seq      uint64 `json:"seq"`
}

func (s *Store) heard(m *nats.Msg) {
	var a appliedNote
	if json.Unmarshal(m.Data, &a) != nil || a.Identity != s.id {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.Seq > s.applied {
		s.applied = a.Seq
		close(s.moved)
		s.moved = make(chan struct{})
	}
}

// ErrNotInForce says that facts are durable but not known to be in force yet.
// They will be; nothing is sent by older ones meanwhile unless it was claimed
// before.
var ErrNotInForce = errors.New("recorded, but not yet known to be in force: the projector has not answered")

// InForce returns once everything up to the sequence is in force.
func (s *Store) InForce(ctx context.Context, seq uint64) error {
	for {
		s.mu.Lock()
		ok, moved := s.applied >= seq, s.moved
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrNotInForce, ctx.Err())
		case <-moved:
		}
	}
}

// beatMargin is what is added to BeatLimit before a gate that nobody vouches
// for is taken as closed: clocks don't run alike.
const beatMargin = 250 * time.Millisecond

// Prevails returns once no check can be answered by facts from before the
// sequence, which was known to be stored at a moment (with a monotonic
// reading): either they are in force, or the gate is closed to them, since
// every beat from before that moment is too old by now, and a later one vouches
// for what was stored then. It reports which.
func (s *Store) Prevails(ctx context.Context, seq uint64, stored time.Time) (closed bool, err error) {
	waiting, cancel := context.WithDeadline(ctx, stored.Add(BeatLimit+beatMargin))
	defer cancel()
	if err := s.InForce(waiting, seq); err == nil {
		return false, nil
	} else if ctx.Err() != nil || time.Since(stored) < BeatLimit+beatMargin {
		return false, err
	}
	return true, nil
}

// Merged says what a merge did.
type Merged struct {
	Seq       uint64 // the highest sequence written, or seen on an unchanged record
	Written   int
	Unchanged int
}

// known is a contact's record with its place in the stream.
type known struct {
	record contact.Record
	seq    uint64 // 0: there is none
}

// batch is a set of updates to different contacts, and what is known of them:
// before it is written as read, then as written.
type batch struct {
	subjects []string
	updates  [][]contact.Update // by subject, in order
	have     map[string]known
}

// catchUp takes over what an earlier batch wrote after this one was read.
func (b *batch) catchUp(earlier *batch) {
	for _, subj := range b.subjects {
		if k, ok := earlier.have[subj]; ok && k.seq > b.have[subj].seq {
			b.have[subj] = k
		}
	}
}

// Merge merges updates of one sender's contacts into their records. Updates
// of one contact are taken in order. It can be repeated without harm, and a
// repetition that changes nothing writes nothing.
func (s *Store) Merge(ctx context.Context, sender string, updates []contact.Update) (Merged, error) {
	var out Merged
	for len(updates) > 0 {
		n := min(len(updates), stream.MaxBatch)
		b, err := s.read(ctx, sender, updates[:n])
		if err != nil {
			return out, err
		}
		m, err := s.write(ctx, b)
		out.add(m)
		if err != nil {
			return out, err
		}
		updates = updates[n:]
	}
	return out, nil
}

func (m *Merged) add(o Merged) {
	m.Seq, m.Written, m.Unchanged = max(m.Seq, o.Seq), m.Written+o.Written, m.Unchanged+o.Unchanged
}

func (s *Store) read(ctx context.Context, sender string, updates []contact.Update) (*batch, error) {
	b := &batch{}
	at := make(map[string]int, len(updates))
	for _, u := range updates {
		subj := s.names.Facts(sender, s.keyer.Key(sender, u.Address))
		i, ok := at[subj]
		if !ok {
			i = len(b.subjects)
			at[subj] = i
			b.subjects, b.updates = append(b.subjects, subj), append(b.updates, nil)
		}
		b.updates[i] = append(b.updates[i], u)
	}
	var err error
	b.have, err = s.known(ctx, b.subjects)
	return b, err
}

func (s *Store) known(ctx context.Context, subjects []string) (map[string]known, error) {
	ms, err := stream.Newest(ctx, s.nc, s.names.FactsStream(), subjects)
	if err != nil {
		return nil, fmt.Errorf("facts: %w", err)
	}
	out := make(map[string]known, len(ms))
	for subj, m := range ms {
		r, err := contact.Decode(m.Data)
		if err != nil {
			return nil, fmt.Errorf("facts at %d: %w", m.Seq, err)
		}
		out[subj] = known{r, m.Seq}
	}
	return out, nil
}

// write stores a batch at once. What it can't prove stored, a conflict or a
// lost answer, is merged again contact by contact, which is harmless.
func (s *Store) write(ctx context.Context, b *batch) (Merged, error) {
	var out Merged
	var ms []*nats.Msg
	var changed []int
	var made []contact.Record
	for i, subj := range b.subjects {
		out.Unchanged += len(b.updates[i]) - 1 // several rows of one contact make one record
		r, m, err := merged(subj, b.have[subj], b.updates[i])
		if err != nil {
			return out, err
		}
		if m == nil {
			out.add(Merged{Seq: b.have[subj].seq, Unchanged: 1})
			continue
		}
		ms, changed, made = append(ms, m), append(changed, i), append(made, r)
	}
	if len(ms) == 0 {
		return out, nil
	}
	if first, err := stream.Batch(ctx, s.nc, ms); err == nil {
		for n, i := range changed {
			b.have[b.subjects[i]] = known{made[n], first + uint64(n)}
		}
		out.add(Merged{Seq: first + uint64(len(ms)) - 1, Written: len(ms)})
		return out, nil
	}
	for _, i := range changed {
		k, wrote, err := s.writeOne(ctx, b.subjects[i], b.updates[i])
		if err != nil {
			return out, err
		}
		b.have[b.subjects[i]] = k
		m := Merged{Seq: k.seq, Unchanged: 1}
		if wrote {
			m = Merged{Seq: k.seq, Written: 1}
		}
		out.add(m)
	}
	return out, nil
}

// merged returns what the updates make of a record, and the message that
// stores it; no message when they change nothing.
func merged(subj string, k known, updates []contact.Update) (contact.Record, *nats.Msg, error) {
	r, changed := k.record, false
	for _, u := range updates {
		var c bool
		r, c = contact.Merge(r, u)
		changed = changed || c
	}
	if !changed {
		return r, nil, nil
	}
	data, err := r.Encode()
	if err != nil {
		return r, nil, fmt.Errorf("facts: %w", err)
	}
	if len(updates) > 1 && k.seq > 0 { // a later one may have changed back what an earlier did
		if was, err := k.record.Encode(); err == nil && bytes.Equal(was, data) {
			return r, nil, nil
		}
	}
	return r, stream.Expect(subj, data, k.seq), nil
}

// tries is how often one record's change is begun again after a conflict or a
// lost answer, in all for about six seconds: as long as a cluster takes to
// elect another leader.
const (
	tries      = 20
	firstPause = 5 * time.Millisecond
	lastPause  = 400 * time.Millisecond
)

// repeat calls try until it says that it is done. The pauses between get
// longer: two that keep taking each other's place come apart.
func repeat(ctx context.Context, try func() (done bool, err error)) error {
	pause := firstPause
	for n := 1; ; n++ {
		done, err := try()
		if done || n == tries || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
			pause = min(2*pause, lastPause)
		}
	}
}

func (s *Store) writeOne(ctx context.Context, subj string, updates []contact.Update) (k known, wrote bool, err error) {
	err = repeat(ctx, func() (bool, error) {
		have, err := s.leading(ctx, subj)
		if err != nil {
			return false, err
		}
		r, m, err := merged(subj, have, updates)
		if err != nil || m == nil {
			k = have
			return true, err
		}
		seq, err := stream.Publish(ctx, s.nc, m)
		k, wrote = known{r, seq}, err == nil
		return wrote, err
	})
	if err != nil {
		return known{}, false, fmt.Errorf("facts: a contact could not be written: %w", err)
	}
	return k, wrote, nil
}

// leading returns one contact's record as the stream's leader knows it.
func (s *Store) leading(ctx context.Context, subj string) (k known, err error) {
	m, found, err := stream.Last(ctx, s.nc, s.names.FactsStream(), subj)
	if err != nil || !found {
		return k, err
	}
	if k.record, err = contact.Decode(m.Data); err != nil {
		return known{}, fmt.Errorf("facts at %d: %w", m.Seq, err)
	}
	k.seq = m.Seq
	return k, nil
}

// Contact returns what is known of a contact, read from the stream. It
// reports false for one that nothing is known of.
func (s *Store) Contact(ctx context.Context, sender string, k job.Key) (contact.Record, bool, error) {
	subj := s.names.Facts(sender, k)
	have, err := s.known(ctx, []string{subj})
	if err != nil {
		return contact.Record{}, false, err
	}
	r, ok := have[subj]
	return r.record, ok, nil
}

// Contacts returns what is known of several contacts of a sender, read from
// the stream. Those that nothing is known of are not in it.
func (s *Store) Contacts(ctx context.Context, sender string, keys []job.Key) (map[job.Key]contact.Record, error) {
	subjects := make([]string, len(keys))
	for i, k := range keys {
		subjects[i] = s.names.Facts(sender, k)
	}
	have, err := s.known(ctx, subjects)
	if err != nil {
		return nil, err
	}
	out := make(map[job.Key]contact.Record, len(have))
	for i, k := range keys {
		if r, ok := have[subjects[i]]; ok {
			out[k] = r.record
		}
	}
	return out, nil
}

// Each calls fn with every contact of a sender. It returns the facts'
// sequence that it read up to.
func (s *Store) Each(ctx context.Context, sender string, fn func(job.Key, contact.Record) error) (uint64, error) {
	head, err := stream.Head(ctx, s.js, s.names.FactsStream())
	if err != nil {
		return 0, err
	}
	q := stream.Query{Stream: s.names.FactsStream(), Subject: s.names.FactsOf(sender), Newest: true}
	return head, stream.Each(ctx, s.js, q, func(m stream.Message) error {
		_, _, key, ok := s.names.ParseFacts(m.Subject)
		if !ok {
			return nil
		}
		k, err := job.ParseKey(key)
		if err != nil {
			return fmt.Errorf("facts at %d: %w", m.Seq, err)
		}
		r, err := contact.Decode(m.Data)
		if err != nil {
			return fmt.Errorf("facts at %d: %w", m.Seq, err)
		}
		return fn(k, r)
	})
}

// Control returns a control record and its sequence, 0 where there is none,
// as the stream's leader has it: who finds that nothing is to be done writes
// nothing that would find out about an older one.
func (s *Store) Control(ctx context.Context, kind, id string) (Control, uint64, error) {
	m, ok, err := stream.Last(ctx, s.nc, s.names.FactsStream(), s.names.Control(kind, id))
	if err != nil {
		return Control{}, 0, fmt.Errorf("facts: %w", err)
	}
	if !ok {
		return Control{}, 0, nil
	}
	var c Control
	if err := json.Unmarshal(m.Data, &c); err != nil {
		return c, 0, fmt.Errorf("facts at %d: %w", m.Seq, err)
	}
	return c, m.Seq, nil
}

// SetControl writes a control record unless a newer one is there, and returns
// the sequence from which on it is in force.
func (s *Store) SetControl(ctx context.Context, kind, id string, c Control) (uint64, error) {
	return s.EditControl(ctx, kind, id, func(old Control) (Control, bool) {
		return c, old.Rev < c.Rev
	})
}

// EditControl replaces a control record by what edit makes of it; edit says
// false to leave it. It returns the sequence of the record that stands.
func (s *Store) EditControl(ctx context.Context, kind, id string, edit func(Control) (Control, bool)) (seq uint64, err error) {
	err = repeat(ctx, func() (bool, error) {
		old, at, err := s.Control(ctx, kind, id)
		if err != nil {
			return false, err
		}
		c, ok := edit(old)
		if !ok {
			seq = at
			return true, nil
		}
		if c.Enforcement == nil {
			c.Enforcement = old.Enforcement
		}
		data, err := json.Marshal(c)
		if err != nil {
			return true, err
		}
		seq, err = stream.Publish(ctx, s.nc, stream.Expect(s.names.Control(kind, id), data, at))
		return err == nil, err
	})
	if err != nil {
		return 0, fmt.Errorf("facts: control of %s %s could not be written: %w", kind, id, err)
	}
	return seq, nil
}
