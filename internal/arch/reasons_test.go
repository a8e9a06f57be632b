package arch

import (
	"bufio"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// unproduced are the codes that nothing gives yet, and which room will. One
// that a room speaks of must leave the list, so it can only become shorter.
func unproduced() map[reason.Code]string {
	return map[reason.Code]string{
		reason.Duplicate: "flows, of which two steps may send one contact the same",
	}
}

// TestEveryReasonIsProduced wants proof for each code that a test which runs
// gets it out of a room: a case of the rulebook's test data, or a call of
// rig.Reason. A code that nothing produces is a promise that nobody keeps.
func TestEveryReasonIsProduced(t *testing.T) {
	proven := asserted(t, testFiles(t), reasonNames(t))
	maps.Copy(proven, decided(t))
	if len(proven) < 40 {
		t.Fatalf("proof was found for %d codes only", len(proven))
	}
	for _, e := range reason.All() {
		if err := unproven(e.Code, proven, unproduced()); err != "" {
			t.Errorf("%s: %s", e.Code, err)
		}
	}
	t.Run("a code without proof", func(t *testing.T) {
		if unproven("made_up", proven, unproduced()) == "" {
			t.Error("a code that nothing produces passes")
		}
	})
	t.Run("a listed code with proof", func(t *testing.T) {
		if unproven(reason.Duplicate, map[reason.Code]string{reason.Duplicate: "a_test.go"}, unproduced()) == "" {
			t.Error("a code stays listed though something produces it")
		}
	})
}

// unproven says what is wrong with a code, "" for nothing.
func unproven(code reason.Code, proven map[reason.Code]string, listed map[reason.Code]string) string {
	where, ok := proven[code]
	room, left := listed[code]
	switch {
	case ok && left:
		return "is produced in " + where + ": take it out of unproduced() in internal/arch/reasons_test.go"
	case !ok && !left:
		return "no test produces it: add a case to pkg/policy/testdata, or assert what a room gives with rig.Reason(t, got, reason.X)"
	case left && room == "":
		return "is listed without the room that will produce it"
	}
	return ""
}

// TestUnproducedReasonsAreNotSpokenOf keeps the list of exceptions honest: a
// room that names a code produces it, and has to prove it.
func TestUnproducedReasonsAreNotSpokenOf(t *testing.T) {
	tr, names := loadTree(t), reasonNames(t)
	for _, path := range slices.Sorted(maps.Keys(tr.pkgs)) {
		if path == "pkg/reason" {
			continue
		}
		for file, f := range tr.pkgs[path].files {
			for _, code := range spokenOf(f, names) {
				if _, listed := unproduced()[code]; listed {
					t.Errorf("%s speaks of %s: prove it by a test, and take it out of unproduced() in internal/arch/reasons_test.go", file, code)
				}
			}
		}
	}
}

// reasonNames are the codes by the Go names of their constants.
func reasonNames(t *testing.T) map[string]reason.Code {
	t.Helper()
	out := map[string]reason.Code{}
	for code, name := range codeNames(t, loadTree(t)) {
		if _, ok := reason.Lookup(reason.Code(code)); ok {
			out[name] = reason.Code(code)
		}
	}
	if len(out) != len(reason.All()) {
		t.Fatalf("%d constants for %d codes", len(out), len(reason.All()))
	}
	return out
}

// spokenOf returns the codes that a file names.
func spokenOf(n ast.Node, names map[string]reason.Code) (out []reason.Code) {
	ast.Inspect(n, func(n ast.Node) bool {
		if e, ok := n.(ast.Expr); ok {
			if code := codeOf(e, names); code != "" {
				out = append(out, code)
			}
		}
		return true
	})
	return out
}

// codeOf is the code that an expression like reason.OptedOut stands for, ""
// for any other expression.
func codeOf(e ast.Expr, names map[string]reason.Code) reason.Code {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if pkg, ok := sel.X.(*ast.Ident); !ok || pkg.Name != "reason" {
		return ""
	}
	return names[sel.Sel.Name]
}

// decided are the codes that cases of the rulebook's test data want, all of
// which a test of pkg/policy judges.
func decided(t *testing.T) map[reason.Code]string {
	t.Helper()
	out := map[reason.Code]string{}
	files, err := filepath.Glob(filepath.Join("..", "..", "pkg", "policy", "testdata", "*.ndjson"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			var c struct {
				Want struct {
					Reason reason.Code `json:"reason"`
				} `json:"want"`
			}
			if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			out[c.Want.Reason] = name
		}
		if err := lines.Err(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = f.Close() // read to its end
	}
	delete(out, "") // of those that are sent
	return out
}

// testFiles are the files of tests, by name.
func testFiles(t *testing.T) map[string]*ast.File {
	t.Helper()
	out, fset, root := map[string]*ast.File{}, token.NewFileSet(), filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipDir(root, name)
		}
		if !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		out[name], err = parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// asserted are the codes for which a test calls rig.Reason.
func asserted(t *testing.T, files map[string]*ast.File, names map[string]reason.Code) map[reason.Code]string {
	t.Helper()
	out := map[reason.Code]string{}
	for name, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") {
				continue // nobody may call it
			}
			for _, code := range proofs(fn, names) {
				out[code] = name
			}
		}
	}
	return out
}

// proofs are the codes that calls of rig.Reason in a function want of a value
// which is not written there itself.
func proofs(fn ast.Node, names map[string]reason.Code) (out []reason.Code) {
	ast.Inspect(fn, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 3 {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != "Reason" {
			return true
		}
		if pkg, ok := sel.X.(*ast.Ident); !ok || pkg.Name != "rig" {
			return true
		}
		if code := codeOf(call.Args[2], names); code != "" && len(spokenOf(call.Args[1], names)) == 0 {
			out = append(out, code)
		}
		return true
	})
	return out
}

func TestProofs(t *testing.T) {
	names := map[string]reason.Code{"Gone": "gone"}
	for src, want := range map[string]int{
		`func TestA(t *testing.T) { rig.Reason(t, send(), reason.Gone) }`:                                     1,
		`func TestA(t *testing.T) { t.Run("", func(t *testing.T) { rig.Reason(t, r.Reason, reason.Gone) }) }`: 1,
		`func TestA(t *testing.T) { rig.Reason(t, reason.Gone, reason.Gone) }`:                                0,
		`func TestA(t *testing.T) { rig.Reason(t, give(reason.Gone), reason.Gone) }`:                          0,
		`func TestA(t *testing.T) { rig.Reason(t, send(), want) }`:                                            0,
		`func TestA(t *testing.T) { rig.Reason(t, send(), reason.Other) }`:                                    0,
		`func TestA(t *testing.T) { other.Reason(t, send(), reason.Gone) }`:                                   0,
		`func helper(t *testing.T) { rig.Reason(t, send(), reason.Gone) }`:                                    0,
		`func (w world) TestA(t *testing.T) { rig.Reason(t, send(), reason.Gone) }`:                           0,
	} {
		found := asserted(t, map[string]*ast.File{"a_test.go": parse(t, src)}, names)
		if len(found) != want {
			t.Errorf("%s\nproves %v, want %d", src, found, want)
		}
	}
}

func TestSpokenOf(t *testing.T) {
	names := map[string]reason.Code{"Gone": "gone"}
	f := parse(t, "var a = reason.Gone\nvar b = reason.Code(\"x\")\nvar c = other.Gone\nfunc f() { g(reason.Gone.String()) }")
	if found := spokenOf(f, names); len(found) != 2 {
		t.Errorf("found %v, want gone twice", found)
	}
}
