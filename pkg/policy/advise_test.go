package policy

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestAdviseIsWhatEvaluateMayWarnOf compares the two under rulebooks whose
// advice and permissions nobody thought of: whatever is warned of for some
// facts was advised, and whatever was advised is warned of for some. Of the
// latter a case that a check refuses tells nothing.
func TestAdviseIsWhatEvaluateMayWarnOf(t *testing.T) {
	zs := zones(t)
	books(t, func(t *rapid.T, rb *Rulebook) {
		d := draw(t, rb, zs)
		if rapid.IntRange(0, 3).Draw(t, "as drawn") > 0 {
			d.unrefuse()
		}
		got, refused := Advise(rb, d.at, &d.m, &d.s), false
		var warned []string
		for _, f := range append(contacts(d.at), d.f) {
			d.f = f
			v := d.judge(rb)
			refused = refused || slices.ContainsFunc(rb.Checks, func(c Check) bool { return c.ID == v.Rule })
			warned = append(warned, v.Warnings...)
		}
		for _, code := range warned {
			if !slices.Contains(got, code) {
				t.Fatalf("%+v under %+v: Evaluate warns of %s, Advise only of %v", d, rb.Advice, code, got)
			}
		}
		for _, code := range got {
			if !refused && !slices.Contains(warned, code) {
				t.Fatalf("%+v under %+v: nobody is warned of %s", d, rb.Advice, code)
			}
		}
	})
}

// unrefuse takes out most of what checks refuse.
func (d *drawn) unrefuse() {
	d.s.Restricted, d.s.Paused, d.s.RelaxFlowTemplates = false, false, true
	d.s.Channel = cmp.Or(d.s.Channel, Messenger)
	if d.m.Via == "pigeon" {
		d.m.Via = ""
	}
	if d.m.Template.Kind == "carousel" {
		d.m.Template.Kind = "utility"
	}
	if d.m.Text == "" || d.m.Text == "4111 1111 1111 1111" {
		d.m.Text = "A big sale: www.example.com"
	}
}

// contacts is facts under which each permission that can allow a message does.
func contacts(at time.Time) []Facts {
	ago := func(d time.Duration) time.Time { return at.Add(-d) }
	f := Facts{SMSConsent: true, Comment: Comment{At: ago(time.Hour)}, OneTimeToken: OneTimeToken{Created: ago(time.Hour)}}
	inside, ad, outside := f, f, f
	inside.LastInbound = ago(time.Hour)
	ad.LastInbound, ad.AdMessageAt = ago(30*time.Hour), ago(time.Minute)
	outside.LastInbound = ago(30 * time.Hour)
	return []Facts{inside, ad, outside}
}

func TestAdvise(t *testing.T) {
	rb, at := book(), date(t, "2026-11-22")
	messenger := Sender{Channel: Messenger, Capabilities: capabilities()}
	const sale, link = "A sale: 20% off", "See https://x.example"
	for name, tt := range map[string]struct {
		m    Message
		s    Sender
		want string
	}{
		"plain":                    {Message{Text: "Hello"}, messenger, "bulk_discouraged"},
		"by a person":              {Message{Origin: "agent", Text: "Hello"}, messenger, ""},
		"a tag":                    {Message{Origin: "agent", Tag: "HUMAN_AGENT", Text: link + ". " + sale}, messenger, "links_under_tag promotional_wording"},
		"another's tag":            {Message{Tag: "HUMAN_AGENT", Text: link}, messenger, "bulk_discouraged"},
		"no capability":            {Message{Origin: "agent", Tag: "HUMAN_AGENT", Text: link}, Sender{Channel: Messenger}, ""},
		"a text too long":          {Message{Text: strings.Repeat("x", 2001)}, messenger, "bulk_discouraged"},
		"a card number":            {Message{Text: "4111 1111 1111 1111"}, messenger, "bulk_discouraged"},
		"no text":                  {Message{}, messenger, "bulk_discouraged"},
		"a paused sender":          {Message{Text: "Hello"}, Sender{Channel: Messenger, Paused: true}, "bulk_discouraged"},
		"a via":                    {Message{Text: "Hello", Via: "private_reply"}, messenger, ""},
		"a via that nobody has":    {Message{Text: "Hello", Via: "pigeon"}, messenger, ""},
		"a kind that is not there": {Message{Text: "Hello", HasTemplate: true, Template: Template{Kind: "utility"}}, Sender{Channel: Instagram}, ""},
		"another channel":          {Message{Text: "Hello"}, Sender{Channel: SMS}, ""},
	} {
		got := Advise(rb, at, &tt.m, &tt.s)
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %v, want %q", name, got, tt.want)
		}
	}
}

func TestAdviseWithoutArguments(t *testing.T) {
	at, m, _, s := benchCase()
	for name, got := range map[string][]string{
		"no rulebook": Advise(nil, at, m, s), "one by hand": Advise(&Rulebook{}, at, m, s),
		"no message": Advise(book(), at, nil, s), "no sender": Advise(book(), at, m, nil),
	} {
		if got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}
