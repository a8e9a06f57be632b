package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestVerdictExplain(t *testing.T) {
	rb := Default()
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	messenger := Sender{Channel: Messenger}
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
		{Message{Text: "x"}, Facts{}, messenger, "never_wrote: the contact never wrote, standard_window"},
		{Message{Text: "x"}, Facts{LastInbound: at}, quiet,
			"held until 2026-11-22 12:00Z for quiet_hours: the hour is quiet on the contact's clock, sender_quiet_hours"},
		{Message{Text: "x", Tag: "ACCOUNT_UPDATE"}, Facts{LastInbound: at.Add(-48 * time.Hour)}, messenger, "tag_retired: ended on 2026-04-27, event_tag"},
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

// TestExplainAgrees holds the list of rules tried against the verdict, for
// every case of testdata: one rule decides, and it gives the same reason.
func TestExplainAgrees(t *testing.T) {
	rb := Default()
	rules := len(rb.Checks) + len(rb.Permissions) + len(rb.Hours) + len(rb.Advice)
	examples(t, func(file string, e example) {
		c := e.read(t)
		v := c.Judge(rb)
		tried := Explain(rb, c.At, &c.Message, &c.Facts, &c.Sender)
		var decides []Tried
		for _, r := range tried {
			if r.Why == "" || r.Outcome == "" {
				t.Errorf("%s: %s: no reason given for %s", file, c.ID, r.Rule)
			}
			if r.Decides {
				decides = append(decides, r)
			}
		}
		if len(decides) != 1 || decides[0].Reason != v.Reason || len(tried) < rules {
			t.Errorf("%s: %s: decided by %+v of %d, verdict %+v", file, c.ID, decides, len(tried), v)
		}
	})
}

func TestExplainSays(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	tried := Explain(Default(), at, &Message{Text: "x", Tag: "HUMAN_AGENT"}, &Facts{LastInbound: at.Add(-25 * time.Hour)}, &Sender{Channel: Messenger})
	var b strings.Builder
	for _, r := range tried {
		fmt.Fprintf(&b, "%s %s %s\n", r.Rule, r.Outcome, r.Why)
	}
	for _, want := range []string{
		"opted_out passed does not apply",
		"consent_missing other_channel not a rule of messenger",
		"standard_window refused window closed 1 h before: last inbound 2026-11-21 09:00Z, limit 24 h, standard_window",
		"event_tag not_in_force ended on 2026-04-27",
		"human_agent refused tag_needs_human: a person must write it, human_agent",
		"utility not_asked the message has no such template",
		"sponsored not_asked the message does not name it as via",
	} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("not said: %s\nin:\n%s", want, b.String())
		}
	}
}
