package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// own is the embedded rulebook with texts replaced, old and new in turn.
func own(t *testing.T, pairs ...string) *Rulebook {
	t.Helper()
	text := string(embedded)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the rulebook has no %q", pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	rb, err := Parse([]byte(text))
	must(t, err)
	return rb
}

// TestAdviceCoversNewTags gives a tag that came later the warnings of tags.
func TestAdviceCoversNewTags(t *testing.T) {
	rb := own(t, "  - id: plus_one\n", `  - id: travel_tag
    by: tag
    tags: [TRAVEL_UPDATE]
    channels: [messenger]
    since: last_inbound
    says: A tag that does not exist.
    source: [DESIGN]
  - id: plus_one
`)
	at, m, f, s := benchCase()
	f.LastInbound = at.Add(-30 * time.Hour)
	m.Tag, m.Text, m.Origin = "TRAVEL_UPDATE", "An offer at https://example.com, and a poll", "agent"
	v := Evaluate(rb, at, m, f, s)
	if v.Rule != "travel_tag" || !slices.Equal(v.Warnings, []string{"links_under_tag", "promotional_wording"}) {
		t.Errorf("%s %v", v.Rule, v.Warnings)
	}
}

// TestBulkIsNotSaidOfWhatWasAskedFor warns of a broadcast inside the window,
// and not of one that goes out by a subscription or answers a comment.
func TestBulkIsNotSaidOfWhatWasAskedFor(t *testing.T) {
	at, m, f, s := benchCase()
	s.Capabilities = []string{"marketing_message"}
	f.Comment.At = at.Add(-time.Hour)
	for via, want := range map[string][]string{"": {"bulk_discouraged"}, "marketing_message": nil, "private_reply": nil} {
		m.Via = via
		if v := Evaluate(book(), at, m, f, s); v.Kind != Send || !slices.Equal(v.Warnings, want) {
			t.Errorf("via %q: %s %s %v", via, v.Rule, v.Reason, v.Warnings)
		}
	}
}

// TestAnyOriginsMayBeAuthors lets a tag be used by some origins only.
func TestAnyOriginsMayBeAuthors(t *testing.T) {
	rb := own(t, "authors: [agent]", "authors: [agent, flow]")
	at, m, f, s := benchCase()
	s.Capabilities, s.RelaxFlowTemplates = []string{"human_agent"}, true
	f.LastInbound = at.Add(-30 * time.Hour)
	m.Tag = "HUMAN_AGENT"
	for origin, want := range map[string]reason.Code{"agent": "", "flow": "", "broadcast": reason.TagNeedsHuman} {
		m.Origin = origin
		if v := Evaluate(rb, at, m, f, s); v.Reason != want {
			t.Errorf("%s: %q, want %q", origin, v.Reason, want)
		}
	}
}

// TestCommentsAreData reads the third contradiction the other way.
func TestCommentsAreData(t *testing.T) {
	entry := string(embedded)
	entry = entry[strings.Index(entry, "  - id: comment\n"):strings.Index(entry, "  - id: unreact\n")]
	opens := own(t, entry, "", "\n# What opens no window", entry+"\n# What opens no window", "reaction, ad_message]", "reaction, ad_message, comment]")
	line := []byte(`{"id":"c","at":"2026-11-22T10:00:00Z","sender":{"channel":"messenger","capabilities":["human_agent"]},` +
		`"contact":{"last_inbound":"2026-11-22T09:00:00Z","opened_by":"comment"},"message":{"origin":"agent","text":"x"}}`)
	c, err := new(CaseReader).Read(line)
	must(t, err)
	if v := c.Judge(opens); v.Rule != "standard_window" || v.Kind != Send {
		t.Errorf("where a comment opens: %+v", v)
	}
	if v := c.Judge(book()); v.Reason != reason.NeverWrote {
		t.Errorf("where it does not: %+v", v)
	}
	c.Message.Tag = "HUMAN_AGENT"
	if v := c.Judge(book()); v.Reason != reason.NeverWrote {
		t.Errorf("under a tag: %+v", v)
	}
}

// TestCasesNameEveryOpener holds the words that a case may use against those
// that a rulebook may.
func TestCasesNameEveryOpener(t *testing.T) {
	for _, action := range openerNames() {
		line := fmt.Sprintf(`{"id":"c","at":"2026-11-22T10:00:00Z","sender":{"channel":"messenger"},"contact":{"opened_by":%q},"message":{"text":"x"}}`, action)
		if _, err := new(CaseReader).Read([]byte(line)); err != nil {
			t.Errorf("%s: %v", action, err)
		}
	}
}

