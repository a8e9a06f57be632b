package scheduler_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
)

func rulesOf(t *testing.T, text string) gate.Rules {
	t.Helper()
	rb, err := policy.Parse([]byte(text))
	rig.Must(t, err)
	return gate.NewRules(rb)
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
	const window = "    since: last_inbound\n    limit: 24h\n"
	until2027 := strings.Replace(usual, window, window+"    to: 2027-01-01\n", 1)
	const bulk = "  - id: bulk_discouraged\n"
	ads := strings.Replace(usual, bulk, "  - id: ads_are_personal\n    acknowledge: true\n    under: [ad_window]\n    says: Who came by an ad expects an answer.\n    source: [M-POL-0928]\n"+bulk, 1)
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	long := strings.Repeat("{{if .name}}{{end}}", 150) // renders to nothing, and is longer than a text may be
	news := message.Message{Text: "Read {{.name}}'s page at https://example.com/today", Tag: "NON_PROMOTIONAL_SUBSCRIPTION"}
	for name, c := range map[string]struct {
		book     string
		message  message.Message
		channel  string
		at       string
		codes    []string
		missing  []string
		needless string
		never    string
		done     []string
	}{
		"missing":                    {book: usual, missing: []string{"bulk_discouraged"}},
		"given":                      {book: usual, codes: []string{"bulk_discouraged"}, done: []string{"bulk_discouraged"}},
		"given twice":                {book: usual, codes: []string{"bulk_discouraged", "bulk_discouraged"}, done: []string{"bulk_discouraged"}},
		"unknown":                    {book: usual, codes: []string{"bulk_discouraged", "nonsense"}, needless: `acknowledge "nonsense": it has no such warning to acknowledge, only bulk_discouraged`},
		"unknown, and one missing":   {book: usual, codes: []string{""}, needless: `acknowledge "": it has no such warning`},
		"advice that nobody asks of": {book: usual, message: news, codes: []string{"bulk_discouraged", "links_under_tag"}, needless: `acknowledge "links_under_tag": it has no such warning`},
		"another channel":            {book: usual, channel: "instagram"},
		"needless there":             {book: usual, channel: "instagram", codes: []string{"bulk_discouraged"}, needless: "it has no warning to acknowledge; leave it out"},
		"two":                        {book: both, message: news, missing: []string{"bulk_discouraged", "links_under_tag"}},
		"one of two":                 {book: both, message: news, codes: []string{"bulk_discouraged"}, missing: []string{"links_under_tag"}},
		"both":                       {book: both, message: news, codes: []string{"links_under_tag", "bulk_discouraged"}, done: []string{"bulk_discouraged", "links_under_tag"}},
		"before the advice begins":   {book: from2027, at: "2026-12-31T23:59:59Z"},
		"when the advice begins":     {book: from2027, at: "2027-01-01T00:00:00Z", missing: []string{"bulk_discouraged"}},
		"a tag that nobody gets":     {book: usual, message: message.Message{Text: "x", Tag: "NO_SUCH_TAG"}, missing: []string{"bulk_discouraged"}}, // inside the window a tag is not looked at
		"what can never be sent":     {book: strings.Replace(until2027, "id: ad_window\n", "id: ad_window\n    to: 2027-01-01\n", 1), at: "2027-01-01T00:00:00Z", codes: []string{"bulk_discouraged"}, never: "broadcast b can never be sent: "},
		"while it can":               {book: strings.Replace(until2027, "id: ad_window\n", "id: ad_window\n    to: 2027-01-01\n", 1), at: "2026-12-31T23:59:59Z", missing: []string{"bulk_discouraged"}},
		"what an ad alone lets send": {book: until2027, at: "2027-01-01T00:00:00Z", missing: []string{"bulk_discouraged"}},
		"advice on an ad's window":   {book: ads, codes: []string{"bulk_discouraged"}, missing: []string{"ads_are_personal"}},
		"a long template":            {book: both, message: message.Message{Text: long + news.Text, Tag: news.Tag}, missing: []string{"bulk_discouraged", "links_under_tag"}},
		"a long code is cut":         {book: usual, codes: []string{strings.Repeat("x", 65)}, needless: `acknowledge "` + strings.Repeat("x", 64) + `": it has`},
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
			got, err := scheduler.Acknowledge(rulesOf(t, c.book), c.codes)(planOf(t, b), from, now)
			u, missing := errors.AsType[*scheduler.Unacknowledged](err)
			_, needless := errors.AsType[*scheduler.Needless](err)
			_, never := errors.AsType[*gate.Unsendable](err)
			if missing != (c.missing != nil) || needless != (c.needless != "") || never != (c.never != "") || err != nil && !missing && !needless && !never {
				t.Fatal(err)
			}
			if never && !strings.HasPrefix(err.Error(), c.never) {
				t.Error(err)
			}
			if missing && !slices.Equal(codesOf(u.Missing), c.missing) || needless && !strings.Contains(err.Error(), c.needless) {
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
	if _, err := w.sched.Launch(ctx, "spring", scheduler.Acknowledge(w.Gate.Rules, nil)); err == nil || !strings.HasPrefix(err.Error(), "broadcast spring: not launched, since") {
		t.Errorf("launched unread: %v", err)
	}
	if b, now, err := w.Defs.Broadcast(ctx, "spring"); err != nil || now != rev || b.State != broadcast.Draft {
		t.Errorf("the refusal left %s at revision %d, was %d, %v", b.State, now, rev, err)
	}
	w.set(only(0))
	b, err := w.sched.Launch(ctx, "spring", scheduler.Acknowledge(w.Gate.Rules, []string{"bulk_discouraged"}))
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

func planOf(t *testing.T, b *broadcast.Spec) *definition.Planned {
	t.Helper()
	p, err := definition.Plan(&broadcast.Broadcast{Spec: *b}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestLaunchApprovesWhatItLaunches changes the draft while it is looked at:
// what is launched is what was approved last.
func TestLaunchApprovesWhatItLaunches(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, spring)
	var seen []string
	b, err := w.sched.Launch(t.Context(), "spring", func(p *definition.Planned, from *sender.Spec, now time.Time) ([]broadcast.Acknowledged, error) {
		b := &p.Spec
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

// TestLaunchApprovesTheSenderThatSends changes the sender while it is looked
// at: it is looked at anew, and what refuses it then counts.
func TestLaunchApprovesTheSenderThatSends(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, spring)
	ctx := t.Context()
	var seen []int
	look := func(p *definition.Planned, from *sender.Spec, _ time.Time) ([]broadcast.Acknowledged, error) {
		if seen = append(seen, from.Rate.PerSecond); len(seen) == 1 {
			w.Apply(t, strings.Replace(rig.Bakery, "per_second: 1000", "per_second: 7", 1))
		}
		if from.Rate.PerSecond == 7 {
			return nil, errors.New("too slow")
		}
		return nil, nil
	}
	if _, err := w.sched.Launch(ctx, "spring", look); err == nil || err.Error() != "too slow" || !slices.Equal(seen, []int{1000, 7}) {
		t.Errorf("%v, looked at senders of %d messages a second", err, seen)
	}
	if b := w.broadcast("spring"); b.State != broadcast.Draft {
		t.Errorf("refused, and %s", b.State)
	}
}

// TestWhatIsLaunchedKeepsItsTemplate: a template that changes later is that of
// later launches alone.
func TestWhatIsLaunchedKeepsItsTemplate(t *testing.T) {
	t.Parallel()
	const template = "---\nkind: Template\nid: hello\ntype: standard\ntext: Hello\n"
	w := newWorld(t, 1, strings.Replace(spring, `text: "Hello"`, "template: hello", 1)+template)
	b, err := w.sched.Launch(t.Context(), "spring", unasked)
	rig.Must(t, err)
	w.Apply(t, rig.Bakery+strings.Replace(template, "text: Hello", "text: Good bye", 1))
	b, _, err = w.Defs.Broadcast(t.Context(), b.Spec.ID)
	rig.Must(t, err)
	p, err := w.Defs.Plan(t.Context(), b)
	rig.Must(t, err)
	if text, _ := p.Says.Written(); text != "Hello" {
		t.Errorf("it says %q now", text)
	}
}
