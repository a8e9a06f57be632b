package arch

import (
	"go/ast"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func readPage(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Whoever is woken by a line of the log must find in docs/operations.md what
// it means and what to do.
func TestEveryAlarmIsExplained(t *testing.T) {
	tr := loadTree(t)
	page := readPage(t, "docs/operations.md")
	found := 0
	for _, path := range slices.Sorted(maps.Keys(tr.pkgs)) {
		for file, f := range tr.pkgs[path].files {
			for _, text := range alarms(f) {
				found++
				if !strings.Contains(page, "`"+text+"`") {
					t.Errorf("%s logs %q, which docs/operations.md does not explain: add a row", file, text)
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d alarms were found", found)
	}
}

// alarms returns the texts that a file logs as warnings or errors.
func alarms(f *ast.File) (texts []string) {
	levels := []string{"Warn", "WarnContext", "Error", "ErrorContext"}
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !slices.Contains(levels, sel.Sel.Name) || !isLog(sel.X) {
			return true
		}
		at := 0 // of the text; a context stands before it
		if strings.HasSuffix(sel.Sel.Name, "Context") {
			at = 1
		}
		if lit, ok := call.Args[at].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				texts = append(texts, s)
			}
		}
		return true
	})
	return texts
}

func isLog(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return strings.EqualFold(e.Name, "log")
	case *ast.SelectorExpr:
		return strings.EqualFold(e.Sel.Name, "log")
	}
	return false
}

func TestEveryVariableIsExplained(t *testing.T) {
	tr := loadTree(t)
	page := readPage(t, "docs/operations.md") + readPage(t, "docs/configuration.md")
	variable := regexp.MustCompile(`\bCARILLON_[A-Z_]+\b`)
	found := map[string]string{}
	for _, p := range tr.pkgs {
		for file, f := range p.files {
			ast.Inspect(f, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					for _, v := range variable.FindAllString(lit.Value, -1) {
						found[v] = file
					}
				}
				return true
			})
		}
	}
	if len(found) < 5 {
		t.Errorf("only %d variables were found", len(found))
	}
	for _, v := range slices.Sorted(maps.Keys(found)) {
		if !strings.Contains(page, "`"+v+"`") {
			t.Errorf("%s reads %s, which neither docs/configuration.md nor docs/operations.md explains: add a row", found[v], v)
		}
	}
}

func TestEveryDependencyIsExplained(t *testing.T) {
	page := readPage(t, "docs/decisions/0001-dependencies.md")
	found := 0
	for line := range strings.Lines(readPage(t, "go.mod")) {
		f := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(f) != 2 || !strings.HasPrefix(f[1], "v") || !strings.Contains(f[0], ".") {
			continue // not a requirement, or one that is marked as indirect
		}
		found++
		if !strings.Contains(page, f[0]) {
			t.Errorf("go.mod requires %s, and docs/decisions/0001-dependencies.md does not say why: add a row", f[0])
		}
	}
	if found < 5 {
		t.Errorf("only %d direct dependencies were found", found)
	}
}

// Pages that name the tests which hold what they say; a test that was renamed
// or dropped must not be named any more.
func TestNamedTestsExist(t *testing.T) {
	there := testNames(t)
	for page, least := range map[string]int{"docs/testing.md": 7, "docs/asynq.md": 7} {
		named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(readPage(t, page), -1)
		if len(named) < least {
			t.Errorf("%s names only %d tests", page, len(named))
		}
		for _, m := range named {
			if !there[m[1]] {
				t.Errorf("%s names %s, which is not there", page, m[1])
			}
		}
	}
}

func testNames(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(`)
	var files []string
	for _, rooms := range []string{filepath.Join("..", "*"), filepath.Join("..", "..", "pkg", "*"), filepath.Join("..", "..", "deploy")} {
		found, err := filepath.Glob(filepath.Join(rooms, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range function.FindAllSubmatch(b, -1) {
			out[string(m[1])] = true
		}
	}
	return out
}

// A link to a page or file of the tree must lead somewhere.
func TestLinksOfPagesLeadSomewhere(t *testing.T) {
	root := filepath.Join("..", "..")
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	pages, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, below := range []string{"docs/*.md", "docs/decisions/*.md", "examples/*.md", "deploy/*.md"} {
		more, err := filepath.Glob(filepath.Join(root, below))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, more...)
	}
	if len(pages) < 8 {
		t.Fatalf("only %d pages were found", len(pages))
	}
	for _, page := range pages {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
		}
	}
}

func TestAlarms(t *testing.T) {
	f := parse(t, `
func f() {
	log.Warn("a", "key", 1)
	r.Log.ErrorContext(ctx, "b", "error", err)
	w.cfg.Log.WarnContext(ctx, "c")
	log.Info("not an alarm")
	t.Error("not a log")
	log.Warn(text, "key", 1)
}`)
	if got := alarms(f); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("found %q", got)
	}
}

// Whoever watches a figure of /metrics must find in docs/operations.md what it
// counts and from when on it is a reason to look.
func TestEveryFigureIsExplained(t *testing.T) {
	tr := loadTree(t)
	page := readPage(t, "docs/operations.md")
	found := map[string]bool{}
	for _, p := range tr.pkgs {
		for file, f := range p.files {
			for _, name := range figures(f) {
				found[name] = true
				if !strings.Contains(page, "| `"+name+"` |") {
					t.Errorf("%s registers %s, which docs/operations.md does not explain: add a row under Figures", file, name)
				}
			}
		}
	}
	if len(found) < 10 {
		t.Errorf("only %d figures were found", len(found))
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(carillon_[a-z_]+)` \\|").FindAllStringSubmatch(page, -1) {
		if !found[m[1]] {
			t.Errorf("docs/operations.md explains %s, which nothing registers", m[1])
		}
	}
}

// figures returns the names under which a file's figures are served: with the
// unit and, where they only grow, _total behind what was registered.
func figures(f *ast.File) (names []string) {
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) < 2 {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != "Gauge" && !strings.HasPrefix(sel.Sel.Name, "Counter") {
			return true
		}
		name := text(call.Args[0])
		switch {
		case !strings.HasPrefix(name, "carillon_"):
			return true
		case strings.HasPrefix(sel.Sel.Name, "Counter"): // by a label too
			name += "_total"
		case text(call.Args[1]) == "s":
			name += "_seconds"
		}
		names = append(names, name)
		return true
	})
	return names
}

// text is what a string literal says; "" of anything else.
func text(e ast.Expr) string {
	if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		if s, err := strconv.Unquote(lit.Value); err == nil {
			return s
		}
	}
	return ""
}
