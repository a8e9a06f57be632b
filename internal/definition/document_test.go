package definition

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/sender"
)

const (
	bakery = "kind: Sender\nid: bakery\nchannel: messenger\naccount: \"1234567890\"\ncredential: env:BAKERY_TOKEN\n"
	menu   = "kind: Broadcast\nid: menu\nsender: bakery\nmessage: {text: \"Hello {{.name}}\"}\n"
)

func TestDecode(t *testing.T) {
	t.Parallel()
	file := "# nothing\n---\n---\n~\n---\n" + bakery + `app_secret: file:/run/secret
capabilities: [utility, human_agent]
rate: {per_second: 300, burst: 2}
batch: true
timezone: Europe/Oslo
quiet_hours: {from: 21:00, to: "08:00"}
ad_window_hours: 168
relax_flow_templates: true
number_type: toll_free
---
kind: Broadcast
id: menu
sender: bakery
audience:
  labels: [regular]
  exclude_labels: [staff]
  where: 'attributes.city == "Oslo"'
message: {text: "Hello {{.name}}", promotional: true, tag: HUMAN_AGENT}
schedule: {at: 2026-11-22T10:00:00+01:00}
pace: {per_second: 50}
expires_after: 6h
---
kind: Broadcast
id: bakery
sender: bakery
message: {text: b}
`
	docs, err := Decode("all.yaml", []byte(file))
	for i, where := range []string{"rate.per_second", "audience.where", "message.text"} {
		if line := docs[i].fields[where]; line <= docs[i].Line || line > docs[i].Line+15 {
			t.Errorf("%s stands on line %d", where, line)
		}
		docs[i].fields = nil
	}
	want := []Document{
		{Line: 6, Sender: &sender.Spec{
			Kind: "Sender", ID: "bakery", Channel: "messenger", Account: "1234567890", Credential: "env:BAKERY_TOKEN", AppSecret: "file:/run/secret",
			Capabilities: []string{"utility", "human_agent"}, Rate: sender.Rate{PerSecond: 300, Burst: 2}, Batch: true, Timezone: "Europe/Oslo",
			QuietHours: &sender.QuietHours{From: "21:00", To: "08:00"}, AdWindow: 168, RelaxFlows: true, NumberType: "toll_free",
		}},
		{Line: 21, Broadcast: &broadcast.Spec{
			Kind: "Broadcast", ID: "menu", Sender: "bakery",
			Audience: broadcast.Audience{Labels: []string{"regular"}, ExcludeLabels: []string{"staff"}, Where: `attributes.city == "Oslo"`},
			Message:  message.Message{Text: "Hello {{.name}}", Promotional: true, Tag: "HUMAN_AGENT"},
			Schedule: broadcast.Schedule{At: "2026-11-22T10:00:00+01:00"}, Pace: broadcast.Pace{PerSecond: 50}, ExpiresAfter: "6h",
		}},
		{Line: 33, Broadcast: &broadcast.Spec{Kind: "Broadcast", ID: "bakery", Sender: "bakery", Message: message.Message{Text: "b"}}},
	}
	if err != nil || !reflect.DeepEqual(docs, want) {
		t.Errorf("Decode: %v\n got %+v\nwant %+v", err, docs, want)
	}
}

