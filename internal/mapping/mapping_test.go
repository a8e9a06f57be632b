package mapping

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/hook"
)

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

func deal(data string) event.Event {
	return event.Event{
		Source: "crm", ID: "1", Type: "contact.updated", Time: noon(), Subject: "contact/7", Extensions: map[string]string{"tenant": "no"},
		Data: json.RawMessage(data),
	}
}

func compile(t testing.TB, rules ...hook.Rule) *Mapping {
	t.Helper()
	m, err := Compile(&hook.Spec{Map: rules})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestCompileRefuses: what can't be meant is refused when it is applied, with
// the field and the place in it.
func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	good := func() hook.Rule { return hook.Rule{Sender: "shop", Contact: "event.data.psid"} }
	for name, c := range map[string]struct {
		edit func(*hook.Rule)
		want string
	}{
		"as it is":            {func(*hook.Rule) {}, ""},
		"no expression":       {func(r *hook.Rule) { r.Contact = "event.data." }, "map[1].contact: Syntax error"},
		"another variable":    {func(r *hook.Rule) { r.When = "evnt.type == 'x'" }, "map[1].when: undeclared reference to 'evnt'"},
		"no answer":           {func(r *hook.Rule) { r.When = "'x'" }, "map[1].when: gives string, want bool"},
		"a number of an id":   {func(r *hook.Rule) { r.Contact = "1.5" }, "map[1].contact: gives double, want string, int"},
		"a label that is one": {func(r *hook.Rule) { r.Labels = map[string]string{"vip": "'yes'"} }, "map[1].labels.vip: gives string, want bool"},
		"no label":            {func(r *hook.Rule) { r.Labels = map[string]string{"vip": ""} }, "map[1].labels.vip: want an expression"},
		"no such label":       {func(r *hook.Rule) { r.Labels = map[string]string{"a;b": "true"} }, `map[1].labels: "a;b": want`},
		"a field's attribute": {func(r *hook.Rule) { r.Attributes = map[string]string{"name": "'x'"} }, `map[1].attributes: "name" has a field of its own`},
		"a list":              {func(r *hook.Rule) { r.Attributes = map[string]string{"city": "['x']"} }, "map[1].attributes.city: gives list(string), want"},
		"text helpers":        {func(r *hook.Rule) { r.Contact = "event.data.phone.replace(' ', '')" }, ""},
		"a default":           {func(r *hook.Rule) { r.Name = "event.data.?name.orValue('')" }, ""},
		"a duration of time":  {func(r *hook.Rule) { r.Time = "duration('1s')" }, "map[1].time: gives google.protobuf.Duration"},
	} {
		bad := good()
		c.edit(&bad)
		_, err := Compile(&hook.Spec{Map: []hook.Rule{good(), bad}})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestMap: what a rule finds in an event, and when it finds nothing or fails.
func TestMap(t *testing.T) {
	t.Parallel()
	str := func(s string) *string { return &s }
	rule := hook.Rule{
		Types: []string{"contact.*", "x"}, When: "event.data.channel != 'fax'", Sender: "shop", Contact: "event.data.psid", Time: "event.data.at",
		Name: "event.data.name", Timezone: "event.data.zone", Labels: map[string]string{"vip": "event.data.tier >= 2"},
		Attributes: map[string]string{"city": "event.data.city", "tenant": "event.extensions.tenant"},
		SMSConsent: "event.data.agreed", OptOut: "event.data.do_not_text == true", OptIn: "event.data.back", Erase: "event.data.forget",
	}
	tenant := map[string]*string{"tenant": str("no")}
	for name, c := range map[string]struct {
		data   string
		person string // "": it names nobody
		at     time.Time
		change contact.Change
		err    string
	}{
		"least":             {`{"channel":"m","psid":"7"}`, "7", noon(), contact.Change{Attributes: tenant}, ""},
		"an id as a number": {`{"channel":"m","psid":9007199254740993}`, "9007199254740993", noon(), contact.Change{Attributes: tenant}, ""},
		"an id too long":    {`{"channel":"m","psid":123456789012345678901234567890}`, "123456789012345678901234567890", noon(), contact.Change{Attributes: tenant}, ""},
		"all": {
			`{"channel":"m","psid":"7","at":"2026-11-22T11:00:00+01:00","name":"Ada","zone":"Europe/Oslo","tier":2.5,"city":"Oslo","agreed":true,"do_not_text":false,"back":"marketing"}`,
			"7", noon().Add(-2 * time.Hour), contact.Change{Name: str("Ada"), Timezone: str("Europe/Oslo"), Labels: map[string]bool{"vip": true}, Attributes: map[string]*string{"city": str("Oslo"), "tenant": str("no")}, SMSConsent: true, OptIn: contact.Marketing}, "",
		},
		"nothing any more": {
			`{"channel":"m","psid":"7","at":1795345200000,"name":null,"zone":"","tier":1,"city":null,"do_not_text":true}`,
			"7", noon().Add(-time.Hour), contact.Change{Name: str(""), Timezone: str(""), Labels: map[string]bool{"vip": false}, Attributes: map[string]*string{"city": nil, "tenant": str("no")}, OptOut: contact.All}, "",
		},
		"forget":                {`{"channel":"m","psid":"7","name":"Ada","do_not_text":true,"forget":true}`, "7", noon(), contact.Change{Erase: true}, ""},
		"another channel":       {`{"channel":"fax","psid":"7"}`, "", noon(), contact.Change{}, ""},
		"no channel":            {`{"psid":"7"}`, "", noon(), contact.Change{}, ""},
		"nobody":                {`{"channel":"m"}`, "", noon(), contact.Change{}, ""},
		"nobody, said":          {`{"channel":"m","psid":null}`, "", noon(), contact.Change{}, ""},
		"an empty id":           {`{"channel":"m","psid":" "}`, "", noon(), contact.Change{}, ""},
		"no data":               {``, "", noon(), contact.Change{}, ""},
		"null":                  {`null`, "", noon(), contact.Change{}, ""},
		"a text":                {`"secret"`, "", noon(), contact.Change{}, ""},
		"an id of two words":    {`{"channel":"m","psid":"secret word"}`, "", noon(), contact.Change{}, "map[0].contact: gives something else than an id"},
		"an id with a fraction": {`{"channel":"m","psid":7.5}`, "", noon(), contact.Change{}, "map[0].contact: gives something else than a string"},
		"no zone":               {`{"channel":"m","psid":"7","zone":"secret"}`, "", noon(), contact.Change{}, "map[0].timezone: is not an IANA time zone"},
		"a long name":           {`{"channel":"m","psid":"7","name":"` + strings.Repeat("secret", 50) + `"}`, "", noon(), contact.Change{}, "map[0].name: want at most 256 bytes"},
		"a name that is none":   {`{"channel":"m","psid":"7","name":["secret"]}`, "", noon(), contact.Change{}, "map[0].name: gives something else than a string"},
		"no time":               {`{"channel":"m","psid":"7","at":"secret"}`, "", noon(), contact.Change{}, "map[0].time: gives something else than a time"},
		"a tier in words":       {`{"channel":"m","psid":"7","tier":"secret"}`, "", noon(), contact.Change{}, "map[0].labels.vip: can't be found out"},
		"another scope":         {`{"channel":"m","psid":"7","back":"secret"}`, "", noon(), contact.Change{}, "map[0].opt_in: gives something else"},
	} {
		got, err := compile(t, rule).Map(deal(c.data))
		if (err == nil) != (c.err == "") || err != nil && (!strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v, want %q", name, err, c.err)
		}
		if c.person == "" {
			if len(got) != 0 {
				t.Errorf("%s: %+v", name, got)
			}
			continue
		}
		want := deal(c.data)
		want.Sender, want.Person, want.Time = "shop", c.person, c.at
		if want.Change = &c.change; !c.change.Erase {
			want.Change.Source = "crm"
		}
		for i := range got { // empty maps say as much as none
			if ch := got[i].Change; ch != nil && len(ch.Labels) == 0 {
				ch.Labels = nil
			}
		}
		if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("%s: %+v\nwant %+v", name, got, want)
		}
	}
}

// TestMapByRules: every rule that is for an event counts, and each contact's
// event is theirs.
func TestMapByRules(t *testing.T) {
	t.Parallel()
	m := compile(t,
		hook.Rule{Types: []string{"deal.*"}, Sender: "deals", Contact: "event.data.psid"},
		hook.Rule{Types: []string{"contact.updated"}, Sender: "shop", Contact: "event.data.psid"},
		hook.Rule{Sender: "text", Contact: "event.data.phone", SMSConsent: "event.data.agreed"},
	)
	got, err := m.Map(deal(`{"psid":"7","phone":"+47"}`))
	if err != nil || len(got) != 2 || got[0].Sender != "shop" || got[0].ID != "1" || got[0].Change != nil || got[1].Sender != "text" || got[1].Person != "+47" || got[1].ID != "1" {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = m.Map(deal(`{"psid":"7","phone":[]}`))
	if err == nil || len(got) != 1 || got[0].Sender != "shop" {
		t.Errorf("one rule that fails costs the other: %+v, %v", got, err)
	}
	_, err = m.Map(deal(`{"phone":[]}`))
	if bare := Bare(deal(`{"phone":[]}`), err); bare.Data != nil || bare.Subject != "" || bare.Extensions != nil || bare.Why != "map[2].contact: gives something else than a string or a whole number" {
		t.Errorf("%+v", bare)
	}
}

func TestTakes(t *testing.T) {
	t.Parallel()
	m, err := Compile(&hook.Spec{Sources: []string{"a", "b"}})
	if err != nil || !m.Takes("b") || m.Takes("c") || !compile(t).Takes("c") {
		t.Errorf("sources count wrongly: %v", err)
	}
	r := rule{types: []string{"a", "b.*"}}
	for typ, want := range map[string]bool{"a": true, "a.b": false, "b.": true, "b.c": true, "b": false} {
		if r.takes(typ) != want {
			t.Errorf("%s: %t", typ, !want)
		}
	}
}

// TestCostIsBounded: an expression that runs on ends, and says so.
func TestCostIsBounded(t *testing.T) {
	t.Parallel()
	m := compile(t, hook.Rule{Sender: "shop", Contact: "event.data.l.map(x, event.data.l.map(y, x + y)).size() == 0 ? 'a' : 'b'"})
	list, err := json.Marshal(map[string]any{"l": make([]int, 1000)})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.Map(deal(string(list))); err == nil || len(got) != 0 || !strings.Contains(err.Error(), "costs too much") {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestCache: a document is compiled once for as long as it is the same.
func TestCache(t *testing.T) {
	t.Parallel()
	cache := NewCache()
	of := func(r hook.Rule) (*Mapping, error) { return cache.Of(&hook.Spec{ID: "crm", Map: []hook.Rule{r}}) }
	first, err := of(hook.Rule{Sender: "shop", Contact: "event.data.psid"})
	again, errs := of(hook.Rule{Sender: "shop", Contact: "event.data.psid"})
	if err != nil || errs != nil || first != again {
		t.Error("the same document was compiled twice")
	}
	other, err := of(hook.Rule{Sender: "other", Contact: "event.data.psid"})
	if err != nil || other == first {
		t.Errorf("a document that changed: %v", err)
	}
	if got, err := other.Map(deal(`{"psid":"7"}`)); err != nil || len(got) != 1 || got[0].Sender != "other" {
		t.Errorf("%+v, %v", got, err)
	}
	if m, err := of(hook.Rule{Contact: "("}); err == nil || m != nil {
		t.Errorf("rules that are none: %+v", m)
	}
}

// FuzzMap: no data makes a rule say what can't be kept, or fall over.
func FuzzMap(f *testing.F) {
	f.Add(`{"psid":"7","at":1,"n":"x","v":[1,{"a":null}]}`)
	f.Add(`{"psid":12345678901234567890,"at":"9999-12-31T23:59:59-01:00"}`)
	f.Add(`[]`)
	m := compile(f, hook.Rule{
		Sender: "shop", Contact: "event.data.psid", Time: "event.data.at", Name: "event.data.n", Timezone: "event.data.z", OptOut: "event.data.o",
		Labels: map[string]string{"a": "event.data.v"}, Attributes: map[string]string{"v": "event.data.v"}, Erase: "event.data.e",
	})
	f.Fuzz(func(t *testing.T, data string) {
		if !json.Valid([]byte(data)) {
			return
		}
		got, _ := m.Map(deal(data))
		for i := range got {
			if _, err := got[i].Encode(); err != nil || got[i].Person == "" || got[i].Change != nil && got[i].Change.Validate() != nil {
				t.Errorf("%s: %+v, %v", data, got[i], err)
			}
		}
	})
}
