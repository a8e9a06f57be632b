package arch

import (
	"flag"
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/job"
)

var update = flag.Bool("update", false, "draw docs/states.md anew")

// The drawings stand between these lines of docs/states.md, one for each
// table, with the name of the table after the first.
const (
	drawingBegins = "<!-- drawn from the code: "
	drawingEnds   = "<!-- end -->"
)

func TestStatesAreDrawn(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "states.md")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := string(raw)
	for name, drawing := range map[string]string{"job": drawJob(), "broadcast": drawBroadcast(t)} {
		if want, err = redraw(want, name, drawing); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(raw) != want {
		t.Errorf("%s does not draw the tables that the code has: make generate\nwant:\n%s", path, want)
	}
}

// redraw replaces what stands between the marks of one table.
func redraw(page, name, drawing string) (string, error) {
	mark := drawingBegins + name + " -->\n"
	before, rest, ok := strings.Cut(page, mark)
	if !ok {
		return "", fmt.Errorf("no line %q", strings.TrimSpace(mark))
	}
	_, after, ok := strings.Cut(rest, drawingEnds)
	if !ok {
		return "", fmt.Errorf("no line %q after that of %s", drawingEnds, name)
	}
	return before + mark + "```mermaid\nstateDiagram-v2\n" + drawing + "```\n" + drawingEnds + after, nil
}

func drawJob() string {
	var b strings.Builder
	b.WriteString("    [*] --> pending\n")
	for _, from := range job.States() {
		for _, to := range job.Moves(from) {
			fmt.Fprintf(&b, "    %s --> %s\n", from, to)
		}
	}
	return b.String()
}

func drawBroadcast(t *testing.T) string {
	t.Helper()
	states := constants[broadcast.State](t, "internal/broadcast/state.go", "State")
	verbs := constants[broadcast.Verb](t, "internal/broadcast/state.go", "Verb")
	var b strings.Builder
	fmt.Fprintf(&b, "    [*] --> %s : apply\n", broadcast.Draft)
	for _, from := range states {
		for _, v := range verbs {
			if to, err := broadcast.Next(from, v); err == nil {
				fmt.Fprintf(&b, "    %s --> %s : %s\n", from, to, v)
			}
		}
	}
	return b.String()
}

// constants returns the string constants of a type in a file, in the order in
// which they stand there: a new one is drawn without being listed here.
func constants[T ~string](t *testing.T, file, typ string) (out []T) {
	t.Helper()
	f := loadTree(t).pkgs[filepath.Dir(file)].files[file]
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		id, ok := v.Type.(*ast.Ident)
		lit, isLit := v.Values[0].(*ast.BasicLit)
		if ok && isLit && id.Name == typ {
			s, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, T(s))
		}
		return true
	})
	if len(out) < 5 {
		t.Fatalf("%s has %d constants of type %s", file, len(out), typ)
	}
	return out
}

func TestRedraw(t *testing.T) {
	const page = "a\n<!-- drawn from the code: job -->\nold\n<!-- end -->\nb\n"
	got, err := redraw(page, "job", "    x --> y\n")
	want := "a\n<!-- drawn from the code: job -->\n```mermaid\nstateDiagram-v2\n    x --> y\n```\n<!-- end -->\nb\n"
	if err != nil || got != want {
		t.Errorf("%v, %q, want %q", err, got, want)
	}
	for _, bad := range []string{"no mark", "<!-- drawn from the code: job -->\nnever ends"} {
		if _, err := redraw(bad, "job", ""); err == nil {
			t.Errorf("%q was redrawn", bad)
		}
	}
}
