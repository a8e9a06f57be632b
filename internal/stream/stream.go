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

// errGap says that the server dropped something on the way to us.
var errGap = errors.New("a message was lost on the way; reading again may help")

// ErrBehind says that the replica which was read lacks what its leader had
// before: reading again may help, from another replica or a moment later.
var ErrBehind = errors.New("the replica that was read is behind its leader")

// catchUp bounds how long a replica that is behind is waited for, without a
// message from it.
const catchUp = 5 * time.Second

// Each calls fn with every message of the query, in order, and returns the
// first error. It reads what the stream's leader held when it was asked, and
// ends there. Any replica may serve the reading: where that one is behind,
// Each waits for it, but for a query of newest messages, of which a subject
// could then come twice: that ends with ErrBehind, and with fn called for some.
func Each(ctx context.Context, js jetstream.JetStream, q Query, fn func(Message) error) error {
	cfg := jetstream.ConsumerConfig{
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: time.Minute,
		FilterSubject:     q.Subject,
		DeliverPolicy:     jetstream.DeliverAllPolicy,
		HeadersOnly:       q.Headers,
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
	it, err := cons.Messages(jetstream.PullMaxMessages(pullMessages), jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
	if err != nil {
		return fmt.Errorf("read stream %s: %w", q.Stream, err)
	}
	defer it.Stop()
	seen := uint64(0)
	for want := uint64(1); left > 0 || seen < head.Seq; want++ {
		if left == 0 && q.Newest {
			return fmt.Errorf("read stream %s: %w", q.Stream, ErrBehind)
		}
		m, err := next(ctx, it, left == 0)
		if err != nil {
			return fmt.Errorf("read stream %s: %w", q.Stream, err)
		}
		left = max(left, 1) - 1
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read stream %s: %w", q.Stream, err)
		}
		if meta.Sequence.Consumer != want {
			return fmt.Errorf("read stream %s: %w", q.Stream, errGap)
		}
		if seen = meta.Sequence.Stream; q.UpTo > 0 && seen > q.UpTo {
			return nil
		}
		if err := fn(message(m, meta)); err != nil {
			return err
		}
	}
	return nil
}

// How records are asked for. On a cluster the server that has them may be lost
// at any moment, and the first request to a reader that was just made may get
// there before it: twice the heartbeat without one and it is asked again. The
// library's own heartbeat would have everybody wait for half a minute.
const (
	pullMessages  = 2000
	pullExpiry    = 10 * time.Second
	pullHeartbeat = time.Second
	silences      = 10 // in a row, before a reader is given up
)

// next returns the next message; of a replica that is behind, within catchUp.
// It asks again where nothing is heard. A message that got lost on the way
// leaves a gap, which the caller sees.
func next(ctx context.Context, it jetstream.MessagesContext, behind bool) (m jetstream.Msg, err error) {
	bounded := ctx
	if behind {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeout(ctx, catchUp)
		defer cancel()
	}
	for range silences {
		if m, err = it.Next(jetstream.NextContext(bounded)); !errors.Is(err, jetstream.ErrNoHeartbeat) {
			break
		}
	}
	if behind && err != nil && ctx.Err() == nil {
		err = ErrBehind
	}
	return m, err
}

func message(m jetstream.Msg, meta *jetstream.MsgMetadata) Message {
	out := Message{Subject: m.Subject(), Data: m.Data(), Seq: meta.Sequence.Stream, At: meta.Timestamp, Header: m.Headers()}
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
	}, jetstream.PullMaxMessages(pullMessages), jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
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
