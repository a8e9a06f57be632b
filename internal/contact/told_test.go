package contact

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A contact that opts out and comes back, again and again, stands where its
// newest word says, in whatever order the words come.
func TestReturn(t *testing.T) {
	t.Parallel()
	out := func(s Scope, at time.Duration) Update { return Update{OptOut: &OptOut{Scope: s, At: noon.Add(at)}} }
	back := func(s Scope, at time.Duration) Update { return Update{Return: &Return{Scope: s, At: noon.Add(at)}} }
	for _, c := range []struct {
		name           string
		told           []Update
		all, marketing bool
	}{
		{"back after", []Update{out(All, 0), back(All, 1)}, false, false},
		{"back at the same moment", []Update{out(All, 0), back(All, 0)}, true, false},
		{"back before", []Update{out(All, 0), back(All, -1)}, true, false},
		{"out again", []Update{out(All, 0), back(All, 1), out(All, 2)}, true, false},
		{"back to marketing alone", []Update{out(All, 0), out(Marketing, 0), back(Marketing, 1)}, true, false},
		{"back to all is back to marketing", []Update{out(Marketing, 0), back(All, 1)}, false, false},
		{"never out", []Update{back(All, 0)}, false, false},
	} {
		rapid.Check(t, func(t *rapid.T) {
			r := mergeAll(rapid.Permutation(c.told).Draw(t, "order"))
			if r.OptedOut(All) != c.all || r.OptedOut(Marketing) != c.marketing || r.stopped() != c.all {
				t.Fatalf("%s: all %t marketing %t, %+v", c.name, r.OptedOut(All), r.OptedOut(Marketing), r)
			}
		})
	}
	again := Update{OptOut: &OptOut{Scope: All, At: noon.Add(5)}, Standing: true}
	if r, changed := Merge(mergeAll([]Update{out(All, 0)}), again); changed {
		t.Errorf("what stands was written again: %+v", r)
	}
	if r, _ := Merge(mergeAll([]Update{out(All, 0), back(All, 1)}), again); !r.OptedOut(All) {
		t.Errorf("a file's opt-out after a return counts for nothing: %+v", r)
	}
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	var r Record
	for i := range maxPermissions + 1 {
		r, _ = Merge(r, Update{Comment: &Permission{ID: string(rune('a' + i)), At: noon.Add(time.Duration(i))}})
	}
	if len(r.Comments) != maxPermissions {
		t.Fatalf("%d comments are kept, want %d", len(r.Comments), maxPermissions)
	}
	newest, _ := r.Comment()
	r, changed := Merge(r, Update{Used: newest.ID})
	second, ok := r.Comment()
	if !changed || !ok || second.At != newest.At.Add(-1) || second.Used {
		t.Errorf("after %+v was used: %t, %+v", newest, changed, second)
	}
	for _, c := range r.Comments {
		r, _ = Merge(r, Update{Used: c.ID})
	}
	if last, ok := r.Comment(); !ok || !last.Used || last.ID != newest.ID {
		t.Errorf("all used: %+v, want the newest", last)
	}
	was := r
	if r, changed = Merge(r, Update{Used: "nobody's"}); changed || !reflect.DeepEqual(r, was) {
		t.Errorf("a permission nobody gave changed the record")
	}
	if _, ok := r.Token(); ok {
		t.Error("a comment served as a token")
	}
}

func TestThreadElsewhere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		t    Thread
		at   time.Duration
		want bool
	}{
		{Thread{}, 0, false},
		{Thread{Taken: noon}, 0, true},
		{Thread{Taken: noon}, ThreadIdle - 1, true},
		{Thread{Taken: noon}, ThreadIdle, false},
		{Thread{Taken: noon, Back: noon}, 1, false},
		{Thread{Taken: noon, Back: noon.Add(-1)}, 1, true},
	} {
		if got := (Record{Thread: c.t}).Elsewhere(noon.Add(c.at)); got != c.want {
			t.Errorf("%+v after %v: %t", c.t, c.at, got)
		}
	}
	for _, c := range []struct {
		inbound time.Time
		want    bool
	}{{noon.Add(-1), true}, {noon, true}, {noon.Add(1), false}} {
		if got := (Record{Thread: Thread{Taken: noon}, LastInbound: c.inbound}).Elsewhere(noon.Add(time.Hour)); got != c.want {
			t.Errorf("taken at noon, and wrote to us at %s: %t", c.inbound, got)
		}
	}
	if !(Review{At: noon}).Open() || (Review{At: noon, Done: noon}).Open() {
		t.Error("a review is open until a person decided on or after its message")
	}
}
