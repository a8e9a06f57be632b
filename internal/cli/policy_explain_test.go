package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/carillon-dev/carillon/pkg/policy"
)

func TestPolicyExplain(t *testing.T) {
	out, err := run(t, question("a", "x"), "explain")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"a: block window_closed by standard_window\n   window closed 3 h 12 min before: last inbound 2026-11-21 06:48Z, limit 24 h\n",
		"\n=> refused       standard_window: last inbound 2026-11-21 06:48Z, 27 h 12 min\n                 before; limit 24 h, over by 3 h 12 min\n",
		"\n   not_in_force  event_tag: ended on 2026-04-27\n", "\n   other_channel consent_missing: not a rule of messenger\n",
		"\n   not_in_force  legacy_tag (ACCOUNT_UPDATE): ended on 2019-08-29\n", "\n   passed        text_too_long: 1 of 2,000 code points\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("not said: %q in\n%s", want, out)
		}
	}
	if n := strings.Count(out, "=>"); n != 1 {
		t.Errorf("%d signs", n)
	}
	narrow(t, out)
}

// TestPolicyExplainHeads holds what stands above the rules.
func TestPolicyExplainHeads(t *testing.T) {
	inside := strings.Replace(question("a", "x"), "21T06", "22T06", 1)
	for name, tt := range map[string]struct{ old, with, want string }{
		"sent":      {"", "", "a: send by standard_window\n   sent with 20 h 48 min to go: last inbound 2026-11-22 06:48Z, limit 24 h\nWhat"},
		"warned":    {"agent", "broadcast", "limit 24 h\n   warning: bulk_discouraged: Narrow the audience to those who expect the\n            message, and write to them by name; where a launch asks for it,\n            acknowledge the warning.\nWhat"},
		"opted out": {`"last_inbound"`, `"opt_outs":["all"],"last_inbound"`, "a: block opted_out\n   opted out of all messages\nWhat"},
		"held": {`"agent","text":"x"}`, `"flow","text":"x","template":{"kind":"mtm"},"tag":"T"},"sender":{"channel":"messenger","quiet_hours":{"from":"09:00","to":"12:00"}}`,
			"a: hold quiet_hours by sender_quiet_hours\n   held until 2026-11-22 12:00Z for quiet_hours: the hour is quiet in UTC, no\n   other zone being known\nWhat"},
		"no such via":    {`"text"`, `"via":"pigeon","text"`, "a: block via_unknown\n   the rulebook has no such name\nWhat"},
		"an id of lines": {`"a"`, `"a\nb"`, `"a\nb": send by`},
	} {
		in := strings.Replace(inside, tt.old, tt.with, 1)
		if strings.Count(in, `"sender"`) > 1 {
			in = strings.Replace(in, `"sender":{"channel":"messenger"},`, "", 1)
		}
		out, err := run(t, in, "explain")
		if err != nil || !strings.Contains(out, tt.want) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		narrow(t, out)
	}
}

// TestPolicyExplainGoesOn explains what stands after lines that are no case.
func TestPolicyExplainGoesOn(t *testing.T) {
	in := `{"id":"z"}` + "\n" + `{"id":"long","x":"` + strings.Repeat("x", maxLine) + "\"}\n" + question("b<&>", "x") + "\n"
	out, err := run(t, in, "explain")
	if !strings.HasPrefix(out, "z: error: line 1: at: missing\nlong: error: line 2: line longer than 1 MiB\nb<&>: block window_closed") {
		t.Errorf("%.300s", out)
	}
	if err == nil || !strings.Contains(err.Error(), "2 cases could not be read") || errors.As(err, new(usageError)) {
		t.Errorf("error %v", err)
	}
	out, err = run(t, in, "explain", "--json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err == nil || len(lines) != 3 || lines[0] != `{"id":"z","line":1,"error":"at: missing"}` || !strings.HasPrefix(lines[2], `{"id":"b<&>",`) {
		t.Errorf("%v: %.300s", err, out)
	}
	e := explainer{rulebook: policy.Default(), notes: &notes{out: io.Discard}}
	if _, err := e.explain(strings.NewReader(in), failing{}); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("write: %v", err)
	}
	if _, err := e.explain(failing{}, io.Discard); err == nil || !strings.Contains(err.Error(), "cable pulled") {
		t.Errorf("read: %v", err)
	}
}

