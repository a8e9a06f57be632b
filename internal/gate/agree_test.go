package gate_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Peek, recheck, redrive and forecast ask Judge, and Judge says what the
// rulebook says: for every case of the rulebook's own table that documents
// and facts of this version can state, under the built-in rulebook and under
// one with other limits.
func TestJudgeSaysWhatTheRulebookSays(t *testing.T) {
	t.Parallel()
	for name, book := range map[string]*policy.Rulebook{"built in": policy.Default(), "of a user": shorter(t)} {
		g := gate.NewRules(book)
		kinds := map[policy.Kind]int{}
		n := 0
		policyCases(t, func(c policy.Case) {
			s, r, p, ok := stated(t, c)
			if !ok {
				return
			}
			n++
			want := c.Judge(book)
			kinds[want.Kind]++
			running := facts.Look{Source: &facts.Control{State: facts.Running}, Contacts: []*contact.Record{&r}}
			if c.Sender.Paused {
				running.Sender = &facts.Control{State: facts.Paused}
			}
			for by, got := range map[string]gate.Decision{
				"judge": g.Judge(running, 0, p, s, c.At), "forecast": g.Forecast(r, p, s, c.At),
			} {
				if by == "forecast" && c.Sender.Paused {
					continue // it foresees what the rules say, not what an operator will do
				}
				if !reflect.DeepEqual(got.Verdict, want) {
					t.Errorf("%s rulebook, %s: %s:\ngot  %s: %s\nwant %s: %s", name, by, c.ID, got.Verdict.Kind, got.Verdict.Explain(), want.Kind, want.Explain())
				}
				if (got.Do == gate.Send) != (want.Kind == policy.Send) {
					t.Errorf("%s rulebook, %s: %s: does %d on a verdict to %s", name, by, c.ID, got.Do, want.Kind)
				}
			}
		})
		if n < 100 || kinds[policy.Send] < 20 || kinds[policy.Block] < 20 || kinds[policy.Hold] < 5 {
			t.Errorf("%s rulebook: only %d cases could be stated: %v", name, n, kinds)
		}
	}
}

// What can't be sent to anybody is refused by the author's check with the
// reason that the rulebook gives, under any rulebook.
func TestAuthorSaysWhatTheRulebookSays(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	s := &sender.Spec{ID: "s", Channel: "messenger"}
	b := &broadcast.Spec{ID: "b", Sender: "s", Message: message.Message{Text: "Hello"}}
	if _, err := gate.NewRules(policy.Default()).Author(plannedAs(t, *b), s, at); err != nil {
		t.Errorf("the built-in rulebook: %v", err)
	}
	none := edited(t, "id: standard_window\n", "id: standard_window\n    to: 2026-01-01\n")
	if _, err := gate.NewRules(none).Author(plannedAs(t, *b), s, at); err != nil {
		t.Errorf("a rulebook that leaves the window after an ad's message: %v", err)
	}
	_, err := gate.NewRules(none).Author(plannedAs(t, *b), s, time.Date(2026, 9, 27, 23, 59, 59, 999999999, time.UTC)) // that one is not in force yet
	if u, ok := errors.AsType[*gate.Unsendable](err); !ok || u.What != "broadcast b" || u.Verdict.Reason != reason.WindowClosed || !strings.HasPrefix(err.Error(), "broadcast b can never be sent: ") {
		t.Errorf("a rulebook without a window in force: %v", err)
	}
}

// shorter is a rulebook whose standard window is an hour shorter.
func shorter(t *testing.T) *policy.Rulebook { return edited(t, "limit: 24h\n", "limit: 23h\n") }

// edited is the built-in rulebook with the first old text replaced, as a user
// would replace it.
func edited(t *testing.T, old, text string) *policy.Rulebook {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "pkg", "policy", "rulebook.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	before, after, ok := strings.Cut(string(data), "id: standard_window")
	if !ok {
		t.Fatal("the rulebook has no standard_window")
	}
	after = "id: standard_window" + after
	if !strings.Contains(after, old) {
		t.Fatalf("the rulebook has no %q", old)
	}
	book, err := policy.Parse([]byte(before + strings.Replace(after, old, text, 1)))
	if err != nil {
		t.Fatal(err)
	}
	return book
}

// policyCases calls each with the rulebook's own cases.
func policyCases(t *testing.T, each func(policy.Case)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "pkg", "policy", "testdata", "*.ndjson"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	var reader policy.CaseReader
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var e struct {
				Case json.RawMessage `json:"case"`
			}
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			c, err := reader.Read(e.Case)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			each(c)
		}
		if err := f.Close(); err != nil || lines.Err() != nil {
			t.Fatal(err, lines.Err())
		}
	}
}

