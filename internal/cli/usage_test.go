package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/pkg/client"
)

// call runs a command without a server.
func call(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	data := t.TempDir()
	getenv := func(name string) string {
		return map[string]string{"CARILLON_API": "http://127.0.0.1:1", "CARILLON_DATA": data}[name]
	}
	code = Run(t.Context(), args, Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs, Getenv: getenv})
	return code, out.String(), errs.String()
}

// TestWrongUsage exits with 2, says in one line what is wrong, and leaves
// standard output empty.
func TestWrongUsage(t *testing.T) {
	for args, want := range map[string]string{
		"lanch":                              `unknown command "lanch" for "carillon"`,
		"broadcast":                          "name one of list, show",
		"broadcast lunch":                    "(did you mean launch?)",
		"broadcast launch":                   "want ID, got 0 arguments",
		"broadcast watch a b":                "want ID, got 2 arguments",
		"broadcast list a":                   "unknown command",
		"audit a --bucket sold":              `--bucket "sold": want one of sent, blocked`,
		"audit a --bukket sent":              "unknown flag: --bukket",
		"why":                                "name either a job or --contact",
		"why a --contact b/1":                "name either a job or --contact",
		"why --contact b":                    "want SENDER/ID",
		"optout bakery/1":                    "--source is needed",
		"backup -":                           "is no file",
		"optout bakery --source x":           "want SENDER/ID",
		"optout b/ --source x":               "want SENDER/ID",
		"optout b/1 --source x --scope some": `--scope "some": want one of all, marketing`,
		"contacts import a.csv":              "--sender is needed",
		"contacts import --sender b":         "want FILE.csv",
		"dead list --state sent":             `--state "sent"`,
		"dead list --reason window":          `--reason "window" is no reason`,
		"dead list --since yesterday":        `--since "yesterday"`,
		"dead list --until 2026-13-01":       `--until "2026-13-01"`,
		"dead list --limit -1":               "--limit -1",
		"dead redrive":                       "--all for every dead letter",
		"dead redrive j --all":               "not two of them",
		"dead discard j --sender b":          "not two of them",
		"sender pause":                       "want ID",
		"apply":                              "requires at least 1 arg",
		"policy lost":                        "unknown command",
		"sandbox --rate -1":                  "--rate -1",
		"sandbox --seed x":                   "invalid argument",
		"version 2":                          "unknown command",
		"completion":                         "name one of bash",
		"completion tcsh":                    `unknown command "tcsh"`,
		"help lanch":                         `no command "lanch"`,
		"dev --sample=perhaps":               "invalid argument",

		"events send":                                "want FILE",
		"contacts erase b/1":                         "say --yes",
		"contacts erase b --yes":                     "want SENDER/ID",
		"contacts erase b/1 --yes --at soon":         `--at "soon"`,
		"contacts set bakery --name x":               "want SENDER/ID",
		"contacts set b/1":                           "name what changed",
		"contacts set b/1 --opt-in some":             `--opt-in "some": want one of all, marketing`,
		"contacts set b/1 --at x --label a":          `--at "x"`,
		"contacts set b/1 --attribute city":          "want NAME=VALUE",
		"contacts set b/1 --label a --unlabel a":     "want one of them",
		"contacts set b/1 --attribute a=b --unset a": "want one of them",
	} {
		code, stdout, stderr := call(t, "", strings.Fields(args)...)
		if code != exitUsage || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, want) || !strings.Contains(stderr, "--help") {
			t.Errorf("%s: code %d, stdout %q, stderr %q, want %q", args, code, stdout, stderr, want)
		}
	}
}

// TestNoServer tells every command that needs one how to get one.
func TestNoServer(t *testing.T) {
	for _, args := range []string{
		"apply -", "contacts import --sender b -", "contacts set b/1 --label x", "contacts erase b/1 --yes", "broadcast list", "broadcast show a", "broadcast forecast a", "broadcast launch a", "broadcast pause a",
		"broadcast resume a", "broadcast cancel a", "broadcast watch a", "audit a", "audit a --bucket sent", "why j", "why --contact b/1", "dead list", "dead show j",
		"dead redrive --all", "dead discard j", "optout b/1 --source x", "sender list", "sender show b", "sender pause b", "sender resume b",
		"audit a --json", "dead list --json",
	} {
		code, stdout, stderr := call(t, "id\n", strings.Fields(args)...)
		want := "carillon: no Carillon answers at http://127.0.0.1:1: start one with \"carillon dev\" or set CARILLON_API\n"
		if code != exitFailed || !strings.HasSuffix(stderr, want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: code %d, stderr %q", args, code, stderr)
		}
		if stdout != "" && !strings.HasPrefix(args, "apply") {
			t.Errorf("%s: stdout %q", args, stdout)
		}
	}
}