// TestPolicyExplainJSON wants all that check answers, and why.
func TestPolicyExplainJSON(t *testing.T) {
	quiet := `{"id":"q","at":"2026-11-22T10:00:00Z","sender":{"channel":"messenger","quiet_hours":{"from":"09:00","to":"12:00"}},"contact":{"last_inbound":"2026-11-22T09:48:00Z"},"message":{"text":"x"}}`
	sent := strings.Replace(question("s", "x"), "21T06", "22T06", 1)
	in := strings.Join([]string{question("a", "x"), quiet, sent}, "\n")
	out, err := run(t, in, "explain", "--json")
	if err != nil {
		t.Fatal(err)
	}
	answers, err := run(t, in, "check")
	if err != nil {
		t.Fatal(err)
	}
	said, answered := strings.Split(strings.TrimSpace(out), "\n"), strings.Split(strings.TrimSpace(answers), "\n")
	if len(said) != 3 {
		t.Fatalf("%d lines", len(said))
	}
	for i, line := range said {
		if !strings.HasPrefix(line, strings.TrimSuffix(answered[i], "}")+`,"because":"`) {
			t.Errorf("%s\nwas answered with %s", line[:200], answered[i])
		}
		var e struct {
			Rule, Until, Because string
			Refused              string `json:"refused_by"`
			Tried                []policy.Tried
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || len(e.Tried) < 40 || e.Because == "" {
			t.Fatalf("%v: %s", err, line)
		}
		k := slices.IndexFunc(e.Tried, func(r policy.Tried) bool { return r.Decides })
		if k < 0 || e.Tried[k].Rule != e.Rule+e.Refused {
			t.Errorf("%s: %+v", line[:120], e)
		}
		if (e.Until == "2026-11-22T12:00:00Z") != (i == 1) {
			t.Errorf("until %q", e.Until)
		}
	}
}

// TestPolicyExplainSteersNoTerminal: whatever a case or a rulebook says, what
// is drawn is text.
func TestPolicyExplainSteersNoTerminal(t *testing.T) {
	const red = `\u001b[31mX`
	hostile := strings.Join([]string{
		strings.NewReplacer(`"channel"`, `"capabilities":["`+red+`"],"channel"`, `"origin":"agent"`, `"tag":"NON_PROMOTIONAL_SUBSCRIPTION"`).Replace(question("a", "x")),
		strings.Replace(question("b", red), `"text"`, `"tag":"`+red+`","text"`, 1),
		strings.Replace(question("c", "x"), `"text"`, `"via":"`+red+`","text"`, 1),
		strings.Replace(question("d", "x"), `"id":"d"`, `"id":"d\u009b31m\u202e"`, 1),
		`{"id":"e\u009b31m","at":"soon"}`,
		`{"id":"f","` + red + `":1,"at":"` + red + `"}`,
	}, "\n")
	own := strings.Replace(string(policy.Embedded()), "    says: For 24 hours after", `    says: "\e[31mFor 24 hours after"`+"\n    #", 1)
	file := filepath.Join(t.TempDir(), "own.yaml")
	if err := os.WriteFile(file, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	listed, err := run(t, "", "list", "--wide", "--at", "2026-11-22", "--rulebook", file)
	if err != nil || !strings.Contains(listed, "[31mFor 24 hours") {
		t.Errorf("%v\n%s", err, listed)
	}
	out, err := run(t, hostile, "explain")
	if err == nil || strings.Count(out, "[31mX") < 2 {
		t.Errorf("%v\n%s", err, out)
	}
	for _, r := range out + listed {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			t.Fatalf("%U in\n%q", r, out+listed)
		}
	}
}

// narrow wants lines of at most 80 columns.
func narrow(t *testing.T, out string) {
	t.Helper()
	for line := range strings.SplitSeq(out, "\n") {
		if len(line) > 80 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
}

// TestPolicyCheckLines holds the limit on a line to the byte, and the id of
// what is longer, and passes over a byte order mark.
func TestPolicyCheckLines(t *testing.T) {
	filled := func(id string, size int, before bool) string {
		s := strings.Replace(question(id, "x"), `"message":`, `"note":"",`+`"message":`, 1)
		if !before {
			s = strings.Replace(s, `"id":"`+id+`",`, "", 1)
			s = strings.TrimSuffix(s, "}") + `,"id":"` + id + `"}`
		}
		return strings.Replace(s, `"note":""`, `"note":"`+strings.Repeat("n", size-len(s))+`"`, 1)
	}
	in := "\ufeff" + filled("fits", maxLine, true) + "\r\n" + filled("over", maxLine+1, true) + "\n" + filled("more", 2*maxLine, true) + "\n" +
		filled("late", maxLine+1, false) + "\n" + filled("last", maxLine, true)
	out, err := run(t, in, "check")
	got := strings.Split(strings.TrimSpace(out), "\n")
	want := []string{`{"id":"fits","verdict":`, `{"id":"over","line":2,"error":"line longer`, `{"id":"more","line":3,"error":"line longer`, `{"id":"late","line":4,"error":"line longer`, `{"id":"last","verdict":`}
	if err == nil || !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("%v\n%.500s", err, out)
	}
	for _, mark := range []string{"\ufeff", "\ufeff\n", "\ufeff\n\n"} {
		if out, err := run(t, mark, "check"); out != "" || err != nil {
			t.Errorf("%q: %s, %v", mark, out, err)
		}
	}
	if out, _ := run(t, question("a", "x")+"\n\ufeff"+question("b", "x"), "check"); !strings.Contains(out, `"line":2,"error":"case: `) {
		t.Errorf("a mark on a later line: %s", out)
	}
}

// TestPolicyCheckNotes says of a misspelt capability once that it does
// nothing, and refuses a misspelt restriction, which would do nothing.
func TestPolicyCheckNotes(t *testing.T) {
	with := func(field string) string {
		return strings.Replace(question("a", "x"), `{"channel"`, `{`+field+`,"channel"`, 1) + "\n"
	}
	in := question("a", "x") + "\n" + strings.Repeat(with(`"capabilities":["utility","utilty"]`), 1000) + with(`"capabilities":["x"]`)
	for _, how := range []string{"check", "explain"} {
		cmd := newPolicyCommand(&session{getenv: func(string) string { return "" }})
		var out, stderr bytes.Buffer
		cmd.SetIn(strings.NewReader(in))
		cmd.SetOut(&out)
		cmd.SetErr(&stderr)
		cmd.SetArgs([]string{how})
		want := "carillon: line 2: sender.capabilities: no rule asks for \"utilty\": it permits nothing\ncarillon: line 1002: sender.capabilities: no rule asks for \"x\": it permits nothing\n"
		if err := cmd.Execute(); err != nil || stderr.String() != want || strings.Contains(out.String(), "utilty") {
			t.Errorf("%s: %v, %s", how, err, stderr.String())
		}
	}
	out, err := run(t, with(`"restricted_features":["human_agent"]`), "check")
	if err == nil || !strings.Contains(err.Error(), "1 case could not be read") || !strings.HasPrefix(out, `{"id":"a","line":1,"error":"sender.restricted_features: \"human_agent\": no tag`) {
		t.Errorf("%v: %s", err, out)
	}
	n := notes{out: io.Discard}
	for i := range 100 {
		n.add(i, fmt.Sprint(i))
	}
	if len(n.seen) != mostNotes {
		t.Errorf("%d notes", len(n.seen))
	}
}

func TestPolicyUsageSays(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"check", "cases.ndjson"}, "policy check takes no arguments: cases come on standard input, as in policy check < cases.ndjson"},
		{[]string{"explain", "a", "b"}, "policy explain < a"},
		{[]string{"list", "--at", ""}, `--at "": want a day`},
		{[]string{"rulebook", "x"}, "unknown command"},
	} {
		if _, err := run(t, "", tt.args...); !errors.As(err, new(usageError)) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v", tt.args, err)
		}
	}
}

