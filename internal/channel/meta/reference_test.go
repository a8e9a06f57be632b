package meta

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// reference is the list of errors as it was compiled from the platform's pages
// and from what others have seen (2026-11-22), written down apart from the
// table: pair, then what it asks for. R: again, few times, then the job ends;
// R1: once more; S: again, slower; W: the window is closed; B: the contact
// can't be reached until it writes; RB: again, then that; P: the sender or its
// token stops; D: the job ends; T: the thread is another app's; C: the contact
// is left alone for a day; L: later, by a day; E: perhaps sent, so only an echo
// can tell.
const reference = `
1 R, 1/99 R, 1/1357046 E, 2 RB, 2/2018344 P, 3 R,
4 S, 4/2018022 R, 4/2018354 L, 9/2018352 D,
10 P, 10/1404170 P, 10/1893015 B, 10/1893063 P, 10/2018065 W, 10/2018278 W, 10/2534022 W, 10/2018108 B, 10/2018336 B, 10/2534077 P,
10903 D, 17 S, 32 S,
100 D, 100/1893061 D, 100/33 D, 100/2018001 D, 100/2018007 R, 100/2018008 R1, 100/2018047 R1, 100/2018294 R1, 100/2018109 D,
100/2018034 D, 100/2018032 D, 100/2018014 D, 100/2018074 D, 100/2018164 D, 100/2018320 D, 100/2018328 D,
100/2534013 P, 100/2534014 D, 100/2534015 D, 100/2534025 D, 100/2534029 P, 100/2534037 T,
190 P, 190/458 P, 190/459 P, 190/460 P, 190/463 P, 190/467 P, 190/492 P, 102 P,
200 P, 200/1545041 B, 200/2018021 P, 200/2018027 P, 200/2018028 P, 200/2534041 P, 200/2534066 R, 230 P,
368 P, 506 D, 508/2534122 D, 551 B, 551/1545041 B,
613 S, 613/1893016 D, 613/2018338 C, 613/2534040 S, 1200 R, 2022 P, 10303 D, 80001 S, 80002 S, 80006 S,
2018300 T, 10/2018300 T, 2018321 T, 10/2018321 T, 9000001 D, 36000 D,
999 R, 999/5 R, 10/5 R, 200/5 R, 230/5 R, 2/5 RB, 190/5 P, 100/5 D, 613/5 S`

func isAs(r channel.Result, letter string) bool {
	limited := func(a channel.Action, n int, then channel.Action) bool {
		return r.Outcome == channel.Refused && r.Action == a && r.Limit == n && r.Then == then && r.After > 0
	}
	refused := func(a channel.Action) bool { return r.Outcome == channel.Refused && r.Action == a }
	switch letter {
	case "R": // where no limit is named the worker's own holds, which is the same
		return limited(channel.Retry, few, channel.DeadLetter) || limited(channel.Retry, 0, channel.DeadLetter) && r.Reason == reason.RateCapped
	case "R1":
		return limited(channel.Retry, twice, channel.DeadLetter)
	case "RB":
		return limited(channel.Retry, few, channel.BlockContact)
	case "L":
		return limited(channel.Retry, 0, channel.DeadLetter) && r.After == dayOff
	case "S":
		return refused(channel.SlowSender) && r.Reason == reason.RateCapped && r.After > 0
	case "W":
		return refused(channel.DeadLetter) && r.Reason == reason.PlatformWindow
	case "B":
		return refused(channel.BlockContact)
	case "P":
		return refused(channel.PauseSender)
	case "D":
		return refused(channel.DeadLetter) && r.Reason != reason.PlatformWindow
	case "T":
		return limited(channel.ThreadBusy, few, channel.DeadLetter)
	case "C":
		return refused(channel.CooldownOfOne) && r.After >= dayOff
	case "E":
		return r.Outcome == channel.Unknown
	}
	return false
}

// TestAnswersMeanWhatTheReferenceSays reads an error of every pair, as the
// platform writes it, under each status that it is seen with.
func TestAnswersMeanWhatTheReferenceSays(t *testing.T) {
	t.Parallel()
	rules := newRulebook()
	n := 0
	for entry := range strings.SplitSeq(strings.Join(strings.Fields(reference), " "), ", ") {
		entry, letter, ok := strings.Cut(strings.TrimSuffix(entry, ","), " ")
		if !ok {
			t.Fatalf("entry %q", entry)
		}
		code, subcode, _ := strings.Cut(entry, "/")
		sub := ""
		if subcode != "" {
			sub = `,"error_subcode":` + subcode
		}
		body := fmt.Sprintf(`{"error":{"message":"(#%s) no","type":"OAuthException","code":%s%s,"fbtrace_id":"A"}}`, code, code, sub)
		for _, status := range []int{200, 400, 403, 500} {
			r := rules.judge(status, []byte(body), nil)
			if !isAs(r, letter) {
				t.Errorf("%s under %d: %+v, want %s", entry, status, r, letter)
			}
			if want, _ := strconv.Atoi(code); r.Code != want || r.Detail == "" || r.TraceID != "A" { // the list has numbers alone
				t.Errorf("%s: the answer is not on record: %+v", entry, r)
			}
		}
		n++
	}
	if n < 80 {
		t.Errorf("%d entries were read", n)
	}
}
