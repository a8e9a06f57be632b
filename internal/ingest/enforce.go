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

// enforce takes in what the platform did to a sender's account.
func (d *Desk) enforce(ctx context.Context, e *event.Event) (uint64, error) {
	if e.Action != Warn && e.Action != Block && e.Action != Unblock {
		return 0, nil // of a kind that nobody knows: it is kept, and stops nothing
	}
	seq, err := d.Facts.EditControl(ctx, facts.SenderControl, e.Sender, func(old facts.Control) (facts.Control, bool) {
		return enforced(old, e, d.time().UTC())
	})
	if err != nil {
		return 0, fmt.Errorf("enforcement: %w", err)
	}
	return seq, nil
}

// enforced is a sender's control after the platform did something, and whether
// that changes anything. Only the newest counts, by the platform's clock, and
// of a block and its end at the same moment the block. A block pauses a sender
// that is going; a sender that is paused for another reason stays so, whatever
// the platform does later. A warning is shown, and stops nothing.
func enforced(old facts.Control, e *event.Event, now time.Time) (facts.Control, bool) {
	c := old
	c.Enforcement = &facts.Enforcement{}
	if old.Enforcement != nil {
		*c.Enforcement = *old.Enforcement
	}
	if is := c.Enforcement; e.Action == Warn {
		if !e.Time.After(is.WarnedAt) {
			return old, false
		}
		is.Warning, is.WarnedAt = e.Why, e.Time
	} else {
		if e.Time.Before(is.At) || e.Time.Equal(is.At) && (e.Action != Block || is.Action == Block) {
			return old, false
		}
		is.Action, is.At, is.Why = e.Action, e.Time, e.Why
	}
	c.Rev++
	if c.State == "" {
		c.State, c.At = facts.Running, now
	}
	switch {
	case e.Action == Block && c.State == facts.Running:
		c.State, c.Reason, c.At = facts.Paused, reason.SenderRestricted, now
		c.Why = "the platform blocked the account"
		if e.Why != "" {
			c.Why += ": " + e.Why
		}
	case e.Action == Unblock && c.State == facts.Paused && c.Reason == reason.SenderRestricted:
		c.State, c.Reason, c.Why, c.At = facts.Running, "", "", now
	}
	return c, true
}
