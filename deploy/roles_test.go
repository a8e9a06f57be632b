package deploy

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/internal/role"
	"github.com/carillon-dev/carillon/internal/subject"
)

var update = flag.Bool("update", false, "write the files that are made from the table of roles")

// Scheduler and worker may do in the engines what internal/role says they
// need, and nothing else.
func TestRolesAreThoseOfTheTable(t *testing.T) {
	var names subject.Names // the manifests set no prefix
	var nats, redis strings.Builder
	nats.WriteString("# Who may do what. Made from internal/role; make generate writes it anew.\nusers: [\n")
	for _, r := range []role.Role{role.Scheduler, role.Worker} {
		s := r.NATS(names)
		fmt.Fprintf(&nats, "  {\n    nkey: $%s_NKEY\n    permissions: {\n", strings.ToUpper(string(r)))
		fmt.Fprintf(&nats, "      publish: { allow: [\n%s      ] }\n", subjects(s.Publish))
		fmt.Fprintf(&nats, "      subscribe: { allow: [\n%s      ] }\n    }\n  }\n", subjects(s.Subscribe))
		fmt.Fprintf(&redis, "%s %s\n", r, role.Line(r.Redis("")))
	}
	nats.WriteString("]\n")
	for path, want := range map[string]string{"k8s/base/nats/users.conf": nats.String(), "k8s/base/redis/rules": redis.String()} {
		if *update {
			must(t, os.WriteFile(path, []byte(want), 0o644))
		}
		got, err := os.ReadFile(path)
		must(t, err)
		if string(got) != want {
			t.Errorf("%s is not current, run make generate", path)
		}
	}
}

func subjects(rules []role.Rule) string {
	var b strings.Builder
	for _, r := range rules {
		fmt.Fprintf(&b, "        %q # %s\n", r.Allow, r.For)
	}
	return b.String()
}
