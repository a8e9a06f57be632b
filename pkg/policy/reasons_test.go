package policy

import (
	"slices"
	"testing"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// TestReasonsAreInOrder holds the list of reasons to the order that its page
// promises: that of the checks, then that of the conditions.
func TestReasonsAreInOrder(t *testing.T) {
	rb := book()
	var checks, conditions []reason.Code
	for _, e := range reason.All() {
		switch {
		case testOf(e.Code) != testNone:
			checks = append(checks, e.Code)
		case slices.Contains(rb.Conditions, e.Code):
			conditions = append(conditions, e.Code)
		}
	}
	var want []reason.Code
	for _, c := range rb.Checks {
		want = append(want, reason.Code(c.ID))
	}
	if !slices.Equal(checks, want) {
		t.Errorf("checks are listed as %v, the rulebook has %v", checks, want)
	}
	if !slices.Equal(conditions, rb.Conditions) {
		t.Errorf("conditions are listed as %v, the rulebook has %v", conditions, rb.Conditions)
	}
}

// TestWarningsAreExplained wants the list of warnings to be that of the
// rulebook.
func TestWarningsAreExplained(t *testing.T) {
	var want, got []string
	for _, a := range book().Advice {
		if !slices.Contains(want, a.ID) {
			want = append(want, a.ID)
		}
	}
	for _, w := range reason.Warnings() {
		got = append(got, w.Code)
	}
	if !slices.Equal(got, want) {
		t.Errorf("explained are %v, the rulebook has %v", got, want)
	}
}
