package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/pkg/policy"
)

// run is the policy command with args and stdin.
func run(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := newPolicyCommand(&session{getenv: func(string) string { return "" }})
	var out, stderr bytes.Buffer
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&stderr)
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.Execute()
	return out.String(), err
}

func question(id, text string) string {
	return fmt.Sprintf(`{"id":%q,"at":"2026-11-22T10:00:00Z","sender":{"channel":"messenger"},"contact":{"last_inbound":"2026-11-21T06:48:00Z"},"message":{"origin":"agent","text":%q}}`, id, text)
}

func TestPolicyCheck(t *testing.T) {
	in := question("a", "x") + "\r\n\n" + `{"id":"b","at":"soon"}` + "\n" + strings.Repeat("x", 3*maxLine) + "\n" + strings.Replace(question("c", "x"), "21T06", "22T06", 1)
	out, err := run(t, in, "check", "--json")
	want := `{"id":"a","verdict":"block","rule":"","reason":"window_closed","until":"","refused_by":"standard_window"}
{"id":"b","line":3,"error":"at: \"soon\" is not a time: write it as 2026-11-22T10:00:00Z"}
{"id":"","line":4,"error":"line longer than 1 MiB"}
{"id":"c","verdict":"send","rule":"standard_window","reason":"","until":""}
`
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	if err == nil || !strings.Contains(err.Error(), "2 cases could not be read") || errors.As(err, new(usageError)) {
		t.Errorf("error %v", err)
	}
	if out, err := run(t, "", "check"); out != "" || err != nil {
		t.Errorf("empty input: %q, %v", out, err)
	}
}

// TestPolicyCheckKeepsOrder sends more than all batches hold at once.
func TestPolicyCheckKeepsOrder(t *testing.T) {
	var in strings.Builder
	const n = 20000
	for i := range n {
		in.WriteString(question(fmt.Sprint(i), "x") + "\n")
	}
	out, err := run(t, in.String(), "check")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != n {
		t.Fatalf("%d answers", len(lines))
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, fmt.Sprintf(`{"id":"%d",`, i)) {
			t.Fatalf("answer %d is %s", i, line)
		}
	}
}

