package policy

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// edit is the embedded rulebook with one text replaced, which must be there.
func edit(t *testing.T, old, with string) string {
	t.Helper()
	if strings.Count(string(embedded), old) == 0 {
		t.Fatalf("the rulebook has no %q", old)
	}
	return strings.Replace(string(embedded), old, with, 1)
}

// TestDataAlone adds tags, dates and a permission without a line of Go.
func TestDataAlone(t *testing.T) {
	text := edit(t, "  - id: plus_one\n", `  - id: travel_tag
    by: tag
    tags: [TRAVEL_UPDATE]
    channels: [instagram]
    from: 2027-01-01
    to: 2028-01-01
    since: last_inbound
    limit: 30d
    says: A tag that does not exist.
    source: [DESIGN]
  - id: plus_one
`)
	text = strings.Replace(text, "    capability: human_agent\n", "    capability: human_agent\n    to: 2027-06-01\n", 1)
	rb, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	day := func(s string) time.Time { d, err := ParseDate(s); must(t, err); return d.Time }
	s := &Sender{Channel: Instagram, Capabilities: []string{"human_agent"}}
	tests := []struct {
		at, tag string
		age     time.Duration
		rule    string
		code    reason.Code
	}{
		{"2026-12-31", "TRAVEL_UPDATE", 48 * time.Hour, "travel_tag", reason.TagUnknown},
		{"2027-01-01", "TRAVEL_UPDATE", 30*24*time.Hour - 1, "travel_tag", ""},
		{"2027-01-01", "TRAVEL_UPDATE", 30 * 24 * time.Hour, "travel_tag", reason.TagWindowClosed},
		{"2028-01-01", "TRAVEL_UPDATE", 48 * time.Hour, "travel_tag", reason.TagRetired},
		{"2027-05-31", "HUMAN_AGENT", 48 * time.Hour, "human_agent", ""},
		{"2027-06-01", "HUMAN_AGENT", 48 * time.Hour, "human_agent", reason.TagRetired},
	}
	for _, tt := range tests {
		at := day(tt.at)
		v := Evaluate(rb, at, &Message{Origin: "agent", Tag: tt.tag, Text: "x"}, &Facts{LastInbound: at.Add(-tt.age)}, s)
		if v.Rule != tt.rule || v.Reason != tt.code {
			t.Errorf("%s %s: %s %q, want %s %q", tt.at, tt.tag, v.Rule, v.Reason, tt.rule, tt.code)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestOrderIsData swaps two checks and two conditions.
func TestOrderIsData(t *testing.T) {
	text := edit(t, "  - tag_promotional\n  - tag_needs_human\n", "  - tag_needs_human\n  - tag_promotional\n")
	rb, err := Parse([]byte(text))
	must(t, err)
	at, _, f, s := benchCase()
	f.LastInbound = at.Add(-30 * time.Hour)
	m := &Message{Tag: "HUMAN_AGENT", Promotional: true, Text: "x"}
	if v := Evaluate(rb, at, m, f, s); v.Reason != reason.TagNeedsHuman {
		t.Errorf("reason %s", v.Reason)
	}
	if v := Evaluate(book(), at, m, f, s); v.Reason != reason.TagPromotional {
		t.Errorf("reason %s by default", v.Reason)
	}
}

func TestNothingToJudge(t *testing.T) {
	at, m, f, s := benchCase()
	rb := book()
	verdicts := []Verdict{
		Evaluate(nil, at, m, f, s), Evaluate(&Rulebook{}, at, m, f, s), Evaluate(rb, at, nil, f, s), Evaluate(rb, at, m, nil, s), Evaluate(rb, at, m, f, nil),
	}
	for i, v := range verdicts {
		if v.Kind != Hold || v.Reason != reason.FactsUnavailable {
			t.Errorf("%d: %+v", i, v)
		}
	}
	if Explain(nil, at, m, f, s) != nil {
		t.Error("explained without a rulebook")
	}
}

// TestUnknownChannel wants the rules of every channel asked of such a sender.
func TestUnknownChannel(t *testing.T) {
	at, m, f, _ := benchCase()
	for _, channel := range []Channel{"", "fax"} {
		s := &Sender{Channel: channel}
		if v := Evaluate(book(), at, m, f, s); v.Kind != Block || v.Reason != reason.SenderUnresolved {
			t.Errorf("%q: %+v", channel, v)
		}
		out := *f
		out.OptedOutAll = true
		if v := Evaluate(book(), at, m, &out, s); v.Reason != reason.OptedOut {
			t.Errorf("%q, opted out: %+v", channel, v)
		}
	}
}

func TestDefaultIsFresh(t *testing.T) {
	a, b := Default(), Default()
	a.Permissions[0].Tags = append(a.Permissions[0].Tags, "X")
	a.Sources["DESIGN"] = Source{}
	if len(b.Permissions[0].Tags) != 0 || b.Sources["DESIGN"].Title == "" {
		t.Error("two rulebooks share data")
	}
	text := Embedded()
	text[0] = 'X'
	if embedded[0] == 'X' {
		t.Error("the embedded text can be changed")
	}
}

// TestEveryReasonHasACheck walks the closed list: each code about a message
// is given by exactly one place of the rulebook or of permit.
func TestEveryReasonHasACheck(t *testing.T) {
	given := []reason.Code{reason.ViaUnknown, reason.ViaRetired, reason.TagUnknown, reason.TagRetired, reason.WindowClosed, reason.QuietHours}
	rb := book()
	for _, c := range rb.Checks {
		given = append(given, reason.Code(c.ID))
	}
	given = append(given, rb.Conditions...)
	for _, e := range reason.All() {
		judged := slices.Contains([]string{"sender", "contact", "content", "author", "permission", "hour"}, e.About)
		if n := count(given, e.Code); judged && n != 1 || !judged && n != 0 {
			t.Errorf("%s is given in %d places", e.Code, n)
		}
	}
}

func count(list []reason.Code, code reason.Code) int {
	n := 0
	for _, c := range list {
		if c == code {
			n++
		}
	}
	return n
}

// TestSchema holds the schema's properties against the fields of the types.
func TestSchema(t *testing.T) {
	data, err := os.ReadFile("rulebook.schema.json")
	must(t, err)
	type object struct {
		Properties map[string]any `json:"properties"`
		Additional *bool          `json:"additionalProperties"`
	}
	var schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	must(t, json.Unmarshal(data, &schema))
	types := map[string]any{
		"source": Source{}, "action": Action{}, "ten_dlc_class": TenDLCClass{}, "contradiction": Contradiction{},
		"check": Check{}, "permission": Permission{}, "hours": Hours{}, "advice": Advice{}, "note": Note{}, "keywords": Keywords{}, "links": Links{},
		"clock": Clock{}, "range": Range{}, "length": Length{}, "dated_limit": DatedLimit{}, "template_kind": TemplateKind{}, "use": Use{},
	}
	compare := func(name string, o object, v any) {
		want := fields(reflect.TypeOf(v))
		var got []string
		for p := range o.Properties {
			got = append(got, p)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) || o.Additional == nil || *o.Additional {
			t.Errorf("%s: schema has %v, the type %v", name, got, want)
		}
	}
	compare("rulebook", schema.object, Rulebook{})
	for name, v := range types {
		compare(name, schema.Defs[name], v)
	}
}

// fields are the YAML names of a struct, inline ones included, sorted.
func fields(typ reflect.Type) []string {
	var out []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case option == "inline":
			out = append(out, fields(f.Type)...)
		case name != "":
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// TestTheTableIsWhole wants every row of the policy table and every legacy tag.
func TestTheTableIsWhole(t *testing.T) {
	rows, tags := map[string]bool{}, map[string]bool{}
	for _, l := range List(book(), time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)) {
		for row := range strings.SplitSeq(l.Row, ", ") {
			rows[row] = true
		}
		if l.Asked == "tag" && l.State == "in_force" {
			for _, tag := range l.Names {
				tags[tag] = true
				if l.Uses[tag].For == "" {
					t.Errorf("nothing says what %s is for", tag)
				}
			}
		}
	}
	for _, row := range strings.Fields("R1 R1b R2 R3 R4 R5 R6 R7 R8 R9 R10 R11 R12 R13 R14 R15 R16 R17 R18 R19 R20 R21") {
		if !rows[row] {
			t.Errorf("row %s is missing", row)
		}
	}
	// 17 legacy tags, of which ACCOUNT_UPDATE had its new meaning by then;
	// the two other new ones; and HUMAN_AGENT.
	if len(tags) != 20 {
		t.Errorf("%d tags in force on 2020-01-01: %v", len(tags), tags)
	}
}
