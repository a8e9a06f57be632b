package role_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/role"
)

var update = flag.Bool("update", false, "write the page anew")

func TestDocument(t *testing.T) {
	want := role.Document(engine.SentinelUser)
	path := filepath.Join("..", "..", "docs", "permissions.md")
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("docs/permissions.md is not current, run make generate (%v)", err)
	}
}
