package cli

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/config"
	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

const (
	defaultListen = config.DefaultListen
	defaultAPI    = "http://" + defaultListen
	defaultData   = config.DefaultData
	tokenFile     = "token" // in the data directory, left there by a local server
)

// session is what all commands of one run share.
type session struct {
	in       io.Reader
	out, err *console.Terminal
	getenv   func(string) string
	json     bool

	serves      bool // it is a server itself: what it can't reach is an engine, not a Carillon
	interactive bool // standard input and output are a terminal: somebody can be asked
}

func (s *session) commands() []*cobra.Command {
	return []*cobra.Command{
		newApplyCommand(s), newContactsCommand(s), newEventsCommand(s), newFlowCommand(s), newBroadcastCommand(s), newAuditCommand(s), newWhyCommand(s), newDeadCommand(s),
		newOptOutCommand(s), newSenderCommand(s), newEndpointCommand(s), newLogCommand(s), newPolicyCommand(s), newTokenCommand(s), newHookCommand(s), newBackupCommand(s), newRestoreCommand(s), newSandboxCommand(s), newDevCommand(s), newVersionCommand(s),
	}
}

// explain puts an error in words that say what to do.
func (s *session) explain(err error) string {
	if p, ok := errors.AsType[*client.Problem](err); ok {
		return s.explainProblem(p, err)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Sprintf("the certificate of %s is signed by an authority that is not known here: set CARILLON_CA to the PEM file of that authority", s.api())
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" && !s.serves {
		return fmt.Sprintf(`no Carillon answers at %s: start one with "carillon dev" or set CARILLON_API`, s.api())
	}
	return err.Error()
}

func (s *session) explainProblem(p *client.Problem, err error) string {
	ended, ok := strings.CutPrefix(p.Detail, "no valid token: ")
	switch {
	case p.Status == http.StatusUnauthorized && ok:
		return fmt.Sprintf("%s refuses the token: %s", s.api(), ended)
	case p.Status == http.StatusUnauthorized:
		return fmt.Sprintf("%s refuses the token: set CARILLON_TOKEN, or CARILLON_DATA to the server's directory (looked for %s)", s.api(), s.tokenPath())
	case p.Status >= http.StatusInternalServerError && p.TraceID != "":
		return fmt.Sprintf("%v (trace %s)", err, p.TraceID)
	}
	return err.Error()
}

// writeJSON writes one document on one line.
func (s *session) writeJSON(v any) error { return json.NewEncoder(s.out).Encode(v) }

// writeLines writes a list as it comes, one line for each record.
func writeLines[T any](out io.Writer, list iter.Seq2[T, error]) error {
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	for v, err := range list {
		if err != nil {
			return errors.Join(err, w.Flush())
		}
		if err := enc.Encode(v); err != nil {
			return err
		}
	}
	return w.Flush()
}

// buffered draws on out in one go: tables have many short lines.
func buffered(out *console.Terminal, draw func(*console.Terminal) error) error {
	w := bufio.NewWriter(out)
	t := *out
	t.Writer = w
	return errors.Join(draw(&t), w.Flush())
}

// tabulate writes a list as a table. What came before an error is shown.
func tabulate[T any](tab *console.Table, list iter.Seq2[T, error], cells func(T) []string) error {
	n := 0
	for v, err := range list {
		if err != nil && n == 0 {
			return err
		}
		if err != nil {
			return errors.Join(err, tab.Flush())
		}
		tab.Row(cells(v)...)
		n++
	}
	return tab.Flush()
}
