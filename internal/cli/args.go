package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/pkg/client"
)

// parseContact reads SENDER/ID.
func parseContact(arg string) (sender, id string, err error) {
	sender, id, ok := strings.Cut(arg, "/")
	if !ok || sender == "" || id == "" {
		return "", "", usageError{fmt.Errorf("contact %q: want SENDER/ID, such as bakery/7301", arg)}
	}
	return sender, id, nil
}

// parsePast reads a moment in the past: a day, a time in RFC 3339, or how long
// ago, such as 90m or 7d. "" is the zero time, which is no bound.
func parsePast(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, ok := parseSpan(s); ok {
		return now.Add(-d), nil
	}
	if t, err := client.ParseMoment(s); err == nil {
		return t, nil
	}
	return time.Time{}, usageError{fmt.Errorf("--%s %q: want 2026-11-22, 2026-11-22T10:00:00Z, or how long ago, such as 90m or 7d", flag, s)}
}

// parseFuture reads a moment to come: a day, a time in RFC 3339, or how long
// from now, such as 12h or 90d. "" is the zero time.
func parseFuture(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := client.ParseMoment(s)
	if d, ok := parseSpan(s); ok {
		t, err = now.Add(d).UTC().Truncate(time.Second), nil
	}
	if err != nil {
		return t, usageError{fmt.Errorf("--%s %q: want 2026-11-22, 2026-11-22T10:00:00Z, or how long, such as 12h or 90d", flag, s)}
	}
	if !t.After(now) {
		return t, usageError{fmt.Errorf("--%s %q: want a time that has not passed", flag, s)}
	}
	return t, nil
}

// parseSpan reads a duration; time.ParseDuration has no days.
func parseSpan(s string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		return time.Duration(n) * 24 * time.Hour, err == nil && n >= 0 && n < 100_000
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= 0
}

// oneOf checks a flag that takes one of a few words.
func oneOf(flag, value string, words ...string) error {
	for _, w := range words {
		if value == w {
			return nil
		}
	}
	return usageError{fmt.Errorf("--%s %q: want one of %s", flag, value, strings.Join(words, ", "))}
}

// needed checks a flag that can't be left out.
func needed(cmd *cobra.Command, flag, value string) error {
	if value != "" {
		return nil
	}
	return usageError{fmt.Errorf("%s: --%s is needed", cmd.CommandPath(), flag)}
}

// completionTimeout is how long a press of the tab key may take.
const completionTimeout = 2 * time.Second

// completion offers ids from the server for the first argument; without a
// server it offers nothing.
func completion(s *session, list func(context.Context, *client.Client) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := s.client()
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, completionTimeout)
		defer cancel()
		ids, err := list(ctx, c)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}

func broadcastIDs(ctx context.Context, c *client.Client) ([]string, error) {
	return collect(c.Broadcasts(ctx), func(b client.Broadcast) string { return b.ID + "\t" + b.State })
}

func senderIDs(ctx context.Context, c *client.Client) ([]string, error) {
	return collect(c.Senders(ctx), func(v client.Sender) string { return v.ID + "\t" + v.State })
}

func collect[T any](list iter.Seq2[T, error], name func(T) string) ([]string, error) {
	var names []string
	var failed error
	for v, err := range list {
		if err != nil {
			failed = errors.Join(failed, err)
			break
		}
		names = append(names, name(v))
	}
	return names, failed
}

// withKeyFlag gives a command the flag --idempotency-key. Its value goes with
// everything that the command posts.
func withKeyFlag(cmd *cobra.Command) *cobra.Command {
	const flag = "idempotency-key"
	var key string
	cmd.Flags().StringVar(&key, flag, "", "for scripts: a repeat with the same `KEY` within a day does nothing, and shows the first answer again")
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed(flag) {
			if err := client.CheckIdempotencyKey(key); err != nil {
				return usageError{fmt.Errorf("--%s: %w", flag, err)}
			}
			cmd.SetContext(client.WithIdempotencyKey(cmd.Context(), key))
		}
		return run(cmd, args)
	}
	return cmd
}
