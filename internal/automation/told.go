package automation

import (
	"context"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/errand"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
)

// Recorded takes in what became of a flow's message. It waits where too much
// has not been taken in yet; see Flush.
func (d *Driver) Recorded(ctx context.Context, e ledger.Entry) error {
	if e.ID.Flow() == "" {
		return nil
	}
	id, place, ours := flow.ParseSource(e.ID.Name)
	o, ended := errand.Outcome(e)
	if !ours || !ended {
		return nil
	}
	return d.inbox.put(ctx, &news{kind: settled, id: id, effect: place.String(), outcome: o})
}

// Flush returns once everything is taken in that was told before, so that
// nobody needs to tell it again.
func (d *Driver) Flush(ctx context.Context) error { return d.inbox.settled(ctx) }

// Changed takes in that a contact of a sender is another now; seq is the
// change's place in the facts. It waits where too much has not been taken in
// yet, and returns before it was: see Flush. Changes of one contact have to
// come in their order.
func (d *Driver) Changed(ctx context.Context, sender string, _ job.Key, r contact.Record, seq uint64) error {
	return d.inbox.put(ctx, &news{kind: changed, sender: sender, contact: r, seq: seq})
}
