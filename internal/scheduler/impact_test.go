package scheduler

import (
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

func rulesBy(t testing.TB, text string) gate.Rules {
	t.Helper()
	rb, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return gate.NewRules(rb)
}

func plannedAs(t testing.TB, m message.Message) *definition.Planned {
	t.Helper()
	says, err := message.NewWording(message.Broadcast(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &definition.Planned{Spec: broadcast.Spec{ID: "b", Message: m}, Says: says}
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
	tagged := message.Message{Text: "Friday", Tag: "CONFIRMED_EVENT_UPDATE"}
	plain := message.Message{Text: "Hello", Promotional: true}
	for name, c := range map[string]struct {
		message       message.Message
		inbound, ad   time.Duration // before due; 0: never
		optOut        contact.Scope
		before, after string
		want          Impact
	}{
		"a tag retires":                    {message: tagged, inbound: 30 * day, before: "2026-04-26T00:00:00Z", after: "2026-04-27T00:00:00Z", want: Impact{Broken: map[reason.Code]int{"tag_retired": 1}}},
		"1 ns before it does":              {message: tagged, inbound: 30 * day, before: "2026-04-26T00:00:00Z", after: "2026-04-26T23:59:59.999999999Z"},
		"after it did":                     {message: tagged, inbound: 30 * day, before: "2026-04-27T00:00:00Z", after: "2026-05-27T00:00:00Z", want: Impact{Blocked: 1}},
		"a tag begins":                     {message: tagged, inbound: 30 * day, before: "2019-08-28T00:00:00Z", after: "2019-08-29T00:00:00Z", want: Impact{Allowed: map[string]int{"event_tag": 1}}},
		"inside the window by 1 ns":        {message: tagged, inbound: day - 1, before: "2026-04-26T00:00:00Z", after: "2026-04-27T00:00:00Z"},
		"at the window's end":              {message: tagged, inbound: day, before: "2026-04-26T00:00:00Z", after: "2026-04-27T00:00:00Z", want: Impact{Broken: map[reason.Code]int{"tag_retired": 1}}},
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
			got := Impact{Broken: map[reason.Code]int{}, Allowed: map[string]int{}}
			got.count(span{moment(c.before), moment(c.after)}.verdicts(says(rulesBy(t, usual), plannedAs(t, c.message), from), r, due, time.Time{}))
			c.want.Audience = 1
			if d := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); d != "" {
				t.Error(d)
			}
		})
	}
}

// says judges as a broadcast's contacts are judged.
func says(g gate.Rules, p *definition.Planned, from *sender.Spec) judge {
	return func(r contact.Record, at time.Time) policy.Verdict { return g.Forecast(r, p, from, at).Verdict }
}

