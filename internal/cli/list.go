package cli

import (
	"context"
	"iter"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

// listAll is the command that lists all of a kind.
func listAll[T any](s *session, short string, all func(*client.Client, context.Context) iter.Seq2[T, error], table func(*console.Terminal, iter.Seq2[T, error]) error) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: short, Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			return writeList(s, all(c, cmd.Context()), table)
		},
	}
}

// writeList writes a list as a table, or with --json as it comes.
func writeList[T any](s *session, list iter.Seq2[T, error], table func(*console.Terminal, iter.Seq2[T, error]) error) error {
	if s.json {
		return writeLines(s.out, list)
	}
	return buffered(s.out, func(t *console.Terminal) error { return table(t, list) })
}
