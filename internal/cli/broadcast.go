package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

func newBroadcastCommand(s *session) *cobra.Command {
	return group("broadcast", "The life of broadcasts",
		newBroadcastListCommand(s),
		s.onBroadcast("show", "A broadcast, its definition and where it stands", showBroadcast),
		s.onBroadcast("forecast", "What would become of every message, judged as of when it is due", showForecast),
		newLaunchCommand(s),
		s.onBroadcast("pause", "Let nothing more leave until it is resumed", pauseBroadcast),
		s.onBroadcast("resume", "Let a paused broadcast go on", resumeBroadcast),
		s.onBroadcast("cancel", "Close a broadcast for good; what has not left is cancelled", cancelBroadcast),
		newWatchCommand(s),
	)
}

// onBroadcast is a command about one broadcast.
func (s *session) onBroadcast(use, short string, do func(context.Context, *session, *client.Client, string) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " ID", Short: short, Args: exactly("ID"), ValidArgsFunction: completion(s, broadcastIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			return do(cmd.Context(), s, c, args[0])
		},
	}
}

func newBroadcastListCommand(s *session) *cobra.Command {
	return listAll(s, "All broadcasts and where they stand", (*client.Client).Broadcasts, listBroadcasts)
}

func newWatchCommand(s *session) *cobra.Command {
	cmd := s.onBroadcast("watch", "Live progress, until the broadcast has ended", func(ctx context.Context, s *session, c *client.Client, id string) error {
		return s.watch(ctx, c, id)
	})
	cmd.Long = "Live progress, until the broadcast has ended: nothing of it is pending any more. On a terminal\n" +
		"the figures are redrawn in place; elsewhere there is a line at the start, at every 10 % or 5 seconds,\n" +
		"and at the end. With --json there is a line for every change. Ctrl-C leaves with exit code 130 and\n" +
		"stops nothing but the watching."
	return cmd
}

func pauseBroadcast(ctx context.Context, s *session, c *client.Client, id string) error {
	b, err := c.Pause(ctx, id)
	if err != nil {
		return err
	}
	return s.stopped(b)
}

func cancelBroadcast(ctx context.Context, s *session, c *client.Client, id string) error {
	b, err := c.Cancel(ctx, id)
	if err != nil {
		return err
	}
	return s.stopped(b)
}

func resumeBroadcast(ctx context.Context, s *session, c *client.Client, id string) error {
	b, err := c.Resume(ctx, id)
	if err != nil {
		return err
	}
	return s.moved(b)
}

// moved tells where a broadcast stands after a verb.
func (s *session) moved(b client.Broadcast) error {
	if s.json {
		return s.writeJSON(b)
	}
	more := ""
	if b.State == "scheduled" && !b.DueAt.IsZero() {
		more = ", due at " + stamp(b.DueAt)
	}
	_, err := fmt.Fprintf(s.out, "%s is %s%s\n", b.ID, s.out.Paint(stateColor(b.State), b.State), more)
	return err
}

// stopped also tells what may still arrive.
func (s *session) stopped(b client.Stopped) error {
	if s.json {
		return s.writeJSON(b)
	}
	if !b.InForce {
		s.notInForce()
	}
	s.onTheWay(b.InFlight, b.Uncounted)
	return s.moved(b.Broadcast)
}

func showBroadcast(ctx context.Context, s *session, c *client.Client, id string) error {
	b, err := c.Broadcast(ctx, id)
	if err != nil {
		return err
	}
	if s.json {
		return s.writeJSON(b)
	}
	return buffered(s.out, func(t *console.Terminal) error { return writeBroadcast(t, b) })
}

func showForecast(ctx context.Context, s *session, c *client.Client, id string) error {
	f, err := c.Forecast(ctx, id)
	if err != nil {
		return err
	}
	if s.json {
		return s.writeJSON(f)
	}
	return buffered(s.out, func(t *console.Terminal) error { return writeForecast(t, id, f) })
}
