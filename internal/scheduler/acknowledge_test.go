package scheduler_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// gateOf forecasts by a rulebook; that needs no engines.
func gateOf(t *testing.T, text string) *gate.Gate {
	t.Helper()
	rb, err := policy.Parse([]byte(text))
	rig.Must(t, err)
	return gate.New(nil, facts.Keys{}, nil, rb)
}

func codesOf(ws []policy.Warning) (codes []string) {
	for _, w := range ws {
		codes = append(codes, w.Code)
	}
	return codes
}

func TestAcknowledge(t *testing.T) {
	t.Parallel()
	usual := string(policy.Embedded())
	const links = "  - id: links_under_tag\n"
	both := strings.Replace(usual, links, links+"    acknowledge: true\n", 1)
	from2027 := strings.Replace(usual, "    acknowledge: true\n", "    acknowledge: true\n    from: 2027-01-01\n", 1)
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	news := broadcast.Message{Text: "Read {{.name}}'s page at https://example.com/today", Tag: "NON_PROMOTIONAL_SUBSCRIPTION"}
	for name, c := range map[string]struct {
		book    string
		message broadcast.Message
		channel string
		at      string
		codes   []string
		missing []string
		illegal string
		done    []string
	}{
		"missing":                    {book: usual, missing: []string{"bulk_discouraged"}},
		"given":                      {book: usual, codes: []string{"bulk_discouraged"}, done: []string{"bulk_discouraged"}},
		"given twice":                {book: usual, codes: []string{"bulk_discouraged", "bulk_discouraged"}, done: []string{"bulk_discouraged"}},
		"unknown":                    {book: usual, codes: []string{"bulk_discouraged", "nonsense"}, illegal: `acknowledge "nonsense": it has no such warning to acknowledge, only bulk_discouraged`},
		"unknown, and one missing":   {book: usual, codes: []string{""}, illegal: `acknowledge "": it has no such warning`},
		"advice that nobody asks of": {book: usual, message: news, codes: []string{"bulk_discouraged", "links_under_tag"}, illegal: `acknowledge "links_under_tag": it has no such warning`},
		"another channel":            {book: usual, channel: "instagram"},
		"needless there":             {book: usual, channel: "instagram", codes: []string{"bulk_discouraged"}, illegal: "it has no warning to acknowledge; leave it out"},
		"two":                        {book: both, message: news, missing: []string{"bulk_discouraged", "links_under_tag"}},
		"one of two":                 {book: both, message: news, codes: []string{"bulk_discouraged"}, missing: []string{"links_under_tag"}},
		"both":                       {book: both, message: news, codes: []string{"links_under_tag", "bulk_discouraged"}, done: []string{"bulk_discouraged", "links_under_tag"}},
		"before the advice begins":   {book: from2027, at: "2026-12-31T23:59:59Z"},
		"when the advice begins":     {book: from2027, at: "2027-01-01T00:00:00Z", missing: []string{"bulk_discouraged"}},
		"what can never be sent":     {book: usual, message: broadcast.Message{Text: "x", Tag: "NO_SUCH_TAG"}, missing: []string{"bulk_discouraged"}}, // inside the window a tag is not looked at
		"a long code is cut":         {book: usual, codes: []string{strings.Repeat("x", 65)}, illegal: `acknowledge "` + strings.Repeat("x", 64) + `": it has`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := &sender.Spec{ID: "s", Channel: "messenger", Capabilities: []string{"news"}}
			if c.channel != "" {
				from.Channel = c.channel
			}
			if c.message.Text == "" {
				c.message.Text = "Hello"
			}
			b := &broadcast.Spec{ID: "b", Message: c.message, Schedule: broadcast.Schedule{At: c.at}}
			got, err := scheduler.Acknowledge(gateOf(t, c.book), c.codes)(b, from, now)
			u, missing := errors.AsType[*scheduler.Unacknowledged](err)
			_, illegal := errors.AsType[*scheduler.Illegal](err)
			if missing != (c.missing != nil) || illegal != (c.illegal != "") || err != nil && !missing && !illegal {
				t.Fatal(err)
			}
			if missing && !slices.Equal(codesOf(u.Missing), c.missing) || illegal && !strings.Contains(err.Error(), c.illegal) {
				t.Error(err)
			}
			var done []string
			for _, a := range got {
				if done = append(done, a.Code); !a.At.Equal(now) {
					t.Errorf("%s at %s", a.Code, a.At)
				}
			}
			if !slices.Equal(done, c.done) {
				t.Errorf("stored as acknowledged: %q, want %q", done, c.done)
			}
		})
	}
}

// TestLaunchWaitsForAcknowledgement changes nothing until it is given; then it
// is stored, and neither a resume nor a redrive asks again.
func TestLaunchWaitsForAcknowledgement(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, spring)
	ctx := t.Context()
	_, rev, err := w.Defs.Broadcast(ctx, "spring")
	rig.Must(t, err)
	if _, err := w.sched.Launch(ctx, "spring", scheduler.Acknowledge(w.Gate, nil)); err == nil || !strings.HasPrefix(err.Error(), "broadcast spring: not launched, since") {
		t.Errorf("launched unread: %v", err)
	}
	if b, now, err := w.Defs.Broadcast(ctx, "spring"); err != nil || now != rev || b.State != broadcast.Draft {
		t.Errorf("the refusal left %s at revision %d, was %d, %v", b.State, now, rev, err)
	}
	w.set(only(0))
	b, err := w.sched.Launch(ctx, "spring", scheduler.Acknowledge(w.Gate, []string{"bulk_discouraged"}))
	rig.Must(t, err)
	if len(b.Acknowledged) != 1 || b.Acknowledged[0] != (broadcast.Acknowledged{Code: "bulk_discouraged", At: b.LaunchedAt}) {
		t.Errorf("acknowledged %+v at the launch of %s", b.Acknowledged, b.LaunchedAt)
	}
	w.frozen("spring")
	_, err = w.sched.Pause(ctx, "spring")
	rig.Must(t, err)
	b, err = w.sched.Resume(ctx, "spring")
	if err != nil || len(b.Acknowledged) != 1 {
		t.Errorf("resumed: %+v, %v", b, err)
	}
}

// TestLaunchApprovesWhatItLaunches changes the draft while it is looked at:
// what is launched is what was approved last.
func TestLaunchApprovesWhatItLaunches(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, spring)
	var seen []string
	b, err := w.sched.Launch(t.Context(), "spring", func(b *broadcast.Spec, from *sender.Spec, now time.Time) ([]broadcast.Acknowledged, error) {
		if seen = append(seen, b.Message.Text); len(seen) == 1 {
			w.Apply(t, rig.Bakery+strings.Replace(spring, `"Hello"`, `"Good bye"`, 1))
		}
		return []broadcast.Acknowledged{{Code: b.Message.Text, At: now}}, nil
	})
	rig.Must(t, err)
	if !slices.Equal(seen, []string{"Hello", "Good bye"}) || b.Spec.Message.Text != "Good bye" || len(b.Acknowledged) != 1 || b.Acknowledged[0].Code != "Good bye" {
		t.Errorf("looked at %q, launched %q with %+v", seen, b.Spec.Message.Text, b.Acknowledged)
	}
}
