package contact

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawChange returns a change of few fields at one of few moments, so that
// ties and words against each other happen.
func drawChange(t *rapid.T) *Change {
	if !rapid.Bool().Draw(t, "change") {
		return nil
	}
	word := rapid.Ptr(rapid.SampledFrom([]string{"", "a", "b"}), true)
	c := &Change{At: drawTime(t, "changed at"), Name: word.Draw(t, "name"), SMSConsent: rapid.Bool().Draw(t, "sms")}
	c.Timezone = rapid.Ptr(rapid.SampledFrom([]string{"", "Europe/Oslo", "Asia/Tokyo"}), true).Draw(t, "zone")
	c.Labels = rapid.MapOfN(rapid.SampledFrom([]string{"vip", "trial"}), rapid.Bool(), -1, 2).Draw(t, "labels")
	c.Attributes = rapid.MapOfN(rapid.SampledFrom([]string{"city", "plan"}), word, -1, 2).Draw(t, "attributes")
	return c
}

// drawTold is drawUpdate with erasures. A consent without a time is left out:
// an erasure takes it back whenever it was given.
func drawTold(t *rapid.T) Update {
	u := drawUpdate(t)
	u.SMSConsent = false
	if rapid.IntRange(0, 3).Draw(t, "erase") == 0 {
		u.Erased = drawTime(t, "erased at")
	}
	return u
}

func TestErasuresMergeInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		us := rapid.SliceOfN(rapid.Custom(drawTold), 0, 8).Draw(t, "updates")
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

// TestErase asserts what an erasure forgets and what it keeps, and that both
// sides of its moment count as they should.
func TestErase(t *testing.T) {
	t.Parallel()
	all := func(at time.Time) Update {
		name, zone, city := "Ada", "Europe/Oslo", "Oslo"
		return Update{
			Address: "4711", LastInbound: at, OpenedBy: "message", AdMessageAt: at, BlockedAt: at, CooledUntil: at, Thread: Thread{Taken: at},
			OptOut: &OptOut{Scope: Marketing, At: at, Source: "Ada rang"}, Return: &Return{Scope: All, At: at}, Review: Review{At: at, ID: "mid.1"},
			Comment: &Permission{ID: "c", At: at}, Token: &Permission{ID: "t", At: at},
			Change: &Change{At: at, Name: &name, Timezone: &zone, Labels: map[string]bool{"vip": true}, Attributes: map[string]*string{"city": &city}, SMSConsent: true},
		}
	}
	forgotten := Record{
		OptOuts: []OptOut{{Scope: Marketing, At: noon}}, BlockedAt: noon, CooledUntil: noon, Thread: Thread{Taken: noon}, Review: Review{At: noon}, ErasedAt: noon,
	}
	rapid.Check(t, func(t *rapid.T) {
		us := rapid.Permutation([]Update{all(noon), {Erased: noon}}).Draw(t, "order")
		r := mergeAll(us)
		if !reflect.DeepEqual(r, forgotten) || !r.Erased() {
			t.Fatalf("told at the moment of the erasure, %+v is left\nwant %+v", r, forgotten)
		}
		if f := r.Facts(func(string) *time.Location { return nil }); !f.OptedOutMarket || !f.OptOutReview || !f.LastInbound.IsZero() || f.SMSConsent {
			t.Fatalf("facts after an erasure: %+v", f)
		}
		r = mergeAll(rapid.Permutation([]Update{all(noon.Add(1)), {Erased: noon}}).Draw(t, "order, later"))
		want := mergeAll([]Update{all(noon.Add(1))})
		want.ErasedAt = noon
		if !reflect.DeepEqual(r, want) || r.Erased() {
			t.Fatalf("told 1 ns after the erasure, %+v\nwant %+v", r, want)
		}
	})
}

