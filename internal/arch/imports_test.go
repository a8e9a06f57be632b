package arch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// level is how far up a room stands. A room imports rooms of its own level
// and below, never above.
type level int

const (
	public   level = iota // pkg: importable by others, so it stands on nothing of ours
	noun                  // types, states, legal moves, and the arithmetic they need
	way                   // the way of a job, one room each
	adapter               // what speaks to the world outside
	wiring                // puts rooms together
	mainRoom              // flags, signals, exit code
)

func (l level) String() string {
	return [...]string{"pkg", "a noun", "the way of a job", "an adapter", "the wiring", "a command"}[l]
}

// rooms places every package. A package that is missing here fails the test:
// where it stands is a decision, not an accident.
func rooms() map[string]level {
	return map[string]level{
		"pkg/reason": public, "pkg/policy": public, "pkg/client": public,

		"examples": public, // data, no rules

		"internal/job": noun, "internal/rate": noun, "internal/sender": noun, "internal/contact": noun,
		"internal/broadcast": noun, "internal/subject": noun, "internal/role": noun, "internal/secret": noun, "internal/config": noun, "internal/killpoint": noun, "internal/memory": noun,
		"internal/limit": noun, "internal/event": noun, "internal/hook": noun, "internal/segment": noun, "internal/tendlc": noun,
		"internal/format": noun, "internal/endpoint": noun, "internal/content": noun, "internal/message": noun, "internal/flow": noun, "internal/flow/schema": noun, "internal/expression": noun, "internal/plan": noun,
		"internal/model":   noun, // for tests, see kits
		"internal/channel": noun, // the contract alone; those who fulfil it are adapters

		"internal/lane": way, "internal/gate": way, "internal/deliver": way,
		"internal/ledger": way, "internal/budget": way, "internal/deadletter": way, "internal/audience": way, "internal/definition": way,
		"internal/facts": way, "internal/stream": way, "internal/consent": way, "internal/scheduler": way,
		"internal/audit": way, "internal/story": way, "internal/lease": way, "internal/access": way,
		"internal/use": way, "internal/errand": way, "internal/journal": way, "internal/idempotency": way, "internal/ingest": way,
		"internal/webhook": way, "internal/receipt": way, "internal/mapping": way, "internal/crm": way, "internal/label": way,
		"internal/run": way, "internal/backup": way, "internal/steering": way, "internal/rehearsal": way,

		"internal/channel/meta": adapter, "internal/channel/wire": adapter, "internal/channel/twilio": adapter, "internal/channel/channeltest": adapter, "internal/queue": adapter,
		"internal/outcome": way, "internal/clock": way,

		"internal/engine": adapter, "internal/store": adapter, "internal/telemetry": adapter, "internal/api": adapter,
		"internal/console": adapter, "internal/sandbox": adapter, "internal/health": adapter,
		"internal/ingest/meta": adapter, "internal/ingest/twilio": adapter, "internal/ingest/hubspot": adapter, "internal/ingest/salesforce": adapter,
		"internal/ingest/cloudevent": adapter, "internal/push": adapter, "internal/outlet": adapter, "internal/automation": adapter,

		"internal/app": wiring, "internal/cli": wiring, "internal/bench": wiring, "internal/e2e": wiring,

		"internal/rig": adapter, "internal/cable": adapter, "internal/authority": adapter, // for tests, see kits

		"cmd/carillon": mainRoom, "cmd/scheduler": mainRoom, "cmd/worker": mainRoom,
	}
}

// kits returns the packages that exist for tests of others, whatever their
// place.
func kits() []string {
	return []string{"internal/rig", "internal/cable", "internal/authority", "internal/channel/channeltest", "internal/model"}
}

func TestKitsStayInTests(t *testing.T) {
	tr := loadTree(t)
	for _, path := range slices.Sorted(maps.Keys(tr.pkgs)) {
		for _, kit := range kits() {
			if file, ok := tr.pkgs[path].imports[module+"/"+kit]; ok && path != kit {
				t.Errorf("%s imports %s, which is for tests: what stands in for an engine or a platform must not get into a program", file, kit)
			}
		}
	}
}

// isGenerator tells a program that writes files of the tree; nothing imports
// it.
func isGenerator(path string) bool { return strings.HasSuffix(path, "/generate") }

