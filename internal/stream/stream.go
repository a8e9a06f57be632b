// Package stream reads JetStream streams: a segment once, or everything from a
// sequence on. It keeps no state of its own and never acknowledges anything,
// since every reader here can begin again from a sequence.
package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Message is one stored message.
type Message struct {
	Subject string
	Data    []byte
	Seq     uint64
	At      time.Time   // when the server stored it
	Trace   string      // traceparent header, empty where there is none
	Header  nats.Header // as Each reads it; nil where there is none
}

// Query says what to read.
type Query struct {
	Stream  string
	Subject string    // filter; empty: all
	From    uint64    // first sequence; 0: the beginning. Not with Newest
	Since   time.Time // first moment of storing; zero: the beginning. Not with From or Newest
	UpTo    uint64    // last sequence; 0: as far as the stream goes now
	Newest  bool      // only the newest message of each subject
	Headers bool      // without data: what a server has to send of a long message is little
}

// ErrBehind says that the replica which was read lacks what its leader had
// before: reading again may help, from another replica or a moment later.
var ErrBehind = errors.New("the replica that was read is behind its leader")

// Each calls fn with every message of the query, in order, and returns the
// first error. It reads what the stream's leader held when it was asked, and
// ends there. Any replica may serve the reading: where that one is behind,
// Each waits for it, but for a query of newest messages, of which a subject
// could then come twice: that ends with ErrBehind, and with fn called for some.
func Each(ctx context.Context, js jetstream.JetStream, q Query, fn func(Message) error) error {
	cfg := jetstream.ConsumerConfig{
		FilterSubject: q.Subject,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		HeadersOnly:   q.Headers,
	}
	switch {
	case q.Newest:
		cfg.DeliverPolicy = jetstream.DeliverLastPerSubjectPolicy
		if cfg.FilterSubject == "" {
			cfg.FilterSubject = ">"
		}
	case q.From > 0:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, q.From
	case !q.Since.IsZero():
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &q.Since
	}
	head, found, err := Last(ctx, js.Conn(), q.Stream, q.Subject)
	if err != nil || !found || head.Seq < q.From || head.At.Before(q.Since) {
		return err
	}
	r, err := begin(ctx, js, q.Stream, cfg)
	if err != nil {
		return fmt.Errorf("read stream %s: %w", q.Stream, err)
	}
	defer r.end()
	for seen := uint64(0); r.left > 0 || seen < head.Seq; {
		if r.left == 0 && q.Newest {
			return fmt.Errorf("read stream %s: %w", q.Stream, ErrBehind)
		}
		m, err := r.expected(ctx)
		if err != nil {
			return fmt.Errorf("read stream %s: %w", q.Stream, err)
		}
		if seen = m.Seq; q.UpTo > 0 && seen > q.UpTo {
			return nil
		}
		if err := fn(m); err != nil {
			return err
		}
	}
	return nil
}

// Follow sends every message from a sequence on to the channel until ctx
// ends, in order and without gaps, across reconnects and leader changes. It
// returns when it has stopped; the channel stays open. Its errors: the stream
// can't be read to begin with or is no longer there, or the connection was
// closed for good.
func Follow(ctx context.Context, js jetstream.JetStream, name string, from uint64, to chan<- Message) error {
	from = max(from, 1)
	for begun := false; ; {
		r, err := begin(ctx, js, name, jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from})
		if err == nil {
			begun = true
			from, err = r.pass(ctx, from, to)
			r.end()
		}
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // whatever failed, it was told to end
		case js.Conn().IsClosed():
			return fmt.Errorf("follow stream %s: %w", name, nats.ErrConnectionClosed)
		case !begun || errors.Is(err, jetstream.ErrStreamNotFound):
			return fmt.Errorf("follow stream %s: %w", name, err)
		}
		select {
		case <-time.After(beginAgain):
		case <-ctx.Done():
			return nil
		}
	}
}

// Head returns the sequence of the stream's newest message, read from its
// leader; 0 for an empty one.
func Head(ctx context.Context, js jetstream.JetStream, name string) (uint64, error) {
	s, err := js.Stream(ctx, name) // asks for the stream's info, which its leader answers
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", name, err)
	}
	return s.CachedInfo().State.LastSeq, nil
}
