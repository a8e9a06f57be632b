package outcome

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/stream"
)

// Feed reads outcomes from the ledger.
type Feed struct {
	JS     jetstream.JetStream
	Ledger *ledger.Ledger
}

// Pick tells which outcomes are wanted; nil: all.
type Pick func(Outcome) bool

// Page is what one reading found.
type Page struct {
	Outcomes []Outcome
	Cursor   Cursor // to read on from
	More     bool   // there was more than the reading took
}

// maxScan is how many records one reading of a stream looks at, so that a pick
// that takes hardly any is answered all the same.
const maxScan = 20_000

// errFull ends a reading early.
var errFull = errors.New("full")

// Read returns up to limit outcomes after a cursor. The streams share the
// limit, so that a busy month doesn't keep another from being read. Its errors
// include *Ahead.
func (f *Feed) Read(ctx context.Context, after Cursor, limit int, pick Pick) (Page, error) {
	names, err := f.Ledger.Streams(ctx)
	if err != nil {
		return Page{}, err
	}
	p := Page{Cursor: Cursor{}}
	for i, name := range names {
		share := (limit - len(p.Outcomes)) / (len(names) - i)
		if left := limit - len(p.Outcomes); share == 0 && left > 0 {
			share = 1
		}
		s, err := f.ReadStream(ctx, name, after[name], share, pick)
		if err != nil {
			return Page{}, err
		}
		p.Outcomes, p.More, p.Cursor = append(p.Outcomes, s.Outcomes...), p.More || s.More, p.Cursor.With(name, s.To)
	}
	return p, nil
}

// Stretch is what was read of one stream.
type Stretch struct {
	Outcomes []Outcome
	To       uint64 // the last record that was looked at
	More     bool   // there was more
}

// ReadStream returns up to limit outcomes of one stream after a sequence. Its
// errors include *Ahead.
func (f *Feed) ReadStream(ctx context.Context, name string, after uint64, limit int, pick Pick) (Stretch, error) {
	head, err := stream.Head(ctx, f.JS, name)
	if err != nil {
		return Stretch{}, err
	}
	switch {
	case head < after:
		return Stretch{}, &Ahead{name, after, head}
	case head == after || limit == 0:
		return Stretch{To: after, More: head > after}, nil
	}
	return f.scan(ctx, stream.Query{Stream: name, From: after + 1, UpTo: head}, limit, pick)
}

// Between returns the outcomes of one stream after a sequence, up to another.
func (f *Feed) Between(ctx context.Context, name string, after, upTo uint64, pick Pick) ([]Outcome, error) {
	s, err := f.scan(ctx, stream.Query{Stream: name, From: after + 1, UpTo: upTo}, maxScan, pick)
	return s.Outcomes, err
}

func (f *Feed) scan(ctx context.Context, q stream.Query, limit int, pick Pick) (Stretch, error) {
	out, seen := Stretch{To: q.From - 1}, 0
	err := stream.Each(ctx, f.JS, q, func(m stream.Message) error {
		if len(out.Outcomes) == limit || seen == maxScan {
			return errFull
		}
		e, err := f.Ledger.Entry(m)
		if err != nil {
			return err
		}
		seen++
		out.To = m.Seq
		if o, ok := Of(e); ok && (pick == nil || pick(o)) {
			out.Outcomes = append(out.Outcomes, o)
		}
		return nil
	})
	if errors.Is(err, errFull) {
		out.More, err = true, nil
	}
	if err != nil {
		return Stretch{}, fmt.Errorf("outcomes: %w", err)
	}
	return out, nil
}

// Since returns the cursor after which everything comes that was recorded from
// a moment on, by the clock of the stream's server.
func (f *Feed) Since(ctx context.Context, at time.Time) (Cursor, error) {
	names, err := f.Ledger.Streams(ctx)
	if err != nil {
		return nil, err
	}
	c := Cursor{}
	for _, name := range names {
		if c[name], err = f.before(ctx, name, at); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Behind returns how many records of the ledger stand after a cursor, outcomes
// and others.
func (f *Feed) Behind(ctx context.Context, c Cursor) (int, error) {
	names, err := f.Ledger.Streams(ctx)
	if err != nil {
		return 0, err
	}
	behind := uint64(0)
	for _, name := range names {
		head, err := stream.Head(ctx, f.JS, name)
		if err != nil {
			return 0, err
		}
		behind += max(head, c[name]) - c[name]
	}
	return int(min(behind, math.MaxInt)), nil
}

// before returns the last sequence of a stream before a moment.
func (f *Feed) before(ctx context.Context, name string, at time.Time) (uint64, error) {
	seq, err := stream.Head(ctx, f.JS, name)
	if err != nil {
		return 0, err
	}
	err = stream.Each(ctx, f.JS, stream.Query{Stream: name, Since: at}, func(m stream.Message) error {
		seq = min(seq, m.Seq-1)
		return errFull
	})
	if err != nil && !errors.Is(err, errFull) {
		return 0, fmt.Errorf("outcomes: %w", err)
	}
	return seq, nil
}

// Know adds to outcomes what is known of their contacts now: the address, and
// the attributes that are asked for by name.
func Know(ctx context.Context, f *facts.Store, outs []Outcome, attributes []string) error {
	keys := map[string][]job.Key{} // by sender
	for _, o := range outs {
		keys[o.Sender] = append(keys[o.Sender], o.Contact.Key)
	}
	for sender, ks := range keys {
		slices.SortFunc(ks, func(a, b job.Key) int { return bytes.Compare(a[:], b[:]) })
		known, err := f.Contacts(ctx, sender, slices.Compact(ks))
		if err != nil {
			return err
		}
		for i := range outs {
			if r, ok := known[outs[i].Contact.Key]; ok && outs[i].Sender == sender {
				outs[i].know(r, attributes)
			}
		}
	}
	return nil
}
