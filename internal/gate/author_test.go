package gate_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// TestAdviceForAuthors finds what the rulebook advises on the author's own
// words, and puts into words what is advice.
func TestAdviceForAuthors(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	const news = "NON_PROMOTIONAL_SUBSCRIPTION"
	for name, c := range map[string]struct {
		message message.Message
		channel string
		want    []string
	}{
		"bulk":                         {message.Message{Text: "Hello {{.name}}"}, "messenger", []string{"bulk_discouraged"}},
		"not on Instagram":             {message.Message{Text: "Hello {{.name}}"}, "instagram", nil},
		"a link under a tag":           {message.Message{Text: "{{.name}}, read www.example.com", Tag: news}, "messenger", []string{"bulk_discouraged", "links_under_tag"}},
		"a link under no tag":          {message.Message{Text: "{{.name}}, read www.example.com"}, "messenger", []string{"bulk_discouraged"}},
		"promotion under a tag":        {message.Message{Text: "A sale, {{.name}}!", Tag: news}, "messenger", []string{"bulk_discouraged", "promotional_wording"}},
		"a tag that nobody gets":       {message.Message{Text: "A sale!", Tag: "CONFIRMED_EVENT_UPDATE"}, "messenger", []string{"bulk_discouraged"}},
		"a template that looks unsafe": {message.Message{Text: strings.Repeat("{{.name}} ", 400)}, "messenger", []string{"bulk_discouraged"}}, // too long as it is written, perhaps not as it is rendered
		"a link in a long template":    {message.Message{Text: strings.Repeat("{{if .name}}{{end}}", 150) + "Read www.example.com", Tag: news}, "messenger", []string{"bulk_discouraged", "links_under_tag"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := &broadcast.Spec{ID: "b", Message: c.message}
			s := &sender.Spec{ID: "s", Channel: c.channel, Capabilities: []string{"news"}}
			warnings, err := usual().Author(plannedAs(t, *b), s, now)
			if err != nil {
				t.Fatal(err)
			}
			var codes []string
			for _, w := range usual().Advice(warnings, b, s, now) {
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

// TestAdviceOnAnAdsWindow: what only contacts who came by an ad would be
// warned of is their author's to know too.
func TestAdviceOnAnAdsWindow(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	text := string(policy.Embedded())
	const bulk = "  - id: bulk_discouraged\n"
	book, err := policy.Parse([]byte(strings.Replace(text, bulk, "  - id: ads_are_personal\n    acknowledge: true\n    under: [ad_window]\n    says: Who came by an ad expects an answer.\n    source: [M-POL-0928]\n"+bulk, 1)))
	if err != nil {
		t.Fatal(err)
	}
	rules := gate.NewRules(book)
	b := &broadcast.Spec{ID: "b", Message: message.Message{Text: "Hello"}}
	for channel, want := range map[string][]string{"messenger": {"ads_are_personal", "bulk_discouraged"}, "instagram": {"ads_are_personal"}} {
		if got, err := rules.Author(plannedAs(t, *b), &sender.Spec{ID: "s", Channel: channel}, now); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v, want %q", channel, got, err, want)
		}
	}
	before := now.AddDate(0, -3, 0) // that window is not there yet
	if got, err := rules.Author(plannedAs(t, *b), &sender.Spec{ID: "s", Channel: "messenger"}, before); err != nil || !slices.Equal(got, []string{"bulk_discouraged"}) {
		t.Errorf("before there is such a window: %q, %v", got, err)
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
	g := usual()
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

// TestAuthorRefusesAndWarns of what can't be sent at all, and of what mostly
// will not be, whatever the rulebook calls a window.
func TestAuthorRefusesAndWarns(t *testing.T) {
	now := time.Date(2026, 11, 22, 22, 0, 0, 0, time.UTC)
	quiet := &sender.QuietHours{From: "21:00", To: "08:00"}
	longer, err := policy.Parse([]byte(strings.Replace(string(policy.Embedded()), "    limit: 24h\n", "    limit: 48h\n", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spec  broadcast.Spec
		quiet *sender.QuietHours
		book  *policy.Rulebook
		err   string // of a refusal
		warns string // a warning that must be there
		not   string // one that must not
	}{
		"a card number":              {spec: broadcast.Spec{Message: message.Message{Text: "Pay 4111 1111 1111 1111"}}, err: "card_number"},
		"an account number":          {spec: broadcast.Spec{Message: message.Message{Text: "DE89 3704 0044 0532 0130 00"}}, err: "account_number"},
		"a request for card data":    {spec: broadcast.Spec{Message: message.Message{Text: "Please send us your card number"}}, err: "payment_data_requested"},
		"too long for everybody":     {spec: broadcast.Spec{Message: message.Message{Text: strings.Repeat("x", 2001)}}, err: "text_too_long"},
		"too long for some":          {spec: broadcast.Spec{Message: message.Message{Text: strings.Repeat("x", 2001) + "{{.name}}"}}},
		"more than a platform takes": {spec: broadcast.Spec{Message: message.Message{Text: strings.Repeat("x", 641), Parts: content.Parts{Buttons: []content.Button{{Title: "t", Payload: "p"}}}}}, err: "broadcast b can never be sent: template_invalid: message.text with buttons has more than 640 characters"},
		"a card number on a button":  {spec: broadcast.Spec{Message: message.Message{Text: "x", Parts: content.Parts{Buttons: []content.Button{{Title: "4111 1111 1111 1111", Payload: "p"}}}}}, err: "card_number"},
		"one that can't be told yet": {spec: broadcast.Spec{Message: message.Message{Text: "x", Parts: content.Parts{Buttons: []content.Button{{Title: "4111 1111 1111 1111 {{.name}}", Payload: "p"}}}}}},
		"a private reply":            {spec: broadcast.Spec{Message: message.Message{Text: "x", Via: message.PrivateReply}}},
		"no such permission":         {spec: broadcast.Spec{Message: message.Message{Text: "x", Via: message.OneTimeNotification}}, err: "capability_missing"},
		"healthcare":                 {spec: broadcast.Spec{Message: message.Message{Text: "x", Healthcare: true}}, err: "healthcare_content"},
		"a tag that nobody knows":    {spec: broadcast.Spec{Message: message.Message{Text: "x", Tag: "NOPE"}}, warns: "outside the window nobody gets it: tag_unknown"},
		"under a longer window":      {spec: broadcast.Spec{Message: message.Message{Text: "x", Tag: "NOPE"}}, book: longer, warns: "outside the window nobody gets it: tag_unknown"},
		"its end has passed":         {spec: broadcast.Spec{Message: message.Message{Text: "x"}, Schedule: broadcast.Schedule{At: "2026-11-22T20:00:00Z"}, ExpiresAfter: "2h"}, warns: "it ended at 2026-11-22T22:00:00Z"},
		"its end is near":            {spec: broadcast.Spec{Message: message.Message{Text: "x"}, Schedule: broadcast.Schedule{At: "2026-11-22T20:00:01Z"}, ExpiresAfter: "2h"}, not: "ended"},
		"quiet until its end":        {spec: broadcast.Spec{Message: message.Message{Text: "x"}, ExpiresAfter: "10h"}, quiet: quiet, warns: "everybody is held past its end at 2026-11-23T08:00:00Z"},
		"quiet until before its end": {spec: broadcast.Spec{Message: message.Message{Text: "x"}, ExpiresAfter: "10h1s"}, quiet: quiet, not: "held"},
	} {
		t.Run(name, func(t *testing.T) {
			rules := usual()
			if c.book != nil {
				rules = gate.NewRules(c.book)
			}
			c.spec.ID = "b"
			warnings, err := rules.Author(plannedAs(t, c.spec), &sender.Spec{ID: "s", Channel: "messenger", QuietHours: c.quiet}, now)
			said := strings.Join(warnings, "; ")
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("%v, want %q", err, c.err)
			}
			if !strings.Contains(said, c.warns) || c.not != "" && strings.Contains(said, c.not) {
				t.Errorf("warned: %s; want %q, not %q", said, c.warns, c.not)
			}
		})
	}
}
