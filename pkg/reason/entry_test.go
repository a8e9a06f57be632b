package reason

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"
)

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

// TestWordsHoldUnderAnyRulebook wants no limit, share or date in a text: the
// rulebook may have another one.
func TestWordsHoldUnderAnyRulebook(t *testing.T) {
	number := regexp.MustCompile(`(?i)\b(\d+|one|two|three|four|five|six|seven|a) ?(h|hours?|days?|weeks?|months?|years?)\b|\b20\d\d\b`)
	texts := map[string]string{}
	for _, e := range All() {
		texts[string(e.Code)] = e.Meaning + " " + e.Action + " " + e.After
	}
	for _, w := range Warnings() {
		texts[w.Code] = w.Meaning + " " + w.Action
	}
	for code, text := range texts {
		if found := number.FindString(text); found != "" {
			t.Errorf("%s names %q, which is the rulebook's to say: %s", code, found, text)
		}
		if strings.Contains(text, "tility") && !strings.Contains(text, "on Messenger") {
			t.Errorf("%s advises a utility template on every channel: %s", code, text)
		}
	}
}

// TestNeutral wants the codes that a via gives too to speak of no tag.
func TestNeutral(t *testing.T) {
	for _, code := range []Code{TagPromotional, TagNeedsHuman, TagNeedsTemplate, TagWindowClosed, UseCaseMissing, CapabilityMissing, RegionExcluded, NeverWrote} {
		if e, _ := Lookup(code); regexp.MustCompile(`\b[Tt]ags?\b`).MatchString(e.Meaning + e.Action) {
			t.Errorf("%s: %s %s", code, e.Meaning, e.Action)
		}
	}
}

func TestWarnings(t *testing.T) {
	var codes []string
	for _, w := range Warnings() {
		if w.Meaning == "" || w.Action == "" || !strings.HasSuffix(w.Action, ".") || slices.Contains(codes, w.Code) {
			t.Errorf("%+v", w)
		}
		codes = append(codes, w.Code)
	}
	for _, code := range codes {
		if w, ok := LookupWarning(code); !ok || w.Code != code {
			t.Errorf("%s is found as %+v", code, w)
		}
	}
	if w, ok := LookupWarning("no_such_code"); ok {
		t.Errorf("found %+v", w)
	}
	if want := []string{"bulk_discouraged", "links_under_tag", "promotional_wording", "recurring_under_account_update"}; !slices.Equal(codes, want) {
		t.Errorf("%v, want %v", codes, want)
	}
}

// TestHolds pins the codes that hold, as the architecture marks them.
func TestHolds(t *testing.T) {
	want := map[Code]bool{
		SenderPaused: true, OptOutReview: true, TokenCooldown: true, QuietHours: true, RateCapped: true,
		BudgetSpent: true, ContactCapped: true, FactsUnavailable: true, ClockUncertain: true, Rebuilding: true,
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