func TestImportsPointDownwards(t *testing.T) {
	tr := loadTree(t)
	places := rooms()
	for _, path := range slices.Sorted(maps.Keys(tr.pkgs)) {
		if path == "internal/arch" || isGenerator(path) {
			continue
		}
		from, placed := places[path]
		if !placed {
			t.Errorf("%s has no place: say in rooms() of internal/arch/imports_test.go at which level it stands", path)
			continue
		}
		for to, file := range tr.pkgs[path].imports {
			if err := upward(path, from, to, places); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

// upward returns an error for an import that points to a higher level.
func upward(path string, from level, importPath string, places map[string]level) error {
	to, ok := own(importPath)
	if !ok {
		return nil
	}
	switch {
	case isGenerator(to) || to == "internal/arch":
		return fmt.Errorf("%s imports %s, which is there for the tree's own upkeep", path, to)
	case places[to] > from:
		return fmt.Errorf("%s is %s and imports %s, which is %s: arrows run pkg ← nouns ← way of a job ← adapters ← app ← cmd, "+
			"so that a rule or a state can be tested and reused without what stands above it", path, from, to, places[to])
	}
	return nil
}

func TestUpward(t *testing.T) {
	for _, c := range []struct {
		path, imports string
		ok            bool
	}{
		{"pkg/policy", module + "/pkg/reason", true},
		{"pkg/policy", module + "/internal/job", false},
		{"internal/job", module + "/internal/rate", true},
		{"internal/contact", module + "/internal/gate", false},
		{"internal/gate", module + "/internal/contact", true},
		{"internal/deliver", module + "/internal/channel/meta", false},
		{"internal/app", module + "/internal/cli", true},
		{"internal/queue", module + "/internal/app", false},
		{"cmd/worker", module + "/internal/app", true},
		{"internal/app", module + "/examples/internal/generate", false},
		{"internal/app", module + "/internal/arch", false},
		{"internal/job", "net/http", true}, // another test's business
	} {
		err := upward(c.path, rooms()[c.path], c.imports, rooms())
		if (err == nil) != c.ok {
			t.Errorf("%s imports %s: %v", c.path, c.imports, err)
		}
	}
}

// pure are the rooms without I/O, each with what that is good for.
func pure() map[string]string {
	return map[string]string{
		"pkg/policy":         "the same verdict must come out in an editor, a forecast and a recheck, and others import it",
		"pkg/reason":         "a closed list of words has nothing to ask anybody",
		"internal/rate":      "the arithmetic that keeps a sender within its rate is proved by tests over millions of moments, which no store could answer",
		"internal/plan":      "the same facts must give the same audience, whoever plans and however often",
		"internal/job":       "ids and legal moves are shared by every process; a job must not know how it travels",
		"internal/contact":   "merging facts must be order-free and testable without a stream",
		"internal/sender":    "a document is checked before anything is stored or called",
		"internal/broadcast": "states and texts are the same in the scheduler, the worker and the command line",
		"internal/subject":   "names of subjects are spelled in one place, by a function",
		"internal/segment":   "what a text costs is the same in a forecast and on the wire",
		"internal/role":      "what a process may do is a table, which a page shows and a test proves",

		"internal/model": "histories are walked by the hundred thousand, and what a model asks of an engine it takes for granted",

		"internal/hook":        "readers of webhooks are held against golden bodies, so that what a signature covers is bytes and nothing else",
		"internal/ingest/meta": "a body that comes again must be read as the same events, whenever and wherever",

		"internal/mapping":           "what an event says of whom must be the same whenever it is told, by whichever way it comes",
		"internal/ingest/hubspot":    "a body that comes again must be read as the same events, whenever and wherever",
		"internal/ingest/salesforce": "a body that comes again must be read as the same events, whenever and wherever",
	}
}

// engines are the imports that make a room impure.
func engineOf(importPath string) string {
	for _, e := range []struct{ prefix, name string }{
		{"github.com/nats-io/", "NATS"},
		{"github.com/redis/", "Redis"},
		{"github.com/hibiken/asynq", "asynq"},
		{"go.opentelemetry.io/", "OpenTelemetry"},
		{"net/http", "HTTP"},
	} {
		if importPath == e.prefix || strings.HasPrefix(importPath, strings.TrimSuffix(e.prefix, "/")+"/") {
			return e.name
		}
	}
	return ""
}

func TestPureRoomsDoNoIO(t *testing.T) {
	tr := loadTree(t)
	for _, path := range slices.Sorted(maps.Keys(pure())) {
		if tr.pkgs[path] == nil {
			t.Errorf("%s is not there: rename it in pure() of internal/arch/imports_test.go", path)
			continue
		}
		for _, found := range tr.impure(path) {
			t.Errorf("%s: %s must stay free of it: %s", found, path, pure()[path])
		}
	}
}

// impure returns where a package imports an engine, itself or by way of other
// packages of this module.
func (tr tree) impure(start string) (found []string) {
	seen := map[string]bool{}
	var visit func(path string)
	visit = func(path string) {
		if seen[path] || tr.pkgs[path] == nil {
			return
		}
		seen[path] = true
		for _, to := range slices.Sorted(maps.Keys(tr.pkgs[path].imports)) {
			if e := engineOf(to); e != "" {
				found = append(found, fmt.Sprintf("%s imports %s (%s)", tr.pkgs[path].imports[to], e, to))
			}
			if o, ok := own(to); ok {
				visit(o)
			}
		}
	}
	visit(start)
	return found
}

func TestImpure(t *testing.T) {
	tr := tree{pkgs: map[string]*pkg{
		"a": {imports: map[string]string{module + "/b": "a/a.go", "strings": "a/a.go"}},
		"b": {imports: map[string]string{module + "/c": "b/b.go", "net/http/httptest": "b/h.go"}},
		"c": {imports: map[string]string{module + "/a": "c/c.go", "github.com/nats-io/nats.go/jetstream": "c/c.go", "net/url": "c/c.go"}},
		"d": {imports: map[string]string{"github.com/redistribution/x": "d/d.go"}},
	}}
	got := tr.impure("a")
	want := []string{"c/c.go imports NATS (github.com/nats-io/nats.go/jetstream)", "b/h.go imports HTTP (net/http/httptest)"}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	if got := tr.impure("d"); got != nil {
		t.Errorf("found %q in a package that imports no engine", got)
	}
}

// The sandbox checks what the rest of the program does. Were it to share its
// rules, one mistake would pass on both sides.
func TestSandboxSharesNoCode(t *testing.T) {
	for to, file := range loadTree(t).pkgs["internal/sandbox"].imports {
		if _, ok := own(to); ok {
			t.Errorf("%s imports %s: the stand-in for the platforms judges by code of its own", file, to)
		}
	}
}
