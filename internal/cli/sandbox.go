package cli

import (
	"fmt"
	"log/slog"
	"net"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/sandbox"
)

func newSandboxCommand(s *session) *cobra.Command {
	var listen string
	var o sandbox.Options
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "The stand-in platform alone, until interrupted",
		Long: "The stand-in platform alone, until interrupted. It answers as Meta's Send API does, keeps its\n" +
			"own books, enforces the platform's rules by its own code, and breaks on demand. Its first line on\n" +
			"standard output says where it answers.",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.RatePerSecond < 0 {
				return usageError{fmt.Errorf("--rate %d: want 1 or more, or 0 for the platform's own", o.RatePerSecond)}
			}
			o.Log = slog.New(slog.NewTextHandler(s.err, nil))
			return s.serveSandbox(cmd, listen, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:8090", "`HOST:PORT` to answer on; port 0 takes a free one")
	f.IntVar(&o.RatePerSecond, "rate", 0, "calls that an account may make in any second; 0: 300")
	f.BoolVar(&o.Strict, "strict", false, "people it was not told of are unknown, not ones who just wrote")
	f.StringSliceVar(&o.Tags, "tag", nil, "`TAG` to know beside the platform's own, such as one of a rulebook of yours; may be repeated")
	f.Uint64Var(&o.Seed, "seed", 0, "of faults and ids; 0: a random one")
	return cmd
}

func (s *session) serveSandbox(cmd *cobra.Command, listen string, o sandbox.Options) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(cmd.Context(), "tcp", listen)
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	url := "http://" + ln.Addr().String()
	if s.json {
		err = s.writeJSON(map[string]string{"url": url})
	} else {
		_, err = fmt.Fprintf(s.out, "the sandbox answers at %s; let Carillon send to it with CARILLON_META_URL=%s\n", url, url)
	}
	if err != nil {
		ln.Close()
		return err
	}
	return sandbox.New(o).Serve(cmd.Context(), ln)
}
