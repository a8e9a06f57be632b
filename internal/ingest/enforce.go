package ingest

import (
	"context"
	"fmt"
	"time"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// What a platform does to an account, in event.Event's Action.
const (
	Warn    = "warning"
	Block   = "block"
	Unblock = "unblock"
)

// enforce takes in what the platform did to a sender's account. Only the
// newest counts, by the platform's clock; of a block and something else at the
// same moment the block does.
func (d *Desk) enforce(ctx context.Context, e *event.Event) (uint64, error) {
	seq, err := d.Facts.EditControl(ctx, facts.SenderControl, e.Sender, func(old facts.Control) (facts.Control, bool) {
		return enforced(old, facts.Enforcement{At: e.Time, Action: e.Action, Why: e.Why}, d.Now().UTC())
	})
	if err != nil {
		return 0, fmt.Errorf("enforcement: %w", err)
	}
	return seq, nil
}

// enforced is a sender's control after the platform did something, and whether
// that changes anything. A block pauses a sender that is going; a sender that
// is paused for another reason stays so, whatever the platform does later.
func enforced(old facts.Control, n facts.Enforcement, now time.Time) (facts.Control, bool) {
	was := old.Enforcement
	if was != nil && (n.At.Before(was.At) || n.At.Equal(was.At) && (n.Action != Block || was.Action == Block)) {
		return old, false
	}
	c := old
	c.Enforcement, c.Rev = &n, old.Rev+1
	if c.State == "" {
		c.State, c.At = facts.Running, now
	}
	switch {
	case n.Action == Block && c.State == facts.Running:
		c.State, c.Reason, c.At = facts.Paused, reason.SenderRestricted, now
		c.Why = "the platform blocked the account"
		if n.Why != "" {
			c.Why += ": " + n.Why
		}
	case n.Action == Unblock && c.State == facts.Paused && c.Reason == reason.SenderRestricted:
		c.State, c.Reason, c.Why, c.At = facts.Running, "", "", now
	}
	return c, true
}
