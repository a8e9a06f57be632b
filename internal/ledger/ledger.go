package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// maxSubjects is how many jobs one ledger stream takes before the next part
// begins: a million subjects cost the server about a quarter of a gigabyte.
const maxSubjects = 4_000_000

// Ledger reads the ledger's streams and creates them.
type Ledger struct {
	js      jetstream.JetStream
	streams stream.Provider
	names   subject.Names
}

// New returns a ledger over the given names.
func New(p stream.Provider, names subject.Names) *Ledger {
	return &Ledger{js: p.JS, streams: p, names: names}
}

// Config returns the settings of a ledger stream. Nothing in it may ever
// remove a record, since a record that is gone opens its claim again.
func Config(names subject.Names, month string, part int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               names.Ledger(month, part),
		Description:        "what became of every job; never deleted from",
		Subjects:           []string{names.LedgerSubjects(month, part)},
		Storage:            jetstream.FileStorage,
		Retention:          jetstream.LimitsPolicy,
		Discard:            jetstream.DiscardNew,
		MaxMsgs:            -1,
		MaxBytes:           -1,
		MaxMsgsPerSubject:  -1,
		DenyDelete:         true,
		DenyPurge:          true,
		AllowAtomicPublish: true,
		AllowDirect:        false, // any replica may answer a direct read; a claim needs the leader
		Duplicates:         0,
	}
}

// Ensure creates the stream of a month and part where it does not exist, and
// refuses one that could lose a claim.
func (l *Ledger) Ensure(ctx context.Context, month string, part int) error {
	_, err := l.ensure(ctx, month, part)
	return err
}

func (l *Ledger) ensure(ctx context.Context, month string, part int) (jetstream.Stream, error) {
	s, err := l.streams.Open(ctx, Config(l.names, month, part))
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return s, nil
}

// Place returns the part of a month's ledger that has room for n more jobs,
// and makes sure that it exists.
func (l *Ledger) Place(ctx context.Context, month string, n int) (int, error) {
	for part := 0; part < 1000; part++ {
		s, err := l.ensure(ctx, month, part)
		if err != nil {
			return 0, err
		}
		have := s.CachedInfo().State.NumSubjects
		if have == 0 || have+uint64(n) <= maxSubjects {
			return part, nil
		}
	}
	return 0, fmt.Errorf("ledger of %s: all 1000 parts are full", month)
}

// Streams returns the names of all ledger streams, oldest first.
func (l *Ledger) Streams(ctx context.Context) ([]string, error) {
	var out []string
	lister := l.js.StreamNames(ctx)
	for name := range lister.Name() {
		if _, _, ok := l.split(name); ok {
			out = append(out, name)
		}
	}
	if err := lister.Err(); err != nil {
		return nil, fmt.Errorf("list ledger streams: %w", err)
	}
	slices.SortFunc(out, func(a, b string) int {
		am, ap, _ := l.split(a)
		bm, bp, _ := l.split(b)
		return cmp.Or(cmp.Compare(am, bm), cmp.Compare(ap, bp))
	})
	return out, nil
}

// Answers returns nil where the ledger can be read and written just now, as
// far as asking tells.
func (l *Ledger) Answers(ctx context.Context) error {
	names, err := l.Streams(ctx)
	if err == nil && len(names) > 0 { // the newest has a leader
		_, err = stream.Head(ctx, l.js, names[len(names)-1])
	}
	return err
}

// Last reads a job's newest record from its stream's leader. It reports false
// for a job that has none.
func (l *Ledger) Last(ctx context.Context, id job.ID) (Entry, bool, error) {
	return last(ctx, l.js.Conn(), l.names, id)
}

func last(ctx context.Context, nc *nats.Conn, names subject.Names, id job.ID) (Entry, bool, error) {
	m, found, err := stream.Last(ctx, nc, names.Ledger(id.Month, id.Part), names.Job(id))
	if err != nil || !found {
		return Entry{}, false, err
	}
	r, err := decode(m.Data)
	return Entry{ID: id, Seq: m.Seq, Record: r}, err == nil, err
}

// History calls fn with every record of a job, oldest first.
func (l *Ledger) History(ctx context.Context, id job.ID, fn func(Entry) error) error {
	return l.each(ctx, stream.Query{Stream: l.names.Ledger(id.Month, id.Part), Subject: l.names.Job(id)}, fn)
}

// OfSource calls fn with every record of a source's jobs, oldest first, up to
// a sequence (0: as far as the ledger goes now).
func (l *Ledger) OfSource(ctx context.Context, s job.Source, upTo uint64, fn func(Entry) error) error {
	return l.each(ctx, stream.Query{Stream: l.names.Ledger(s.Month, s.Part), Subject: l.names.JobsOfSource(s), UpTo: upTo}, fn)
}

