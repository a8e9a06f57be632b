package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/config"
	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

const (
	defaultAPI  = "http://" + config.DefaultListen
	defaultData = config.DefaultData
	tokenFile   = "token" // in the data directory, left there by a local server
)

// session is what all commands of one run share.
type session struct {
	in       io.Reader
	out, err *console.Terminal
	getenv   func(string) string
	json     bool

	interactive bool // standard input and output are a terminal: somebody can be asked
}

func (s *session) commands() []*cobra.Command {
	return []*cobra.Command{
		newApplyCommand(s), newContactsCommand(s), newBroadcastCommand(s), newAuditCommand(s), newWhyCommand(s), newDeadCommand(s),
		newOptOutCommand(s), newSenderCommand(s), newPolicyCommand(s), newSandboxCommand(s), newDevCommand(s), newVersionCommand(s),
	}
}

// api returns where the server is: by default where a local one listens.
func (s *session) api() string {
	if base := s.getenv("CARILLON_API"); base != "" {
		return strings.TrimRight(base, "/")
	}
	host, port, err := net.SplitHostPort(s.getenv("CARILLON_LISTEN"))
	if err != nil {
		return defaultAPI
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // it listens on every address, this one among them
	}
	return "http://" + net.JoinHostPort(host, port)
}

// client returns a client of the server. Without a token there is one too:
// whether it is needed is for the server to say.
func (s *session) client() (*client.Client, error) {
	token := s.getenv("CARILLON_TOKEN")
	if token == "" {
		b, err := os.ReadFile(s.tokenPath())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("token: %w", err)
		}
		token = strings.TrimSpace(string(b))
	}
	return client.New(s.api(), token), nil
}

func (s *session) tokenPath() string {
	dir := s.getenv("CARILLON_DATA")
	if dir == "" {
		dir = defaultData
	}
	return filepath.Join(dir, tokenFile)
}

// explain puts an error in words that say what to do.
func (s *session) explain(err error) string {
	if p, ok := errors.AsType[*client.Problem](err); ok {
		return s.explainProblem(p, err)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fmt.Sprintf(`no Carillon answers at %s: start one with "carillon dev" or set CARILLON_API`, s.api())
	}
	return err.Error()
}

func (s *session) explainProblem(p *client.Problem, err error) string {
	switch {
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
