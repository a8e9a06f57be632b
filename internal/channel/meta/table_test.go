package meta

import (
	"strconv"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// listed is every error of the reference's table with what it asks for there:
// R retry, S retry slower, W window, B block, P pause, D dead-letter, T thread
// busy, C cool down one contact, U unknown. A star is any subcode, or any code.
const listed = `
1/* R  1/99 R  1/1357046 U  2/* R  2/2018344 P  3/* R
4/* S  4/2018022 R  4/2018354 R  9/2018352 D
10/0 P  10/1404170 P  10/1893015 B  10/1893063 P  10/2018065 W  10/2018278 W  10/2534022 W
10/2018108 B  10/2018336 B  10/2534077 P  10900/* D 10903/* D  17/* S  32/* S
100/* D  100/1893061 D  100/33 D  100/2018001 D  100/2018007 R
100/2018008 R  100/2018047 R  100/2018294 R  100/2018109 D  100/2018034 D  100/2018032 D
100/2018014 D  100/2018074 D  100/2018164 D  100/2018320 D  100/2018328 D
100/2534013 P  100/2534014 D  100/2534015 D  100/2534025 D  100/2534029 P  100/2534037 T
190/* P  190/458 P  190/459 P  190/460 P  190/463 P  190/467 P  190/492 P  102/* P
200/0 P  200/1545041 B  200/2018021 P  200/2018027 P  200/2018028 P  200/2534041 P  200/2534066 R
230/0 P  368/* P  506/* D  508/2534122 D  551/* B  551/1545041 B
613/* S  613/1893016 D  613/2018338 C  613/2534040 S  1200/* R  2022/* P  10303/* D
80001/* S  80002/* S  80006/* S
2018300/* T  */2018300 T  10/2018300 T  2018321/* T  */2018321 T  9000001/* D  36000/* D`

// letters are the actions behind the letters.
var letters = map[string]channel.Action{
	"R": channel.Retry, "S": channel.SlowSender, "W": channel.DeadLetter, "B": channel.BlockContact, "P": channel.PauseSender,
	"D": channel.DeadLetter, "T": channel.ThreadBusy, "C": channel.CooldownOfOne, "U": channel.DeadLetter,
}

func TestTableIsTheList(t *testing.T) {
	t.Parallel()
	rules := newRulebook()
	words := strings.Fields(listed)
	for i := 0; i < len(words); i += 2 {
		code, subcode, _ := strings.Cut(words[i], "/")
		p := pair{numberOrAny(t, code), numberOrAny(t, subcode)}
		rule, ok := rules[p]
		if !ok {
			t.Errorf("%s is not in the table", words[i])
			continue
		}
		if rule.Action != letters[words[i+1]] {
			t.Errorf("%s asks for %v, want %v", words[i], rule.Action, letters[words[i+1]])
		}
		if window := words[i+1] == "W"; window != (rule.Reason == reason.PlatformWindow) {
			t.Errorf("%s has reason %s", words[i], rule.Reason)
		}
		if rule.MaybeSent != (words[i+1] == "U") {
			t.Errorf("%s: maybe sent is %v", words[i], rule.MaybeSent)
		}
	}
	if len(rules) != len(words)/2 || len(rules) != len(errorTable) {
		t.Errorf("the table has %d rows and %d pairs, the list %d", len(errorTable), len(rules), len(words)/2)
	}
}

func numberOrAny(t *testing.T, s string) int {
	if s == "*" {
		return Any
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTableRowsAreWhole(t *testing.T) {
	t.Parallel()
	for _, r := range append(Rules(), unlisted, overloaded) {
		again := r.Action == channel.Retry || r.Action == channel.SlowSender || r.Action == channel.ThreadBusy || r.Action == channel.CooldownOfOne
		switch {
		case r.Meaning == "" || r.Reason == "" || unicode.IsUpper(rune(r.Meaning[0])) && !strings.HasPrefix(r.Meaning, "Instagram") && !strings.HasPrefix(r.Meaning, "Messenger"):
			t.Errorf("%d/%d: meaning %q, reason %q", r.Code, r.Subcode, r.Meaning, r.Reason)
		case again && r.After <= 0:
			t.Errorf("%d/%d: %v without a wait", r.Code, r.Subcode, r.Action)
		case (r.Action == channel.ThreadBusy || r.Action == channel.Retry && r.Reason == reason.PlatformRejected) && r.Limit < 2:
			t.Errorf("%d/%d: %v without an end", r.Code, r.Subcode, r.Action)
		case r.App != (r.Action == channel.SlowSender && r.Code == 4):
			t.Errorf("%d/%d: of the app is %v; only code 4 is its request limit", r.Code, r.Subcode, r.App)
		case r.Then != channel.DeadLetter && r.Limit == 0:
			t.Errorf("%d/%d: then %v is never reached", r.Code, r.Subcode, r.Then)
		}
	}
}

func TestRulesAreTheCallers(t *testing.T) {
	t.Parallel()
	Rules()[0].Code = 424242
	if Rules()[0].Code == 424242 {
		t.Error("writing to Rules() wrote to the table")
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	rules := newRulebook()
	for _, c := range []struct {
		code, subcode int
		action        channel.Action
		reason        reason.Code
		listed        bool
	}{
		{10, 2018278, channel.DeadLetter, reason.PlatformWindow, true},
		{10, 0, channel.PauseSender, reason.CredentialInvalid, true},
		{10, 77, channel.Retry, reason.PlatformRejected, false}, // a subcode may speak of one person
		{200, 0, channel.PauseSender, reason.CredentialInvalid, true},
		{200, 77, channel.Retry, reason.PlatformRejected, false},
		{200, 1545041, channel.BlockContact, reason.RecipientUnavailable, true},
		{230, 77, channel.Retry, reason.PlatformRejected, false},
		{190, 77, channel.PauseSender, reason.CredentialInvalid, true},
		{190, 0, channel.PauseSender, reason.CredentialInvalid, true},
		{100, 77, channel.DeadLetter, reason.PlatformRejected, true},
		{100, 2018300, channel.ThreadBusy, reason.ThreadControlled, true}, // the subcode outranks the code
		{200, 2018321, channel.ThreadBusy, reason.ThreadControlled, true},
		{2018300, 0, channel.ThreadBusy, reason.ThreadControlled, true},
		{613, 0, channel.SlowSender, reason.RateCapped, true},
		{613, 77, channel.SlowSender, reason.RateCapped, true},
		{508, 0, channel.Retry, reason.PlatformRejected, false},
		{424242, 0, channel.Retry, reason.PlatformRejected, false},
		{424242, 77, channel.Retry, reason.PlatformRejected, false},
	} {
		rule, ok := rules.find(c.code, c.subcode)
		if ok != c.listed || rule.Action != c.action || rule.Reason != c.reason {
			t.Errorf("%d/%d: %v %s, listed %v; want %v %s, %v", c.code, c.subcode, rule.Action, rule.Reason, ok, c.action, c.reason, c.listed)
		}
	}
}

func TestUnlistedNeverPausesNorLasts(t *testing.T) {
	t.Parallel()
	rules := newRulebook()
	rapid.Check(t, func(t *rapid.T) {
		code, subcode := rapid.IntRange(1, 3_000_000).Draw(t, "code"), rapid.IntRange(0, 3_000_000).Draw(t, "subcode")
		rule, ok := rules.find(code, subcode)
		if !ok && (rule.Action != channel.Retry || rule.Limit != 3 || rule.Then != channel.DeadLetter) {
			t.Fatalf("%d/%d: %v, limit %d, then %v", code, subcode, rule.Action, rule.Limit, rule.Then)
		}
	})
}
