package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// electionLimit is how long the servers of a cluster may take to agree on who
// leads: an election takes seconds, a server that starts again some more.
const electionLimit = 20 * time.Second

// unavailable is the server's code for "no leader among us just now".
const unavailable jetstream.ErrorCode = 10008

var errNoLeader = errors.New("it has no leader")

// led asks for a stream until its leader has answered, for what is asked of a
// stream without one is dropped. That is so while a cluster starts, after one
// of its servers was lost, and for a moment after a stream was made.
func led(ctx context.Context, ask func(context.Context) (jetstream.Stream, error)) (jetstream.Stream, error) {
	limit, cancel := context.WithTimeout(ctx, electionLimit)
	defer cancel()
	for {
		s, err := askOnce(limit, ask)
		if !electing(err) || ctx.Err() != nil {
			return s, err
		}
		select {
		case <-limit.Done():
			return nil, fmt.Errorf("no leader answered: too few of its servers run, or this user may not ask (docs/permissions.md): %w", err)
		case <-time.After(lookAgain):
		}
	}
}

func askOnce(ctx context.Context, ask func(context.Context) (jetstream.Stream, error)) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, AckWait)
	defer cancel()
	s, err := ask(ctx)
	if err != nil {
		return nil, err
	}
	// Replicas answer for a leader whom they have lost.
	if c := s.CachedInfo().Cluster; c != nil && c.Leader == "" {
		return nil, errNoLeader
	}
	return s, nil
}

// electing tells whether an error may be gone once there is a leader.
func electing(err error) bool {
	refused, ok := errors.AsType[*jetstream.APIError](err)
	return errors.Is(err, errNoLeader) || errors.Is(err, context.DeadlineExceeded) || ok && refused.ErrorCode == unavailable
}
