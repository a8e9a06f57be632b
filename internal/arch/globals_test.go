package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestNoInitFunctions(t *testing.T) {
	tr := loadTree(t)
	for _, path := range slices.Sorted(maps.Keys(tr.pkgs)) {
		for _, found := range inits(tr.fset, tr.pkgs[path].files) {
			t.Errorf("%s: an init function runs before main can decide anything, and in every test: return a value from a constructor", found)
		}
	}
}

// exempt are variables that the rules can't see to be constant, and why they
// are.
func exempt() map[string]string {
	const byPointer = "its rows are handed out by pointer inside the package, so that looking one up copies nothing; nobody writes through it"
	return map[string]string{
		"internal/channel/meta.errorTable": byPointer,
		"internal/channel/meta.unlisted":   byPointer,
		"internal/channel/meta.overloaded": byPointer,

		"internal/channel/twilio.errorTable": byPointer,
		"internal/channel/twilio.unlisted":   byPointer,
		"internal/channel/twilio.overloaded": byPointer,
	}
}

func TestNoMutableGlobals(t *testing.T) {
	tr := loadTree(t)
	stale := exempt()
	for _, path := range slices.Sorted(maps.Keys(tr.pkgs)) {
		for _, g := range globals(tr.fset, tr.pkgs[path].files) {
			if _, ok := exempt()[path+"."+g.name]; ok {
				delete(stale, path+"."+g.name)
				continue
			}
			t.Errorf("%s: var %s: state of a package is shared by everything in the process: keep it in a value, or return it from a function", g.where, g.name)
		}
	}
	for name := range stale {
		t.Errorf("%s needs no exemption any more: take it out of exempt() in internal/arch/globals_test.go", name)
	}
}

// global is a package-level variable that could change.
type global struct{ name, where string }

func inits(fset *token.FileSet, files map[string]*ast.File) (found []string) {
	for name, f := range files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				found = append(found, fmt.Sprintf("%s:%d: func init", name, fset.Position(fn.Pos()).Line))
			}
		}
	}
	return found
}

// globals returns the package-level variables that could change. Those that
// can't are allowed: errors to compare with, compiled expressions, embedded
// files, checks that a type has an interface, and plain values that nothing
// in the package assigns to or takes the address of.
func globals(fset *token.FileSet, files map[string]*ast.File) (found []global) {
	touched := changed(files)
	for name, f := range files {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				embedded := isEmbed(g.Doc) || isEmbed(v.Doc)
				for i, id := range v.Names {
					if id.Name == "_" || !touched[id.Name] && (embedded && !id.IsExported() || i < len(v.Values) && isFixed(v.Values[i], id)) {
						continue
					}
					found = append(found, global{id.Name, fmt.Sprintf("%s:%d", name, fset.Position(id.Pos()).Line)})
				}
			}
		}
	}
	slices.SortFunc(found, func(a, b global) int { return strings.Compare(a.where, b.where) })
	return found
}

func isEmbed(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// isFixed tells whether a variable of this initial value can be told to be
// constant by looking: the result of a function known to give an unchanging
// value, or, where nobody outside can assign to it, a literal of a named type
// or an array, which has no part that others might share.
func isFixed(v ast.Expr, id *ast.Ident) bool {
	switch v := v.(type) {
	case *ast.CallExpr:
		sel, ok := v.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		pkg, ok := sel.X.(*ast.Ident)
		if !ok {
			return false
		}
		return slices.Contains([]string{"errors.New", "fmt.Errorf", "regexp.MustCompile"}, pkg.Name+"."+sel.Sel.Name)
	case *ast.CompositeLit:
		if id.IsExported() {
			return false
		}
		switch typ := v.Type.(type) {
		case *ast.Ident, *ast.SelectorExpr:
			return true
		case *ast.ArrayType:
			return typ.Len != nil
		}
	}
	return false
}

// changed returns the package's names that are assigned to, counted up or
// down, or whose address is taken, anywhere in it.
func changed(files map[string]*ast.File) map[string]bool {
	out := map[string]bool{}
	for _, f := range files {
		for _, d := range f.Decls {
			local := locals(d)
			ast.Inspect(d, func(n ast.Node) bool {
				for _, e := range targets(n) {
					if name := root(e); !local[name] {
						out[name] = true
					}
				}
				return true
			})
		}
	}
	return out
}

// targets returns what a statement or expression changes or makes changeable.
func targets(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			return []ast.Expr{n.X}
		}
	}
	return nil
}

