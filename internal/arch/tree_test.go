package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/carillon-dev/carillon"

// pkg is one package as its files outside tests are written.
type pkg struct {
	path    string // below the module, such as internal/job; "" is the module's own
	files   map[string]*ast.File
	imports map[string]string // import path to a file that has it
}

// tree is the module, parsed once for all tests.
type tree struct {
	fset *token.FileSet
	pkgs map[string]*pkg
}

func loadTree(t *testing.T) tree {
	t.Helper()
	tr, err := parsedTree()
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.pkgs) < 20 {
		t.Fatalf("only %d packages were found", len(tr.pkgs))
	}
	return tr
}

var parsedTree = sync.OnceValues(func() (tree, error) { return parseTree(filepath.Join("..", "..")) })

func parseTree(root string) (tree, error) {
	tr := tree{token.NewFileSet(), map[string]*pkg{}}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipDir(root, name)
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		return tr.add(root, name)
	})
	return tr, err
}

// skipDir leaves out what the go command would not build as a part of the
// module: hidden and test data directories, and modules of their own.
func skipDir(root, name string) error {
	base := filepath.Base(name)
	if name == root {
		return nil
	}
	if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func (tr tree) add(root, name string) error {
	f, err := parser.ParseFile(tr.fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(root, name)
	if err != nil {
		return err
	}
	rel = filepath.ToSlash(rel)
	dir := path.Dir(rel)
	p := tr.pkgs[dir]
	if p == nil {
		p = &pkg{path: dir, files: map[string]*ast.File{}, imports: map[string]string{}}
		tr.pkgs[dir] = p
	}
	p.files[rel] = f
	for _, i := range f.Imports {
		to, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return err
		}
		p.imports[to] = rel
	}
	return nil
}

// own returns the part of an import path below the module, and whether it is
// in the module.
func own(importPath string) (string, bool) { return strings.CutPrefix(importPath, module+"/") }
