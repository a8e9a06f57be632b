package automation

import (
	"context"

	"github.com/carillon-dev/carillon/internal/errand"
	"github.com/carillon-dev/carillon/internal/flow"
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
