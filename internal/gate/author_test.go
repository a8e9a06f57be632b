package gate_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// TestAdviceForAuthors finds what the rulebook advises on the author's own
// words, and puts into words what is advice.
func TestAdviceForAuthors(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	const news = "NON_PROMOTIONAL_SUBSCRIPTION"
	for name, c := range map[string]struct {
		message broadcast.Message
		channel string
		want    []string
	}{
		"bulk":                         {broadcast.Message{Text: "Hello {{.name}}"}, "messenger", []string{"bulk_discouraged"}},
		"not on Instagram":             {broadcast.Message{Text: "Hello {{.name}}"}, "instagram", nil},
		"a link under a tag":           {broadcast.Message{Text: "{{.name}}, read www.example.com", Tag: news}, "messenger", []string{"bulk_discouraged", "links_under_tag"}},
		"a link under no tag":          {broadcast.Message{Text: "{{.name}}, read www.example.com"}, "messenger", []string{"bulk_discouraged"}},
		"promotion under a tag":        {broadcast.Message{Text: "A sale, {{.name}}!", Tag: news}, "messenger", []string{"bulk_discouraged", "promotional_wording"}},
		"a tag that nobody gets":       {broadcast.Message{Text: "A sale!", Tag: "CONFIRMED_EVENT_UPDATE"}, "messenger", []string{"bulk_discouraged"}},
		"a template that looks unsafe": {broadcast.Message{Text: strings.Repeat("{{.name}} ", 400)}, "messenger", []string{"bulk_discouraged"}}, // too long as it is written, perhaps not as it is rendered
	} {
		t.Run(name, func(t *testing.T) {
			b := &broadcast.Spec{ID: "b", Message: c.message}
			s := &sender.Spec{ID: "s", Channel: c.channel, Capabilities: []string{"news"}}
			warnings, err := blindGate().Author(b, s, now)
			if err != nil {
				t.Fatal(err)
			}
			var codes []string
			for _, w := range blindGate().Advice(warnings, b, s, now) {
				if codes = append(codes, w.Code); w.Says == "" || w.Acknowledge != (w.Code == "bulk_discouraged") {
					t.Errorf("%+v", w)
				}
			}
			if !slices.Equal(codes, c.want) || len(warnings) < len(codes) {
				t.Errorf("advised %q of %q, want %q", codes, warnings, c.want)
			}
		})
	}
}

// TestUnderAnotherRulebook forecasts by that one, and leaves the gate's own.
func TestUnderAnotherRulebook(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	text := string(policy.Embedded())
	longer := strings.Replace(text, "    since: last_inbound\n    limit: 24h\n", "    since: last_inbound\n    limit: 48h\n", 1)
	rb, err := policy.Parse([]byte(longer))
	if err != nil || longer == text {
		t.Fatal(err)
	}
	g := blindGate()
	r := contact.Record{Address: "1", Name: "Ada", LastInbound: at.Add(-30 * time.Hour)}
	s := &sender.Spec{ID: "s", Channel: "messenger", Timezone: "Europe/Oslo"}
	p := planned(t, "Hello {{.name}}")
	if d := g.Under(rb).Forecast(r, p, s, at); d.Do != gate.Send || g.Under(rb).Rulebook() != rb {
		t.Errorf("under the other: %+v", d)
	}
	if d := g.Forecast(r, p, s, at); d.Do != gate.Block {
		t.Errorf("under its own: %+v", d)
	}
}
