package flow

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/job"
)

// TestID asserts that the longest source of a run is a token of a subject, and
// that it leads back to the run and the step.
func TestID(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := ID{Flow: rapid.StringMatching(`[a-z0-9-]{1,40}`).Draw(t, "flow"), Slot: SlotOf(rapid.String().Draw(t, "key"))}
		copy(id.Contact[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "contact"))
		p := Place{rapid.IntRange(1, 9999).Draw(t, "version"), rapid.IntRange(0, 999).Draw(t, "at"), rapid.IntRange(1, 999).Draw(t, "visit"), rapid.IntRange(0, 9).Draw(t, "try")}
		name := id.Source(p)
		gotID, gotPlace, ok := ParseSource(name)
		if !ok || gotID != id || gotPlace != p {
			t.Fatalf("%s: %+v %+v %t", name, gotID, gotPlace, ok)
		}
		if s := (job.Source{Name: name}); !job.ValidToken(name) || s.Flow() != id.Flow {
			t.Fatalf("%s: %d characters, of %q", name, len(name), s.Flow())
		}
	})
}

func TestParseIDRefuses(t *testing.T) {
	t.Parallel()
	run := strings.Repeat("a", 36)
	for _, s := range []string{"", "f", "f~", "~" + run, "f~" + run[1:], "f~" + run + "a", "F~" + run, "f~" + run[:35] + "~", "f~" + strings.Repeat("a", 25) + "b" + run[26:], strings.Repeat("f", 41) + "~" + run} {
		if id, err := ParseID(s); err == nil {
			t.Errorf("%q is read as %+v", s, id)
		}
	}
	for _, s := range []string{"menu~1", "f~" + run, "f~" + run + "~1-2-3", "f~" + run + "~1-2-3-x", "f~" + run + "~01-2-3-4"} {
		if id, p, ok := ParseSource(s); ok {
			t.Errorf("source %q is read as %+v %+v", s, id, p)
		}
	}
}

// TestSlotOf asserts that parts don't run into one another.
func TestSlotOf(t *testing.T) {
	t.Parallel()
	if SlotOf("a", "bc") == SlotOf("ab", "c") || SlotOf() == SlotOf("") || len(SlotOf("x")) != SlotSize {
		t.Error("slots are not told apart")
	}
}