// TestPolicyCheckAnswersAtOnce asks a second question only after the first
// is answered, as a program on a pipe does.
func TestPolicyCheckAnswersAtOnce(t *testing.T) {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := checkCases(policy.Default(), inR, outW, &notes{out: io.Discard})
		ended <- err
	}()
	answers := json.NewDecoder(outR)
	for _, id := range []string{"a", "b"} {
		if _, err := io.WriteString(inW, question(id, "x")+"\n"); err != nil {
			t.Fatal(err)
		}
		var got struct{ ID string }
		if err := answers.Decode(&got); err != nil || got.ID != id {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	inW.Close()
	go io.Copy(io.Discard, outR)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func (failing) Read([]byte) (int, error) { return 0, errors.New("cable pulled") }

func TestPolicyCheckFails(t *testing.T) {
	in := strings.Repeat(question("a", "x")+"\n", 5000)
	if _, err := checkCases(policy.Default(), strings.NewReader(in), failing{}, &notes{out: io.Discard}); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("write: %v", err)
	}
	if _, err := checkCases(policy.Default(), failing{}, io.Discard, &notes{out: io.Discard}); err == nil || !strings.Contains(err.Error(), "cable pulled") {
		t.Errorf("read: %v", err)
	}
}

// fits wants lines of at most 80 columns.
func fits(t *testing.T, out string) {
	t.Helper()
	for line := range strings.SplitSeq(out, "\n") {
		if len(line) > 80 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
}

func TestPolicyList(t *testing.T) {
	out, err := run(t, "", "list", "--at", "2026-04-26")
	if err != nil || !strings.Contains(out, "POST_PURCHASE_UPDATE") || strings.Contains(out, "legacy_tag") {
		t.Errorf("%v\n%s", err, out)
	}
	fits(t, out)
	out, err = run(t, "", "list", "--at", "2026-04-27T00:00:00Z")
	if err != nil || strings.Contains(out, "POST_PURCHASE_UPDATE") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = run(t, "", "list", "--all", "--json", "--at", "2026-11-22")
	if err != nil || !strings.Contains(out, `"to":"2020-03-04"`) || !strings.Contains(out, `"limit":"168h"`) {
		t.Errorf("%v\n%s", err, out)
	}
	for line := range strings.SplitSeq(strings.TrimSpace(out), "\n") {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	if out, err := run(t, "", "list"); err != nil || !strings.Contains(out, "standard_window") {
		t.Errorf("today: %v\n%s", err, out)
	}
}

func TestPolicyDiff(t *testing.T) {
	out, err := run(t, "", "diff", "--from", "2026-04-01", "--to", "2026-10-01")
	if err != nil || !strings.Contains(out, "2026-04-27  ends     event_tag") || !strings.Contains(out, "2026-09-28  begins   ad_window") {
		t.Errorf("%v\n%s", err, out)
	}
	fits(t, out)
	out, err = run(t, "", "diff", "--from", "2025-08-01", "--to", "2025-09-02", "--json")
	if err != nil || !strings.Contains(out, `"from 24 h to 48 h between two messages"`) {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := run(t, "", "diff", "--from", "2026-10-01", "--to", "2026-10-01"); err != nil || out != "" {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestPolicyUsage(t *testing.T) {
	tests := [][]string{
		{}, {"check", "file"}, {"check", "--colour"}, {"list", "--at", "tomorrow"}, {"diff"}, {"diff", "--from", "2026-01-01"},
		{"diff", "--from", "2026-01-02", "--to", "2026-01-01"}, {"diff", "--from", "x", "--to", "2026-01-01"}, {"wrong"},
	}
	for _, args := range tests {
		_, err := run(t, "", args...)
		if !errors.As(err, new(usageError)) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestPolicyRulebook(t *testing.T) {
	file := filepath.Join(t.TempDir(), "own.yaml")
	own := strings.Replace(string(policy.Embedded()), "    since: last_inbound\n    limit: 24h\n", "    since: last_inbound\n    limit: 48h\n", 1)
	if err := os.WriteFile(file, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := run(t, question("a", "x"), "check", "--rulebook", file)
	if err != nil || !strings.Contains(out, `"verdict":"send"`) {
		t.Errorf("%v\n%s", err, out)
	}
	if err := os.WriteFile(file, []byte(own+"\ncolour: red\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, "", "check", "--rulebook", file); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("own.yaml:%d: rulebook: field colour not found", strings.Count(own, "\n")+2)) || errors.As(err, new(usageError)) {
		t.Errorf("broken: %v", err)
	}
	if _, err := run(t, "", "list", "--rulebook", file+".none"); err == nil {
		t.Error("a missing rulebook was read")
	}
}

func TestWrap(t *testing.T) {
	tests := []struct {
		s     string
		width int
		want  string
	}{
		{"", 5, ""}, {"short", 5, "short"}, {"two words", 5, "two|words"}, {"a,b,c", 3, "a,|b,c"}, {"unbreakable", 4, "unbr|eaka|ble"}, {"snake_case_id", 8, "snake_|case_id"}, {"  indented", 6, "  inde|nted"},
	}
	for _, tt := range tests {
		if got := strings.Join(wrap(tt.s, tt.width), "|"); got != tt.want {
			t.Errorf("%q in %d: %q, want %q", tt.s, tt.width, got, tt.want)
		}
	}
}

func BenchmarkPolicyCheck(b *testing.B) {
	in := strings.Repeat(question("a", "Hello Kari, the spring menu is here.")+"\n", 1000)
	rb := policy.Default()
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, err := checkCases(rb, strings.NewReader(in), io.Discard, &notes{out: io.Discard}); err != nil {
			b.Fatal(err)
		}
	}
}
