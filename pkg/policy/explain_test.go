package policy

import (
	"testing"
	"time"
)

func TestVerdictExplain(t *testing.T) {
	rb := book()
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	messenger := Sender{Channel: Messenger}
	human := Sender{Channel: Messenger, Capabilities: []string{"human_agent"}}
	quiet := Sender{Channel: Messenger, QuietHours: QuietHours{From: 9 * time.Hour, To: 12 * time.Hour, Set: true}}
	tests := []struct {
		m    Message
		f    Facts
		s    Sender
		want string
	}{
		{Message{Text: "x"}, Facts{LastInbound: at.Add(-27*time.Hour - 12*time.Minute)}, messenger,
			"window closed 3 h 12 min before: last inbound 2026-11-21 06:48Z, limit 24 h, standard_window"},
		{Message{Text: "x"}, Facts{LastInbound: at.Add(-24 * time.Hour)}, messenger,
			"window closed 0s before: last inbound 2026-11-21 10:00Z, limit 24 h, standard_window"},
		{Message{Text: "x"}, Facts{LastInbound: at.Add(-3 * time.Hour)}, messenger,
			"sent with 21 h to go: last inbound 2026-11-22 07:00Z, limit 24 h, standard_window"},
		{Message{Text: "x"}, Facts{LastInbound: at.Add(time.Minute)}, messenger,
			"sent with 24 h to go: last inbound 2026-11-22 10:01Z, limit 24 h, standard_window"},
		{Message{Text: "x"}, Facts{}, messenger, "never_wrote by standard_window: the contact never wrote"},
		{Message{Text: "x"}, Facts{LastInbound: at}, quiet,
			"held until 2026-11-22 12:00Z for quiet_hours by sender_quiet_hours: the hour is quiet in UTC, no other zone being known"},
		{Message{Text: "x", Tag: "ACCOUNT_UPDATE"}, Facts{LastInbound: at.Add(-48 * time.Hour)}, messenger, "tag_retired by event_tag: ended on 2026-04-27"},
		{Message{Text: "x", Tag: "HUMAN_AGNT"}, Facts{LastInbound: at.Add(-48 * time.Hour)}, messenger, "tag_unknown: the rulebook has no such name"},
		{Message{Text: "x"}, Facts{OptedOutAll: true}, messenger, "opted_out: opted out of all messages"},
		{Message{Origin: "agent", Text: "x", Tag: "HUMAN_AGENT"}, Facts{LastInbound: at.Add(-169 * time.Hour)}, human,
			"tag_window_closed 1 h before: last inbound 2026-11-15 09:00Z, limit 7 d, human_agent"},
		{Message{Text: "x"}, Facts{LastInbound: at, OpenedBy: "comment", AdMessageAt: at.Add(-48 * time.Hour)}, messenger,
			"window closed 24 h before: ad message 2026-11-20 10:00Z, limit 24 h, ad_window"},
		{Message{Text: "x", Via: "private_reply"}, Facts{Comment: Comment{At: at.Add(-169 * time.Hour)}}, messenger,
			"private_reply_expired 1 h before: comment 2026-11-15 09:00Z, limit 7 d, private_reply"},
	}
	for _, tt := range tests {
		if got := Evaluate(rb, at, &tt.m, &tt.f, &tt.s).Explain(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
	if got := (Verdict{}).Explain(); got != "undecided" {
		t.Errorf("zero verdict: %s", got)
	}
}

func TestFormatDuration(t *testing.T) {
	tests := map[time.Duration]string{
		0: "0s", 1: "1ns", 999 * time.Millisecond: "999ms", time.Second: "1 s", 61 * time.Second: "1 min 1 s", 72*time.Hour - 1: "71 h 59 min",
		24 * time.Hour: "24 h", 72 * time.Hour: "3 d", 365 * 24 * time.Hour: "365 d", 7*24*time.Hour + 3*time.Minute: "7 d 3 min",
	}
	for d, want := range tests {
		if got := FormatDuration(d); got != want {
			t.Errorf("%d: %q, want %q", d, got, want)
		}
	}
}
