package sandbox

import (
	"os/exec"
	"strings"
	"testing"
)

// TestStandsAlone: the sandbox checks the rest of the module, so it must not
// share a line of code with it, directly or not.
func TestStandsAlone(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	const self = "github.com/carillon-dev/carillon/internal/sandbox"
	found := false
	for dep := range strings.FieldsSeq(string(out)) {
		found = found || dep == self
		host, _, _ := strings.Cut(dep, "/")
		if dep != self && strings.Contains(host, ".") {
			t.Errorf("imports %s: only the standard library is allowed, so that no rule is shared", dep)
		}
	}
	if !found {
		t.Errorf("%s is not in its own list: the check looks at something else", self)
	}
}
