package contact

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/job"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// drawTime returns one of few moments, so that ties happen, in one of few
// zones, so that equal moments look different.
func drawTime(t *rapid.T, label string) time.Time {
	at := noon.Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, label)))
	if rapid.Bool().Draw(t, label+" elsewhere") {
		at = at.In(time.FixedZone("", 3600))
	}
	return at
}

// drawUpdate returns what a webhook or an operator says. What goes along with
// a moment follows from it, as in the world: ties say the same.
func drawUpdate(t *rapid.T) Update {
	u := Update{Address: "4711"}
	if rapid.Bool().Draw(t, "inbound") {
		u.LastInbound = drawTime(t, "inbound at")
		u.OpenedBy = openers()[u.LastInbound.Nanosecond()%len(openers())]
	}
	if rapid.Bool().Draw(t, "ad") {
		u.AdMessageAt = drawTime(t, "ad at")
	}
	if rapid.Bool().Draw(t, "blocked") {
		u.BlockedAt = drawTime(t, "blocked at")
	}
	if rapid.Bool().Draw(t, "opt-out") {
		at := drawTime(t, "opt-out at")
		u.OptOut = &OptOut{Scope: rapid.SampledFrom([]Scope{All, Marketing}).Draw(t, "scope"), At: at, Source: at.UTC().String()}
	}
	u.SMSConsent = rapid.Bool().Draw(t, "consent")
	u.Change = drawChange(t)
	if rapid.Bool().Draw(t, "return") {
		u.Return = &Return{Scope: rapid.SampledFrom([]Scope{All, Marketing}).Draw(t, "back to"), At: drawTime(t, "return at")}
	}
	u.Comment, u.Token = drawPermission(t, "comment"), drawPermission(t, "token")
	if rapid.Bool().Draw(t, "others") {
		u.Review.At, u.Review.Done = drawTime(t, "review at"), drawTime(t, "review done")
		u.Review.ID = u.Review.At.UTC().String()
		u.Thread = Thread{Taken: drawTime(t, "taken"), Back: drawTime(t, "back")}
		u.CooledUntil = drawTime(t, "cooled")
	}
	return u
}

// drawPermission returns one of more permissions than are kept.
func drawPermission(t *rapid.T, label string) *Permission {
	n := rapid.IntRange(0, 2*maxPermissions).Draw(t, label)
	if n == 0 {
		return nil
	}
	return &Permission{ID: string(rune('a' + n)), At: noon.Add(time.Duration(n / 2)), Live: rapid.Bool().Draw(t, label+" over"), Used: rapid.Bool().Draw(t, label+" used")}
}

func mergeAll(us []Update) Record {
	var r Record
	for _, u := range us {
		r, _ = Merge(r, u)
	}
	return r
}

func TestMergeInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		us := rapid.SliceOfN(rapid.Custom(drawUpdate), 0, 8).Draw(t, "updates")
		want := mergeAll(us)
		if got := mergeAll(rapid.Permutation(us).Draw(t, "in another order")); !reflect.DeepEqual(got, want) {
			t.Fatalf("in another order %+v\nwant %+v", got, want)
		}
		for _, u := range us {
			if got, changed := Merge(want, u); changed || !reflect.DeepEqual(got, want) {
				t.Fatalf("taken in again, %+v changed %+v to %+v", u, want, got)
			}
		}
	})
}

// TestMergeOnlyRises asserts that no update undoes a fact, and that changed
// tells the truth.
func TestMergeOnlyRises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before := mergeAll(rapid.SliceOfN(rapid.Custom(drawUpdate), 0, 5).Draw(t, "before"))
		kept := before
		kept.OptOuts = slices.Clone(before.OptOuts)
		u := drawUpdate(t)
		if rapid.Bool().Draw(t, "with a profile") {
			u.Profile = &Profile{Name: "Anna"}
		}
		after, changed := Merge(before, u)
		if changed != !reflect.DeepEqual(after, before) {
			t.Fatalf("changed %t, from %+v to %+v", changed, before, after)
		}
		if !reflect.DeepEqual(before, kept) {
			t.Fatalf("the record given was written to: %+v, was %+v", before, kept)
		}
		if after.LastInbound.Before(before.LastInbound) || after.AdMessageAt.Before(before.AdMessageAt) || after.BlockedAt.Before(before.BlockedAt) || before.SMSConsent && !after.SMSConsent {
			t.Fatalf("a fact was undone: from %+v to %+v", before, after)
		}
		for _, o := range before.OptOuts {
			i := slices.IndexFunc(after.OptOuts, func(n OptOut) bool { return n.Scope == o.Scope })
			if i < 0 || after.OptOuts[i].At.After(o.At) {
				t.Fatalf("opt-out %+v became %+v", o, after.OptOuts)
			}
		}
	})
}

