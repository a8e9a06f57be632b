// Package steering is what people do with flows that are live: they pause one,
// let it go on, delete it, and stop runs of it; and it says beforehand what
// that comes to. What a run does by itself is no business of this room.
//
// Invariant: a flow's definition is changed first, then the control that every
// recheck of its messages sees. Asking for the same again repairs what failed
// between the two.
package steering

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/run"
)

// Controls is what rechecks see of sources.
type Controls interface {
	SetControl(ctx context.Context, kind, id string, c facts.Control) (seq uint64, err error)
	InForce(ctx context.Context, seq uint64) error
}

// Desk is where flows are steered.
type Desk struct {
	Defs     *definition.Store
	Controls Controls
	Runs     *run.Store
	Timers   *run.Timers
	Key      func(sender, address string) job.Key // of a contact
	Now      func() time.Time
}

// ErrIllegal says that a flow can't be steered like this as it stands.
var ErrIllegal = errors.New("can't be done")

// Moved is a flow after it was steered.
type Moved struct {
	Flow    flow.Flow
	InForce bool // every recheck from now on sees it
}

// inForce bounds how long an answer waits until rechecks see a change.
const inForce = 5 * time.Second

// Pause lets a flow stand still: nothing begins, runs wait where they are, and
// so do messages that have not left. What came meanwhile is heard once it goes
// on.
func (d *Desk) Pause(ctx context.Context, id string) (Moved, error) {
	return d.move(ctx, id, flow.Paused)
}

// Resume lets a paused flow go on.
func (d *Desk) Resume(ctx context.Context, id string) (Moved, error) {
	return d.move(ctx, id, flow.Active)
}

// Delete ends a flow for good: its runs are stopped and what has not left is
// cancelled by whoever leads. What it said, and what it did, stays readable.
func (d *Desk) Delete(ctx context.Context, id string) (Moved, error) {
	return d.move(ctx, id, flow.Deleted)
}

func (d *Desk) move(ctx context.Context, id string, to flow.Life) (Moved, error) {
	for {
		f, rev, err := d.Defs.Flow(ctx, id)
		switch {
		case err != nil:
			return Moved{}, err
		case f.State == flow.Deleted && to != flow.Deleted:
			return Moved{}, fmt.Errorf("flow %s %w: it was deleted and never comes back; apply its document under another id", id, ErrIllegal)
		case f.State != to:
			f.State, f.At = to, d.Now().UTC()
			rev, err = d.Defs.PutFlow(ctx, f, rev)
		}
		if errors.Is(err, definition.ErrChanged) {
			continue
		}
		if err != nil {
			return Moved{}, err
		}
		return d.control(ctx, *f, rev)
	}
}

// Tell tells rechecks how a flow stands as it is defined. Whoever leads does so
// for each flow that it hears of: before that, nothing of a flow that was just
// applied may leave.
func (d *Desk) Tell(ctx context.Context, id string) error {
	f, rev, err := d.Defs.Flow(ctx, id)
	if err != nil {
		return err
	}
	_, err = d.tell(ctx, *f, rev)
	return err
}

// control tells rechecks how a flow stands, and waits until they see it.
func (d *Desk) control(ctx context.Context, f flow.Flow, rev uint64) (Moved, error) {
	seq, err := d.tell(ctx, f, rev)
	if err != nil {
		return Moved{}, fmt.Errorf("flow %s is %s, but workers do not know it yet; ask for it again: %w", f.ID, f.State, err)
	}
	ctx, cancel := context.WithTimeout(ctx, inForce)
	defer cancel()
	return Moved{f, d.Controls.InForce(ctx, seq) == nil}, nil
}

// tell writes the control of a flow, unless a newer one stands.
func (d *Desk) tell(ctx context.Context, f flow.Flow, rev uint64) (seq uint64, err error) {
	c := facts.Control{State: facts.Running, Rev: rev, At: f.At}
	switch f.State {
	case flow.Paused:
		c.State = facts.Paused
	case flow.Deleted:
		c.State = facts.Cancelled
	case flow.Active:
	}
	return d.Controls.SetControl(ctx, facts.SourceControl, f.ID, c)
}
