package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/deadletter"
	"github.com/carillon-dev/carillon/internal/job"
)

// catchUpTimeout bounds how long a listing waits for the letters of what the
// ledger holds when it is asked for.
const catchUpTimeout = 10 * time.Second

// current waits until the letters are what the ledger says now.
func (s *Server) current(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	if err := s.Tally.Stored(ctx); err != nil {
		return fmt.Errorf("the dead letters are behind the ledger: %w", err)
	}
	return nil
}

func (s *Server) dead(a *answer, r *http.Request) error {
	q := r.URL.Query()
	f, err := queryFilter(q)
	if err != nil {
		return err
	}
	limit, err := parseLimit(q.Get("limit"))
	if err != nil {
		return err
	}
	if err := s.current(r.Context()); err != nil {
		return err
	}
	return s.list(a, r, func(emit func(any) error) error { return s.letters(r.Context(), f, limit, emit) })
}

// letters emits up to limit letters, all for 0.
func (s *Server) letters(ctx context.Context, f deadletter.Filter, limit int, emit func(any) error) error {
	some, caller := make([]deadletter.Letter, 0, chunk), access.Of(ctx)
	n := 0
	err := s.Dead.Each(ctx, f, func(l deadletter.Letter) error {
		if !caller.Sees(l.Sender) {
			return nil
		}
		some, n = append(some, l), n+1
		if n == limit {
			return deadletter.ErrEnough
		}
		if len(some) < chunk {
			return nil
		}
		defer func() { some = some[:0] }()
		return s.emitLetters(ctx, some, emit)
	})
	if err != nil {
		return err
	}
	return s.emitLetters(ctx, some, emit)
}

func (s *Server) emitLetters(ctx context.Context, ls []deadletter.Letter, emit func(any) error) error {
	ids := make([]job.ID, len(ls))
	for i, l := range ls {
		var err error
		if ids[i], err = job.ParseID(l.Job); err != nil {
			return err
		}
	}
	addresses, err := s.addresses(ctx, ids)
	if err != nil {
		return err
	}
	for i, l := range ls {
		if err := emit(wireLetter(l, addresses[i])); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) letter(a *answer, r *http.Request) error {
	id, err := jobID(r)
	if err != nil {
		return err
	}
	if err := s.current(r.Context()); err != nil {
		return err
	}
	l, ok, err := s.Dead.Get(r.Context(), id)
	if err != nil {
		return err
	}
	if !ok {
		return refuse(http.StatusNotFound, fmt.Sprintf("job %s has no dead letter", id))
	}
	addresses, err := s.addresses(r.Context(), []job.ID{id})
	if err != nil {
		return err
	}
	return writeJSON(a, http.StatusOK, wireLetter(l, addresses[0]))
}
