package gate_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// usual judges by the built-in rulebook.
func usual() gate.Rules { return gate.NewRules(policy.Default()) }

func planned(t *testing.T, text string) *definition.Planned {
	t.Helper()
	return plannedAs(t, broadcast.Spec{Message: message.Message{Text: text}})
}

func plannedAs(t *testing.T, b broadcast.Spec) *definition.Planned {
	t.Helper()
	p, err := definition.Plan(&broadcast.Broadcast{Spec: b}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestJudge(t *testing.T) {
	at := time.Date(2026, 11, 22, 22, 30, 0, 0, time.UTC)
	running := func() *facts.Control { return &facts.Control{State: facts.Running, EndsAt: at.Add(time.Hour)} }
	wrote := func() *contact.Record {
		return &contact.Record{Address: "1", Name: "Ada", LastInbound: at.Add(-time.Hour)}
	}
	quiet := &sender.Spec{ID: "s", Channel: "messenger", QuietHours: &sender.QuietHours{From: "21:00", To: "08:00"}}
	for name, c := range map[string]struct {
		source, sender *facts.Control
		contact        *contact.Record
		spec           *sender.Spec
		text           string
		do             gate.Do
		reason         reason.Code
		closed         job.State
	}{
		"send":                     {source: running(), contact: wrote(), do: gate.Send},
		"erased":                   {source: running(), contact: &contact.Record{LastInbound: at.Add(-time.Hour), ErasedAt: at}, text: "Hello", do: gate.Block, reason: reason.RecipientNotFound},
		"source missing":           {contact: wrote(), do: gate.GiveBack, reason: reason.FactsUnavailable},
		"contact missing":          {source: running(), do: gate.GiveBack, reason: reason.FactsUnavailable},
		"source paused":            {source: &facts.Control{State: facts.Paused}, contact: wrote(), do: gate.GiveBack, reason: reason.SenderPaused},
		"cancelled":                {source: &facts.Control{State: facts.Cancelled}, contact: wrote(), do: gate.Drop, closed: job.Cancelled},
		"cancelled, no contact":    {source: &facts.Control{State: facts.Cancelled}, do: gate.Drop, closed: job.Cancelled},
		"ended":                    {source: &facts.Control{State: facts.Ended}, contact: wrote(), do: gate.Drop, closed: job.Expired},
		"paused past its end":      {source: &facts.Control{State: facts.Paused, EndsAt: at}, contact: wrote(), do: gate.Drop, closed: job.Expired},
		"1 ns before its end":      {source: &facts.Control{State: facts.Running, EndsAt: at.Add(1)}, contact: wrote(), do: gate.Send},
		"at its end":               {source: &facts.Control{State: facts.Running, EndsAt: at}, contact: wrote(), do: gate.Drop, closed: job.Expired},
		"1 ns after its end":       {source: &facts.Control{State: facts.Running, EndsAt: at.Add(-1)}, contact: wrote(), do: gate.Drop, closed: job.Expired},
		"sender paused":            {source: running(), sender: &facts.Control{State: facts.Paused}, contact: wrote(), do: gate.GiveBack, reason: reason.SenderPaused},
		"sender resumed":           {source: running(), sender: &facts.Control{State: facts.Running}, contact: wrote(), do: gate.Send},
		"source of a newer state":  {source: &facts.Control{State: "quarantined"}, contact: wrote(), do: gate.GiveBack, reason: reason.FactsUnavailable},
		"sender of a newer state":  {source: running(), sender: &facts.Control{State: "quarantined"}, contact: wrote(), do: gate.GiveBack, reason: reason.FactsUnavailable},
		"a newer fact":             {source: running(), contact: &contact.Record{Address: "1", LastInbound: at, Newer: []byte(`{"q":true}`)}, do: gate.GiveBack, reason: reason.FactsUnavailable},
		"a newer opt-out":          {source: running(), contact: &contact.Record{Address: "1", LastInbound: at, OptOuts: []contact.OptOut{{Scope: "bulk"}}}, do: gate.Block, reason: reason.OptedOut},
		"opted out":                {source: running(), contact: &contact.Record{Address: "1", LastInbound: at.Add(-time.Hour), OptOuts: []contact.OptOut{{Scope: contact.All}}}, do: gate.Block, reason: reason.OptedOut},
		"unreachable":              {source: running(), contact: &contact.Record{Address: "1", LastInbound: at.Add(-time.Hour), BlockedAt: at}, do: gate.Block, reason: reason.BlockedByContact},
		"never wrote":              {source: running(), contact: &contact.Record{Address: "1"}, do: gate.Block, reason: reason.NeverWrote},
		"window open 1 ns":         {source: running(), contact: &contact.Record{Address: "1", LastInbound: at.Add(1 - 24*time.Hour)}, do: gate.Send},
		"window closed":            {source: running(), contact: &contact.Record{Address: "1", LastInbound: at.Add(-24 * time.Hour)}, do: gate.Block, reason: reason.WindowClosed},
		"text can't be filled in":  {source: running(), contact: wrote(), text: "Hello {{.city}}", do: gate.Block, reason: reason.TemplateInvalid},
		"text renders to nothing":  {source: running(), contact: wrote(), text: `{{if eq .name "Bob"}}hi{{end}}`, do: gate.Block, reason: reason.TemplateInvalid},
		"quiet hours":              {source: running(), contact: wrote(), spec: quiet, do: gate.Hold, reason: reason.QuietHours},
		"opted out in quiet hours": {source: running(), spec: quiet, contact: &contact.Record{Address: "1", LastInbound: at, OptOuts: []contact.OptOut{{Scope: contact.All}}}, do: gate.Block, reason: reason.OptedOut},
	} {
		t.Run(name, func(t *testing.T) {
			if c.spec == nil {
				c.spec = &sender.Spec{ID: "s", Channel: "messenger"}
			}
			if c.text == "" {
				c.text = "Hello {{.name}}{{.id}}"
				if c.contact != nil && c.contact.Name == "" {
					c.text = "Hello {{.id}}"
				}
			}
			l := facts.Look{Watermark: 7, Source: c.source, Sender: c.sender, Contacts: []*contact.Record{nil, c.contact}}
			d := usual().Judge(l, 1, planned(t, c.text), c.spec, at)
			if d.Do != c.do || d.Verdict.Reason != c.reason || d.Closed != c.closed || d.Facts != 7 {
				t.Errorf("decision %+v, want do %d, %q, closed %q", d, c.do, c.reason, c.closed)
			}
			if sends := d.Do == gate.Send; sends != (d.Says.Text != "") || sends != (d.Address == "1") || sends != (d.Verdict.Kind == policy.Send) {
				t.Errorf("text %q and address %q of %+v", d.Says.Text, d.Address, d)
			}
			if d.Do == gate.Hold && !d.Verdict.Until.Equal(time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)) {
				t.Errorf("held until %s", d.Verdict.Until)
			}
			if strings.Contains(d.Verdict.Explain(), "Ada") {
				t.Errorf("the evidence names the contact: %s", d.Verdict.Explain())
			}
		})
	}
	var forgotten gate.Decision
	if forgotten.Do != gate.GiveBack {
		t.Error("a forgotten decision does not give the job back")
	}
}

// TestContactsAtRest are held though the rules would send: both sides of each
// end.
func TestContactsAtRest(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		r     contact.Record
		why   reason.Code // "": sent
		until time.Time
	}{
		"cooled for 1 ns more":    {contact.Record{CooledUntil: at.Add(1)}, reason.ContactCapped, at.Add(1)},
		"cooled until now":        {contact.Record{CooledUntil: at}, "", time.Time{}},
		"taken a day ago less":    {contact.Record{Thread: contact.Thread{Taken: at.Add(1 - 24*time.Hour)}, LastInbound: at.Add(1 - 24*time.Hour)}, reason.ThreadControlled, at.Add(1)},
		"taken, then they wrote":  {contact.Record{Thread: contact.Thread{Taken: at.Add(1 - 24*time.Hour)}, LastInbound: at.Add(2 - 24*time.Hour)}, "", time.Time{}},
		"taken a day ago":         {contact.Record{Thread: contact.Thread{Taken: at.Add(-24 * time.Hour)}}, "", time.Time{}},
		"taken and given back":    {contact.Record{Thread: contact.Thread{Taken: at.Add(-2), Back: at.Add(-1)}}, "", time.Time{}},
		"what forbids goes first": {contact.Record{CooledUntil: at.Add(1), OptOuts: []contact.OptOut{{Scope: contact.All}}}, reason.OptedOut, time.Time{}},
	} {
		if c.r.Address = "1"; c.r.LastInbound.IsZero() {
			c.r.LastInbound = at.Add(-time.Hour)
		}
		d := usual().Forecast(c.r, planned(t, "Hello"), &sender.Spec{ID: "s", Channel: "messenger"}, at)
		if d.Verdict.Reason != c.why || (d.Do == gate.Send) != (c.why == "") || !d.Verdict.Until.Equal(c.until) || (d.Do == gate.Hold) == c.until.IsZero() {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// TestWhichPermissionIsUsed: the newest that was not used, and only where the
// message goes by one.
func TestWhichPermissionIsUsed(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	r := contact.Record{Address: "1", LastInbound: at.Add(-time.Hour),
		Comments: []contact.Permission{{ID: "c2", At: at.Add(-time.Hour), Used: true}, {ID: "c1", At: at.Add(-2 * time.Hour)}},
		Tokens:   []contact.Permission{{ID: "t", At: at.Add(-time.Hour)}}}
	s := &sender.Spec{ID: "s", Channel: "messenger", Capabilities: []string{"one_time_notification"}}
	for via, want := range map[string]string{"": "", message.PrivateReply: "c1", message.OneTimeNotification: "t"} {
		p := plannedAs(t, broadcast.Spec{Message: message.Message{Text: "Hello", Via: via}})
		if d := usual().Forecast(r, p, s, at); d.Do != gate.Send || d.Uses.ID != want {
			t.Errorf("via %q: %+v", via, d)
		}
	}
}

func TestBlind(t *testing.T) {
	if got := gate.Blind(errors.Join(facts.ErrRebuilding)); got != reason.Rebuilding {
		t.Errorf("rebuilding: %s", got)
	}
	for _, err := range []error{facts.ErrStale, errors.New("i/o timeout")} {
		if got := gate.Blind(err); got != reason.FactsUnavailable {
			t.Errorf("%v: %s", err, got)
		}
	}
}

func TestAuthor(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		message message.Message
		refused string
		warned  string
	}{
		"plain":                 {message: message.Message{Text: "hi"}},
		"a tag that is no more": {message: message.Message{Text: "hi", Tag: "CONFIRMED_EVENT_UPDATE"}, warned: "outside the window nobody gets it"},
	} {
		t.Run(name, func(t *testing.T) {
			b := &broadcast.Spec{ID: "b", Message: c.message}
			warnings, err := usual().Author(plannedAs(t, *b), &sender.Spec{ID: "s", Channel: "messenger"}, now)
			if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
				t.Errorf("refused with %v, want %q", err, c.refused)
			}
			if got := strings.Join(warnings, "\n"); !strings.Contains(got, c.warned) {
				t.Errorf("warned %q, want %q", got, c.warned)
			}
		})
	}
}

func TestZones(t *testing.T) {
	z := gate.NewZones()
	for range 2 {
		if l := z.Load("Europe/Oslo"); l == nil || l.String() != "Europe/Oslo" {
			t.Errorf("Oslo: %v", l)
		}
		if l := z.Load("Middle/Earth"); l != nil {
			t.Errorf("an unknown zone: %v", l)
		}
	}
}