// OfSender calls fn with every record of a sender's jobs that was stored since a
// moment, in every month and part; of one job oldest first.
func (l *Ledger) OfSender(ctx context.Context, sender string, since time.Time, fn func(Entry) error) error {
	streams, err := l.Streams(ctx)
	if err != nil {
		return err
	}
	for _, name := range streams {
		month, part, _ := l.split(name)
		if err := l.each(ctx, stream.Query{Stream: name, Subject: l.names.JobsOfSender(month, part, sender), Since: since}, fn); err != nil {
			return err
		}
	}
	return nil
}

// OfFlows calls fn with every record of a sender's jobs of flows in one part of
// a month, oldest first, up to a sequence (0: as far as the ledger goes now).
func (l *Ledger) OfFlows(ctx context.Context, month string, part int, sender string, upTo uint64, fn func(Entry) error) error {
	q := stream.Query{Stream: l.names.Ledger(month, part), Subject: l.names.JobsOfSender(month, part, sender), UpTo: upTo}
	return stream.Each(ctx, l.js, q, func(m stream.Message) error {
		if !flowsJob(m.Subject) {
			return nil
		}
		e, err := l.Entry(m)
		if err != nil {
			return err
		}
		return fn(e)
	})
}

// flowsJob tells a flow's job by its subject, so that nobody reads the records
// of broadcasts in vain.
func flowsJob(subject string) bool {
	return job.Source{Name: subject[strings.LastIndexByte(subject, '.')+1:]}.Flow() != ""
}

func (l *Ledger) each(ctx context.Context, q stream.Query, fn func(Entry) error) error {
	return stream.Each(ctx, l.js, q, func(m stream.Message) error {
		e, err := l.Entry(m)
		if err != nil {
			return err
		}
		return fn(e)
	})
}

// Entry reads a message of a ledger stream.
func (l *Ledger) Entry(m stream.Message) (Entry, error) {
	id, err := l.names.ParseJob(m.Subject)
	if err != nil {
		return Entry{}, fmt.Errorf("ledger at %d: %w", m.Seq, err)
	}
	r, err := decode(m.Data)
	if err != nil {
		return Entry{}, fmt.Errorf("ledger at %d: %w", m.Seq, err)
	}
	return Entry{ID: id, Seq: m.Seq, Record: r}, nil
}

// JobsOf returns the newest record of every job of one contact, in every
// month and part, read from the leaders.
func (l *Ledger) JobsOf(ctx context.Context, sender string, k job.Key) ([]Entry, error) {
	r, err := l.Since(ctx, time.Time{})
	if err != nil {
		return nil, err
	}
	return r.JobsOf(ctx, sender, k)
}

// Recent is the ledger's streams in which something was written since a
// moment, for whoever asks for the jobs of many contacts.
type Recent struct {
	names   subject.Names
	conn    *nats.Conn
	streams []shelf
}

type shelf struct {
	jetstream.Stream
	month string
	part  int
}

// Since returns the streams that were written to since a moment, by their
// servers' clocks; the zero time means all.
func (l *Ledger) Since(ctx context.Context, at time.Time) (Recent, error) {
	r := Recent{names: l.names, conn: l.js.Conn()}
	names, err := l.Streams(ctx)
	if err != nil {
		return r, err
	}
	for _, name := range names {
		s, err := l.js.Stream(ctx, name)
		if err != nil {
			return r, fmt.Errorf("ledger stream %s: %w", name, err)
		}
		if month, part, _ := l.split(name); !s.CachedInfo().State.LastTime.Before(at) {
			r.streams = append(r.streams, shelf{s, month, part})
		}
	}
	return r, nil
}

// JobsOf returns the newest record of every job of one contact, by when it was
// written, read from the leaders: one round trip for each stream, and one for
// each job.
func (r Recent) JobsOf(ctx context.Context, sender string, k job.Key) ([]Entry, error) {
	var out []Entry
	for _, s := range r.streams {
		info, err := s.Info(ctx, jetstream.WithSubjectFilter(r.names.JobsOfContact(s.month, s.part, sender, k)))
		if err != nil {
			return nil, fmt.Errorf("jobs of a contact in %s: %w", s.CachedInfo().Config.Name, err)
		}
		for subj := range info.State.Subjects {
			id, err := r.names.ParseJob(subj)
			if err != nil {
				return nil, err
			}
			e, found, err := last(ctx, r.conn, r.names, id)
			if err != nil {
				return nil, err
			}
			if found {
				out = append(out, e)
			}
		}
	}
	slices.SortFunc(out, func(a, b Entry) int { return a.Record.At.Compare(b.Record.At) })
	return out, nil
}

func (l *Ledger) split(name string) (month string, part int, ok bool) {
	own, ok := strings.CutPrefix(name, l.names.LedgerPrefix())
	month, rest, cut := strings.Cut(own, "_")
	if !ok || !cut {
		return "", 0, false
	}
	part, err := strconv.Atoi(rest)
	return month, part, err == nil
}