func TestWhereTheServerIs(t *testing.T) {
	for _, c := range []struct{ api, listen, want string }{
		{"", "", "http://127.0.0.1:8080"}, {"https://carillon.example/", "127.0.0.1:1", "https://carillon.example"},
		{"", "127.0.0.1:18080", "http://127.0.0.1:18080"}, {"", ":18080", "http://127.0.0.1:18080"}, {"", "0.0.0.0:1", "http://127.0.0.1:1"},
		{"", "[::]:1", "http://127.0.0.1:1"}, {"", "[::1]:1", "http://[::1]:1"}, {"", "localhost:1", "http://localhost:1"}, {"", "nonsense", "http://127.0.0.1:8080"},
	} {
		s := &session{getenv: func(name string) string {
			return map[string]string{"CARILLON_API": c.api, "CARILLON_LISTEN": c.listen}[name]
		}}
		if got := s.api(); got != c.want {
			t.Errorf("API %q, listen %q: %s, want %s", c.api, c.listen, got, c.want)
		}
	}
}

func TestParsePast(t *testing.T) {
	now := day(10, 0, 0)
	for in, want := range map[string]time.Time{
		"": {}, "0s": now, "90m": now.Add(-90 * time.Minute), "7d": now.Add(-168 * time.Hour), "2026-11-22": day(0, 0, 0),
		"2026-11-22T11:00:00+01:00": now,
	} {
		if got, err := parsePast("since", in, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"-1h", "-1d", "d", "1.5d", "99999999999999d", "100000d", "22.11.2026", "now"} {
		if got, err := parsePast("since", in, now); err == nil {
			t.Errorf("%q became %v", in, got)
		}
	}
}

func TestParseContact(t *testing.T) {
	sender, id, err := parseContact("bakery/+4790000000/x")
	if sender != "bakery" || id != "+4790000000/x" || err != nil {
		t.Errorf("%q %q %v", sender, id, err)
	}
}

func TestRedriveFilter(t *testing.T) {
	f := deadFlags{reason: "window_closed", source: "spring-menu", since: "2026-11-22"}
	r, err := f.request("redrive", nil, false)
	if err != nil {
		t.Fatal(err)
	}
	want := client.DeadFilter{Reason: "window_closed", Source: "spring-menu", Since: day(0, 0, 0)}
	if r.Jobs != nil || *r.Filter != want {
		t.Errorf("got %+v", r.Filter)
	}
	if r, err := (&deadFlags{}).request("redrive", nil, true); err != nil || *r.Filter != (client.DeadFilter{}) {
		t.Errorf("--all: %+v, %v", r, err)
	}
}

// TestDocument holds docs/cli.md to the tree of commands.
func TestDocument(t *testing.T) {
	s := &session{}
	goldenFile(t, "../../docs/cli.md", document(newRoot(s))+side(newScheduler(s))+side(newWorker(s)))
}

// side describes a program of one command.
func side(c *cobra.Command) string {
	return fmt.Sprintf("\n## %s\n\n%s.\n\n```\n%s\n\n%s```\n", c.Name(), c.Short, c.Long, c.LocalFlags().FlagUsages())
}

func document(root *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The command line\n\nThis page is generated from the tree of commands by `go test ./internal/cli -update`.\n\n```\n%s\n```\n", root.Long)
	describe(&b, root)
	return b.String()
}

func describe(b *strings.Builder, parent *cobra.Command) {
	for _, c := range parent.Commands() {
		if c.Name() == "help" || c.Hidden {
			continue
		}
		fmt.Fprintf(b, "\n## %s\n\n%s.\n", c.CommandPath(), c.Short)
		if c.Name() == "completion" {
			continue // its texts are cobra's
		}
		if !c.HasSubCommands() {
			fmt.Fprintf(b, "\n```\n%s\n```\n", c.UseLine())
		}
		if _, more, ok := strings.Cut(c.Long, c.Short+".\n"); ok || c.Long != "" {
			if !ok {
				more = c.Long
			}
			fmt.Fprintf(b, "\n```\n%s\n```\n", strings.TrimSpace(more))
		}
		if flags := c.NonInheritedFlags().FlagUsages(); flags != "" {
			fmt.Fprintf(b, "\n```\n%s```\n", flags)
		}
		describe(b, c)
	}
}
