package policy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// example is one line of testdata/*.ndjson. Warnings that are absent are not
// compared; an empty list wants none.
type example struct {
	Case json.RawMessage `json:"case"`
	Want struct {
		Verdict  string    `json:"verdict"`
		Rule     string    `json:"rule"`
		Reason   string    `json:"reason"`
		Until    string    `json:"until"`
		Warnings *[]string `json:"warnings"`
	} `json:"want"`
}

// answer is what AppendAnswer writes.
type answer struct {
	ID       string   `json:"id"`
	Verdict  string   `json:"verdict"`
	Rule     string   `json:"rule"`
	Reason   string   `json:"reason"`
	Until    string   `json:"until"`
	Warnings []string `json:"warnings"`
	Refused  string   `json:"refused_by"`
}

// examples calls each with every case of testdata.
func examples(t testing.TB, each func(name string, e example)) {
	files, err := filepath.Glob("testdata/*.ndjson")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(bytes.NewReader(data))
		lines.Buffer(nil, 1<<20)
		for n := 1; lines.Scan(); n++ {
			var e example
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatalf("%s:%d: %v", file, n, err)
			}
			each(filepath.Base(file), e)
		}
		if lines.Err() != nil {
			t.Fatal(lines.Err())
		}
	}
}

// read is the case of an example, or the end of the test.
func (e example) read(t testing.TB) Case {
	c, err := new(CaseReader).Read(e.Case)
	if err != nil {
		t.Fatalf("%s: %v", e.Case, err)
	}
	return c
}

func TestCases(t *testing.T) {
	rb := book()
	n := 0
	examples(t, func(file string, e example) {
		n++
		c := e.read(t)
		var got answer
		line := AppendAnswer(nil, c.ID, c.Judge(rb))
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		want := answer{ID: c.ID, Verdict: e.Want.Verdict, Rule: e.Want.Rule, Reason: e.Want.Reason, Until: e.Want.Until}
		if got.ID != want.ID || got.Verdict != want.Verdict || got.Rule != want.Rule || got.Reason != want.Reason || got.Until != want.Until {
			t.Errorf("%s: %s:\ngot  %s\nwant %+v", file, c.ID, line, want)
		}
		if e.Want.Warnings != nil && !slices.Equal(got.Warnings, *e.Want.Warnings) {
			t.Errorf("%s: %s: warnings %v, want %v", file, c.ID, got.Warnings, *e.Want.Warnings)
		}
	})
	if n < 400 {
		t.Errorf("only %d cases were read", n)
	}
}
