package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestExplainAgrees holds the rules tried against the verdict for every case
// of testdata.
func TestExplainAgrees(t *testing.T) {
	rb := book()
	examples(t, func(file string, e example) {
		c := e.read(t)
		if fault := disagrees(rb, Explain(rb, c.At, &c.Message, &c.Facts, &c.Sender), c.Judge(rb)); fault != "" {
			t.Errorf("%s: %s: %s", file, c.ID, fault)
		}
	})
}

// TestExplainAgreesAnywhere does the same for cases that nobody thought of.
func TestExplainAgreesAnywhere(t *testing.T) {
	rb, zs := book(), zones(t)
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t, rb, zs)
		if fault := disagrees(rb, Explain(rb, d.at, &d.m, &d.f, &d.s), d.judge(rb)); fault != "" {
			t.Fatalf("%+v: %s", d, fault)
		}
	})
}

// TestExplainAgreesUnderAnyBook does the same under rulebooks that nobody
// thought of.
func TestExplainAgreesUnderAnyBook(t *testing.T) {
	zs := zones(t)
	books(t, func(t *rapid.T, rb *Rulebook) {
		d := draw(t, rb, zs)
		if rapid.Bool().Draw(t, "unrefused") {
			d.unrefuse()
		}
		if fault := disagrees(rb, Explain(rb, d.at, &d.m, &d.f, &d.s), d.judge(rb)); fault != "" {
			t.Fatalf("%+v under %+v: %s", d, rb.Advice, fault)
		}
	})
}

// TestExplainSaysWhatAdviceFound asks for both where advice looks for wording
// and links.
func TestExplainSaysWhatAdviceFound(t *testing.T) {
	rb := *book()
	rb.Advice = []Advice{{Clause: Clause{ID: "both"}, Phrases: []string{"sale"}, Links: Links{Prefixes: []string{"www."}, Domains: []string{"com"}}}}
	rb.index = rb.compile()
	at, m, f, s := benchCase()
	for text, want := range map[string]string{
		"a big sale":                  "passed: the text has no link",
		"at www.x.example":            "passed: the text has no such wording",
		"hello":                       "passed: the text has no such wording",
		"a big sale at www.x.example": `warned: the text has "sale" and a link`,
		"a sale: x.com":               `warned: the text has "sale" and a link`,
	} {
		m.Text = text
		tried := Explain(&rb, at, m, f, s)
		if fault := disagrees(&rb, tried, Evaluate(&rb, at, m, f, s)); fault != "" {
			t.Errorf("%s: %s", text, fault)
		}
		if said := lines(tried); !strings.Contains(said, "\nadvice both "+want) {
			t.Errorf("%s: not said: %s\nin:%s", text, want, said)
		}
	}
}

// disagrees says how the rules tried and the verdict fall apart, or "": one
// rule decides, with the verdict's rule and reason; nothing that it left
// unreached refuses, holds or allows; every entry is told from the others.
func disagrees(rb *Rulebook, tried []Tried, v Verdict) string {
	want := map[Kind]string{Send: "allowed", Hold: "held", Block: "refused"}[v.Kind]
	var seen []string
	decides := 0
	for _, r := range tried {
		name := r.Group + " " + r.Rule + " " + r.Entry
		switch {
		case slices.Contains(seen, name):
			return "two entries " + name
		case r.Why == "" || r.Group == "":
			return "nothing said of " + name
		case (r.Outcome == "not_reached") != (r.Would != ""):
			return fmt.Sprintf("%s: %+v", name, r)
		case r.Decides && (r.Outcome != want || r.Reason != v.Reason || r.Rule != v.Rule):
			return fmt.Sprintf("decided by %+v", r)
		case !r.Decides && r.Outcome == "refused", r.Outcome == "held" && r.Group != "hours" && !r.Decides, v.Kind == Block && r.Outcome == "allowed":
			return fmt.Sprintf("reached without deciding: %+v", r)
		case r.Group == "advice" && (r.Outcome == "warned") && !slices.Contains(v.Warnings, r.Rule):
			return fmt.Sprintf("no such warning: %+v", r)
		}
		if r.Decides {
			decides++
		}
		seen = append(seen, name)
	}
	for _, w := range v.Warnings {
		if !slices.ContainsFunc(tried, func(r Tried) bool { return r.Rule == w && r.Outcome == "warned" }) {
			return "not said: " + w
		}
	}
	if rules := len(rb.Checks) + len(rb.Permissions) + len(rb.Hours) + len(rb.Advice); len(tried) < rules {
		return fmt.Sprintf("%d of %d rules", len(tried), rules)
	}
	if decides != 1 {
		return fmt.Sprintf("%d rules decide", decides)
	}
	return ""
}