// TestPolicyRulebookPrints wants a file that reads back as the same rulebook,
// in either form.
func TestPolicyRulebookPrints(t *testing.T) {
	out, err := run(t, "", "rulebook")
	if err != nil || out != string(policy.Embedded()) {
		t.Fatalf("%v, %d bytes", err, len(out))
	}
	asJSON, err := run(t, "", "rulebook", "--json")
	if err != nil || strings.Count(asJSON, "\n") != 1 || !json.Valid([]byte(asJSON)) || !strings.HasPrefix(asJSON, `{"version":1,"sources":{`) {
		t.Fatalf("%v: %.100s", err, asJSON)
	}
	want, err := json.Marshal(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{out, asJSON} {
		rb, err := policy.Parse([]byte(text))
		if err != nil {
			t.Fatalf("%v: %.100s", err, text)
		}
		if got, err := json.Marshal(rb); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: another rulebook: %.100s", err, text)
		}
	}
	if got, err := jsonOf([]byte("b: &x [1, 1.5, yes, \"yes\", true, null, 2026-11-22, '<&>']\na: *x\n")); err != nil ||
		string(got) != `{"b":[1,1.5,"yes","yes",true,null,"2026-11-22","<&>"],"a":[1,1.5,"yes","yes",true,null,"2026-11-22","<&>"]}`+"\n" {
		t.Errorf("%s, %v", got, err)
	}
	for _, bad := range []string{"a: [", "a: .inf"} {
		if _, err := jsonOf([]byte(bad)); err == nil || !strings.HasPrefix(err.Error(), "rulebook: ") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