// TestImpactCounts is what holds of any contacts and any two days: nobody is
// in two of the counts, a day beside itself breaks and allows nobody, and
// the way back breaks whom the way there allows.
func TestImpactCounts(t *testing.T) {
	t.Parallel()
	// A rulebook whose rules begin and end more often than the usual ones.
	text := strings.Replace(string(policy.Embedded()), "    since: last_inbound\n    limit: 24h\n", "    since: last_inbound\n    limit: 24h\n    to: 2027-01-01\n", 1)
	g := rulesBy(t, text)
	due := moment("2026-11-25T10:00:00Z")
	days := []string{"2019-08-28", "2019-08-29", "2020-03-03", "2020-03-04", "2026-04-26", "2026-04-27", "2026-09-27", "2026-09-28", "2026-12-31", "2027-01-01"}
	rapid.Check(t, func(t *rapid.T) {
		at := func(label string) time.Time {
			return moment(rapid.SampledFrom(days).Draw(t, label) + "T00:00:00Z").Add(time.Duration(rapid.Int64Range(-2, 2).Draw(t, label+" ns")))
		}
		ages := rapid.SliceOfN(rapid.Int64Range(0, 40*24), 0, 20).Draw(t, "ages in hours")
		m := message.Message{Text: "x", Tag: rapid.SampledFrom([]string{"", "ACCOUNT_UPDATE", "GAME_EVENT", "HUMAN_AGENT", "NON_PROMOTIONAL_SUBSCRIPTION"}).Draw(t, "tag"), Promotional: rapid.Bool().Draw(t, "promotional")}
		from := &sender.Spec{ID: "s", Channel: rapid.SampledFrom([]string{"messenger", "instagram"}).Draw(t, "channel"), Capabilities: []string{"news", "subscription"}, AdWindow: 72}
		wording, err := message.NewWording(message.Broadcast(), m, nil)
		if err != nil {
			t.Fatal(err)
		}
		p := &definition.Planned{Spec: broadcast.Spec{Message: m}, Says: wording}
		impact := func(a, b time.Time) Impact {
			i := Impact{Broken: map[reason.Code]int{}, Allowed: map[string]int{}}
			for n, age := range ages {
				r := contact.Record{Address: "1", LastInbound: due.Add(-time.Duration(age) * time.Hour)}
				if n%2 == 0 {
					r.AdMessageAt = r.LastInbound
				}
				i.count(span{a, b}.verdicts(says(g, p, from), r, due, time.Time{}))
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

func sum[K comparable](m map[K]int) (n int) {
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
		wantDue   time.Duration
		wantEnds  time.Duration
		open      bool // it has no end
	}{
		"draft without a time":                  {state: broadcast.Draft, open: true},
		"draft due later":                       {state: broadcast.Draft, at: "2026-11-22T12:00:00+01:00", after: "1h", wantDue: time.Hour, wantEnds: 2 * time.Hour},
		"draft whose time has come":             {state: broadcast.Draft, at: "2026-11-22T09:30:00Z", after: "1h", wantEnds: time.Hour},
		"draft that can't be launched any more": {state: broadcast.Draft, at: "2026-11-22T09:00:00Z", after: "1h"},
		"draft that can for 1 ns":               {state: broadcast.Draft, at: "2026-11-22T09:00:00.000000001Z", after: "1h", wantEnds: time.Hour},
		"scheduled":                             {state: broadcast.Scheduled, due: in(time.Hour), ends: in(7 * time.Hour), wantDue: time.Hour, wantEnds: 7 * time.Hour},
		"running is due now":                    {state: broadcast.Running, due: in(-time.Hour), ends: in(time.Hour), wantEnds: time.Hour},
		"paused past its end, not yet closed":   {state: broadcast.Paused, due: in(-2 * time.Hour), ends: in(0)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &broadcast.Broadcast{Spec: broadcast.Spec{ID: "b", Sender: "s", Schedule: broadcast.Schedule{At: c.at}, ExpiresAfter: c.after}, State: c.state, DueAt: c.due, EndsAt: c.ends}
			i := newImpact(b, now)
			if !i.Due.Equal(in(c.wantDue)) || i.Ends.IsZero() != c.open || !c.open && !i.Ends.Equal(in(c.wantEnds)) {
				t.Errorf("due %s, ends %s", i.Due, i.Ends)
			}
		})
	}
}

// A broadcast is touched by what changes between the first moment and when it
// goes out.
func TestImpactWithin(t *testing.T) {
	t.Parallel()
	now := moment("2026-11-22T10:00:00Z")
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		due, ends     time.Duration // of now; ends 0: it has none
		before, after time.Duration
		want          time.Duration // the second moment
		gone          bool
	}{
		"goes out after both":            {due: 5 * day, ends: 6 * day, before: day, after: 2 * day, want: 2 * day},
		"goes out between":               {due: 2 * day, ends: 9 * day, before: day, after: 3 * day, want: 2 * day},
		"goes out 1 ns after the first":  {due: day + 1, ends: 9 * day, before: day, after: 3 * day, want: day + 1},
		"goes out at the first":          {due: day, ends: 9 * day, before: day, after: 3 * day, gone: true},
		"goes out before the first":      {due: day, ends: 9 * day, before: 2 * day, after: 3 * day, gone: true},
		"goes out now, and from now on":  {ends: day, before: -1, after: day, want: 0},
		"can't go out any more":          {ends: -1, before: -9 * day, after: -8 * day, gone: true},
		"a draft for any day":            {before: day, after: 2 * day, want: 2 * day},
		"what was long ago, as it stood": {due: day, ends: 2 * day, before: -9 * day, after: -8 * day, want: -8 * day},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := Impact{Due: now.Add(c.due)}
			if c.ends != 0 {
				i.Ends = now.Add(c.ends)
			}
			sp, gone := i.within(span{now.Add(c.before), now.Add(c.after)}, now)
			if gone != c.gone || !gone && !sp.after.Equal(now.Add(c.want)) || !sp.before.Equal(now.Add(c.before)) {
				t.Errorf("from %s to %s, gone %v", sp.before, sp.after, gone)
			}
		})
	}
}

// Whom a new rule holds until the broadcast has ended it breaks; 1 ns before
// its end they still get it.
func TestHeldPastTheEndIsBroken(t *testing.T) {
	t.Parallel()
	due := moment("2026-11-25T10:00:00Z")
	sp := span{due.Add(-time.Hour), due}
	for until, want := range map[time.Duration]policy.Kind{time.Hour - 1: policy.Hold, time.Hour: policy.Block, 2 * time.Hour: policy.Block} {
		quiet := func(_ contact.Record, at time.Time) policy.Verdict {
			if at.Before(due) {
				return policy.Verdict{Kind: policy.Send}
			}
			return policy.Verdict{Kind: policy.Hold, Reason: reason.QuietHours, Until: at.Add(until)}
		}
		if before, after := sp.verdicts(quiet, contact.Record{}, due, due.Add(time.Hour)); before.Kind != policy.Send || after.Kind != want {
			t.Errorf("held for %s: %s, then %s", until, before.Kind, after.Kind)
		}
		if _, after := sp.verdicts(quiet, contact.Record{}, due, time.Time{}); after.Kind != policy.Hold {
			t.Errorf("held for %s without an end: %s", until, after.Kind)
		}
	}
	paused := func(contact.Record, time.Time) policy.Verdict {
		return policy.Verdict{Kind: policy.Hold, Reason: reason.SenderPaused}
	}
	if _, after := sp.verdicts(paused, contact.Record{}, due, due.Add(time.Hour)); after.Kind != policy.Hold {
		t.Errorf("held for nobody knows how long: %s", after.Kind)
	}
}
