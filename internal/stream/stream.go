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
	At      time.Time // when the server stored it
	Trace   string    // traceparent header, empty where there is none
}

// Query says what to read.
type Query struct {
	Stream  string
	Subject string    // filter; empty: all
	From    uint64    // first sequence; 0: the beginning. Not with Newest
	Since   time.Time // first moment of storing; zero: the beginning. Not with From or Newest
	UpTo    uint64    // last sequence; 0: as far as the stream goes now
	Newest  bool      // only the newest message of each subject
}

// errGap says that the server dropped something on the way to us.
var errGap = errors.New("a message was lost on the way; reading again may help")

// Each calls fn with every message of the query, in order, and returns the
// first error. It reads what the stream holds when it begins and ends there.
func Each(ctx context.Context, js jetstream.JetStream, q Query, fn func(Message) error) error {
	cfg := jetstream.ConsumerConfig{
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: time.Minute,
		FilterSubject:     q.Subject,
		DeliverPolicy:     jetstream.DeliverAllPolicy,
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
	cons, err := js.CreateConsumer(ctx, q.Stream, cfg)
	if err != nil {
		return fmt.Errorf("read stream %s: %w", q.Stream, err)
	}
	left := cons.CachedInfo().NumPending
	defer func() {
		dctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = js.DeleteConsumer(dctx, q.Stream, cons.CachedInfo().Name) // it would end by itself a minute later
	}()
	if left == 0 {
		return nil
	}
	it, err := cons.Messages(jetstream.PullMaxMessages(2000))
	if err != nil {
		return fmt.Errorf("read stream %s: %w", q.Stream, err)
	}
	defer it.Stop()
	for want := uint64(1); left > 0; left, want = left-1, want+1 {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("read stream %s: %w", q.Stream, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read stream %s: %w", q.Stream, err)
		}
		if meta.Sequence.Consumer != want {
			return fmt.Errorf("read stream %s: %w", q.Stream, errGap)
		}
		if q.UpTo > 0 && meta.Sequence.Stream > q.UpTo {
			return nil
		}
		if err := fn(message(m, meta)); err != nil {
			return err
		}
	}
	return nil
}

func message(m jetstream.Msg, meta *jetstream.MsgMetadata) Message {
	out := Message{Subject: m.Subject(), Data: m.Data(), Seq: meta.Sequence.Stream, At: meta.Timestamp}
	if h := m.Headers()["traceparent"]; len(h) > 0 {
		out.Trace = h[0]
	}
	return out
}

// Follow sends every message from a sequence on to the channel until ctx
// ends, in order and without gaps, across reconnects and leader changes. It
// returns when it has stopped; the channel stays open. Its errors: the stream
// can't be read, or the connection was closed for good.
func Follow(ctx context.Context, js jetstream.JetStream, name string, from uint64, to chan<- Message) error {
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
	if from > 1 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, from
	}
	cons, err := js.OrderedConsumer(ctx, name, cfg)
	if err != nil {
		return fmt.Errorf("follow stream %s: %w", name, err)
	}
	cc, err := cons.Consume(func(m jetstream.Msg) {
		meta, err := m.Metadata()
		if err != nil {
			return // not a stream's message: the consumer's own reset delivers it again
		}
		select {
		case to <- message(m, meta):
		case <-ctx.Done():
		}
	}, jetstream.PullMaxMessages(2000))
	if err != nil {
		return fmt.Errorf("follow stream %s: %w", name, err)
	}
	closed := cc.Closed()
	select {
	case <-ctx.Done():
		cc.Stop()
		<-closed
		return nil
	case <-closed:
		return fmt.Errorf("follow stream %s: %w", name, nats.ErrConnectionClosed)
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
