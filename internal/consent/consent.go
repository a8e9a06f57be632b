// Package consent draws the line of promise P3: once it says that an opt-out
// is in force, the platform receives nothing more for that contact.
package consent

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/ledger"
)

// Desk records opt-outs.
type Desk struct {
	Facts  *facts.Store
	Ledger *ledger.Ledger
	Kill   *killpoint.Plan // nil: at no point
}

// Recorded is what an opt-out's answer can say.
type Recorded struct {
	InForce  bool     // every recheck from now on sees it
	InFlight []job.ID // claimed before, without an outcome yet: these may still arrive
}

// lineTimeout bounds how long an answer waits for claims to get an outcome:
// longer than a send may take.
const lineTimeout = 5 * time.Second

// pollEvery is how often open claims are looked at again; there are hardly
// ever any.
const pollEvery = 25 * time.Millisecond

// OptOut records an opt-out made at a moment, and waits for the line: it is
// durable, in force, and no claim of the contact is without an outcome. What
// outlasts the wait is named.
func (d *Desk) OptOut(ctx context.Context, sender, address string, o contact.OptOut) (Recorded, error) {
	m, err := d.Facts.Merge(ctx, sender, []contact.Update{{Address: address, OptOut: &o}})
	if err != nil {
		return Recorded{}, fmt.Errorf("opt-out not recorded: %w", err)
	}
	d.Kill.Pass(killpoint.OptOutRecorded)
	until := time.Now().Add(lineTimeout)
	wctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	var out Recorded
	out.InForce = d.Facts.InForce(wctx, m.Seq) == nil
	out.InFlight, err = d.Line(ctx, []Contact{{sender, address}}, until)
	if err != nil {
		return out, fmt.Errorf("opt-out recorded, but not known whether something is on its way: %w", err)
	}
	return out, nil
}

// Contact is one person as a sender knows them.
type Contact struct{ Sender, Address string }

// lookers is how many contacts are looked at at a time.
const lookers = 16

// Line waits until no claim of the contacts is without an outcome, or until a
// moment, and returns the claims that are still open then. Whatever is claimed
// once an opt-out is in force sees it, so that only what was claimed before has
// to be waited for. An error says that it is not known.
func (d *Desk) Line(ctx context.Context, contacts []Contact, until time.Time) ([]job.ID, error) {
	late := time.NewTimer(time.Until(until))
	defer late.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		open, still, err := d.claimed(ctx, contacts)
		if err != nil || len(open) == 0 {
			return nil, err
		}
		contacts = still
		select {
		case <-ctx.Done():
			return open, nil
		case <-late.C:
			return open, nil
		case <-tick.C:
		}
	}
}

// claimed returns the open claims of contacts, and which of those have any.
func (d *Desk) claimed(ctx context.Context, contacts []Contact) (open []job.ID, still []Contact, err error) {
	found := make([][]job.ID, len(contacts))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookers)
	for i, c := range contacts {
		g.Go(func() (err error) {
			found[i], err = d.claims(ctx, c.Sender, d.Facts.Key(c.Sender, c.Address))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	for i, f := range found {
		if open = append(open, f...); len(f) > 0 {
			still = append(still, contacts[i])
		}
	}
	return open, still, nil
}

func (d *Desk) claims(ctx context.Context, sender string, k job.Key) ([]job.ID, error) {
	jobs, err := d.Ledger.JobsOf(ctx, sender, k)
	if err != nil {
		return nil, err
	}
	var open []job.ID
	for _, e := range jobs {
		if e.Record.State == job.Claimed {
			open = append(open, e.ID)
		}
	}
	return open, nil
}
