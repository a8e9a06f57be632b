package scheduler

import (
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
)

func gateBy(t testing.TB, text string) *gate.Gate {
	t.Helper()
	rb, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return gate.New(nil, facts.Keys{}, nil, rb)
}

func plannedAs(t testing.TB, m broadcast.Message) *definition.Planned {
	t.Helper()
	text, err := broadcast.ParseTemplate(m.Text)
	if err != nil {
		t.Fatal(err)
	}
	return &definition.Planned{Spec: broadcast.Spec{ID: "b", Message: m}, Text: text}
}

func moment(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

// TestImpactOfOneContact compares both days for one contact that is so old
// when the broadcast is due.
func TestImpactOfOneContact(t *testing.T) {
	t.Parallel()
	usual := string(policy.Embedded())
	due := moment("2026-11-25T10:00:00Z")
	const day = 24 * time.Hour
	tagged := broadcast.Message{Text: "Friday", Tag: "CONFIRMED_EVENT_UPDATE"}
	plain := broadcast.Message{Text: "Hello", Promotional: true}
	for name, c := range map[string]struct {
		message       broadcast.Message
		inbound, ad   time.Duration // before due; 0: never
		optOut        contact.Scope
		before, after string
		want          Impact
	}{
		"a tag retires":                    {message: tagged, inbound: 30 * day, before: "2026-04-26T00:00:00Z", after: "2026-04-27T00:00:00Z", want: Impact{Broken: map[string]int{"tag_retired": 1}}},
		"1 ns before it does":              {message: tagged, inbound: 30 * day, before: "2026-04-26T00:00:00Z", after: "2026-04-26T23:59:59.999999999Z"},
		"after it did":                     {message: tagged, inbound: 30 * day, before: "2026-04-27T00:00:00Z", after: "2026-05-27T00:00:00Z", want: Impact{Blocked: 1}},
		"a tag begins":                     {message: tagged, inbound: 30 * day, before: "2019-08-28T00:00:00Z", after: "2019-08-29T00:00:00Z", want: Impact{Allowed: map[string]int{"event_tag": 1}}},
		"inside the window by 1 ns":        {message: tagged, inbound: day - 1, before: "2026-04-26T00:00:00Z", after: "2026-04-27T00:00:00Z"},
		"at the window's end":              {message: tagged, inbound: day, before: "2026-04-26T00:00:00Z", after: "2026-04-27T00:00:00Z", want: Impact{Broken: map[string]int{"tag_retired": 1}}},
		"a year makes nobody older":        {message: plain, inbound: day - 1, before: "2026-11-22T00:00:00Z", after: "2027-11-22T00:00:00Z"},
		"nor younger":                      {message: plain, inbound: day, before: "2026-11-22T00:00:00Z", after: "2025-11-22T00:00:00Z", want: Impact{Blocked: 1}},
		"the ad window begins":             {message: plain, inbound: 25 * time.Hour, ad: 30 * time.Hour, before: "2026-09-27T00:00:00Z", after: "2026-09-28T00:00:00Z", want: Impact{Allowed: map[string]int{"ad_window": 1}}},
		"the ad window, had it ended":      {message: plain, inbound: 25 * time.Hour, ad: 48 * time.Hour, before: "2026-09-27T00:00:00Z", after: "2026-09-28T00:00:00Z", want: Impact{Blocked: 1}},
		"opted out stays so":               {message: tagged, inbound: 30 * day, optOut: contact.All, before: "2026-04-26T00:00:00Z", after: "2026-04-27T00:00:00Z", want: Impact{Blocked: 1}},
		"never wrote stays so":             {message: plain, before: "2026-09-27T00:00:00Z", after: "2026-09-28T00:00:00Z", want: Impact{Blocked: 1}},
		"a thousand years are like a day":  {message: tagged, inbound: 30 * day, before: "1026-04-26T00:00:00Z", after: "3026-04-27T00:00:00Z", want: Impact{Blocked: 1}},
		"the first year is like any other": {message: plain, inbound: day - 1, before: "0001-01-01T00:00:00Z", after: "9999-12-31T00:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := contact.Record{Address: "1", Name: "Ada"}
			if c.inbound > 0 {
				r.LastInbound = due.Add(-c.inbound)
			}
			if c.ad > 0 {
				r.AdMessageAt = due.Add(-c.ad)
			}
			if c.optOut != "" {
				r.OptOuts = []contact.OptOut{{Scope: c.optOut, At: due}}
			}
			from := &sender.Spec{ID: "s", Channel: "messenger", AdWindow: 48}
			got := Impact{Broken: map[string]int{}, Allowed: map[string]int{}}
			got.count(span{moment(c.before), moment(c.after)}.verdicts(says(gateBy(t, usual), plannedAs(t, c.message), from), r, due))
			for _, m := range []*map[string]int{&c.want.Broken, &c.want.Allowed} {
				if *m == nil {
					*m = map[string]int{}
				}
			}
			if c.want.Audience = 1; cmp.Diff(c.want, got) != "" {
				t.Error(cmp.Diff(c.want, got))
			}
		})
	}
}