func TestExplainSays(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	ago := func(hours int) Facts { return Facts{LastInbound: at.Add(-time.Duration(hours) * time.Hour)} }
	feedback := Template{Kind: "customer_feedback"}
	messenger := Sender{Channel: Messenger}
	tests := map[string]struct {
		m    Message
		f    Facts
		s    Sender
		want []string // "group rule (entry) outcome: why", => before what decides
	}{
		"a tag outside": {Message{Text: "x", Tag: "HUMAN_AGENT"}, ago(25), messenger, []string{
			"check opted_out passed: no opt-out is recorded",
			"check text_too_long passed: 1 of 2,000 code points",
			"check card_number passed: no digits in the text; a card number has 13 or more",
			"check consent_missing other_channel: not a rule of messenger",
			"permission standard_window closed: last inbound 2026-11-21 09:00Z, 25 h before; limit 24 h, over by 1 h",
			"permission event_tag not_in_force: ended on 2026-04-27",
			"permission legacy_tag (ACCOUNT_UPDATE) not_in_force: ended on 2019-08-29",
			"permission private_reply (instagram) other_channel: not a rule of messenger",
			"=> permission human_agent refused: for origin agent; this is broadcast",
			"permission utility not_asked: the message has no template of kind utility",
			"permission sponsored not_asked: the message does not name it as via",
			"hours sender_quiet_hours not_asked: the sender sets no quiet hours",
			"advice links_under_tag not_asked: nothing allows the message",
		}},
		"a blocked contact inside": {Message{Origin: "agent", Text: "See https://x.example"}, func() Facts { f := ago(1); f.Blocked = true; return f }(), messenger, []string{
			"=> check blocked_by_contact refused: the contact blocked the sender",
			"check text_too_long not_reached passed: 21 of 2,000 code points",
			"permission standard_window not_reached allowed: last inbound 2026-11-22 09:00Z, 1 h before; limit 24 h, 23 h to go",
			"advice links_under_tag not_asked: not asked under standard_window",
		}},
		"two refusals": {Message{}, Facts{OptedOutAll: true}, messenger, []string{
			"=> check opted_out refused: opted out of all messages",
			"check template_invalid not_reached refused: neither text nor template",
			"permission standard_window not_reached closed: the contact never wrote",
		}},
		"a misspelt tag inside": {Message{Text: "x", Tag: "HUMAN_AGNT"}, ago(1), messenger, []string{
			"=> permission standard_window allowed: last inbound 2026-11-22 09:00Z, 1 h before; limit 24 h, 23 h to go",
			"permission ad_window not_reached closed: no message after an ad is known",
			`permission  (tag "HUMAN_AGNT") not_asked: no rule has it: ignored inside the window, refused as tag_unknown outside`,
			"advice bulk_discouraged warned: origin broadcast",
		}},
		"a misspelt tag outside": {Message{Text: "x", Tag: "HUMAN_AGNT"}, ago(25), messenger, []string{
			`=> permission  (tag "HUMAN_AGNT") refused: the rulebook has no such name`,
			"permission human_agent not_asked: the message has another tag",
		}},
		"a misspelt via": {Message{Text: "x", Via: "privat_reply"}, ago(1), messenger, []string{
			`=> permission  (via "privat_reply") refused: the rulebook has no such name`,
			"permission standard_window not_asked: via names the one permission tried",
		}},
		"a retired tag": {Message{Text: "x", Tag: "ACCOUNT_UPDATE"}, ago(25), messenger, []string{
			"=> permission event_tag refused: ended on 2026-04-27",
		}},
		"a stranger": {Message{Text: "x"}, Facts{}, messenger, []string{
			"=> permission standard_window refused: the contact never wrote",
			"permission ad_window closed: no message after an ad is known",
		}},
		"a kind that the channel lacks": {Message{Text: "x", HasTemplate: true, Template: feedback}, ago(1), Sender{Channel: Instagram}, []string{
			"=> permission customer_feedback refused: the channel has no such template kind",
			"permission standard_window not_reached allowed: last inbound 2026-11-22 09:00Z, 1 h before; limit 24 h, 23 h to go",
		}},
		"a quiet hour": {Message{Text: "x"}, ago(1), Sender{Channel: Messenger, QuietHours: QuietHours{From: 9 * time.Hour, To: 12 * time.Hour, Set: true}}, []string{
			"permission standard_window allowed: last inbound 2026-11-22 09:00Z, 1 h before; limit 24 h, 23 h to go",
			"=> hours sender_quiet_hours held: 10:00:00 in UTC; quiet from 09:00 to 12:00",
			"advice bulk_discouraged warned: origin broadcast",
		}},
		"texts and warnings": {Message{Origin: "agent", Text: "Rate us: https://x.example. It is a great deal of work.", Tag: "HUMAN_AGENT"}, ago(25), Sender{Channel: Messenger, Capabilities: []string{"human_agent"}}, []string{
			"=> permission human_agent allowed: last inbound 2026-11-21 09:00Z, 25 h before; limit 7 d, 5 d 23 h to go",
			"advice links_under_tag warned: the text has a link",
			`advice promotional_wording (poll and `,
		}},
		"no capability": {Message{Origin: "agent", Text: "x", Tag: "HUMAN_AGENT"}, ago(25), Sender{Channel: Messenger, Capabilities: []string{"utility", "news"}}, []string{
			"=> permission human_agent refused: needs the capability human_agent; the sender has utility, news",
		}},
		"a long text": {Message{Text: strings.Repeat("é", 501)}, ago(1), Sender{Channel: Instagram}, []string{
			"=> check text_too_long refused: 1,002 of 1,000 bytes of UTF-8",
		}},
		"SMS": {Message{Text: "x", Promotional: true}, Facts{SMSConsent: true}, Sender{Channel: SMS, NumberType: "toll_free"}, []string{
			"check sender_unregistered passed: not asked of number type toll_free",
			"check consent_missing passed: consent is recorded",
			"=> permission sms_consent allowed: consent is recorded, where no check refused",
			"hours sms_quiet_hours passed: 10:00:00 in UTC; quiet from 21:00 to 08:00",
		}},
		"a flow": {Message{Origin: "flow", FlowType: "notification", Text: "x"}, ago(1), messenger, []string{
			"=> check flow_template_required refused: a flow of type notification sends templates of kind mtm, utility, customer_feedback; this is standard",
		}},
	}
	for name, tt := range tests {
		tried := Explain(book(), at, &tt.m, &tt.f, &tt.s)
		said := lines(tried)
		for _, want := range tt.want {
			if !strings.Contains(said, "\n"+want) {
				t.Errorf("%s: not said: %s\nin:%s", name, want, said)
			}
		}
	}
}

