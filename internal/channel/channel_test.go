package channel

import "testing"

func TestNamesAreDistinct(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for o := Unknown; o <= NotSent+1; o++ {
		seen[o.String()] = true
	}
	for a := DeadLetter; a <= OptOut+1; a++ {
		seen[a.String()] = true
	}
	if want := 4 + 1 + 8 + 1; len(seen) != want {
		t.Errorf("%d distinct names, want %d: %v", len(seen), want, seen)
	}
	for _, name := range []string{"outcome(4)", "action(8)"} {
		if !seen[name] {
			t.Errorf("a value outside the list is not named %s", name)
		}
	}
}
