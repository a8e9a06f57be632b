package twilio

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/channel/wire"
	"github.com/carillon-dev/carillon/internal/tendlc"
	"github.com/carillon-dev/carillon/pkg/reason"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	c := open(t, Options{BaseURL: "http://h"})
	for _, test := range []struct {
		name   string
		status int
		body   string
		want   channel.Outcome
		act    channel.Action
		why    reason.Code
	}{
		{"made", 201, message("SM1", "queued", "null"), channel.Accepted, 0, ""},
		{"by a messaging service", 201, message("SM1", "accepted", "null"), channel.Accepted, 0, ""},
		{"with warnings", 201, message("SM1", "queued", "30007"), channel.Accepted, 0, ""},
		{"failed at once", 201, message("SM1", "failed", "30034"), channel.Refused, channel.PauseSender, reason.SenderUnregistered},
		{"failed for no cause", 201, message("SM1", "failed", "null"), channel.Refused, channel.Retry, reason.PlatformRejected},
		{"no valid number", 400, problem(21211, "no", 400), channel.Refused, channel.DeadLetter, reason.RecipientNotFound},
		{"a code as a string", 400, `{"code":"21211","status":400}`, channel.Refused, channel.DeadLetter, reason.RecipientNotFound},
		{"a code of another kind", 400, `{"code":{"a":1},"status":400}`, channel.Refused, channel.Retry, reason.PlatformRejected},
		{"opted out", 400, problem(21610, "no", 400), channel.Refused, channel.OptOut, reason.OptedOut},
		{"unlisted", 400, problem(99999, "no", 400), channel.Refused, channel.Retry, reason.PlatformRejected},
		{"too many", 429, problem(20429, "no", 429), channel.Refused, channel.SlowSender, reason.RateCapped},
		{"too many, in no words", 429, "", channel.Refused, channel.SlowSender, reason.RateCapped},
		{"too many, by an unlisted code", 429, problem(99999, "no", 429), channel.Refused, channel.SlowSender, reason.RateCapped},
		{"not us, in no words", 401, "", channel.Refused, channel.PauseSender, reason.CredentialInvalid},
		{"not found", 404, problem(20404, "no", 404), channel.Refused, channel.PauseSender, reason.CredentialInvalid},
		{"a gateway's 404", 404, "<html>", channel.Refused, channel.Retry, reason.PlatformRejected},
		{"a 408 says nothing", 408, "", channel.Unknown, 0, reason.OutcomeUnknown},
		{"broken", 500, problem(20500, "no", 500), channel.Unknown, 0, reason.OutcomeUnknown},
		{"broken, with a listed code", 503, problem(21211, "no", 503), channel.Unknown, 0, reason.OutcomeUnknown},
		{"no JSON", 200, "<html>", channel.Unknown, 0, reason.OutcomeUnknown},
		{"cut", 201, `{"sid":"SM1","sta`, channel.Unknown, 0, reason.OutcomeUnknown},
		{"nothing", 201, "", channel.Unknown, 0, reason.OutcomeUnknown},
		{"both", 400, `{"sid":"SM1","code":21211}`, channel.Unknown, 0, reason.OutcomeUnknown},
	} {
		r := c.judge(wire.Answer{Status: test.status, Body: []byte(test.body)}, []channel.Message{hello})
		if r.Outcome != test.want || r.Action != test.act || r.Reason != test.why || r.Status != test.status {
			t.Errorf("%s: %+v", test.name, r)
		}
	}
}

