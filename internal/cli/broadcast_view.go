package cli

import (
	"fmt"
	"iter"
	"strings"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

func listBroadcasts(t *console.Terminal, list iter.Seq2[client.Broadcast, error]) error {
	tab := console.NewTable(t, console.Column{Title: "BROADCAST", Whole: true}, console.Column{Title: "SENDER"}, console.Column{Title: "STATE", Paint: stateColor},
		console.Column{Title: "TOTAL", Right: true}, console.Column{Title: "SENT", Right: true}, console.Column{Title: "BLOCKED", Right: true},
		console.Column{Title: "FAILED", Right: true}, console.Column{Title: "UNKNOWN", Right: true}, console.Column{Title: "PENDING", Right: true})
	return tabulate(tab, list, func(b client.Broadcast) []string {
		row := []string{b.ID, b.Sender, b.State, "-", "-", "-", "-", "-", "-"}
		if b.Progress.Frozen {
			n := b.Progress.Counts
			for i, v := range []int{b.Progress.Audience, n.Sent, n.Blocked, n.Failed, n.Unknown, n.Pending} {
				row[3+i] = console.Count(v)
			}
		}
		return row
	})
}

// field is one line of a description; those without a value are left out.
type field struct{ name, value string }

// commandField is the one whose value is there to be copied, and so is never
// wrapped.
const commandField = "command"

// writeFields writes names in a column and values, wrapped, beside them.
func writeFields(t *console.Terminal, fields []field) error {
	width := 0
	for _, f := range fields {
		if f.value != "" {
			width = max(width, len(f.name))
		}
	}
	for _, f := range fields {
		if f.value == "" {
			continue
		}
		lines := []string{console.Clean(f.value)}
		if f.name != commandField {
			lines = console.Wrap(lines[0], t.Width()-width-2)
		}
		for i, line := range lines {
			name := ""
			if i == 0 {
				name = f.name
			}
			if _, err := fmt.Fprintf(t, "%s  %s\n", t.Paint(console.Dim, fmt.Sprintf("%-*s", width, name)), line); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeBroadcast(t *console.Terminal, b client.Broadcast) error {
	pace := ""
	if b.Spec.Pace.PerSecond > 0 {
		pace = console.Count(b.Spec.Pace.PerSecond) + "/s"
	}
	fmt.Fprintf(t, "%s  %s\n\n", t.Paint(console.Bold, b.ID), t.Paint(stateColor(b.State), b.State))
	err := writeFields(t, []field{
		{"sender", b.Sender}, {"text", b.Spec.Message.Text}, {"with", shows(b.Spec.Message)}, {"template", b.Spec.Message.Template}, {"via", b.Spec.Message.Via},
		{"promotional", ifSo(b.Spec.Message.Promotional, "yes")}, {"tag", b.Spec.Message.Tag},
		{"declares", declared(b.Spec.Message)},
		{"labels", strings.Join(b.Spec.Audience.Labels, ", ")}, {"without", strings.Join(b.Spec.Audience.ExcludeLabels, ", ")}, {"where", b.Spec.Audience.Where},
		{"at", b.Spec.Schedule.At}, {"pace", pace}, {"expires after", b.Spec.ExpiresAfter}, {"source", b.Source},
		{"launched", stamp(b.LaunchedAt)}, {"due", stamp(b.DueAt)}, {"ends", stamp(b.EndsAt)}, {"closed", stamp(b.ClosedAt)},
		{"acknowledged", acknowledgedOf(b)}, {"audience", audienceOf(b)},
	})
	if err != nil || !b.Progress.Frozen {
		return err
	}
	p := progressView{progress: b.Progress, id: b.ID}
	fmt.Fprintf(t, "\n%s\n", strings.Join(append([]string{t.Bar(outcomes(b.Progress.Counts), b.Progress.Audience, t.Width())}, p.legend(t)...), "\n"))
	return reasonTable(t, byCount(b.Progress.ByReason), b.Progress.Audience, console.Yellow)
}

// shows names what a message carries beside a text, or in its place.
func shows(m client.Message) string {
	var words []string
	if m.Attachment != nil {
		words = append(words, "an attachment of type "+m.Attachment.Type)
	}
	for _, c := range []struct {
		n    int
		name string
	}{{len(m.Elements), "elements"}, {len(m.Buttons), "buttons"}, {len(m.QuickReplies), "quick replies"}} {
		if c.n > 0 {
			words = append(words, console.Count(c.n)+" "+c.name)
		}
	}
	return strings.Join(words, ", ")
}

// declared is what the author says of a message beside promotion and tag.
func declared(m client.Message) string {
	var words []string
	for _, w := range []string{m.UseCase, ifSo(m.Healthcare, "healthcare"), ifSo(m.Discloses, "discloses that a bot writes")} {
		if w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, ", ")
}

func ifSo(is bool, word string) string {
	if is {
		return word
	}
	return ""
}

// acknowledgedOf names the warnings that were acknowledged at the launch.
func acknowledgedOf(b client.Broadcast) string {
	var parts []string
	for _, a := range b.Acknowledged {
		parts = append(parts, a.Code+" at "+stamp(a.At))
	}
	return strings.Join(parts, ", ")
}

// audienceOf says how an audience came about.
func audienceOf(b client.Broadcast) string {
	f := b.Frozen
	if f == nil {
		return ""
	}
	s := fmt.Sprintf("%s of %s contacts, frozen at %s", console.Count(f.Contacts), console.Count(f.Seen), stamp(f.At))
	if f.Errors > 0 {
		s += fmt.Sprintf("; %s were left out because the condition could not be decided: %s", console.Count(f.Errors), f.Example)
	}
	return s
}

func writeForecast(t *console.Terminal, id string, f client.Forecast) error {
	fmt.Fprintf(t, "%s at %s: audience %s\n", t.Paint(console.Bold, id), stamp(f.At), console.Count(f.Audience))
	for _, part := range []struct {
		title  string
		counts []counted
		color  console.Color
	}{
		{"would be sent, by rule", byCount(f.Send), console.Green},
		{"would be held, by reason", byCount(f.Hold), console.Cyan},
		{"would be blocked, by reason", byCount(f.Block), console.Yellow},
	} {
		if len(part.counts) == 0 {
			continue
		}
		sum := 0
		for _, c := range part.counts {
			sum += c.n
		}
		fmt.Fprintf(t, "\n%s: %s\n", part.title, console.Count(sum))
		if err := reasonTable(t, part.counts, f.Audience, part.color); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(t, "\nJudged by what is known now: whoever writes until then may change it.\n")
	return err
}