// An opt-out alone brings nobody's address back, an import that is newer does,
// and what an import left without a time goes with any erasure.
func TestEraseAndImport(t *testing.T) {
	t.Parallel()
	imported := func(at time.Time) Update {
		return Update{Address: "1", Profile: &Profile{At: at, Name: "Ada", Labels: []string{"vip"}, Attributes: map[string]string{"k": "v"}}, SMSConsent: true}
	}
	for _, c := range []struct {
		name string
		told []Update
		left bool
	}{
		{"an import at the same moment", []Update{{Erased: noon}, imported(noon)}, false},
		{"an import after", []Update{{Erased: noon}, imported(noon.Add(1))}, true},
		{"an erasure that is told late", []Update{imported(noon.Add(1)), {Erased: noon}}, false},
		{"an opt-out after", []Update{{Erased: noon}, {Address: "1", OptOut: &OptOut{Scope: All, At: noon.Add(1)}}}, false},
		{"a block after", []Update{{Erased: noon}, {Address: "1", BlockedAt: noon.Add(1)}}, false},
	} {
		r := mergeAll(c.told)
		if left := r.Address != "" || r.Name != "" || len(r.Labels)+len(r.Attributes) > 0 || r.SMSConsent; left != c.left || r.Erased() == c.left {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
	if (Record{Address: "1"}).Erased() || (Record{Address: "1", ErasedAt: noon}).Erased() {
		t.Error("a contact that is known counts as erased")
	}
}

// TestProfileAndChanges asserts how a file that replaces all fields and
// changes of single ones stand to each other.
func TestProfileAndChanges(t *testing.T) {
	t.Parallel()
	a, b := "a", "b"
	file := func(at time.Time, name, k string, labels ...string) Update {
		return Update{Address: "1", Profile: &Profile{At: at, Name: name, Labels: labels, Attributes: map[string]string{"k": k}}}
	}
	said := func(at time.Time, name string, k *string, label string, has bool) Update {
		return Update{Address: "1", Change: &Change{At: at, Name: &name, Attributes: map[string]*string{"k": k}, Labels: map[string]bool{label: has}}}
	}
	for _, c := range []struct {
		name   string
		told   []Update
		want   string // name, labels, k
		writes bool   // whether the last one changes the record
	}{
		{"said after the file", []Update{file(noon, "f", "f", "x"), said(noon.Add(1), "s", &b, "y", true)}, "s [x y] b", true},
		{"said before the file", []Update{said(noon, "s", &b, "y", true), file(noon.Add(1), "f", "f", "x")}, "f [x] f", true},
		{"said before the file and told again", []Update{said(noon, "s", &b, "y", true), file(noon.Add(1), "f", "f", "x"), said(noon, "s", &b, "y", true)}, "f [x] f", false},
		{"said after the file and told first", []Update{said(noon.Add(1), "s", nil, "x", false), file(noon, "f", "f", "x")}, "s []", false},
		{"the file says the same", []Update{said(noon, "f", &a, "x", true), file(noon.Add(1), "f", "a", "x")}, "f [x] a", false},
		{"taken off, and in a newer file", []Update{said(noon, "", nil, "x", false), file(noon.Add(1), "f", "f", "x")}, "f [x] f", true},
	} {
		n := len(c.told) - 1
		r, changed := Merge(mergeAll(c.told[:n]), c.told[n])
		got := fmt.Sprintf("%s %v", r.Name, r.Labels)
		if k, ok := r.Attributes["k"]; ok {
			got += " " + k
		}
		if got != c.want || changed != c.writes {
			t.Errorf("%s: %s, changed %t, want %s, %t", c.name, got, changed, c.want, c.writes)
		}
	}
}

// TestMarksAreBounded asserts that a contact of whom ever new things are said
// keeps the newest, in whatever order they were told.
func TestMarksAreBounded(t *testing.T) {
	t.Parallel()
	var us []Update
	for i := range maxMarks + 20 {
		v := fmt.Sprint(i)
		c := &Change{At: noon.Add(time.Duration(i)), Attributes: map[string]*string{fmt.Sprintf("a%03d", i): &v}}
		if i%2 == 0 {
			c = &Change{At: c.At, Labels: map[string]bool{fmt.Sprintf("l%03d", i): i%4 == 0}, Name: &v}
		}
		us = append(us, Update{Address: "1", Change: c})
	}
	want := mergeAll(us)
	if n := len(want.Marks); n != maxMarks+1 { // the name's on top
		t.Errorf("%d marks, want %d", n, maxMarks+1)
	}
	if slices.Contains(want.Labels, "l016") || want.Attributes["a019"] != "" || want.Attributes["a021"] != "21" {
		t.Errorf("the oldest did not fall away: %v, %v", want.Labels[0], want.Attributes)
	}
	rapid.Check(t, func(t *rapid.T) {
		if got := mergeAll(rapid.Permutation(us).Draw(t, "order")); !reflect.DeepEqual(got, want) {
			t.Fatalf("in another order %v\nwant %v", got.Marks, want.Marks)
		}
	})
}

func TestValidateChange(t *testing.T) {
	t.Parallel()
	long, zone := strings.Repeat("x", MaxName), "Europe/Oslo"
	many := map[string]bool{}
	for i := range MaxParts {
		many[fmt.Sprint(i)] = true
	}
	str := func(s string) *string { return &s }
	for _, c := range []struct {
		name string
		c    Change
		want string // part of the error; "": none
	}{
		{"nothing", Change{}, ""},
		{"all", Change{Name: &long, Timezone: &zone, Labels: map[string]bool{long: true}, Attributes: map[string]*string{long: str(strings.Repeat("x", MaxValue)), "b": nil}, OptOut: All, Source: long}, ""},
		{"no name any more", Change{Name: str(""), Timezone: str("")}, ""},
		{"a long name", Change{Name: str(long + "x")}, "name"},
		{"a name of two lines", Change{Name: str("a\nb")}, "name"},
		{"a name that is no UTF-8", Change{Name: str("\xff")}, "name"},
		{"no zone", Change{Timezone: str("Mars/Base")}, "timezone"},
		{"most labels", Change{Labels: many}, ""},
		{"too many", Change{Labels: many, Attributes: map[string]*string{"a": nil}}, "at most 100"},
		{"an empty label", Change{Labels: map[string]bool{"": true}}, "labels"},
		{"a long label", Change{Labels: map[string]bool{long + "x": true}}, "labels"},
		{"two labels in one", Change{Labels: map[string]bool{"a;b": true}}, "labels"},
		{"a label with spaces around it", Change{Labels: map[string]bool{" a": true}}, "labels"},
		{"an attribute without a name", Change{Attributes: map[string]*string{"": nil}}, "attributes"},
		{"an attribute that is a field", Change{Attributes: map[string]*string{"Last_Inbound": nil}}, "field of its own"},
		{"a long value", Change{Attributes: map[string]*string{"a": str(strings.Repeat("x", MaxValue+1))}}, "at most 1000"},
		{"a value of two lines", Change{Attributes: map[string]*string{"a": str("a\nb")}}, ""},
		{"another scope", Change{OptOut: "some"}, "opt_out"},
		{"another scope to come back to", Change{OptIn: "some"}, "opt_in"},
		{"out and in", Change{OptOut: All, OptIn: All}, "one of them"},
		{"a long source", Change{OptOut: All, Source: long + "x"}, "source"},
		{"an erasure", Change{Erase: true}, ""},
		{"an erasure and more", Change{Erase: true, Name: str("")}, "nothing else"},
		{"an erasure and an opt-out", Change{Erase: true, OptOut: All}, "nothing else"},
	} {
		if err := c.c.Validate(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestUpdateOfAChange(t *testing.T) {
	t.Parallel()
	name := "Ada"
	c := Change{At: noon, Name: &name, OptOut: All, Source: "till"}
	if u := c.Update("1"); u.Address != "1" || u.Change == nil || u.OptOut == nil || *u.OptOut != (OptOut{Scope: All, At: noon, Source: "till"}) || u.Return != nil || !u.Erased.IsZero() {
		t.Errorf("%+v", u)
	}
	c = Change{At: noon, OptIn: Marketing}
	if u := c.Update("1"); u.Change != nil || u.OptOut != nil || u.Return == nil || *u.Return != (Return{Scope: Marketing, At: noon}) || c.Empty() {
		t.Errorf("%+v", u)
	}
	c = Change{At: noon, Erase: true}
	if u := c.Update("1"); u.Change != nil || !u.Erased.Equal(noon) || c.Empty() || !(&Change{At: noon}).Empty() {
		t.Errorf("%+v", u)
	}
	if r, changed := Merge(Record{}, Update{Change: &Change{Name: &name}}); changed {
		t.Errorf("a change without a time was taken in: %+v", r)
	}
}