// says judges as a broadcast's contacts are judged.
func says(g *gate.Gate, p *definition.Planned, from *sender.Spec) judge {
	return func(r contact.Record, at time.Time) policy.Verdict { return g.Forecast(r, p, from, at).Verdict }
}

// TestImpactCounts is what holds of any contacts and any two days: nobody is
// in two of the counts, a day beside itself breaks and allows nobody, and
// the way back breaks whom the way there allows.
func TestImpactCounts(t *testing.T) {
	t.Parallel()
	// A rulebook whose rules begin and end more often than the usual ones.
	text := strings.Replace(string(policy.Embedded()), "    since: last_inbound\n    limit: 24h\n", "    since: last_inbound\n    limit: 24h\n    to: 2027-01-01\n", 1)
	g := gateBy(t, text)
	due := moment("2026-11-25T10:00:00Z")
	days := []string{"2019-08-28", "2019-08-29", "2020-03-03", "2020-03-04", "2026-04-26", "2026-04-27", "2026-09-27", "2026-09-28", "2026-12-31", "2027-01-01"}
	rapid.Check(t, func(t *rapid.T) {
		at := func(label string) time.Time {
			return moment(rapid.SampledFrom(days).Draw(t, label) + "T00:00:00Z").Add(time.Duration(rapid.Int64Range(-2, 2).Draw(t, label+" ns")))
		}
		ages := rapid.SliceOfN(rapid.Int64Range(0, 40*24), 0, 20).Draw(t, "ages in hours")
		m := broadcast.Message{Text: "x", Tag: rapid.SampledFrom([]string{"", "ACCOUNT_UPDATE", "GAME_EVENT", "HUMAN_AGENT", "NON_PROMOTIONAL_SUBSCRIPTION"}).Draw(t, "tag"), Promotional: rapid.Bool().Draw(t, "promotional")}
		from := &sender.Spec{ID: "s", Channel: rapid.SampledFrom([]string{"messenger", "instagram"}).Draw(t, "channel"), Capabilities: []string{"news", "subscription"}, AdWindow: 72}
		p := &definition.Planned{Spec: broadcast.Spec{Message: m}, Text: &broadcast.Template{}}
		if text, err := broadcast.ParseTemplate("x"); err == nil {
			p.Text = text
		}
		impact := func(a, b time.Time) Impact {
			i := Impact{Broken: map[string]int{}, Allowed: map[string]int{}}
			for n, age := range ages {
				r := contact.Record{Address: "1", LastInbound: due.Add(-time.Duration(age) * time.Hour)}
				if n%2 == 0 {
					r.AdMessageAt = r.LastInbound
				}
				i.count(span{a, b}.verdicts(says(g, p, from), r, due))
			}
			return i
		}
		a, b := at("from"), at("to")
		there, back, same := impact(a, b), impact(b, a), impact(a, a)
		if there.Audience != len(ages) || sum(there.Broken)+sum(there.Allowed)+there.Blocked > len(ages) {
			t.Fatalf("%d in the audience: %+v", len(ages), there)
		}
		if len(same.Broken)+len(same.Allowed) > 0 {
			t.Fatalf("a day beside itself: %+v", same)
		}
		if sum(there.Broken) != sum(back.Allowed) || sum(there.Allowed) != sum(back.Broken) || there.Blocked != back.Blocked {
			t.Fatalf("there %+v, back %+v", there, back)
		}
		if len(policy.Diff(g.Rulebook(), earlier(a, b), later(a, b))) == 0 && len(there.Broken)+len(there.Allowed) > 0 {
			t.Fatalf("no rule changes, and %+v", there)
		}
	})
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func sum(m map[string]int) (n int) {
	for v := range maps.Values(m) {
		n += v
	}
	return n
}

// TestMovedAlongMovesEveryTime fails for a time that is new in a record and
// would stand still.
func TestMovedAlongMovesEveryTime(t *testing.T) {
	t.Parallel()
	due, later := moment("2026-11-25T10:00:00Z"), moment("2027-11-25T10:00:00Z")
	var r contact.Record
	at := func(v reflect.Value, set *time.Time) (n int) {
		var walk func(reflect.Value)
		walk = func(v reflect.Value) {
			switch {
			case v.Type() == reflect.TypeFor[time.Time]():
				n++
				if set != nil {
					v.Set(reflect.ValueOf(*set))
				} else if got := v.Interface().(time.Time); !got.Equal(later.Add(-time.Hour)) {
					t.Errorf("time %d is %s", n, got)
				}
			case v.Kind() == reflect.Struct:
				for i := range v.NumField() {
					walk(v.Field(i))
				}
			case v.Kind() == reflect.Slice:
				if set != nil {
					v.Set(reflect.MakeSlice(v.Type(), 1, 1))
				}
				for i := range v.Len() {
					walk(v.Index(i))
				}
			}
		}
		walk(v)
		return n
	}
	ago := due.Add(-time.Hour)
	set := at(reflect.ValueOf(&r).Elem(), &ago)
	was := r.OptOuts[0]
	moved := movedAlong(r, due, later)
	if n := at(reflect.ValueOf(&moved).Elem(), nil); n != set || n < 4 {
		t.Errorf("%d times of %d", n, set)
	}
	if r.OptOuts[0] != was || !r.LastInbound.Equal(ago) {
		t.Error("the record itself was changed")
	}
	if m := movedAlong(contact.Record{}, due, later); !reflect.DeepEqual(m, contact.Record{}) {
		t.Errorf("what never happened happened: %+v", m)
	}
}

func TestNewImpact(t *testing.T) {
	t.Parallel()
	now := moment("2026-11-22T10:00:00Z")
	in := func(d time.Duration) time.Time { return now.Add(d) }
	for name, c := range map[string]struct {
		state     broadcast.State
		at        string
		after     string
		due, ends time.Time // as launched
		change    time.Duration
		wantDue   time.Duration
		wantEnds  time.Duration
		open      bool // it has no end
		gone      bool
	}{
		"draft without a time, whatever the change": {state: broadcast.Draft, change: 1000 * time.Hour, open: true},
		"draft due later":                       {state: broadcast.Draft, at: "2026-11-22T12:00:00+01:00", after: "1h", change: 2*time.Hour - 1, wantDue: time.Hour, wantEnds: 2 * time.Hour},
		"draft that ends with the change":       {state: broadcast.Draft, at: "2026-11-22T12:00:00+01:00", after: "1h", change: 2 * time.Hour, wantDue: time.Hour, wantEnds: 2 * time.Hour, gone: true},
		"draft whose time has come":             {state: broadcast.Draft, at: "2026-11-22T09:30:00Z", after: "1h", change: time.Hour - 1, wantEnds: time.Hour},
		"draft that can't be launched any more": {state: broadcast.Draft, at: "2026-11-22T09:00:00Z", after: "1h", change: -1000 * time.Hour, wantEnds: 0, gone: true},
		"draft that can for 1 ns":               {state: broadcast.Draft, at: "2026-11-22T09:00:00.000000001Z", after: "1h", change: -1000 * time.Hour, wantEnds: time.Hour},
		"scheduled":                             {state: broadcast.Scheduled, due: in(time.Hour), ends: in(7 * time.Hour), change: 7*time.Hour - 1, wantDue: time.Hour, wantEnds: 7 * time.Hour},
		"running is due now":                    {state: broadcast.Running, due: in(-time.Hour), ends: in(time.Hour), change: 0, wantEnds: time.Hour},
		"running, over when the change comes":   {state: broadcast.Running, due: in(-time.Hour), ends: in(time.Hour), change: time.Hour, wantEnds: time.Hour, gone: true},
		"paused past its end, not yet closed":   {state: broadcast.Paused, due: in(-2 * time.Hour), ends: in(0), change: -time.Hour, wantEnds: 0, gone: true},
		"paused, and the change is long past":   {state: broadcast.Paused, due: in(-2 * time.Hour), ends: in(1), change: -1000 * time.Hour, wantEnds: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &broadcast.Broadcast{Spec: broadcast.Spec{ID: "b", Sender: "s", Schedule: broadcast.Schedule{At: c.at}, ExpiresAfter: c.after}, State: c.state, DueAt: c.due, EndsAt: c.ends}
			i := newImpact(b, in(c.change), now)
			if !i.Due.Equal(in(c.wantDue)) || i.Ends.IsZero() != c.open || !c.open && !i.Ends.Equal(in(c.wantEnds)) || i.Gone != c.gone {
				t.Errorf("due %s, ends %s, gone %v", i.Due, i.Ends, i.Gone)
			}
		})
	}
}