// TestMergeTies asserts that what came first stays where the times are equal.
func TestMergeTies(t *testing.T) {
	t.Parallel()
	r := Record{Address: "1", LastInbound: noon, OpenedBy: "message", OptOuts: []OptOut{{Scope: All, At: noon, Source: "first"}}}
	same := Update{Address: "1", LastInbound: noon.In(time.FixedZone("", 7200)), OpenedBy: "postback", OptOut: &OptOut{Scope: All, At: noon, Source: "second"}}
	if got, changed := Merge(r, same); changed || !reflect.DeepEqual(got, r) {
		t.Errorf("a tie changed the record to %+v", got)
	}
	newer := Update{LastInbound: noon.Add(1), OpenedBy: "postback", OptOut: &OptOut{Scope: All, At: noon.Add(-1), Source: "before"}}
	want := Record{Address: "1", LastInbound: noon.Add(1), OpenedBy: "postback", OptOuts: []OptOut{{Scope: All, At: noon.Add(-1), Newest: noon, Source: "before"}}}
	if got, changed := Merge(r, newer); !changed || !reflect.DeepEqual(got, want) {
		t.Errorf("1 ns newer gave %+v, want %+v", got, want)
	}
}

func TestMergeProfile(t *testing.T) {
	t.Parallel()
	full := Profile{Name: "Anna", Timezone: "Europe/Oslo", Labels: []string{"a"}, Attributes: map[string]string{"k": "v"}}
	r, _ := Merge(Record{}, Update{Address: "1", Profile: &full, OptOut: &OptOut{Scope: All, At: noon, Source: "import"}, SMSConsent: true})
	for _, c := range []struct {
		name    string
		edit    func(*Profile)
		changed bool
	}{
		{"the same", func(*Profile) {}, false},
		{"a name", func(p *Profile) { p.Name = "Eva" }, true},
		{"a zone", func(p *Profile) { p.Timezone = "" }, true},
		{"a label", func(p *Profile) { p.Labels = []string{"b"} }, true},
		{"no label", func(p *Profile) { p.Labels = nil }, true},
		{"another value", func(p *Profile) { p.Attributes = map[string]string{"k": "w"} }, true},
		{"another attribute", func(p *Profile) { p.Attributes = map[string]string{"l": "v"} }, true},
		{"one more", func(p *Profile) { p.Attributes = map[string]string{"k": "v", "l": ""} }, true},
		{"nothing", func(p *Profile) { *p = Profile{} }, true},
	} {
		p := full
		c.edit(&p)
		got, changed := Merge(r, Update{Address: "1", Profile: &p})
		if changed != c.changed || got.Name != p.Name || got.Timezone != p.Timezone || !slices.Equal(got.Labels, p.Labels) || !reflect.DeepEqual(got.Attributes, p.Attributes) {
			t.Errorf("%s: changed %t, %+v", c.name, changed, got)
		}
		if !got.OptedOut(All) || !got.SMSConsent {
			t.Errorf("%s: an import cleared an opt-out or a consent: %+v", c.name, got)
		}
	}
}

// TestMergeZeroSaysNothing asserts that an empty update is none, the address
// included.
func TestMergeZeroSaysNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := mergeAll(rapid.SliceOfN(rapid.Custom(drawUpdate), 0, 5).Draw(t, "updates"))
		if got, changed := Merge(r, Update{}); changed || !reflect.DeepEqual(got, r) {
			t.Fatalf("nothing changed %+v to %+v", r, got)
		}
	})
}

func TestRecordInJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := mergeAll(rapid.SliceOfN(rapid.Custom(drawTold), 0, 5).Draw(t, "updates"))
		b, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decode(b); err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("%+v\nin JSON %s\nread as %+v (%v)", r, b, got, err)
		}
	})
}