// TestDecodeExamples holds the reader against the files that ship with it.
func TestDecodeExamples(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"senders.yaml", "broadcasts.yaml"} {
		data, err := os.ReadFile("../../examples/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if docs, err := Decode(file, data); err != nil || len(docs) != 3 {
			t.Errorf("%d documents, %v; want 3", len(docs), err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	const (
		senderFields    = "the document has kind, id, channel, account, credential, app_secret, capabilities, rate, batch, weight, timezone, quiet_hours, ad_window_hours, relax_flow_templates, number_type, restricted, restricted_features, stop_words, start_words, help_words, disclosure_required, unknown, labels, account_sid, status_callback, ten_dlc"
		broadcastFields = "the document has kind, id, sender, audience, message, schedule, pace, expires_after"
	)
	for _, c := range []struct{ name, file, want string }{
		{"nothing", "", "f: no document: want kind: Sender, Hook, Endpoint, Template, Broadcast or Flow"},
		{"comments", "# a\n---\n# b\n", "f: no document: want kind: Sender, Hook, Endpoint, Template, Broadcast or Flow"},
		{"null", "~\n---\nnull\n", "f: no document: want kind: Sender, Hook, Endpoint, Template, Broadcast or Flow"},
		{"a list", "\n- kind: Sender\n", "f:2: want a mapping that begins with kind: Sender, Hook, Endpoint, Template, Broadcast or Flow"},
		{"a word", "Sender", "f:1: want a mapping that begins with kind: Sender, Hook, Endpoint, Template, Broadcast or Flow"},
		{"no kind", "id: a\n", "f:1: no kind: want kind: Sender, Hook, Endpoint, Template, Broadcast or Flow"},
		{"kind", "kind: sender\n", `f:1: kind "sender": want kind: Sender, Hook, Endpoint, Template, Broadcast or Flow`},
		{"flow", "kind: Flow\n", `f:1: id "": want 1 to 40 characters out of a-z, 0-9 and '-', neither first nor last a '-'`},
		{"a field of a step", "kind: Flow\nid: x\ntype: automation\nsteps:\n  - wait: {for: 1d}\n  - send:\n      txt: a\n", `f:7: unknown field "txt": send has text, attachment, buttons, elements, quick_replies, template, via, promotional, tag, use_case, healthcare, discloses, sender, expires_after, otherwise`},
		{"an expression of a step", "kind: Flow\nid: x\ntype: automation\nsender: a\ncontact: event.id\ntrigger: {events: [a]}\nsteps:\n  - wait:\n      events: [b]\n      where: event.\n      timeout: 1d\n", "f:10: flow x: steps[0].wait.where: Syntax error: no viable alternative at input '.' (line 1, column 7)"},
		{"a limit of a step", "kind: Flow\nid: x\ntype: automation\nsender: a\ncontact: event.x\ntrigger: {events: [a]}\nsteps:\n  - wait:\n      events: [b]\n      timeout: 1y\n", `f:10: flow x: steps[0].wait.timeout "1y": want a duration from 1s to 365d, such as 30m, 7d or 2w`},
		{"a field that a step lacks", "kind: Flow\nid: x\ntype: automation\nsender: a\ncontact: event.x\ntrigger: {events: [a]}\nsteps:\n  - wait: {for: 1h}\n  - wait:\n      events: [b]\n", `f:9: flow x: steps[1].wait.timeout is missing: how long events are waited for, such as 3d`},
		{"a bound that a loop lacks", "kind: Flow\nid: x\ntype: automation\nsender: a\ncontact: event.x\ntrigger: {events: [a]}\nsteps:\n  - repeat:\n      do: [{end: true}]\n", `f:8: flow x: steps[0].repeat.at_most 0: want 1 to 100: every loop has a bound`},
		{"template", "kind: Template\n", `f:1: id "": want 1 to 63 characters out of a-z, 0-9 and '-'`},
		{"a field of a template", "kind: Template\nid: t\ntype: standard\ntext: x\nbuttons:\n  - {title: t, payload: p}\n  - {title: t, paylod: p}\n", `f:7: unknown field "paylod": buttons has title, url, payload, phone`},
		{"a limit of a template", "kind: Template\nid: t\ntype: standard\ntext: x\nbuttons:\n  - {title: t, payload: p}\n  - title: t\n    url: x\n", "f:8: template t: buttons[1].url is no URL that begins with https:// or http://, of at most 2048 bytes"},
		{"an action of a template", "kind: Template\nid: t\ntype: standard\ntext: \"{{.x\"\n", "f:4: template t: text: text:1: unclosed action"},
		{"a card of a broadcast", menu + "---\nkind: Broadcast\nid: soup\nsender: bakery\nmessage:\n  elements:\n    - title: x\n      image_url: y\n", "f:12: broadcast soup: message.elements[0].image_url is no URL that begins with https:// or http://, of at most 2048 bytes"},
		{"kind that is a list", "kind: [a]\n", "f:1: want text, not a list"},

		{"unknown field", bakery + "x: 1\n", `f:6: unknown field "x": ` + senderFields},
		{"unknown field of the second", bakery + "---\n" + menu + "x: 1\n", `f:11: unknown field "x": ` + broadcastFields},
		{"case", strings.Replace(bakery, "account", "Account", 1), `f:4: unknown field "Account": ` + senderFields},
		{"nested", bakery + "rate:\n  per_second: 1\n  per_minute: 60\n", `f:8: unknown field "per_minute": rate has per_second, burst`},
		{"nested behind a pointer", bakery + "quiet_hours: {from: \"21:00\",\n  till: \"08:00\"}\n", `f:7: unknown field "till": quiet_hours has from, to`},
		{"not yet", menu + "schedule: {local: \"10:00\"}\n", `f:5: unknown field "local": schedule has at`},
		{"behind an alias", menu + "audience: &a {x: [1]}\npace: *a\n", `f:5: unknown field "x": audience has labels, exclude_labels, where`},
		{"a merge", "kind: Broadcast\n<<: {id: menu}\n", `f:2: unknown field "<<": ` + broadcastFields},

		{"a key twice", bakery + "id: other\n", `f:6: mapping key "id" already defined at line 2`},
		{"a nested key twice", bakery + "rate:\n  per_second: 1\n  per_second: 2\n", `f:8: mapping key "per_second" already defined at line 7`},
		{"a word for a number", bakery + "rate: {per_second: fast}\n", "f:6: want a whole number, not `fast`"},
		{"text for a number", bakery + "rate: {per_second: \"50\"}\n", "f:6: want a whole number, not `50`"},
		{"a fraction", bakery + "rate: {per_second: 0.5}\n", "f:6: per_second: 0.5 is not a whole number"},
		{"a fraction of a broadcast", menu + "pace:\n  per_second: 0.5\n", "f:6: per_second: 0.5 is not a whole number"},
		{"a number that is no int", bakery + "ad_window_hours: 1e2\n", "f:6: ad_window_hours: 1e2 is not a whole number"},
		{"a word for a truth", bakery + "batch: perhaps\n", "f:6: want true or false, not `perhaps`"},
		{"a word for a mapping", bakery + "rate: fast\n", "f:6: want a mapping, not `fast`"},
		{"a word for a mapping by pointer", bakery + "quiet_hours: night\n", "f:6: want a mapping, not `night`"},
		{"a word for a list", bakery + "capabilities: utility\n", "f:6: want a list, not `utility`"},
		{"a mapping for a list", "kind: Flow\nsteps: {}\n", "f:2: want a list, not a mapping"},
		{"a list for a word", strings.Replace(bakery, "bakery", "[bakery]", 1), "f:2: want text, not a list"},

		{"a tab", bakery + "\tx: 1\n", "f:5: found a tab character that violates indentation"},
		{"a quote left open", "kind: Sender\nid: \"bakery\n", "f:2: found unexpected end of stream"},
		{"no such anchor", menu + "audience: *a\n", "f: unknown anchor 'a' referenced"},
		{"itself", menu + "audience: {labels: &a [*a]}\n", "f:5: want text, not a list"},
		{"not UTF-8", "kind: \xff\n", "f: invalid leading UTF-8 octet"},

		{"not valid", menu + "---\n" + strings.Replace(bakery, "messenger", "pigeon", 1), `f:8: sender bakery: channel "pigeon": want messenger, instagram or sms`},
		{"an alias within itself", "kind: Broadcast\nid: &a\n  b: *a\n", "f:2: want text, not a mapping"},
		{"words that look like a line", menu + "schedule: {at: \"line 9: x\"}\n", `f:5: broadcast menu: schedule.at "line 9: x": want RFC 3339 such as 2026-11-22T10:00:00+01:00`},
		{"twice", bakery + "---\n" + menu + "---\n" + bakery, "f:12: sender bakery stands twice, first on line 1"},
		{"twice a broadcast", menu + "---\n" + menu, "f:6: broadcast menu stands twice, first on line 1"},
	} {
		docs, err := Decode("f", []byte(c.file))
		if _, ok := errors.AsType[*Error](err); !ok || err.Error() != c.want || docs != nil {
			t.Errorf("%s: %d documents, %v\nwant %s", c.name, len(docs), err, c.want)
		}
	}
}

// TestDecodeSize holds the bound from both sides.
func TestDecodeSize(t *testing.T) {
	t.Parallel()
	fill := func(n int) []byte { return []byte(menu + "#" + strings.Repeat("x", n-len(menu)-1)) }
	if _, err := Decode("f", fill(MaxFile)); err != nil {
		t.Errorf("a file of %d bytes: %v", MaxFile, err)
	}
	if _, err := Decode("f", fill(MaxFile+1)); err == nil || err.Error() != "f: 1048577 bytes, at most 1048576" {
		t.Errorf("a file of %d bytes: %v", MaxFile+1, err)
	}
}

// TestDecodeAnchorsAreBounded asserts that nine lines can't become a billion
// words.
func TestDecodeAnchorsAreBounded(t *testing.T) {
	t.Parallel()
	b := strings.Builder{}
	b.WriteString("kind: Broadcast\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := '1'; i <= '9'; i++ {
		before := "*a" + string(i-1)
		b.WriteString("a" + string(i) + ": &a" + string(i) + " [" + strings.Repeat(before+",", 9) + before + "]\n")
	}
	b.WriteString("id: bomb\nsender: bakery\nmessage: {text: x}\naudience: {labels: *a9}\n")
	if _, err := Decode("f", []byte(b.String())); err == nil {
		t.Error("taken")
	}
}

func TestErrorUnwraps(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	if err := error(&Error{File: "f", Err: cause}); !errors.Is(err, cause) || err.Error() != "f: cause" {
		t.Errorf("%v is no %v", err, cause)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		bakery, menu, bakery + "---\n" + menu, "---\n---\n", "kind: Sender\nkind: Sender\n", "kind: Broadcast\nid: &a\n  b: *a\n", menu + "audience: &a {labels: [*a]}\n", "- a\n", "kind: !!binary aGk=\n",
		menu + "pace: {per_second: .inf}\n", "? {a: b}\n: c\n", "{kind: Sender, ? [x] : y}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := Decode("f", data)
		if err == nil {
			for _, d := range docs {
				if (d.Sender == nil) == (d.Broadcast == nil) || d.Line < 1 {
					t.Errorf("document %+v", d)
				}
			}
			return
		}
		if e, ok := errors.AsType[*Error](err); !ok || docs != nil || e.File != "f" || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%d documents, %q", len(docs), err)
		}
	})
}
