// Package receipt takes what platforms say of messages that went out to the
// ledger: echoes, deliveries, reads, and carriers that gave up. It also says
// what their silence means: whether a message of which the answer was lost is
// likely not to have been sent.
//
// Its invariants: what is said of a message moves it up (job.State.Told) or
// not at all, so that any order of receipts, and any repetition, ends in the
// same state; a job is believed to be sent only where its own id came back
// from its sender's account for its contact; and nothing here makes a job go
// out again.
package receipt

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/stream"
)

// lookBack is how far back receipts are looked for: a ledger in which nothing
// was written for so long is not read. It only has to be longer than people
// leave a message unread that anybody still asks about.
const lookBack = 60 * 24 * time.Hour

// readers is how many contacts are read at a time: a webhook of a thousand
// receipts takes about sixty round trips one behind the other.
const readers = 32

// rounds bounds how often a job is looked at again that others move meanwhile.
const rounds = 8

// Committer writes ledger records.
type Committer interface {
	Commit(ctx context.Context, p ledger.Priority, entries []*ledger.Append)
}

// Desk takes receipts in. Its fields are set once; any number of processes may
// have one.
type Desk struct {
	Ledger  *ledger.Ledger
	Commits Committer
	Key     func(sender, address string) job.Key // of a contact
	Echoes  *Echoes
	Stats   *Stats
	Log     *slog.Logger
}

// Apply moves the jobs that the receipts among the events are about. It
// returns those that may name a job whose fate is still open: applied again
// later, when that job has an outcome, they end as if they had come then. An
// error says that some were not applied; all may be applied again.
func (d *Desk) Apply(ctx context.Context, events []event.Event) (later []event.Event, err error) {
	later, resolved, err := d.apply(ctx, events)
	if resolved && len(later) > 0 { // what an echo made known, a receipt beside it may have waited for
		later, _, err = d.apply(ctx, later)
	}
	if err != nil {
		return nil, err
	}
	d.Stats.Later.Add(int64(len(later)))
	return later, nil
}

// apply also reports whether a job was made sent whose fate was open.
func (d *Desk) apply(ctx context.Context, events []event.Event) (later []event.Event, resolved bool, err error) {
	threads := d.sort(events)
	if len(threads) == 0 {
		return nil, false, nil
	}
	if err := d.read(ctx, threads); err != nil {
		return nil, false, err
	}
	now := time.Now().UTC()
	var todo []*wish
	wait := make([]bool, len(events))
	heard := heard{}
	for _, t := range threads {
		t.match(events, now)
		for _, i := range t.wait {
			wait[i] = true
		}
		todo = append(todo, t.wishes()...)
		heard.add(t)
		d.Stats.Stray.Add(int64(t.stray))
	}
	if err := d.move(ctx, todo, now); err != nil {
		return nil, false, err
	}
	for _, w := range todo {
		resolved = resolved || w.resolved
		for _, i := range w.of {
			wait[i] = wait[i] || w.named && ambiguous(w.at.Record, w.fresh)
		}
	}
	for i := range events {
		if wait[i] {
			later = append(later, events[i])
		}
	}
	if err := d.Echoes.note(ctx, heard, now); err != nil {
		// It is evidence, not truth: the next echo says it too.
		d.Log.WarnContext(ctx, "how far echoes have come could not be noted; the next ones say it too", "error", err)
	}
	return later, resolved, nil
}

// sort puts the receipts together by contact. What names nobody that a sender
// here writes to is none of ours.
func (d *Desk) sort(events []event.Event) []*thread {
	at := map[contactOf]*thread{}
	var out []*thread
	for i := range events {
		e := &events[i]
		if !e.Receipt() {
			continue
		}
		if e.Sender == "" || e.Person == "" {
			d.Stats.Stray.Add(1)
			continue
		}
		c := contactOf{e.Sender, d.Key(e.Sender, e.Person)}
		t := at[c]
		if t == nil {
			t = &thread{contactOf: c, jobs: map[job.ID]ledger.Entry{}, fresh: map[job.ID]uint64{}, want: map[job.ID]*wish{}}
			at[c], out = t, append(out, t)
		}
		t.told = append(t.told, i)
		if id, err := job.ParseID(e.Job); err == nil && c.owns(id) {
			t.named = append(t.named, id)
		} else {
			t.all = true
		}
	}
	return out
}

// read reads the jobs that the receipts may be about: those that are named,
// and all of a contact where one is not.
func (d *Desk) read(ctx context.Context, threads []*thread) error {
	var recent ledger.Recent
	if slices.ContainsFunc(threads, func(t *thread) bool { return t.all }) {
		var err error
		if recent, err = d.Ledger.Since(ctx, time.Now().Add(-lookBack)); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for _, t := range threads {
		g.Go(func() error { return d.readOne(ctx, recent, t) })
	}
	return g.Wait()
}

func (d *Desk) readOne(ctx context.Context, recent ledger.Recent, t *thread) error {
	if t.all {
		jobs, err := recent.JobsOf(ctx, t.sender, t.key)
		if err != nil {
			return err
		}
		for _, e := range jobs {
			t.jobs[e.ID] = e
		}
	}
	for _, id := range t.named {
		if _, ok := t.jobs[id]; ok {
			continue
		}
		e, found, err := d.Ledger.Last(ctx, id)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound): // its month was dropped, or never was
		case err != nil:
			return err
		case found:
			t.jobs[id] = e
		}
	}
	return d.readFirst(ctx, t)
}

// readFirst finds out which claims of flows' jobs follow their planned record:
// of such a job no earlier attempt can have arrived, as of a broadcast's whose
// claim follows nothing.
func (d *Desk) readFirst(ctx context.Context, t *thread) error {
	for id, e := range t.jobs {
		if e.Record.State != job.Claimed || id.Flow() == "" {
			continue
		}
		err := d.Ledger.History(ctx, id, func(h ledger.Entry) error {
			if h.Record.Planned && h.Seq == e.Record.Prev {
				t.fresh[id] = e.Seq
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// move takes every job step by step to where it is wanted. Whoever moves one
// meanwhile only changes where its next step begins.
func (d *Desk) move(ctx context.Context, todo []*wish, now time.Time) error {
	for range rounds {
		byStream := map[job.Source][]*wish{} // of month and part alone
		for _, w := range todo {
			if w.next(now) {
				at := job.Source{Month: w.at.ID.Month, Part: w.at.ID.Part}
				byStream[at] = append(byStream[at], w)
			}
		}
		if len(byStream) == 0 {
			return nil
		}
		for _, group := range byStream {
			for part := range slices.Chunk(group, stream.MaxBatch) {
				if err := d.commit(ctx, part); err != nil {
					return err
				}
			}
		}
	}
	return errors.New("others keep moving these jobs")
}

func (d *Desk) commit(ctx context.Context, ws []*wish) error {
	entries := make([]*ledger.Append, len(ws))
	for i, w := range ws {
		entries[i] = &ledger.Append{Entry: ledger.Entry{ID: w.at.ID, Record: w.step}}
	}
	d.Commits.Commit(ctx, ledger.Bulk, entries)
	for i, e := range entries {
		conflict, moved := errors.AsType[*ledger.Conflict](e.Err)
		switch {
		case e.Err == nil:
			d.Stats.moved(e.Record)
			ws[i].at = ledger.Entry{ID: e.ID, Seq: e.Written, Record: e.Record}
			ws[i].resolved = ws[i].resolved || e.Record.State == job.Sent
		case moved:
			ws[i].at, ws[i].fresh = conflict.Last, false
		default:
			return e.Err
		}
	}
	return nil
}