// stated writes a case as the documents and the record that it could come
// from, and reports whether they say all of it.
func stated(t *testing.T, c policy.Case) (*sender.Spec, contact.Record, *definition.Planned, bool) {
	t.Helper()
	s := &sender.Spec{
		ID: "s", Channel: string(c.Sender.Channel), Capabilities: c.Sender.Capabilities, AdWindow: int(c.Sender.AdWindow / time.Hour),
		RelaxFlows: c.Sender.RelaxFlowTemplates, NumberType: c.Sender.NumberType, Restricted: c.Sender.Restricted, Withdrawn: c.Sender.RestrictedFeatures, Disclosure: c.Sender.DisclosureRequired, Timezone: zoneName(c.Sender.Zone),
	}
	if q := c.Sender.QuietHours; q.Set {
		s.QuietHours = &sender.QuietHours{From: clock(q.From), To: clock(q.To)}
	}
	r := contact.Record{
		Address: "1", Timezone: zoneName(c.Facts.Zone), LastInbound: c.Facts.LastInbound, OpenedBy: c.Facts.OpenedBy,
		AdMessageAt: c.Facts.AdMessageAt, SMSConsent: c.Facts.SMSConsent,
	}
	if c.Facts.OptedOutAll {
		r.OptOuts = append(r.OptOuts, contact.OptOut{Scope: contact.All})
	}
	if c.Facts.OptedOutMarket {
		r.OptOuts = append(r.OptOuts, contact.OptOut{Scope: contact.Marketing})
	}
	if c.Facts.Blocked {
		r.BlockedAt = c.Facts.LastInbound.Add(time.Second)
	}
	b := broadcast.Spec{ID: "b", Sender: "s", Message: message.Message{
		Text: c.Message.Text, Promotional: c.Message.Promotional, Tag: c.Message.Tag,
		UseCase: c.Message.UseCase, Healthcare: c.Message.Healthcare, Discloses: c.Message.Discloses, Via: c.Message.Via,
	}}
	if c := c.Facts.Comment; !c.At.IsZero() {
		r.Comments = []contact.Permission{{ID: "c", At: c.At, Used: c.Replied, Live: c.LiveOver}}
	}
	if c := c.Facts.OneTimeToken; !c.Created.IsZero() {
		r.Tokens = []contact.Permission{{ID: "t", At: c.Created, Used: c.Used}}
	}
	// Braces would be template actions, and half a check is none: whatever
	// does not come back as it was can't be stated.
	if strings.Contains(c.Message.Text, "{{") {
		return nil, r, nil, false
	}
	g := gate.NewZones()
	p, err := definition.Plan(&broadcast.Broadcast{Spec: b}, nil)
	if err != nil {
		return nil, r, nil, false
	}
	ps, f, m := s.Policy(g.Load), r.Facts(g.Load), p.Says.Policy()
	m.Text, ps.Paused = c.Message.Text, c.Sender.Paused
	if !alike(ps, c.Sender) || !alike(f, c.Facts) || !alike(m, c.Message) {
		return nil, r, nil, false
	}
	return s, r, p, true
}

func zoneName(z *time.Location) string {
	if z == nil {
		return ""
	}
	return z.String()
}

func clock(d time.Duration) string { return time.Time{}.Add(d).Format("15:04") }

// alike compares what the rules are asked about, whatever form a time zone or
// an absent list has in memory.
func alike(a, b any) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		v, w := x.Field(i).Interface(), y.Field(i).Interface()
		switch v := v.(type) {
		case *time.Location:
			if zoneName(v) != zoneName(w.(*time.Location)) {
				return false
			}
		case time.Time:
			if !v.Equal(w.(time.Time)) {
				return false
			}
		case []string:
			if strings.Join(v, " ") != strings.Join(w.([]string), " ") {
				return false
			}
		default:
			if !reflect.DeepEqual(v, w) {
				return false
			}
		}
	}
	return true
}

// Which capabilities a sender may claim is what rules ask for, under any
// rulebook.
func TestCapabilitiesAreTheRulebooks(t *testing.T) {
	t.Parallel()
	own := edited(t, "capability: human_agent\n", "capability: agent_of_2027\n")
	for name, c := range map[string]struct {
		book       *policy.Rulebook
		capability string
		err        string
	}{
		"known":              {policy.Default(), "human_agent", ""},
		"of the numbers":     {policy.Default(), "ten_dlc", ""},
		"misspelt":           {policy.Default(), "human_agents", `sender s: capability "human_agents": want one of utility, human_agent, `},
		"a user's own":       {own, "agent_of_2027", ""},
		"gone from a user's": {own, "human_agent", `sender s: capability "human_agent": want one of utility, agent_of_2027, `},
	} {
		err := gate.NewRules(c.book).CheckSender(&sender.Spec{ID: "s", Capabilities: []string{c.capability}})
		if (err == nil) != (c.err == "") || err != nil && !strings.HasPrefix(err.Error(), c.err) {
			t.Errorf("%s: %v, want %s", name, err, c.err)
		}
	}
	withdrawn := func(names ...string) error {
		return gate.NewRules(policy.Default()).CheckSender(&sender.Spec{ID: "s", Withdrawn: names})
	}
	if err := withdrawn("HUMAN_AGENT", "utility"); err != nil {
		t.Error(err)
	}
	if err := withdrawn("human_agent"); err == nil || !strings.HasPrefix(err.Error(), `sender s: sender.restricted_features: "human_agent": no tag`) {
		t.Error(err)
	}
}
