package ingest

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/pkg/reason"
)

func enforcement(minute int, action string) *event.Event {
	return &event.Event{Time: time.Date(2026, 11, 20, 12, minute, 0, 0, time.UTC), Action: action, Why: action + " it is"}
}

// control returns what is left of a control after everything was told.
func control(c facts.Control, told ...*event.Event) facts.Control {
	for _, e := range told {
		c, _ = enforced(c, e, e.Time.Add(time.Second))
	}
	return c
}

func TestEnforced(t *testing.T) {
	t.Parallel()
	block, warn, unblock := enforcement(1, Block), enforcement(2, Warn), enforcement(3, Unblock)
	byHand := facts.Control{State: facts.Paused, Reason: reason.SenderPaused, Why: "by hand", Rev: 7}
	for name, c := range map[string]struct {
		got           facts.Control
		state, action string
		reason        reason.Code
		why           string
	}{
		"a warning stops nothing":            {control(facts.Control{}, warn), facts.Running, "", "", ""},
		"a block does":                       {control(facts.Control{}, block), facts.Paused, Block, reason.SenderRestricted, "the platform blocked the account: block it is"},
		"a warning after it lifts nothing":   {control(facts.Control{}, block, warn), facts.Paused, Block, reason.SenderRestricted, "the platform blocked the account: block it is"},
		"nor does one told late":             {control(facts.Control{}, warn, block), facts.Paused, Block, reason.SenderRestricted, "the platform blocked the account: block it is"},
		"unblocking does":                    {control(facts.Control{}, block, warn, unblock), facts.Running, Unblock, "", ""},
		"an older block is past":             {control(facts.Control{}, unblock, block), facts.Running, Unblock, "", ""},
		"unblocking leaves what is by hand":  {control(byHand, block, unblock), facts.Paused, Unblock, reason.SenderPaused, "by hand"},
		"what was resumed by hand stays so":  {control(facts.Control{State: facts.Running, Enforcement: &facts.Enforcement{Action: Block, At: block.Time}}, block), facts.Running, Block, "", ""},
		"a block goes before what is equal":  {control(facts.Control{}, enforcement(1, Unblock), block), facts.Paused, Block, reason.SenderRestricted, "the platform blocked the account: block it is"},
		"and is not undone by what is equal": {control(facts.Control{}, block, enforcement(1, Unblock)), facts.Paused, Block, reason.SenderRestricted, "the platform blocked the account: block it is"},
	} {
		if g := c.got; g.State != c.state || g.Reason != c.reason || g.Why != c.why || g.Enforcement.Action != c.action {
			t.Errorf("%s: %+v, %+v", name, g, *g.Enforcement)
		}
	}
	if e := control(facts.Control{}, block, warn, enforcement(1, Warn)).Enforcement; e.Warning != "warning it is" || !e.WarnedAt.Equal(warn.Time) {
		t.Errorf("the newest warning: %+v", e)
	}
	if c := control(byHand, block); c.Rev != 8 {
		t.Errorf("revision %d", c.Rev)
	}
	if _, changed := enforced(control(facts.Control{}, block), block, time.Now()); changed {
		t.Error("a repeat changes something")
	}
}

// Whatever order blocks and their ends are told in, and however often, the
// newest says whether the sender goes.
func TestEnforcedInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		told := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *event.Event {
			return enforcement(rapid.IntRange(0, 5).Draw(t, "minute"), rapid.SampledFrom([]string{Block, Unblock, Warn}).Draw(t, "action"))
		}), 1, 8).Draw(t, "told")
		var newest event.Event
		for _, e := range told {
			if e.Action != Warn && (e.Time.After(newest.Time) || e.Time.Equal(newest.Time) && e.Action == Block) {
				newest = *e
			}
		}
		c := control(facts.Control{}, told...)
		if (c.State == facts.Paused) != (newest.Action == Block) || c.Enforcement.Action != newest.Action {
			t.Fatalf("%+v after %+v", c, told)
		}
	})
}
