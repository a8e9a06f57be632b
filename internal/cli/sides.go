package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/app"
	"github.com/carillon-dev/carillon/internal/config"
	"github.com/carillon-dev/carillon/internal/telemetry"
)

const schedulerHelp = `The scheduler's side of Carillon, until interrupted: it serves the API, and one of
all schedulers on the same engines leads: it freezes audiences, releases jobs to the
workers, projects facts to Redis, and repairs what was lost. Where the leader ends or
hangs, another goes on within seconds. Any number may run.

It needs NATS with JetStream and Redis, both run by somebody else, and workers, which
are processes of their own. To have everything in one process: carillon dev.`

const workerHelp = `The worker's side of Carillon, until interrupted: it takes envelopes from the queue,
checks every job once more, claims it, sends it, and records what became of it. Any
number may run, and come and go at any moment.

SIGTERM lets the envelopes at work end and records their outcomes, within --drain;
what was claimed by a worker that is killed becomes unknown if nobody can tell whether
it left.`

// SchedulerMain runs the scheduler's side and returns the exit code.
func SchedulerMain() int { return runMain(newScheduler) }

// WorkerMain runs the worker's side and returns the exit code.
func WorkerMain() int { return runMain(newWorker) }

func newScheduler(s *session) *cobra.Command {
	return newSide(s, config.Scheduler, app.StartScheduler, "scheduler", "Take orders, and release jobs to the workers", schedulerHelp)
}

func newWorker(s *session) *cobra.Command {
	return newSide(s, config.Worker, app.StartWorker, "worker", "Check, claim and send what schedulers release", workerHelp)
}

type startFunc func(context.Context, app.Config) (*app.Process, error)

func newSide(s *session, of config.Role, start startFunc, use, short, long string) *cobra.Command {
	var verbose bool
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Args: usageArgs(cobra.NoArgs), SilenceErrors: true, SilenceUsage: true,
		Version: versionOf(debug.ReadBuildInfo()).String(),
	}
	load := s.settings(cmd, of)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s.serves = true
		settings, err := load()
		if err != nil {
			return err
		}
		level := slog.LevelWarn
		if verbose {
			level = slog.LevelInfo
		}
		cfg := app.Config{Config: settings, Log: telemetry.NewLogger(s.err, settings.LogFormat == "json", level)}
		return s.runSide(cmd, use, cfg, start)
	}
	cmd.Flags().BoolVar(&verbose, "verbose", false, "log what happens, not only what goes wrong")
	cmd.Flags().BoolVar(&s.json, "json", false, "write where it answers as JSON")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	return cmd
}

// runSide runs a process until it is interrupted or a room fails.
func (s *session) runSide(cmd *cobra.Command, use string, cfg app.Config, start startFunc) (err error) {
	ctx := cmd.Context()
	p, err := start(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	if err := s.announceSide(use, p); err != nil {
		return err
	}
	select {
	case err := <-p.Failed():
		return err
	case <-ctx.Done():
		return nil
	}
}

func (s *session) announceSide(use string, p *app.Process) error {
	if s.json {
		return s.writeJSON(struct {
			API      string `json:"api,omitempty"`
			Health   string `json:"health,omitempty"`
			Rulebook string `json:"rulebook"`
		}{p.API(), p.Health(), p.Rulebook().String()})
	}
	line := "the " + use + " runs"
	if p.API() != "" {
		line += "; the API answers at " + p.API()
	}
	if p.Health() != "" {
		line += "; probes at " + p.Health()
	}
	_, err := fmt.Fprintf(s.out, "%s\nmessages are judged by the rulebook %s\n", line, p.Rulebook())
	return err
}
