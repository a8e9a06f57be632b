// Package use keeps which job has a permission that serves once: a comment
// that one private reply may answer, a token for one notification. A job
// claims its permission here before it claims itself in the ledger. Nothing is
// ever taken back: a job that was certainly not sent may use its own again,
// another one never.
//
// Invariant: of all jobs that ever claim one permission of a sender, Claim
// says yes to one alone.
package use

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// kept is how long a use is remembered: longer than any permission lasts, of
// which that of a token is the longest with 365 days.
const kept = 400 * 24 * time.Hour

// Config returns the settings of the stream: the first message of a subject
// stays, and every other is refused.
func Config(names subject.Names) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:                 names.UsesStream(),
		Description:          "which job has a permission that serves once",
		Subjects:             []string{names.AllUses()},
		Storage:              jetstream.FileStorage,
		Retention:            jetstream.LimitsPolicy,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		MaxMsgs:              -1,
		MaxBytes:             -1,
		MaxMsgsPerSubject:    1,
		MaxAge:               kept,
		DenyDelete:           true,
		DenyPurge:            true,
		AllowDirect:          false, // any replica may answer a direct read; this takes the leader
	}
}

// Store claims permissions. It is safe for concurrent use.
type Store struct {
	nc    *nats.Conn
	names subject.Names
}

// Open opens the stream, which the provider may create where it does not
// exist.
func Open(ctx context.Context, nc *nats.Conn, p stream.Provider, names subject.Names) (*Store, error) {
	if _, err := p.Open(ctx, Config(names)); err != nil {
		return nil, fmt.Errorf("uses: %w", err)
	}
	return &Store{nc: nc, names: names}, nil
}

// Claim asks for a permission that an account of a platform has, named by its
// id, for a job, and returns the job that has it: this one, or one that was earlier. After an
// error it may be this one all the same; nothing must be sent then.
func (s *Store) Claim(ctx context.Context, account, permission string, id job.ID) (owner string, err error) {
	name := s.names.Use(account, permission)
	mine := id.String()
	_, refused := stream.Publish(ctx, s.nc, stream.Expect(name, []byte(mine), 0))
	if refused == nil {
		return mine, nil
	}
	m, found, err := stream.Last(ctx, s.nc, s.names.UsesStream(), name)
	switch {
	case err != nil:
		return "", fmt.Errorf("use of a permission: %w", err)
	case !found:
		return "", fmt.Errorf("use of a permission: %w", refused)
	}
	return string(m.Data), nil
}
