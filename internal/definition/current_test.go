package definition

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/internal/flow"
)

// testFlowHearing: what was applied is heard at once, by every cache, with the
// versions before; what was deleted is not heard any more.
func testFlowHearing(t *testing.T, s *Store) {
	ctx := t.Context()
	var caches []*Cache
	for range 2 {
		c, err := NewCache(ctx, s)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		caches = append(caches, c)
	}
	heard := func() string {
		t.Helper()
		var got []string
		for i, c := range caches {
			ps, err := c.Hearing(ctx)
			if err != nil {
				t.Fatal(err)
			}
			var is []string
			for _, p := range ps {
				is = append(is, fmt.Sprint(p.Spec.ID, p.Version))
			}
			if got = append(got, strings.Join(is, " ")); got[i] != got[0] {
				t.Errorf("one hears %q, the other %q", got[0], got[i])
			}
		}
		return got[0]
	}
	if got := heard(); got != "" {
		t.Errorf("before there is any: %q", got)
	}
	want := []string{}
	for v := range 5 {
		doc := strings.Replace(shipped, "on its way", fmt.Sprint("near ", v), 1)
		if _, err := apply(t, s, bakery+"---\n"+doc, Check{}); err != nil {
			t.Fatal(err)
		}
		want = slices.Insert(want, 0, fmt.Sprint("shipped", v+1))
		if got := heard(); got != strings.Join(want, " ") {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	f, rev, err := s.Flow(ctx, "shipped")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		state flow.Life
		want  string
	}{{flow.Paused, strings.Join(want, " ")}, {flow.Deleted, ""}} {
		f.State = c.state
		if rev, err = s.PutFlow(ctx, f, rev); err != nil {
			t.Fatal(err)
		}
		if got := heard(); got != c.want {
			t.Errorf("%s: %q, want %q", c.state, got, c.want)
		}
	}
}
