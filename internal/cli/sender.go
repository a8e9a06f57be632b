package cli

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

func newSenderCommand(s *session) *cobra.Command {
	return group("sender", "The senders that messages go out from",
		listAll(s, "All senders and where they stand", (*client.Client).Senders, listSenders),
		onSender(s, "show", "A sender, its definition and what it has in hand", (*client.Client).Sender, func(v client.Sender) error {
			return buffered(s.out, func(t *console.Terminal) error { return writeSender(t, v) })
		}),
		onSender(s, "pause", "Let nothing more leave from a sender until it is resumed", (*client.Client).PauseSender, s.senderMoved),
		onSender(s, "resume", "Let a paused sender go on", (*client.Client).ResumeSender, s.senderMoved),
	)
}

// onSender is a command about one sender.
func onSender[T any](s *session, use, short string, do func(*client.Client, context.Context, string) (T, error), write func(T) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " ID", Short: short, Args: exactly("ID"), ValidArgsFunction: completion(s, senderIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			v, err := do(c, cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if s.json {
				return s.writeJSON(v)
			}
			return write(v)
		},
	}
}

func (s *session) senderMoved(v client.MovedSender) error {
	if !v.InForce {
		s.notInForce()
	}
	s.onTheWay(v.InFlight, v.Uncounted)
	_, err := fmt.Fprintf(s.out, "%s is %s\n", v.ID, s.out.Paint(stateColor(v.State), v.State))
	return err
}

// onTheWay says what may still arrive after a stop.
func (s *session) onTheWay(n int, uncounted bool) {
	switch {
	case uncounted:
		fmt.Fprintln(s.err, "on their way, and may still arrive: not known, since the scheduler that answered is behind the ledger")
	case n > 0:
		fmt.Fprintf(s.err, "on their way, and may still arrive: %s\n", console.Nouns(n, "message"))
	}
}

// notInForce is said of what is durable but perhaps not seen by every recheck.
func (s *session) notInForce() {
	fmt.Fprintln(s.err, "it is recorded but not in force yet: the facts could not be seen to have caught up")
}

func listSenders(t *console.Terminal, list iter.Seq2[client.Sender, error]) error {
	tab := console.NewTable(t, console.Column{Title: "SENDER", Whole: true}, console.Column{Title: "CHANNEL"}, console.Column{Title: "ACCOUNT"},
		console.Column{Title: "STATE", Paint: stateColor}, console.Column{Title: "RATE", Right: true}, console.Column{Title: "IN HAND", Right: true}, console.Column{Title: "WHY"})
	return tabulate(tab, list, func(v client.Sender) []string {
		hand := "-"
		if v.Load != nil {
			hand = console.Count(v.Load.Unclaimed + v.Load.Claimed + v.Load.Waiting)
		}
		return []string{v.ID, v.Spec.Channel, v.Spec.Account, senderState(v), senderRate(v.Spec), hand, whyPaused(v)}
	})
}

func weight(v client.SenderSpec) string {
	if v.Weight == 0 {
		return ""
	}
	return console.Count(v.Weight)
}

// pace says how much of its rate a sender uses, where it is not all of it.
func pace(v client.Sender) string {
	if v.Pace == 0 {
		return ""
	}
	return fmt.Sprintf("%d %% of the rate, since the platform found it too fast; it comes back by itself", v.Pace)
}

func pullEvery(v client.SenderSpec) string {
	if v.Labels.Pull == "" {
		return ""
	}
	return "every " + v.Labels.Pull
}

// senderState is sidelined for an open sender of which only single messages
// are tried.
func senderState(v client.Sender) string {
	if v.State == client.SenderOpen && v.Load != nil && v.Load.Sidelined != nil {
		return "sidelined"
	}
	return v.State
}

func senderRate(v client.SenderSpec) string {
	if v.Rate.PerSecond == 0 {
		return "default"
	}
	return console.Count(v.Rate.PerSecond) + "/s"
}

// whyPaused is the reason in words, where there are words for it.
func whyPaused(v client.Sender) string {
	switch {
	case v.Why != "":
		return v.Why
	case v.State == client.SenderOpen && v.Enforcement != nil && v.Enforcement.WarnedAt.After(v.Enforcement.At):
		return "the platform warns: " + oneLine(v.Enforcement.Warning)
	case senderState(v) == "sidelined":
		return string(v.Load.Sidelined.Reason)
	case v.State == client.SenderOpen && v.Labels != nil && v.Labels.Error != nil:
		return "labels: " + labelsError(v.Labels.Error)
	}
	return string(v.Reason)
}

// enforced is a field for what the platform did, and why; empty where it was
// never done.
func enforced(name, action string, at time.Time, why string) field {
	if at.IsZero() {
		return field{name, ""}
	}
	told := strings.TrimSpace(action + " at " + stamp(at))
	if why != "" {
		told += ": " + oneLine(why)
	}
	return field{name, told}
}

func writeSender(t *console.Terminal, v client.Sender) error {
	fmt.Fprintf(t, "%s  %s\n\n", t.Paint(console.Bold, v.ID), t.Paint(stateColor(senderState(v)), senderState(v)))
	quiet := ""
	if q := v.Spec.QuietHours; q != nil {
		quiet = q.From + " to " + q.To
	}
	window := ""
	if v.Spec.AdWindow > 0 {
		window = fmt.Sprintf("%d h", v.Spec.AdWindow)
	}
	fs := []field{
		{"why", whyPaused(v)}, {"since", stamp(v.Since)}, {"channel", v.Spec.Channel}, {"account", v.Spec.Account}, {"credential", v.Spec.Credential},
		{"app secret", v.Spec.AppSecret}, {"capabilities", strings.Join(v.Spec.Capabilities, ", ")}, {"rate", senderRate(v.Spec)}, {"pace", pace(v)}, {"weight", weight(v.Spec)},
		{"batch", ifSo(v.Spec.Batch, "Graph batches")}, {"timezone", v.Spec.Timezone}, {"quiet hours", quiet}, {"ad window", window},
	}
	if e := v.Enforcement; e != nil {
		fs = append(fs, enforced("platform", e.Action, e.At, e.Why), enforced("warned", "", e.WarnedAt, e.Warning))
	}
	fs = append(fs, field{"labels", labelsField(v.Labels)}, field{"pull labels", pullEvery(v.Spec)})
	if own := slices.Concat(v.Spec.StopWords, v.Spec.StartWords, v.Spec.HelpWords); len(own) > 0 {
		fs = append(fs, field{"own words", strings.Join(own, ", ")})
	}
	if l := v.Load; l != nil {
		if a := l.Sidelined; a != nil {
			fs = append(fs, field{"sidelined", fmt.Sprintf("since %s; only single messages are tried until it answers again", stamp(a.Since))})
		}
		fs = append(fs, field{"in hand", fmt.Sprintf("%s with the workers, %s claimed, %s to go again, %s held; of %s",
			console.Count(l.Unclaimed), console.Count(l.Claimed), console.Count(l.Waiting), console.Count(l.Held), console.Nouns(l.Sources, "broadcast"))})
	}
	return writeFields(t, fs)
}
