package sandbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestBooksBalance throws calls, faults and orders at a sandbox and recounts
// from its lists what its summary says.
func TestBooksBalance(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t, Options{RatePerSecond: 4, Seed: rapid.Uint64Min(1).Draw(rt, "seed")})
		sent := 0
		person := rapid.StringMatching(`[1-5]`)
		account := rapid.SampledFrom([]string{"77", "88"})
		optedOut := map[string]uint64{} // accepted messages at that moment
		steps := map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				sent++
				b.send(account.Draw(t, "account"), textBody(person.Draw(t, "person"), "hi", rapid.StringMatching(`[ab]?`).Draw(t, "metadata")))
			},
			"batch": func(t *rapid.T) {
				items := make([]map[string]string, rapid.IntRange(1, 6).Draw(t, "items"))
				for i := range items {
					items[i] = sendItem(account.Draw(t, "account")+"/messages", person.Draw(t, "person"))
				}
				sent += len(items)
				b.batch(items...)
			},
			"tag": func(t *rapid.T) {
				sent++
				b.send(account.Draw(t, "account"), tagBody(rapid.SampledFrom([]string{"HUMAN_AGENT", "ACCOUNT_UPDATE", "X"}).Draw(t, "tag")))
			},
			"optout": func(t *rapid.T) {
				a, p := account.Draw(t, "account"), person.Draw(t, "person")
				if _, known := optedOut[a+"/"+p]; !known {
					optedOut[a+"/"+p] = b.Summary("").Accepted
				}
				b.admin("POST", "optout", fmt.Sprintf(`{"account":%q,"person":%q}`, a, p))
			},
			"wait": func(t *rapid.T) {
				b.clock.advance(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 20 * time.Hour}).Draw(t, "wait"))
			},
			"fault": func(t *rapid.T) {
				f := Fault{Kind: rapid.SampledFrom(FaultKinds()[1:]).Draw(t, "kind"), Probability: 0.5, Count: 3}
				if _, err := b.AddFault(f); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				if s := b.Summary(""); s.Calls != uint64(sent) || s.Calls != s.Accepted+s.Acted+s.Refused+s.Dropped+s.Failed {
					t.Fatalf("%d calls sent, summary %+v", sent, s)
				}
			},
		}
		rt.Repeat(steps)
		recount(rt, b, sent)
		for _, l := range list[acceptedLine](b.t, b.admin("GET", "accepted", "")) {
			if before, out := optedOut[l.Account+"/"+l.Person]; out && l.Seq > before {
				rt.Fatalf("accepted for one who opted out: %+v", l)
			}
		}
	})
}

// recount compares the summary with the lists.
func recount(t *rapid.T, b *bench, sent int) {
	sum := b.Summary("")
	calls := list[callLine](b.t, b.admin("GET", "calls", ""))
	if len(calls) != sent || sum.Calls != uint64(sent) {
		t.Fatalf("%d calls sent, %d counted, %d listed", sent, sum.Calls, len(calls))
	}
	outcomes, codes, violations := map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
	unanswered := uint64(0)
	for _, c := range calls {
		outcomes[c.Outcome]++
		if c.Outcome == "refused" {
			codes[(&graphError{code: c.Code, subcode: c.Subcode}).key()]++
		}
		if c.Outcome == "accepted" && !c.Answered {
			unanswered++
		}
		for _, v := range c.Violations {
			violations[v]++
		}
	}
	want := Summary{Seed: sum.Seed, Calls: uint64(sent), Accepted: outcomes["accepted"], Unanswered: unanswered,
		Refused: outcomes["refused"], RefusedByCode: codes, Dropped: outcomes["dropped"], Failed: outcomes["failed"],
		Violations: map[string]uint64{}}
	for _, v := range []violation{wroteOptedOut, wroteOutside, usedRetired, brokeRate, wroteAfterStop} {
		want.Violations[v.names()[0]] = violations[v.names()[0]]
	}
	accepted := list[acceptedLine](b.t, b.admin("GET", "accepted", ""))
	seen := map[string]bool{}
	for _, l := range accepted {
		if l.Metadata == "" {
			continue
		}
		if seen[l.Metadata] {
			want.Duplicates.Metadata++
		}
		if seen[l.Metadata+"/"+l.Account+"/"+l.Person] {
			want.Duplicates.Message++
		}
		seen[l.Metadata], seen[l.Metadata+"/"+l.Account+"/"+l.Person] = true, true
	}
	if diff := cmp.Diff(want, sum); diff != "" {
		t.Fatalf("summary against a recount of the lists:\n%s", diff)
	}
	if uint64(len(accepted)) != sum.Accepted {
		t.Fatalf("%d listed as accepted, %d counted", len(accepted), sum.Accepted)
	}
}
