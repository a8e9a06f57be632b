// Package consent draws the line of promise P3: once it says that an opt-out
// is in force, the platform receives nothing more for that contact.
package consent

import (
	"context"
	"fmt"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
)

// Desk records opt-outs.
type Desk struct {
	Facts  *facts.Store
	Ledger *ledger.Ledger
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
	wctx, cancel := context.WithTimeout(ctx, lineTimeout)
	defer cancel()
	var out Recorded
	out.InForce = d.Facts.InForce(wctx, m.Seq) == nil
	key := d.Facts.Key(sender, address)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		open, err := d.claims(ctx, sender, key)
		if err != nil {
			return out, fmt.Errorf("opt-out recorded, but not known whether something is on its way: %w", err)
		}
		if out.InFlight = open; len(open) == 0 {
			return out, nil
		}
		select {
		case <-wctx.Done():
			return out, nil
		case <-tick.C:
		}
	}
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
