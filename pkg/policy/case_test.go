package policy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestCaseDefaults(t *testing.T) {
	c, err := new(CaseReader).Read([]byte(`{"id":"c","at":"2026-11-22T10:00:00Z","sender":{"channel":"messenger"},"contact":null,"message":{"template":{}},"why":{"any":["thing",1.5e3,null,true]}}`))
	must(t, err)
	if c.Message.Origin != "broadcast" || !c.Message.HasTemplate || c.Facts != (Facts{}) || c.Sender.AdWindow != 0 || c.Sender.Zone != nil {
		t.Errorf("%+v", c)
	}
}

// TestCaseWhole reads every documented field to a value that is not its zero.
func TestCaseWhole(t *testing.T) {
	c, err := new(CaseReader).Read([]byte(`{"id":"c1","at":"2026-11-22T11:00:00+01:00",
 "sender":{"channel":"messenger","capabilities":["utility"],"restricted":true,"ad_window_hours":48,"relax_flow_templates":true,"number_type":"toll_free","timezone":"Europe/Oslo","quiet_hours":{"from":"21:00","to":"08:30"}},
 "contact":{"last_inbound":"2026-11-21t11:00:00.5z","opened_by":"postback","ad_message_at":"2026-11-20T11:00:00Z","opt_outs":["marketing","all"],"blocked":true,"timezone":"America/New_York","sms_consent":true,
  "comment":{"at":"2026-11-20T10:00:00Z","replied":true},"one_time_token":{"created":"2026-01-01T00:00:00Z","used":true},"plus_one_used":true},
 "message":{"origin":"flow","flow_type":"auto_reply","promotional":true,"tag":"T","via":"v","text":"H\u00e9llo \ud83d\ude00","template":{"name":"t","kind":"mtm","channels":["messenger"]}}}`))
	must(t, err)
	s, f, m := c.Sender, c.Facts, c.Message
	checks := map[string]bool{
		"id": c.ID == "c1", "at": c.At.Equal(time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)),
		"sender":   s.Channel == Messenger && s.Capabilities[0] == "utility" && s.Restricted && s.AdWindow == 48*time.Hour && s.RelaxFlowTemplates && s.NumberType == "toll_free" && s.Zone.String() == "Europe/Oslo",
		"quiet":    s.QuietHours == QuietHours{From: 21 * time.Hour, To: 8*time.Hour + 30*time.Minute, Set: true},
		"inbound":  f.LastInbound.Equal(time.Date(2026, 11, 21, 11, 0, 0, 5e8, time.UTC)) && f.OpenedBy == "postback" && f.AdMessageAt.Day() == 20,
		"contact":  f.OptedOutAll && f.OptedOutMarket && f.Blocked && f.SMSConsent && f.PlusOneUsed && f.Zone.String() == "America/New_York",
		"once":     f.Comment.Replied && f.Comment.At.Day() == 20 && f.OneTimeToken.Used && f.OneTimeToken.Created.Month() == 1,
		"message":  m.Origin == "flow" && m.FlowType == "auto_reply" && m.Promotional && m.Tag == "T" && m.Via == "v" && m.Text == "Héllo 😀",
		"template": m.HasTemplate && m.Template.Name == "t" && m.Template.Kind == "mtm" && m.Template.Channels[0] == "messenger",
	}
	for name, ok := range checks {
		if !ok {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestCaseRefuses(t *testing.T) {
	whole := `{"id":"c1","at":"2026-11-22T10:00:00Z","sender":{"channel":"messenger"},"contact":{},"message":{"text":"x"}}`
	tests := []struct{ old, with, id, want string }{
		{`"id":"c1",`, ``, "", "id: missing"},
		{`"id":"c1"`, `"id":7`, "", "id: want a string"},
		{`"at":"2026-11-22T10:00:00Z",`, ``, "c1", "at: missing"},
		{`2026-11-22T10:00:00Z`, `2026-11-22`, "c1", `at: "2026-11-22" is not a time`},
		{`2026-11-22T10:00:00Z`, `2026-02-30T10:00:00Z`, "c1", `is not a time`},
		{`2026-11-22T10:00:00Z`, `2026-11-22T10:00:00`, "c1", `is not a time`},
		{`"sender":{"channel":"messenger"},`, ``, "c1", "sender.channel: missing"},
		{`,"message":{"text":"x"}`, ``, "c1", "message: missing"},
		{`"messenger"`, `"telegram"`, "c1", `sender.channel: "telegram"`},
		{`{"channel"`, `{"chanel":"x","channel"`, "c1", "sender.chanel: unknown field"},
		{`{"channel"`, `{"timezone":"Mars/Base","channel"`, "c1", `sender.timezone: unknown time zone "Mars/Base"`},
		{`{"channel"`, `{"timezone":"Local","channel"`, "c1", `unknown time zone "Local"`},
		{`{"channel"`, `{"quiet_hours":{"from":"24:00","to":"08:00"},"channel"`, "c1", `sender.quiet_hours.from: "24:00"`},
		{`{"channel"`, `{"quiet_hours":{"from":"21:00"},"channel"`, "c1", `sender.quiet_hours.to: ""`},
		{`{"channel"`, `{"quiet_hours":{"from":"21:00","until":"08:00"},"channel"`, "c1", `sender.quiet_hours.until: unknown field`},
		{`{"channel"`, `{"ad_window_hours":-1,"channel"`, "c1", "sender.ad_window_hours: -1"},
		{`{"channel"`, `{"ad_window_hours":"48","channel"`, "c1", "sender.ad_window_hours: want a number"},
		{`{"channel"`, `{"restricted":"yes","channel"`, "c1", "sender.restricted: want true or false"},
		{`{"channel"`, `{"number_type":"mobile","channel"`, "c1", `sender.number_type: "mobile"`},
		{`{"channel"`, `{"capabilities":"utility","channel"`, "c1", "sender.capabilities: want a list of strings"},
		{`"contact":{}`, `"contact":{"opt_outs":["sometimes"]}`, "c1", `contact.opt_outs: "sometimes"`},
		{`"contact":{}`, `"contact":{"opt_out":["all"]}`, "c1", "contact.opt_out: unknown field"},
		{`"contact":{}`, `"contact":{"last_inbound":"yesterday"}`, "c1", `contact.last_inbound: "yesterday" is not a time`},
		{`"contact":{}`, `"contact":{"opened_by":"wave"}`, "c1", `contact.opened_by: "wave"`},
		{`"contact":{}`, `"contact":{"comment":{"at":5}}`, "c1", "contact.comment.at: want a string"},
		{`"contact":{}`, `"contact":[]`, "c1", "contact: want an object"},
		{`{"text"`, `{"origin":"robot","text"`, "c1", `message.origin: "robot"`},
		{`{"text"`, `{"flow_type":"x","text"`, "c1", `message.flow_type: "x"`},
		{`{"text"`, `{"template":"t","text"`, "c1", "message.template: want an object"},
		{`"x"}}`, `"x"}`, "c1", "not valid JSON"},
		{`"x"}}`, `"x"}} {}`, "c1", "text after the case"},
		{`"x"}}`, "\"x\ty\"}}", "c1", "not valid JSON"},
		{`"x"}}`, `"\x"}}`, "c1", "not valid JSON"},
		{`{"id"`, `["id"`, "c1", "not valid JSON"},
		{`"c1"`, `"c1","id":"c2"`, "c1", "id: given twice"},
		{`"c1"`, `"c1","at":null`, "c1", "at: given twice"},
		{`"contact":{}`, `"contact":{"opt_outs":["all"]},"contact":{"opt_outs":[]}`, "c1", "contact: given twice"},
		{`"contact":{}`, `"contact":{"opt_outs":["all"],"opt_outs":[]}`, "c1", "contact.opt_outs: given twice"},
		{`"contact":{}`, `"contact":{"comment":{"at":"","at":""}}`, "c1", "contact.comment.at: given twice"},
		{`{"text"`, `{"template":{"kind":"mtm","kind":""},"text"`, "c1", "message.template.kind: given twice"},
		{`"x"}}`, `"x` + "\xff" + `"}}`, "c1", "message.text: not valid UTF-8"},
		{`"c1"`, `"c` + "\xff" + `"`, "", "id: not valid UTF-8"},
		{`{"id"`, `{"note` + "\xff" + `":1,"id"`, "c1", "not valid UTF-8"},
		{`"contact":{}`, `"contact":{"x":1},"note":{"id":"other"}`, "c1", "contact.x: unknown field"},
		{`"id":"c1"`, `"note":{"id":"other"},"at":1,"id":"c1"`, "c1", "at: want a string"},
	}
	for _, tt := range tests {
		line := strings.Replace(whole, tt.old, tt.with, 1)
		if line == whole {
			t.Fatalf("%s is not in the case", tt.old)
		}
		c, err := new(CaseReader).Read([]byte(line))
		if err == nil || !strings.Contains(err.Error(), tt.want) || c.ID != tt.id {
			t.Errorf("%s:\nid %q, error %v, want %q", line, c.ID, err, tt.want)
		}
	}
	for _, line := range []string{"", "null", "[]", `"x"`, "{", `{"id":"c1"`, strings.Repeat(`{"a":[`, 100000)} {
		if _, err := new(CaseReader).Read([]byte(line)); err == nil {
			t.Errorf("%.20q was read", line)
		}
	}
}

// TestCaseNotes wants notes to be passed over whatever they repeat, and long
// lines of them to be read in a time that grows no faster than they do.
func TestCaseNotes(t *testing.T) {
	const rest = `"id":"c","at":"2026-11-22T10:00:00Z","sender":{"channel":"messenger"},"message":{"text":"x"}}`
	for _, notes := range []string{`"why":1,"why":2,`, `"n":{"a":1,"a":2,"id":3},`, strings.Repeat(`"a":1,`, 150_000)} {
		if c, err := new(CaseReader).Read([]byte("{" + notes + rest)); err != nil || c.ID != "c" {
			t.Errorf("%.20s: %q, %v", notes, c.ID, err)
		}
	}
}

// TestCaseTime holds times to RFC 3339, which the time package does not.
func TestCaseTime(t *testing.T) {
	const line = `{"id":"c","at":"%s","sender":{"channel":"messenger"},"message":{"text":"x"}}`
	for at, want := range map[string]string{
		"2026-11-22T10:00:00Z": "2026-11-22T10:00:00Z", "2026-11-22t10:00:00z": "2026-11-22T10:00:00Z", "2026-11-22T10:00:00.5Z": "2026-11-22T10:00:00.5Z",
		"2026-11-22T10:00:00.000000001+23:59": "2026-11-21T10:01:00.000000001Z", "2026-11-22T10:00:00-00:00": "2026-11-22T10:00:00Z", "2024-02-29T00:00:00-12:45": "2024-02-29T12:45:00Z",
		"2026-11-22T1:00:00Z": "", "2026-11-22T10:00:00,5Z": "", "2026-11-22T10:00:00+24:00": "", "2026-11-22T10:00:00+23:60": "", "2026-11-22T10:00:00.Z": "",
		"2026-11-22T10:00:00": "", "2026-11-22T10:00:00.5": "", "2026-11-22 10:00:00Z": "", "2026-11-22T10:00Z": "", "2026-11-22T24:00:00Z": "", "2026-11-22T10:00:00+0100": "",
		"2026-11-22T10:00:00+1:00": "", "2026-02-29T10:00:00Z": "", "2026-11-22T10:00:00Zx": "", "2026-11-22T10:00:00+01:00x": "", "2026-11-22T10:00:00z+01:00": "", "2026\u201111-22T10:00:00Z": "",
	} {
		c, err := new(CaseReader).Read(fmt.Appendf(nil, line, at))
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "is not a time") {
				t.Errorf("%s: %v, %v", at, c.At, err)
			}
			continue
		}
		if got := c.At.UTC().Format(time.RFC3339Nano); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", at, got, err, want)
		}
	}
}