func lines(tried []Tried) string {
	var b strings.Builder
	b.WriteByte('\n')
	for _, r := range tried {
		if r.Decides {
			b.WriteString("=> ")
		}
		b.WriteString(r.Group + " " + r.Rule)
		if r.Entry != "" {
			b.WriteString(" (" + r.Entry + ")")
		}
		fmt.Fprintf(&b, " %s: %s\n", strings.TrimSpace(r.Outcome+" "+r.Would), r.Why)
	}
	return b.String()
}

// TestEntries tells versions of a rule apart by what they differ in.
func TestEntries(t *testing.T) {
	id := func(i int) string { return "aabcc"[i : i+1] }
	first := func(i int) string { return []string{"x", "y", "z", "same", "same"}[i] }
	second := func(i int) string { return []string{"", "", "", "one", "two"}[i] }
	for _, tt := range []struct {
		kinds []func(int) string
		want  string
	}{
		{[]func(int) string{first, second}, "x|y||one|two"}, {[]func(int) string{first}, "x|y||1 of 2|2 of 2"}, {nil, "1 of 2|2 of 2||1 of 2|2 of 2"},
	} {
		if got := strings.Join(labels(5, id, tt.kinds...), "|"); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
	text := edit(t, "    via: private_reply\n    channels: [messenger]\n", "    via: private_reply\n    channels: [instagram]\n    to: 2021-08-06\n")
	rb, err := Parse([]byte(text))
	must(t, err)
	if got := entriesOf(rb.index.all); !slices.Contains(got, "until 2021-08-06") || !slices.Contains(got, "from 2021-08-06") {
		t.Errorf("%q", got)
	}
}
