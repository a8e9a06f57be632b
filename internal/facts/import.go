package facts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/stream"
)

// Imported counts the rows of an import so far.
type Imported struct {
	Rows      int    `json:"rows"`      // read
	Written   int    `json:"written"`   // new or changed contacts
	Unchanged int    `json:"unchanged"` // repeated without a change
	Other     int    `json:"other"`     // rows whose column sender names another one
	Bad       int    `json:"bad"`       // refused, each reported
	Seq       uint64 `json:"-"`         // facts' sequence from which on all is in force
}

// Import merges a CSV of any length into a sender's contacts, in constant
// memory. bad is told of every row that can't be taken in, progress of how
// far it is, after every few hundred rows. It can be repeated without harm.
// An error ends it; what it had read until then is stored, unless storing or
// ctx is what failed.
func (s *Store) Import(ctx context.Context, sender string, r io.Reader, at time.Time, bad func(contact.BadRow) error, progress func(Imported)) (Imported, error) {
	rows, err := contact.NewRows(r, sender, at)
	if err != nil {
		return Imported{}, err
	}
	// Three stages, so that reading the file, looking up what is known and
	// writing overlap. Batches stay in the file's order.
	parsed := make(chan []contact.Update, 1)
	read := make(chan *batch, 1)
	counts := make(chan Imported, 1)
	counts <- Imported{}
	var ended error // why the file ended early; it is not for the other stages to stop
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(parsed)
		ended = parseRows(ctx, rows, parsed, counts, bad)
		return nil
	})
	g.Go(func() error {
		defer close(read)
		for us := range parsed {
			b, err := s.read(ctx, sender, us)
			if err != nil {
				return err
			}
			if err := send(ctx, read, b); err != nil {
				return err
			}
		}
		return nil
	})
	g.Go(func() error {
		var earlier []*batch // written, but perhaps not when the next ones were read
		for b := range read {
			for _, e := range earlier {
				b.catchUp(e)
			}
			m, err := s.write(ctx, b)
			earlier = append(earlier, b)[max(0, len(earlier)+1-ahead):]
			c := <-counts
			c.Written, c.Unchanged, c.Seq = c.Written+m.Written, c.Unchanged+m.Unchanged, max(c.Seq, m.Seq)
			counts <- c
			if err != nil {
				return err
			}
			s.Kill.Pass(killpoint.ImportKept)
			progress(c)
		}
		return nil
	})
	err = cmp.Or(g.Wait(), ended)
	return <-counts, err
}

// ahead is how many batches may not be written yet when the next is read: one
// is at work, one waits in the channel.
const ahead = 2

func send[T any](ctx context.Context, ch chan<- T, v T) error {
	select {
	case ch <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func parseRows(ctx context.Context, rows *contact.Rows, out chan<- []contact.Update, counts chan Imported, bad func(contact.BadRow) error) error {
	updates := make([]contact.Update, 0, stream.MaxBatch)
	var n Imported
	flush := func() error {
		c := <-counts
		c.Rows, c.Bad, c.Other = n.Rows, n.Bad, n.Other
		counts <- c
		if len(updates) == 0 {
			return ctx.Err()
		}
		err := send(ctx, out, updates)
		updates = make([]contact.Update, 0, stream.MaxBatch)
		return err
	}
	for {
		u, err := rows.Next()
		switch row, isBad := errors.AsType[*contact.BadRow](err); {
		case errors.Is(err, io.EOF):
			return flush()
		case errors.Is(err, contact.ErrOther):
			n.Rows, n.Other = n.Rows+1, n.Other+1
		case isBad:
			n.Rows, n.Bad = n.Rows+1, n.Bad+1
			if err := bad(*row); err != nil {
				return errors.Join(flush(), err)
			}
		case err != nil:
			return errors.Join(flush(), fmt.Errorf("after %d rows: %w", n.Rows, err))
		default:
			n.Rows++
			updates = append(updates, u)
		}
		if len(updates) == stream.MaxBatch || n.Rows%stream.MaxBatch == 0 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
}

// Check reads a CSV as Import would, and stores nothing.
func Check(ctx context.Context, sender string, r io.Reader, at time.Time, bad func(contact.BadRow) error) (Imported, error) {
	rows, err := contact.NewRows(r, sender, at)
	if err != nil {
		return Imported{}, err
	}
	var n Imported
	for ctx.Err() == nil {
		_, err := rows.Next()
		switch row, isBad := errors.AsType[*contact.BadRow](err); {
		case errors.Is(err, io.EOF):
			return n, nil
		case errors.Is(err, contact.ErrOther):
			n.Other++
		case isBad:
			n.Bad++
			if err := bad(*row); err != nil {
				return n, err
			}
		case err != nil:
			return n, fmt.Errorf("after %d rows: %w", n.Rows, err)
		}
		n.Rows++
	}
	return n, ctx.Err()
}
