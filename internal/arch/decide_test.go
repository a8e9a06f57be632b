package arch

import (
	"go/ast"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// Whether a message may go is decided by the rulebook alone. Nothing else
// says "send", and nothing else gives a reason of the rules' own.
func TestOnlyTheRulebookDecides(t *testing.T) {
	t.Parallel()
	tr := loadTree(t)
	owned := ruleReasons(t, tr)
	used := map[string]bool{}
	for dir, p := range tr.pkgs {
		if dir == "pkg/policy" || dir == "pkg/reason" || dir == "internal/bench" || strings.HasPrefix(dir, "internal/channel/") {
			continue // the bench measures it; a channel's table says what the platform refused by its own rules
		}
		for file, f := range p.files {
			for _, d := range decisions(f, owned) {
				key := file + " " + d
				if _, ok := decidedElsewhere()[key]; ok {
					used[key] = true
					continue
				}
				t.Errorf("%s: %s: only pkg/policy decides by the rules; ask gate.Judge", file, d)
			}
		}
	}
	for key, why := range decidedElsewhere() {
		if !used[key] {
			t.Errorf("%s (%s): no longer in the code: drop it from this list", key, why)
		}
	}
}

// decidedElsewhere are the uses that are no decision by the rules, by file and
// use, each with what it is.
func decidedElsewhere() map[string]string {
	return map[string]string{
		"internal/gate/gate.go asks policy.Evaluate":                 "the one place that asks for a contact",
		"internal/gate/gate.go compares with policy.Send":            "does what the verdict says",
		"internal/gate/gate.go names reason.SenderPaused":            "a paused sender or broadcast comes back to its lane, as the verdict's hold says",
		"internal/gate/gate.go names reason.TemplateInvalid":         "adds to the evidence why the text could not be rendered; the verdict stands",
		"internal/gate/flow.go asks policy.Evaluate":                 "what an author may do instead is what the rules would allow",
		"internal/gate/author.go asks policy.Evaluate":               "the one place that asks for an author, who has no contact yet",
		"internal/scheduler/forecast.go compares with policy.Send":   "counts verdicts",
		"internal/api/senders.go names reason.SenderPaused":          "shows the reason that holding by hand has",
		"internal/backup/settle.go names reason.SenderPaused":        "shows the reason that holding by hand has, of a sender that was restored",
		"internal/cli/why.go names reason.SenderPaused":              "prints how to resume",
		"internal/cli/tour.go names reason.WindowClosed":             "picks a dead letter to explain to a newcomer",
		"internal/ingest/enforce.go names reason.SenderRestricted":   "pauses the sender that the platform blocked, and shows that as the reason",
		"internal/deliver/use.go names reason.TokenUsed":             "another job has the permission, which no fact says yet",
		"internal/deliver/use.go names reason.PrivateReplyUsed":      "the same, of a comment",
		"internal/flow/send.go names reason.SenderUnresolved":        "no sender was found for a run: there is no lane, and no job that the rules could be asked about",
		"internal/model/work.go names reason.OptedOut":               "what the model expects of the rulebook",
		"internal/deliver/deliver.go names reason.CredentialInvalid": "the credential could not be read: the sender is paused, which the rulebook then sees",
	}
}

// ruleReasons returns the Go names of the reasons that rules give: those about
// sender, contact, content, author, permission and hour.
func ruleReasons(t *testing.T, tr tree) map[string]bool {
	t.Helper()
	names := codeNames(t, tr)
	out := map[string]bool{}
	for _, e := range reason.All() {
		switch e.About {
		case "caps", "job", "platform", "carillon":
		default:
			out[names[string(e.Code)]] = true
		}
	}
	if len(out) < 30 || out[""] {
		t.Fatalf("the rules' reasons are %v", out)
	}
	return out
}

// codeNames returns the Go name of every code in pkg/reason.
func codeNames(t *testing.T, tr tree) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, f := range tr.pkgs["pkg/reason"].files {
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok || len(v.Names) != 1 || len(v.Values) != 1 {
				return true
			}
			if lit, ok := v.Values[0].(*ast.BasicLit); ok {
				if code, err := strconv.Unquote(lit.Value); err == nil {
					out[code] = v.Names[0].Name
				}
			}
			return true
		})
	}
	return out
}

// decisions finds what in a file decides, or looks like it.
func decisions(f *ast.File, owned map[string]bool) []string {
	var out []string
	add := func(s string) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		switch x, _ := s.X.(*ast.Ident); {
		case x == nil:
		case x.Name == "policy" && s.Sel.Name == "Evaluate":
			add("asks policy.Evaluate")
		case x.Name == "policy" && s.Sel.Name == "Send":
			add("compares with policy.Send")
		case x.Name == "reason" && owned[s.Sel.Name]:
			add("names reason." + s.Sel.Name)
		}
		return true
	})
	return out
}