// What is stored by the million must not change its form by accident.
func TestFormOfARecord(t *testing.T) {
	t.Parallel()
	r := Record{
		Address: "4711", Name: "Ada <3", Timezone: "Europe/Oslo", Labels: []string{"vip"}, Attributes: map[string]string{"b": "2", "a": "1"},
		LastInbound: noon, OpenedBy: "message", OptOuts: []OptOut{{Scope: Marketing, At: noon, Source: "till"}}, SMSConsent: true,
	}
	for want, r := range map[string]Record{
		`{"a":"4711"}`: {Address: "4711"},
		`{"a":"4711","n":"Ada \u003c3","z":"Europe/Oslo","l":["vip"],"x":{"a":"1","b":"2"},"i":"2026-11-22T12:00:00Z","o":"message",` +
			`"u":[{"s":"marketing","t":"2026-11-22T12:00:00Z","w":"till"}],"c":true}`: r,
	} {
		if got, err := r.Encode(); string(got) != want || err != nil {
			t.Errorf("%s (%v)\nwant %s", got, err, want)
		}
	}
}

// While two versions run side by side the older one merges into records of
// the newer one, and must not undo what it can't read.
func TestMergeKeepsWhatANewerVersionWrote(t *testing.T) {
	t.Parallel()
	r, err := Decode([]byte(`{"a":"4711","q":{"until":7},"n":"Ada"}`))
	if err != nil || string(r.Newer) != `{"q":{"until":7}}` {
		t.Fatalf("%+v, %v", r, err)
	}
	r, changed := Merge(r, Update{BlockedAt: noon, Profile: &Profile{Name: "Bob"}})
	got, err := r.Encode()
	if want := `{"a":"4711","n":"Bob","b":"2026-11-22T12:00:00Z","q":{"until":7}}`; !changed || string(got) != want || err != nil {
		t.Errorf("%s (%v), want %s", got, err, want)
	}
}

func TestBlocked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name             string
		blocked, inbound time.Time
		want             bool
	}{
		{"never", time.Time{}, noon, false},
		{"and never wrote", noon, time.Time{}, true},
		{"after writing", noon, noon.Add(-1), true},
		{"while writing", noon, noon, true},
		{"and wrote since", noon, noon.Add(1), false},
	} {
		if got := (Record{BlockedAt: c.blocked, LastInbound: c.inbound}).Blocked(); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
}

func TestFacts(t *testing.T) {
	t.Parallel()
	oslo := time.FixedZone("Oslo", 3600)
	zone := func(name string) *time.Location {
		if name == "Europe/Oslo" {
			return oslo
		}
		return nil
	}
	f := Record{Timezone: "Europe/Oslo", LastInbound: noon, OpenedBy: "optin", AdMessageAt: noon.Add(1), BlockedAt: noon.Add(2), SMSConsent: true, OptOuts: []OptOut{{Scope: Marketing}}}.Facts(zone)
	if f.LastInbound != noon || f.OpenedBy != "optin" || f.AdMessageAt != noon.Add(1) || !f.Blocked || !f.SMSConsent || f.OptedOutAll || !f.OptedOutMarket || f.Zone != oslo {
		t.Errorf("facts %+v", f)
	}
	if f := (Record{OptOuts: []OptOut{{Scope: All}}}).Facts(zone); !f.OptedOutAll || f.OptedOutMarket || f.Blocked || f.Zone != nil {
		t.Errorf("facts %+v", f)
	}
	if f := (Record{Timezone: "Mars/Base"}).Facts(zone); f.Zone != nil {
		t.Errorf("a zone that is none became %v", f.Zone)
	}
}

// TestKeyer asserts that sender, address and secret all count, and where one
// ends and the next begins.
func TestKeyer(t *testing.T) {
	t.Parallel()
	secret := []byte("0123456789abcdef0123456789abcdef")
	k := NewKeyer(secret)
	seen := map[job.Key]string{}
	for _, c := range [][2]string{{"bakery", "1"}, {"bakery", "2"}, {"bakery1", ""}, {"baker", "y1"}, {"", "bakery1"}} {
		key := k.Key(c[0], c[1])
		if other, ok := seen[key]; ok {
			t.Errorf("%q and %s have one key", c, other)
		}
		seen[key] = c[0] + "/" + c[1]
		if key != NewKeyer(secret).Key(c[0], c[1]) {
			t.Errorf("the key of %q is not the same twice", c)
		}
	}
	before := k.Fingerprint()
	secret[0]++
	if k.Fingerprint() != before || NewKeyer(secret).Fingerprint() == before {
		t.Error("a keyer follows the secret that it was given, or does not depend on it")
	}
	// Fixed by what is stored: another answer would lose every contact.
	if got := NewKeyer([]byte("0123456789abcdef0123456789abcdef")).Key("bakery", "4711").String(); got != "Cuu6DhnqtrRmgPzF5kIidg" {
		t.Errorf("key %s", got)
	}
}
