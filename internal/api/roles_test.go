package api

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/internal/access"
)

const (
	rolesPage  = "../../docs/operations.md"
	rolesBegin = "<!-- roles: from the routes of internal/api; go test ./internal/api -run TestRolesAreDocumented -update writes them -->\n"
	rolesEnd   = "<!-- end of roles -->\n"
)

var update = flag.Bool("update", false, "write the table of roles into docs/operations.md") //nolint:gochecknoglobals // a flag of the tests

// rolesTable is who may do what, as docs/operations.md shows it.
func rolesTable() string {
	var b strings.Builder
	b.WriteString("| request | viewer | operator | admin | scope |\n|---|---|---|---|---|\n")
	scopes := map[reach]string{
		toNobody: "none", toSender: "the sender of the path", toBroadcast: "the broadcast's sender", toJob: "the job's sender",
		toQuery: "the sender of the query", toEndpoint: "all senders of the endpoint", toFlow: "all senders of the flow; auto is every sender", toRun: "the same, of the run's flow", toAll: "a token without one alone", toSeveral: "leaves out, or refuses, what is not in it",
	}
	for _, rt := range (&Server{}).routes() {
		if rt.role == "" {
			fmt.Fprintf(&b, "| `%s %s` | needs no token | | | none |\n", rt.method, rt.path)
			continue
		}
		fmt.Fprintf(&b, "| `%s %s` |", rt.method, rt.path)
		for _, r := range access.Roles() {
			if r.Has(rt.role) {
				b.WriteString(" yes |")
			} else {
				b.WriteString(" |")
			}
		}
		fmt.Fprintf(&b, " %s |\n", scopes[rt.reach])
	}
	return b.String()
}

// TestRolesAreDocumented: the page says of every route what the code does.
func TestRolesAreDocumented(t *testing.T) {
	page, err := os.ReadFile(rolesPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(page), rolesBegin)
	have, after, ended := strings.Cut(rest, rolesEnd)
	if !found || !ended {
		t.Fatalf("%s lacks the marks of the table of roles", rolesPage)
	}
	if *update {
		if err := os.WriteFile(rolesPage, []byte(before+rolesBegin+rolesTable()+rolesEnd+after), 0o644); err != nil { //nolint:gosec // a page for everybody
			t.Fatal(err)
		}
		return
	}
	if have != rolesTable() {
		t.Errorf("%s is not current (run go test ./internal/api -run TestRolesAreDocumented -update):\n%s", rolesPage, rolesTable())
	}
}

// TestEveryRouteHasARole: a route without one would be open to all, and one
// that changes something is never a viewer's.
func TestEveryRouteHasARole(t *testing.T) {
	open := map[string]bool{"/healthz": true, readyPath: true, documentPath: true}
	reads := map[string]bool{"/v1/policy/diff": true} // by POST, since it takes a rulebook along
	for _, rt := range (&Server{}).routes() {
		if (rt.role == "") != open[rt.path] {
			t.Errorf("%s %s takes the role %q", rt.method, rt.path, rt.role)
		}
		if rt.method != "GET" && rt.role == access.Viewer && !reads[rt.path] {
			t.Errorf("%s %s changes something, and a viewer may", rt.method, rt.path)
		}
		if strings.Contains(rt.path, "{id}") != (rt.reach == toSender || rt.reach == toBroadcast || rt.reach == toEndpoint || rt.reach == toFlow || strings.HasPrefix(rt.path, "/v1/tokens/")) {
			t.Errorf("%s %s: nobody holds {id} against the caller's scope", rt.method, rt.path)
		}
		if strings.Contains(rt.path, "{run}") != (rt.reach == toRun) {
			t.Errorf("%s %s: nobody holds {run} against the caller's scope", rt.method, rt.path)
		}
		if strings.Contains(rt.path, "{job}") != (rt.reach == toJob) {
			t.Errorf("%s %s: nobody holds {job} against the caller's scope", rt.method, rt.path)
		}
	}
}
