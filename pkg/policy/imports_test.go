package policy

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestImports keeps the package pure and small for those who import it: no
// network, no disk, no clock of its own beyond the time type.
func TestImports(t *testing.T) {
	allowed := []string{
		"bytes", "cmp", "embed", "encoding/json", "errors", "fmt", "io", "iter", "maps", "math", "reflect", "regexp", "slices", "strconv", "strings", "time", "unicode", "unicode/utf8",
		"go.yaml.in/yaml/v3", "github.com/carillon-dev/carillon/pkg/reason",
	}
	files, err := filepath.Glob("*.go")
	must(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		must(t, err)
		for _, i := range f.Imports {
			if path := strings.Trim(i.Path.Value, `"`); !slices.Contains(allowed, path) {
				t.Errorf("%s imports %s", file, path)
			}
		}
	}
}
