package reason

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/reasons.md")

// TestEveryConstantHasAnEntry reads the source, so that a code added without
// an entry fails.
func TestEveryConstantHasAnEntry(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := map[Code]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			lit := v.Values[0].(*ast.BasicLit)
			declared[Code(strings.Trim(lit.Value, `"`))] = true
		}
		return true
	})
	for code := range declared {
		if _, ok := Lookup(code); !ok {
			t.Errorf("%s has no entry", code)
		}
	}
	if len(All()) != len(declared) {
		t.Errorf("%d entries for %d codes", len(All()), len(declared))
	}
}

func TestEntries(t *testing.T) {
	seen := map[Code]bool{}
	for _, e := range All() {
		if seen[e.Code] {
			t.Errorf("%s is listed twice", e.Code)
		}
		seen[e.Code] = true
		if !strings.HasSuffix(e.Meaning, ".") || strings.Count(e.Meaning, ". ") > 0 {
			t.Errorf("%s: meaning is not one sentence: %q", e.Code, e.Meaning)
		}
		if !strings.HasSuffix(e.Action, ".") {
			t.Errorf("%s: action is no sentence: %q", e.Code, e.Action)
		}
		if e.Redrive != (e.After != "") {
			t.Errorf("%s: redrive is %v, what must change first is %q", e.Code, e.Redrive, e.After)
		}
		if e.Ending == Held && !e.Redrive {
			t.Errorf("%s is a hold that never ends", e.Code)
		}
	}
}

// TestHolds pins the codes that hold, as the architecture marks them.
func TestHolds(t *testing.T) {
	want := map[Code]bool{
		SenderPaused: true, OptOutReview: true, TokenCooldown: true, QuietHours: true, RateCapped: true,
		BudgetSpent: true, ContactCapped: true, FactsUnavailable: true, Rebuilding: true,
	}
	for _, e := range All() {
		if want[e.Code] != (e.Ending == Held) {
			t.Errorf("%s ends as %s", e.Code, e.Ending)
		}
	}
}

func TestLookupUnknown(t *testing.T) {
	if e, ok := Lookup("no_such_code"); ok {
		t.Errorf("found %+v", e)
	}
}

func TestDocument(t *testing.T) {
	const path = "../../docs/reasons.md"
	want := document()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not current: run go test ./pkg/reason -update", path)
	}
}

func document() string {
	var b strings.Builder
	b.WriteString("# Reasons\n\nEvery message that was not sent has exactly one of these. The list is generated from\n" +
		"`pkg/reason`; the order is the one in which they are checked. A `hold` goes on by itself\n" +
		"once its cause has passed; a `final` reason is a dead letter.\n")
	about := ""
	for _, e := range All() {
		if e.About != about {
			about = e.About
			fmt.Fprintf(&b, "\n## About the %s\n\n| code | ends as | meaning | what to do | redrive |\n|---|---|---|---|---|\n", about)
		}
		redrive := "no"
		if e.Redrive {
			redrive = "once " + e.After
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", e.Code, e.Ending, e.Meaning, e.Action, redrive)
	}
	return b.String()
}
