package cli

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/app"
	"github.com/carillon-dev/carillon/internal/backup"
	"github.com/carillon-dev/carillon/internal/config"
	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/internal/telemetry"
)

const restoreHelp = `Makes an installation out of a file of carillon backup: in the data directory, which
may hold the key and nothing else, or on the NATS server that is named, which must be
empty. No process may run on it. All of the file is checked before anything is written.

Whoever was written to after the backup is not known to have been, and who opted out
after it is not opted out. So everything in it stands paused: senders, broadcasts and
flows. Nothing leaves before you say so; what to do first is printed, and stands in
docs/operations.md.`

func newRestoreCommand(s *session) *cobra.Command {
	var load func() (config.Config, error)
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Make an installation out of a backup, with everything paused", Long: restoreHelp, Args: exactly("FILE"),
		Example: "  install -D -m 600 installation.key .carillon/installation.key\n  carillon restore /backup/carillon-20261122T100000Z.tar",
		RunE: func(cmd *cobra.Command, args []string) error {
			s.serves = true
			settings, err := load()
			if err != nil {
				return err
			}
			cfg := app.Config{Config: settings, Log: telemetry.NewLogger(s.err, false, slog.LevelWarn)}
			return s.restore(cmd.Context(), cfg, args[0])
		},
	}
	load = s.settings(cmd, config.Restorer)
	return cmd
}

// restoreReport is what the command says as JSON.
type restoreReport struct {
	backupReport
	backup.Held
}

func (s *session) restore(ctx context.Context, cfg app.Config, file string) error {
	f, size, err := openBackup(file)
	if err != nil {
		return err
	}
	defer f.Close()
	meter := newBackupMeter(s.err, "restoring "+shownName(file))
	c, held, err := app.Restore(ctx, cfg, f, meter.show)
	meter.clear()
	if err != nil {
		return fmt.Errorf("%s: %w", shownName(file), err)
	}
	report := reportOf(file, c, size)
	if s.json {
		return s.writeJSON(restoreReport{report, *held})
	}
	if err := s.writeReport(report, "restored"); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, `paused: %s, %s, %s. Nothing leaves before you say so:

  1. Start the schedulers, and record opt-outs, blocks and inbound messages since %s
     again: carillon optout, carillon contacts import.
  2. carillon broadcast list: cancel every one that is paused, unless you know that it sent
     nothing since. Do not launch a draft that may have been launched since. The same for
     flows: carillon flow stop ID --all, or carillon flow resume ID.
  3. carillon token list: revoke what was revoked since.
  4. Start the workers, and carillon sender resume ID, one after the other.
`, console.Nouns(len(held.Senders), "sender"), console.Nouns(len(held.Broadcasts), "broadcast"), console.Nouns(len(held.Flows), "flow"), stamp(c.Head.Taken))
	return err
}