// locals returns the names that a function declares anywhere in it. Those of
// a package that it hides are not told apart in the rest of the function.
func locals(d ast.Decl) map[string]bool {
	out := map[string]bool{}
	if _, ok := d.(*ast.FuncDecl); !ok {
		return out
	}
	ast.Inspect(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, id := range n.Names {
				out[id.Name] = true
			}
		case *ast.ValueSpec:
			for _, id := range n.Names {
				out[id.Name] = true
			}
		case *ast.AssignStmt:
			for _, l := range n.Lhs {
				if id, ok := l.(*ast.Ident); ok && n.Tok == token.DEFINE {
					out[id.Name] = true
				}
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{n.Key, n.Value} {
				if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
					out[id.Name] = true
				}
			}
		}
		return true
	})
	return out
}

// root returns the variable that an expression begins at: a in a.b[i].
func root(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return root(e.X)
	case *ast.IndexExpr:
		return root(e.X)
	case *ast.ParenExpr:
		return root(e.X)
	}
	return ""
}

func TestGlobals(t *testing.T) {
	for _, c := range []struct {
		src  string
		want string // the name found, "" for none
	}{
		{`var errGone = errors.New("gone")`, ""},
		{`var ErrGone = fmt.Errorf("gone: %d", 1)`, ""},
		{`var errGone = errors.New("gone"); func f() { errGone = nil }`, "errGone"},
		{`var name = regexp.MustCompile("a")`, ""},
		{`var _ fmt.Stringer = (*T)(nil)`, ""},
		{"//go:embed a.txt\nvar text string", ""},
		{"//go:embed a.txt\nvar Text string", "Text"},
		{`var least = version{1, 2, 3}`, ""},
		{`var Least = version{1, 2, 3}`, "Least"},
		{`var least = version{1, 2, 3}; func f() { least.major++ }`, "least"},
		{`var least = version{1, 2, 3}; func f() *version { return &least }`, "least"},
		{`var least = version{1, 2, 3}; func f(least version) { least.major++ }`, ""},
		{`var least = version{1, 2, 3}; func f() { least := version{}; least.major++ }`, ""},
		{`var least = version{1, 2, 3}; func f(least version) {}; func g() { least = version{} }`, "least"},
		{`var table = [...]int{1, 2}`, ""},
		{`var table = [...]int{1, 2}; func f() { table[0] = 3 }`, "table"},
		{`var list = []int{1, 2}`, "list"},
		{`var m = map[string]int{}`, "m"},
		{`var n int`, "n"},
		{`var n = 3`, "n"},
		{`var once sync.Once`, "once"},
		{`var p = &T{}`, "p"},
		{`var client = http.DefaultClient`, "client"},
		{`var f = func() int { return 1 }`, "f"},
		{`func f() { var local = 3; _ = local }`, ""},
		{`const n = 3`, ""},
	} {
		found := globals(token.NewFileSet(), map[string]*ast.File{"a.go": parse(t, c.src)})
		if c.want == "" && found != nil || c.want != "" && (len(found) != 1 || found[0].name != c.want) {
			t.Errorf("%s\nfound %q, want %q", c.src, found, c.want)
		}
	}
}

func TestInits(t *testing.T) {
	f := parse(t, "func init() {}\nfunc (t T) init() {}\nfunc initial() {}")
	if found := inits(token.NewFileSet(), map[string]*ast.File{"a.go": f}); len(found) != 1 {
		t.Errorf("found %q, want one", found)
	}
}

func parse(t *testing.T, src string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "a.go", "package a\n"+src, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
