package cli

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

func newHookCommand(s *session) *cobra.Command {
	cmd := group("hook", "Where platforms and CRM systems call", newHookListCommand(s))
	cmd.Long = "Where platforms and CRM systems call. A hook is made by applying a document of\n" +
		"kind: Hook; docs/operations.md says how a platform is told of it."
	return cmd
}

func newHookListCommand(s *session) *cobra.Command {
	return listAll(s, "All hooks, and what came in by them since the server began", (*client.Client).Hooks, listHooks)
}

func listHooks(t *console.Terminal, list iter.Seq2[client.Hook, error]) error {
	tab := console.NewTable(t, console.Column{Title: "PATH", Whole: true}, console.Column{Title: "CALLS", Whole: true}, console.Column{Title: "EVENTS", Whole: true},
		console.Column{Title: "LAST", Whole: true}, console.Column{Title: "TROUBLE"})
	return tabulate(tab, list, func(h client.Hook) []string {
		last := "never"
		if !h.Last.IsZero() {
			last = h.Last.UTC().Format(time.DateTime) + "Z"
		}
		return []string{h.Path, strconv.FormatInt(h.Calls, 10), strconv.FormatInt(h.Events, 10), last, hookTrouble(h)}
	})
}

// hookTrouble says what is wrong with a hook or with what comes in there, ""
// for nothing.
func hookTrouble(h client.Hook) string {
	var out []string
	for _, c := range []struct {
		n    int64
		what string
	}{{h.Refused, "refused"}, {h.Unread, "unread"}, {h.Lost, "lost"}} {
		if c.n > 0 {
			out = append(out, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return strings.Join(append(out, h.Problems...), "; ")
}