// TestDiffFoldsVersions shows a rule that follows itself as one change, a gap
// or another tag as an end and a beginning, and a limit of one channel.
func TestDiffFoldsVersions(t *testing.T) {
	text := string(embedded)
	agent := text[strings.Index(text, "  - id: human_agent\n"):strings.Index(text, "  - id: customer_feedback\n    row")]
	version := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(agent) }
	old := version("    from: 2019-08-29\n", "    from: 2019-08-29\n    to: 2027-01-01\n")
	next := func(day string, pairs ...string) string {
		return version(append(pairs, "    from: 2019-08-29\n", "    from: "+day+"\n", "limit: 168h", "limit: 3d")...)
	}
	tests := []struct{ name, entries, want string }{
		{"same day", old + next("2027-01-01"), "2027-01-01 human_agent changes: limit from 7 d to 3 d"},
		{"a gap", old + next("2027-01-02"), "2027-01-01 human_agent ends; 2027-01-02 human_agent begins"},
		{"by channel", old + next("2027-01-01", "channels: [messenger, instagram]", "channels: [messenger]") +
			version("    from: 2019-08-29\n", "    from: 2027-01-01\n", "channels: [messenger, instagram]", "channels: [instagram]", "    capability: human_agent\n", ""),
			"2027-01-01 human_agent changes: channels from messenger, instagram to messenger; limit from 7 d to 3 d; " +
				"2027-01-01 human_agent changes: channels from messenger, instagram to instagram; no capability any more"},
		{"words only", old + version("    from: 2019-08-29\n", "    from: 2027-01-01\n"), "2027-01-01 human_agent changes: its clause: A person may answer by hand until seven days after the user's message."},
	}
	for _, tt := range tests {
		var got []string
		for _, c := range Diff(own(t, agent, tt.entries), date(t, "2026-12-01"), date(t, "2027-02-01")) {
			line := fmt.Sprintf("%s %s %s", c.Date, c.Rule, c.What)
			if c.What == "changes" {
				line += ": " + c.Detail
			}
			got = append(got, line)
		}
		if s := strings.Join(got, "; "); s != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, s, tt.want)
		}
	}
}

// TestDiffTellsHowARuleIsAsked shows a kind that a tag gains, and another way
// to ask for the same name.
func TestDiffTellsHowARuleIsAsked(t *testing.T) {
	turn := Date{date(t, "2027-01-01")}
	old := Permission{Clause: Clause{ID: "survey", To: turn}, By: "tag", Tags: []string{"CUSTOMER_FEEDBACK"}}
	kind := old
	kind.From, kind.To, kind.Kind = turn, Date{}, "customer_feedback"
	via := Permission{Clause: Clause{ID: "survey", From: turn}, By: "via", Via: "survey"}
	template := Permission{Clause: Clause{ID: "survey", To: turn}, By: "template", Kind: "survey"}
	for _, tt := range []struct {
		old, next Permission
		want      string
	}{{old, kind, "kind customer_feedback"}, {template, via, "by from template to via"}} {
		got := Diff(&Rulebook{Permissions: []Permission{tt.old, tt.next}}, turn.Add(-day), turn.Time)
		if len(got) != 1 || got[0].What != "changes" || got[0].Detail != tt.want {
			t.Errorf("%+v, want %s", got, tt.want)
		}
	}
}

// TestContradictionsAreWhole wants all seventeen, in order, and every row in
// the generated page.
func TestContradictionsAreWhole(t *testing.T) {
	rb := book()
	page := document(rb)
	for i := range 17 {
		row := fmt.Sprintf("I.%d", i+1)
		if i >= len(rb.Contradictions) || rb.Contradictions[i].Row != row || !strings.Contains(page, "\n| "+row+" |") {
			t.Errorf("%s is missing", row)
		}
	}
	for _, row := range strings.Fields("R1 R1b R2 R3 R4 R5 R6 R7 R8 R9 R10 R11 R12 R13 R14 R15 R16 R17 R18 R19 R20 R21") {
		if !strings.Contains(page, "| "+row+" |") && !strings.Contains(page, ", "+row+" |") {
			t.Errorf("%s is not in the page", row)
		}
	}
}

// TestListSaysWhatAnAuthorNeeds reads the columns of the table.
func TestListSaysWhatAnAuthorNeeds(t *testing.T) {
	want := map[string]string{
		"standard_window": "24 h; ", "ad_window": "24 h, up to 7 d; ", "human_agent": "7 d; capability human_agent, the person wrote before",
		"customer_feedback": "7 d; template customer_feedback, the person wrote before", "one_time_notification": "365 d; capability one_time_notification, a one-time token",
		"marketing_message": "1 in 48 h; capability marketing_message, a subscription", "sms_consent": "none; consent", "event_tag": "none; the person wrote before",
	}
	for _, l := range List(book(), date(t, "2026-11-22")) {
		if w, ok := want[l.Rule]; ok && l.Group == "permission" && l.Bound()+"; "+strings.Join(l.Needs(), ", ") != w {
			t.Errorf("%s: %s; %s, want %s", l.Rule, l.Bound(), strings.Join(l.Needs(), ", "), w)
		}
	}
}

// The evidence of quiet hours says whose clock it was.
func TestQuietEvidenceSaysWhoseClock(t *testing.T) {
	at := time.Date(2026, 11, 22, 23, 0, 0, 0, time.UTC)
	oslo := time.FixedZone("Oslo", 3600)
	for want, zones := range map[string][2]*time.Location{
		"the contact's clock":   {oslo, nil},
		"on the contact's":      {oslo, oslo},
		"the sender's clock":    {nil, oslo},
		"in UTC, no other zone": {nil, nil},
	} {
		s := Sender{Channel: Messenger, Zone: zones[1], QuietHours: QuietHours{From: 21 * time.Hour, To: 8 * time.Hour, Set: true}}
		f := Facts{LastInbound: at.Add(-time.Hour), Zone: zones[0]}
		if v := Evaluate(book(), at, &Message{Text: "x"}, &f, &s); v.Kind != Hold || !strings.Contains(v.Evidence.Note, want) {
			t.Errorf("%s: %q, want %q", v.Kind, v.Evidence.Note, want)
		}
	}
}
