package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// views are all that people are shown, each by its golden file.
func views() map[string]func(*console.Terminal) error {
	progress := func(t *console.Terminal) error {
		var m console.Meter
		for i, p := range lifeOfBroadcast() {
			v := progressView{id: "spring-menu", progress: p, meter: &m}
			m.Add(time.Unix(int64(120*i), 0), v.ended())
			fmt.Fprintf(t, "%s\n%s\n", strings.Join(v.lines(t), "\n"), v.plain())
			if i == len(lifeOfBroadcast())-1 {
				return v.writeEnd(t)
			}
		}
		return nil
	}
	return map[string]func(*console.Terminal) error{
		"audit":         func(t *console.Terminal) error { return writeAudit(t, "spring-menu", anAudit()) },
		"audit_crooked": func(t *console.Terminal) error { return writeAudit(t, "spring-menu", crookedAudit()) },
		"audit_early": func(t *console.Terminal) error {
			return writeAudit(t, "summer", client.Audit{State: "scheduled", Balanced: true})
		},
		"broadcast":        func(t *console.Terminal) error { return writeBroadcast(t, doneBroadcast()) },
		"forecast":         func(t *console.Terminal) error { return writeForecast(t, "spring-menu", aForecast()) },
		"letter":           func(t *console.Terminal) error { return writeLetter(t, letters()[1]) },
		"progress":         progress,
		"sender":           func(t *console.Terminal) error { return writeSender(t, openSender()) },
		"sender_blocked":   func(t *console.Terminal) error { return writeSender(t, blockedSender()) },
		"sender_sidelined": func(t *console.Terminal) error { return writeSender(t, sidelinedSender()) },
		"sender_paused":    func(t *console.Terminal) error { return writeSender(t, pausedSender()) },
		"story_blocked":    func(t *console.Terminal) error { return writeStory(t, blockedStory()) },
		"story_sent":       func(t *console.Terminal) error { return writeStory(t, sentStory()) },
		"story_held":       func(t *console.Terminal) error { return writeStory(t, heldStory()) },
		"tokens": func(t *console.Terminal) error {
			return listTokens(t, func(yield func(client.Token, error) bool) {
				for _, k := range someTokens() {
					if !yield(k, nil) {
						return
					}
				}
			}, day(12, 0, 0))
		},
		"contact": func(t *console.Terminal) error { return writeContactStory(t, "bakery/7301", aContact()) },
		"contact_nobody": func(t *console.Terminal) error {
			return writeContactStory(t, "bakery/1", client.ContactStory{Key: "k"})
		},
	}
}

// TestViews holds what is drawn on 80 columns, with and without colours, and
// checks that nothing but job ids and their commands runs over the edge.
func TestViews(t *testing.T) {
	for name, draw := range views() {
		t.Run(name, func(t *testing.T) {
			var plain, colored bytes.Buffer
			if err := draw(console.Fixed(&plain, 80, true, false)); err != nil {
				t.Fatal(err)
			}
			if err := draw(console.Fixed(&colored, 80, true, true)); err != nil {
				t.Fatal(err)
			}
			golden(t, name, plain.String())
			if got := uncolored(colored.String()); got != plain.String() {
				t.Errorf("colours move what is drawn:\n%s", got)
			}
			for line := range strings.Lines(plain.String()) {
				logged := strings.Contains(line, "Z  spring-menu") // the lines for pipes
				if console.Width(line) > 80 && !logged && !strings.HasPrefix(line, commandField) {
					t.Errorf("%d columns: %s", console.Width(line), line)
				}
			}
		})
	}
}

func uncolored(s string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		_, s, _ = strings.Cut(after, "m")
	}
}

// TestAdvice says what to do of every reason there is.
func TestAdvice(t *testing.T) {
	for _, e := range reason.All() {
		s := client.Story{Job: jobOf("a"), State: "blocked", Reason: e.Code}
		if e.Ending == reason.Held {
			s.State = "held"
		}
		text := fmt.Sprint(adviceOf(s))
		if !strings.Contains(text, e.Action) {
			t.Errorf("%s: no action in %s", e.Code, text)
		}
		redrive := strings.Contains(text, "carillon dead redrive "+s.Job)
		if want := e.Ending == reason.Final && e.Redrive; redrive != want {
			t.Errorf("%s: offers a redrive: %v, want %v", e.Code, redrive, want)
		}
	}
}

func TestAdviceWhenItWouldGoNow(t *testing.T) {
	s := blockedStory()
	s.Now = &client.Now{Verdict: "send", Rule: "standard_window", Text: "the contact wrote again"}
	text := fmt.Sprint(adviceOf(s))
	if strings.Contains(text, "but first") || !strings.Contains(text, "dead redrive") {
		t.Errorf("got %s", text)
	}
}

func TestByCount(t *testing.T) {
	got := fmt.Sprint(byCount(map[reason.Code]int{reason.OptedOut: 3, reason.CardNumber: 3, reason.WindowClosed: 9, reason.Internal: 0}))
	if want := "[{window_closed 9} {card_number 3} {opted_out 3}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
