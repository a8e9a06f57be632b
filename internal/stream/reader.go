package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// errGap says that the server dropped something on the way to us.
var errGap = errors.New("a message was lost on the way; reading again may help")

// How records are asked for. On a cluster the server that has them may be lost
// at any moment, and the first request to a reader that was just made may get
// there before it: twice the heartbeat without one and it is asked again. The
// library's own heartbeat would have everybody wait for half a minute.
const (
	pullMessages  = 2000
	pullExpiry    = 10 * time.Second
	pullHeartbeat = time.Second
	silences      = 3 // in a row, before a reader is given up

	// A reader that is not there by then was placed on a server that is not
	// there either: another one is asked for, under another name.
	beginWithin  = 2 * time.Second
	beginAgain   = 100 * time.Millisecond
	forgetWithin = time.Second

	// catchUp bounds how long a replica that is behind is waited for, without
	// a message from it.
	catchUp = 5 * time.Second
)

// reader is one consumer of a stream, on one server and in its memory. Its
// name is its own: where the server that has it is lost, so is the reader, and
// to go on is to begin another. The library's ordered consumer asks for the
// same name until it gets it, which is when that server comes back.
type reader struct {
	js     jetstream.JetStream
	stream string
	name   string
	it     jetstream.MessagesContext
	passed uint64 // messages it gave
	left   uint64 // of those that were there when it began, how many it did not give yet
}

// begin makes a reader of what cfg selects.
func begin(ctx context.Context, js jetstream.JetStream, stream string, cfg jetstream.ConsumerConfig) (*reader, error) {
	cfg.AckPolicy, cfg.MemoryStorage, cfg.Replicas, cfg.InactiveThreshold = jetstream.AckNonePolicy, true, 1, time.Minute
	bounded, cancel := context.WithTimeout(ctx, beginWithin)
	defer cancel()
	cons, err := js.CreateConsumer(bounded, stream, cfg)
	if err != nil {
		return nil, err
	}
	r := &reader{js: js, stream: stream, name: cons.CachedInfo().Name, left: cons.CachedInfo().NumPending}
	if r.it, err = cons.Messages(jetstream.PullMaxMessages(pullMessages), jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat)); err != nil {
		r.forget()
		return nil, err
	}
	return r, nil
}

// end stops reading.
func (r *reader) end() {
	r.it.Stop()
	r.forget()
}

// forget has the server forget the reader, which it would do by itself a
// minute after the last request.
func (r *reader) forget() {
	ctx, cancel := context.WithTimeout(context.Background(), forgetWithin)
	defer cancel()
	_ = r.js.DeleteConsumer(ctx, r.stream, r.name)
}

// next returns the next message. It asks again where nothing is heard.
func (r *reader) next(ctx context.Context) (Message, error) {
	var m jetstream.Msg
	var err error
	for range silences {
		if m, err = r.it.Next(jetstream.NextContext(ctx)); !errors.Is(err, jetstream.ErrNoHeartbeat) {
			break
		}
	}
	if err != nil {
		return Message{}, err
	}
	meta, err := m.Metadata()
	if err != nil {
		return Message{}, fmt.Errorf("not a message of a stream: %w", err)
	}
	if r.passed++; meta.Sequence.Consumer != r.passed {
		return Message{}, errGap
	}
	r.left = max(r.left, 1) - 1
	return message(m, meta), nil
}

// expected is next for what is known to be in the stream: a replica that is
// behind gets catchUp for it.
func (r *reader) expected(ctx context.Context) (Message, error) {
	if r.left > 0 {
		return r.next(ctx)
	}
	bounded, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	m, err := r.next(bounded)
	if err != nil && ctx.Err() == nil {
		err = ErrBehind
	}
	return m, err
}

// pass sends messages on until one can't be had, and returns the sequence to
// go on from.
func (r *reader) pass(ctx context.Context, from uint64, to chan<- Message) (uint64, error) {
	for {
		m, err := r.next(ctx)
		if err != nil {
			return from, err
		}
		select {
		case to <- m:
			from = m.Seq + 1
		case <-ctx.Done():
			return from, ctx.Err()
		}
	}
}

func message(m jetstream.Msg, meta *jetstream.MsgMetadata) Message {
	out := Message{Subject: m.Subject(), Data: m.Data(), Seq: meta.Sequence.Stream, At: meta.Timestamp, Header: m.Headers()}
	if h := m.Headers()["traceparent"]; len(h) > 0 {
		out.Trace = h[0]
	}
	return out
}