func FuzzJudge(f *testing.F) {
	c := open(f, Options{BaseURL: "http://h"})
	for _, body := range []string{
		message("SM1", "queued", "null"), message("SM1", "failed", "30034"), problem(21610, "to +14155550199: Hello Ann, your table is ready", 400), `{"code":-1}`, `[]`, `{"sid":1}`,
	} {
		f.Add(400, body)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		r := c.judge(wire.Answer{Status: status, Body: []byte(body)}, []channel.Message{hello})
		if (r.Outcome == channel.Accepted) != (r.Reason == "") || (r.Outcome == channel.Accepted) != (r.MessageID != "") || r.Outcome == channel.NotSent {
			t.Errorf("%d %q: %+v", status, body, r)
		}
		if r.Outcome == channel.Refused && status >= 500 {
			t.Errorf("%d %q: a 5xx says no", status, body)
		}
		if !utf8.ValidString(r.Detail) || strings.Contains(r.Detail, hello.Recipient) || strings.Contains(r.Detail, hello.Text) || r.After < 0 {
			t.Errorf("%d %q: unfit to keep: %+v", status, body, r)
		}
	})
}

// listed are the retry classes: R retry, S slow the sender, N until the next
// Pacific day, O opt-out, P pause, D dead-letter.
const listed = `
14107 S  20003 P  20005 P  20404 P  20429 S  21211 D  21212 P  21408 D  21602 D  21603 P  21604 D  21606 D  21609 P  21610 O  21611 S  21612 D  21614 D
21617 D  21635 D  21659 P  21660 P  21701 P  21702 P  21703 P  30001 S  30002 P  30003 R  30004 D  30005 D  30006 D  30007 D  30008 R  30022 S  30023 N
30027 N  30032 P  30034 P  63013 D  63014 O  63016 D  63018 S  63033 O  63038 N`

func TestTableIsTheList(t *testing.T) {
	t.Parallel()
	letters := map[string]channel.Action{
		"R": channel.Retry, "S": channel.SlowSender, "N": channel.SlowSender, "O": channel.OptOut, "P": channel.PauseSender, "D": channel.DeadLetter,
	}
	words := strings.Fields(listed)
	for i, r := range Rules() {
		if 2*i+1 >= len(words) {
			t.Fatalf("%d is not in the list", r.Code)
		}
		code, letter := words[2*i], words[2*i+1]
		if found, ok := find(r.Code); !ok || *found != r || code != strconv.Itoa(r.Code) || letters[letter] != r.Action || r.Day != (letter == "N") {
			t.Errorf("%+v, want %s %s", r, code, letter)
		}
		if r.Meaning == "" || (r.Action == channel.OptOut) != (r.Reason == reason.OptedOut) || (r.Limit > 0) != (r.Action == channel.Retry) {
			t.Errorf("%+v is not whole", r)
		}
		if _, ok := reason.Lookup(r.Reason); !ok {
			t.Errorf("%d has no reason of the list", r.Code)
		}
	}
	if len(words) != 2*len(Rules()) || !slices.IsSortedFunc(Rules(), func(a, b Rule) int { return a.Code - b.Code }) {
		t.Errorf("%d words for %d rows, or they are not in order", len(words), len(Rules()))
	}
}

// TestTheNextPacificDay holds the wait after a spent day against the zone's
// clock, on the days of 23 and 25 hours too.
func TestTheNextPacificDay(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]time.Duration{
		"2026-11-22T12:00:00Z":           20 * time.Hour,
		"2026-11-23T07:59:59.999999999Z": 1,
		"2026-11-23T08:00:00Z":           24 * time.Hour,
		"2026-03-08T08:00:00Z":           23 * time.Hour,
		"2026-11-01T07:00:00Z":           25 * time.Hour,
	} {
		now, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			t.Fatal(err)
		}
		c := open(t, Options{BaseURL: "http://h", Now: func() time.Time { return now }})
		r := c.judge(wire.Answer{Status: 400, Body: []byte(problem(30023, "", 400))}, nil)
		if r.After != want || r.Reason != reason.BudgetSpent || r.Action != channel.SlowSender {
			t.Errorf("at %s: %+v, want %v", at, r, want)
		}
		if day := tendlc.DayOf(now.Add(r.After), c.pacific); !day.Start.Equal(now.Add(r.After)) {
			t.Errorf("at %s: the wait ends inside a day", at)
		}
	}
}
