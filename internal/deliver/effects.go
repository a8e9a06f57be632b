package deliver

import (
	"context"
	"fmt"
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// MaxStrikes is how many contacts of a sender the platform may ask to leave
// alone within a day before the sender is paused: it names no number, and a
// sender that goes on loses more than a day.
const MaxStrikes = 20

// effects does what answers ask for beyond their own jobs.
func (r *run) effects(ctx context.Context, tasks []*task, results []channel.Result) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), SendTimeout)
	defer cancel()
	var slow time.Duration
	var pause *channel.Result
	var since time.Time
	strikes := 0
	for i, res := range results {
		if res.Outcome == channel.Accepted || res.Outcome == channel.Unknown {
			continue
		}
		switch res.Action {
		case channel.OptOut:
			if err := r.Effects.OptOut(ctx, r.source.Sender, tasks[i].decision.Address, r.now()); err != nil {
				r.Log.ErrorContext(ctx, "an opt-out that the platform told of could not be recorded", "job", r.source.Job(tasks[i].ref.Contact).String(), "error", err)
			}
		case channel.SlowSender:
			slow = max(slow, res.After, time.Second)
		case channel.PauseSender:
			if at := tasks[i].claimed; pause == nil || at.After(since) {
				pause, since = &results[i], at
			}
		case channel.CooldownOfOne:
			strikes++
		case channel.BlockContact, channel.DeadLetter, channel.Retry, channel.ThreadBusy:
		}
	}
	r.learned(ctx, tasks, results)
	r.adapt(ctx, results)
	if slow > 0 {
		if err := r.Gate.Slow(ctx, r.source.Sender, slow); err != nil {
			r.Log.WarnContext(ctx, "a sender could not be slowed down", "sender", r.source.Sender, "error", err)
		}
	}
	if pause != nil {
		r.pause(ctx, since, pause.Reason, fmt.Sprintf("platform error %d/%d: %s", pause.Code, pause.Subcode, pause.Detail))
	}
	if strikes > 0 {
		r.strike(ctx, strikes)
	}
}

// learned keeps what answers say of contacts: who can't be reached or wants a
// rest, and which permissions are used up. That one can't be reached is so
// since before the call: who writes while it is under way can be reached again,
// whichever is told first. A use is known to be somebody's
// whether or not this succeeds.
func (r *run) learned(ctx context.Context, tasks []*task, results []channel.Result) {
	var us []contact.Update
	now := r.now()
	for i, res := range results {
		u := contact.Update{Address: tasks[i].decision.Address}
		switch {
		case res.Outcome == channel.Accepted && tasks[i].used != "":
			u.Used = tasks[i].used
		case res.Outcome == channel.Accepted, res.Outcome == channel.Unknown:
			continue
		case res.Action == channel.BlockContact:
			u.BlockedAt = tasks[i].claimed
		case res.Action == channel.CooldownOfOne:
			u.CooledUntil = now.Add(res.After)
		default:
			continue
		}
		us = append(us, u)
	}
	if len(us) == 0 {
		return
	}
	if err := r.Effects.Learn(ctx, r.source.Sender, us); err != nil {
		r.Log.WarnContext(ctx, "what answers said of contacts could not be kept", "source", r.source.Name, "contacts", len(us), "error", err)
	}
}

// strike counts contacts that the platform asks to leave alone, and pauses a
// sender that has too many of them.
func (r *run) strike(ctx context.Context, n int) {
	total, err := r.Gate.Strike(ctx, r.source.Sender, n)
	switch {
	case err != nil:
		r.Log.WarnContext(ctx, "a strike could not be counted", "sender", r.source.Sender, "error", err)
	case total >= MaxStrikes && total-n < MaxStrikes:
		r.pause(ctx, r.now(), reason.ContactCapped, fmt.Sprintf("the platform asked to send fewer tagged messages to %d contacts within a day", total))
	}
}

// pause stops the sender, and says so once: the other calls that were on
// their way say the same.
func (r *run) pause(ctx context.Context, since time.Time, why reason.Code, detail string) {
	paused, err := r.Effects.PauseSender(ctx, r.sender.ID, since, why, detail)
	switch {
	case err != nil:
		r.Log.ErrorContext(ctx, "sender could not be paused", "sender", r.sender.ID, "error", err)
	case paused:
		r.Log.ErrorContext(ctx, "sender paused", "sender", r.sender.ID, "reason", why, "detail", detail)
	}
}
