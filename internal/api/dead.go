package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/deadletter"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/receipt"
	"github.com/carillon-dev/carillon/pkg/client"
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
func (s *Server) letters(ctx context.Context, f picked, limit int, emit func(any) error) error {
	doubts, some, caller := s.doubts(), make([]deadletter.Letter, 0, chunk), access.Of(ctx)
	n := 0
	err := s.Dead.Each(ctx, f.Filter, func(l deadletter.Letter) error {
		if !caller.Sees(l.Sender) {
			return nil
		}
		if d, err := doubts.of(ctx, l); err != nil || f.likely && !d.LikelyNotSent {
			return err
		}
		some, n = append(some, l), n+1
		if n == limit {
			return deadletter.ErrEnough
		}
		if len(some) < chunk {
			return nil
		}
		defer func() { some = some[:0] }()
		return s.emitLetters(ctx, some, doubts, emit)
	})
	if err != nil {
		return err
	}
	return s.emitLetters(ctx, some, doubts, emit)
}

func (s *Server) emitLetters(ctx context.Context, ls []deadletter.Letter, doubts *doubts, emit func(any) error) error {
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
		d, err := doubts.of(ctx, l)
		if err != nil {
			return err
		}
		if err := emit(wireLetter(l, addresses[i], d)); err != nil {
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
	d, err := s.doubts().of(r.Context(), l)
	if err != nil {
		return err
	}
	return writeJSON(a, http.StatusOK, wireLetter(l, addresses[0], d))
}

// doubts asks for what is known of unknown outcomes, once for each sender.
type doubts struct {
	witness  *receipt.Witness
	bySender map[string]receipt.Evidence
}

func (s *Server) doubts() *doubts {
	return &doubts{witness: s.Witness, bySender: map[string]receipt.Evidence{}}
}

// of returns what is known of one letter; nil where its outcome is.
func (d *doubts) of(ctx context.Context, l deadletter.Letter) (*client.Doubt, error) {
	if l.State != job.Unknown {
		return nil, nil
	}
	e, ok := d.bySender[l.Sender]
	if !ok {
		var err error
		if e, err = d.witness.Evidence(ctx, l.Sender); err != nil {
			return nil, err
		}
		d.bySender[l.Sender] = e
	}
	return &client.Doubt{LikelyNotSent: e.LikelyNotSent(l.At), Text: e.Text(l.At)}, nil
}