func TestFindID(t *testing.T) {
	for line, want := range map[string]string{
		`{"id":"c1","message":{"text":"aaaa`: "c1", `{"note":{"id":"x"},"id":"c1","message":`: "c1", `{"a":[1,{"id":"in"}`: "in",
		`{"id":7,"x":"id"}`: "", `{"id":"` + "\xff" + `"}`: "", `{"x":1}`: "", `id`: "", ``: "", `{"id":"a<b&c\u00e9"`: "a<b&cé",
	} {
		if got := FindID([]byte(line)); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// TestAnswerEchoesTheID wants an id back as it stands, so that it can be
// searched for, and whole in any case.
func TestAnswerEchoesTheID(t *testing.T) {
	for _, id := range []string{"a<b>&c", "é<&>", "\u2028", "\x00\x1f\x7f\t\r\n", `"\`, "😀", ""} {
		out := AppendAnswer(nil, id, Verdict{Kind: Send, Rule: "r"})
		var got answer
		if err := json.Unmarshal(out, &got); err != nil || got.ID != id {
			t.Errorf("%q: %s, %v", id, out, err)
		}
	}
	for _, id := range []string{"a<b>&c", "é<&>", "😀"} {
		if out := AppendError(nil, id, 1, errSyntax); !strings.Contains(string(out), `"`+id+`"`) {
			t.Errorf("%q: %s", id, out)
		}
	}
}

func TestAnswer(t *testing.T) {
	until := time.Date(2026, 11, 23, 8, 0, 0, 0, time.FixedZone("", 3600))
	tests := []struct {
		v    Verdict
		want string
	}{
		{Verdict{Kind: Send, Rule: "standard_window"}, `{"id":"a\"\n","verdict":"send","rule":"standard_window","reason":"","until":""}`},
		{Verdict{Kind: Send, Rule: "r", Warnings: []string{"x", "y"}}, `{"id":"a\"\n","verdict":"send","rule":"r","reason":"","until":"","warnings":["x","y"]}`},
		{Verdict{Kind: Hold, Rule: "h", Reason: "quiet_hours", Until: until}, `{"id":"a\"\n","verdict":"hold","rule":"","reason":"quiet_hours","until":"2026-11-23T07:00:00Z","refused_by":"h"}`},
		{Verdict{Kind: Block, Reason: "tag_unknown"}, `{"id":"a\"\n","verdict":"block","rule":"","reason":"tag_unknown","until":""}`},
	}
	for _, tt := range tests {
		if got := string(AppendAnswer(nil, "a\"\n", tt.v)); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
	if got := string(AppendError(nil, "é", 3, errSyntax)); got != `{"id":"é","line":3,"error":"not valid JSON"}` {
		t.Error(got)
	}
}

func TestSendAllocatesNothing(t *testing.T) {
	rb := book()
	examples(t, func(file string, e example) {
		c := e.read(t)
		if c.Judge(rb).Kind != Send {
			return
		}
		if n := testing.AllocsPerRun(10, func() { c.Judge(rb) }); n > 0 {
			t.Errorf("%s: %s: %v allocations", file, c.ID, n)
		}
	})
}
