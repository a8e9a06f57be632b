package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// TestPolicyDiff compares two days for stored broadcasts: whom the end of a
// tag breaks, what a longer window allows, and who is not there any more.
func TestPolicyDiff(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.client(t)
	now := time.Now()
	soon := now.Add(48 * time.Hour).UTC().Format(time.RFC3339)
	docs := senderYAML("events") + "---\n" +
		strings.Replace(broadcastYAML("diff-event", "events", "Friday"), "{text: Friday}", "{text: Friday, tag: CONFIRMED_EVENT_UPDATE}", 1) + "---\n" +
		broadcastYAML("diff-plain", "events", "Hello") + "expires_after: 1h\nschedule: {at: \"" + soon + "\"}\n"
	must(c.Apply(t.Context(), "events.yaml", strings.NewReader(docs)))(t)
	old := now.Add(-30 * 24 * time.Hour).UTC().Format(time.RFC3339)
	fresh := now.Add(-time.Hour).UTC().Format(time.RFC3339)
	must(c.ImportContacts(t.Context(), "events", strings.NewReader("id,last_inbound\n1,"+old+"\n2,"+old+"\n3,"+fresh+"\n4,\n"), false, nil))(t)

	ask := func(r client.PolicyDiffRequest) (rules []string, impacts map[string]client.BroadcastImpact) {
		t.Helper()
		impacts = map[string]client.BroadcastImpact{}
		for _, e := range all(t, c.PolicyDiff(t.Context(), r)) {
			if e.Change != nil {
				rules = append(rules, e.Change.Date+" "+e.Change.Rule+" "+e.Change.What)
				continue
			}
			e.Broadcast.Due, e.Broadcast.Ends = time.Time{}, time.Time{}
			impacts[e.Broadcast.Broadcast] = *e.Broadcast
		}
		return rules, impacts
	}
	none := map[reason.Code]int{}
	event := client.BroadcastImpact{
		Broadcast: "diff-event", Sender: "events", State: "draft", Since: "2026-04-27", Audience: 4,
		Broken: 2, BrokenBy: map[reason.Code]int{reason.TagRetired: 2}, AllowedBy: map[string]int{}, Blocked: 1,
	}
	plain := client.BroadcastImpact{ // due in two days, so that nobody's window is open by then
		Broadcast: "diff-plain", Sender: "events", State: "draft", Since: "2026-04-27", Audience: 4, BrokenBy: none, AllowedBy: map[string]int{}, Blocked: 4,
	}
	rules, impacts := ask(client.PolicyDiffRequest{From: "2026-04-26", To: "2026-04-27"})
	if d := cmp.Diff([]string{"2026-04-27 event_tag ends"}, rules) + cmp.Diff(event, impacts["diff-event"]) + cmp.Diff(plain, impacts["diff-plain"]); d != "" {
		t.Error(d)
	}

	// Several days with changes: the last day asked about is the one to name.
	rules, impacts = ask(client.PolicyDiffRequest{From: "2025-09-01", To: "2026-05-01T12:00:00+02:00"})
	if event.Since = "2026-05-01"; len(rules) < 2 || cmp.Diff(event, impacts["diff-event"]) != "" {
		t.Errorf("%v: %s", rules, cmp.Diff(event, impacts["diff-event"]))
	}

	// A rulebook of one's own: what goes out in two days is judged by the rules
	// of that day at the latest, and is out before a change after it; the draft
	// without a time is there on any day.
	in := func(days int) string { return now.AddDate(0, 0, days).UTC().Format(time.DateOnly) }
	for _, day := range []string{in(1), in(365)} {
		own := strings.Replace(string(policy.Embedded()), "    since: last_inbound\n    limit: 24h\n", "    since: last_inbound\n    limit: 24h\n    to: "+day+"\n", 1)
		for from, gone := range map[string]bool{now.UTC().Format(time.RFC3339): false, in(4): true} {
			_, impacts = ask(client.PolicyDiffRequest{From: from, To: in(366), Rulebook: own})
			e, p := impacts["diff-event"], impacts["diff-plain"]
			if p.Gone != gone || (p.Audience == 0) != gone || e.Gone || gone && day == in(1) != (e.Broken == 0) {
				t.Errorf("a window that ends %s, asked from %s: %+v and %+v", day, from, e, p)
			}
		}
	}

	// One that has ended is not judged at all.
	must(c.Cancel(t.Context(), "diff-event"))(t)
	if _, impacts = ask(client.PolicyDiffRequest{From: "2026-04-26", To: "2026-04-27"}); impacts["diff-event"].Broadcast != "" {
		t.Errorf("cancelled, and judged: %+v", impacts["diff-event"])
	}
}
