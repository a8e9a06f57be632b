package channeltest

import (
	"testing"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/pkg/reason"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	accepted := channel.Result{Outcome: channel.Accepted, MessageID: "m"}
	refused := channel.Result{Outcome: channel.Refused, Reason: reason.PlatformRejected}
	unknown := channel.Result{Outcome: channel.Unknown, Reason: reason.OutcomeUnknown}
	notSent := channel.Result{Outcome: channel.NotSent, Action: channel.Retry, Reason: reason.PlatformUnreachable}
	for _, c := range []struct {
		name string
		step Step
		r    channel.Result
		seen int
		ok   bool
	}{
		{"accepted", Accept, accepted, 1, true},
		{"accepted but never read", Accept, accepted, 0, false},
		{"sent twice", Accept, accepted, 2, false},
		{"unknown though answered", Accept, unknown, 1, false},
		{"accepted without id", Accept, channel.Result{Outcome: channel.Accepted}, 1, false},
		{"accepted with reason", Accept, channel.Result{Outcome: channel.Accepted, MessageID: "m", Reason: reason.Internal}, 1, false},
		{"refused", Refuse, refused, 1, true},
		{"refused without reason", Refuse, channel.Result{Outcome: channel.Refused}, 1, false},
		{"refused with id", Refuse, channel.Result{Outcome: channel.Refused, Reason: reason.Internal, MessageID: "m"}, 1, false},
		{"refused said not sent", Refuse, notSent, 0, false},
		{"lost", DropRead, unknown, 1, true},
		{"lost and sent again", DropRead, unknown, 2, false},
		{"lost said not sent", DropRead, notSent, 1, false},
		{"lost said refused", DropRead, refused, 1, false},
		{"lost without reason", DropRead, channel.Result{}, 1, false},
		{"lost but to be retried", DropRead, channel.Result{Reason: reason.OutcomeUnknown, Action: channel.Retry}, 1, false},
		{"unread, known so", DropUnread, notSent, 0, true},
		{"unread, not known", DropUnread, unknown, 0, true},
		{"unread said accepted", DropUnread, accepted, 0, false},
		{"hung", Hang, unknown, 1, true},
		{"hung said not sent", Hang, notSent, 1, false},
		{"behind one that hung", Hang, notSent, 0, true},
		{"closed before", CloseAfter, notSent, 0, true},
		{"closed before but read", CloseAfter, notSent, 1, false},
		{"redirect refused", Redirect, refused, 1, true},
		{"redirect followed", Redirect, refused, 2, false},
		{"usage out of range", Accept, channel.Result{Outcome: channel.Accepted, MessageID: "m", Usage: 101}, 1, false},
		{"usage at its end", Accept, channel.Result{Outcome: channel.Accepted, MessageID: "m", Usage: 100}, 1, true},
		{"negative wait", Refuse, channel.Result{Outcome: channel.Refused, Reason: reason.Internal, After: -1}, 1, false},
	} {
		if err := verify(c.step, c.r, c.seen); (err == nil) != c.ok {
			t.Errorf("%s: %v, want ok %v", c.name, err, c.ok)
		}
	}
}
