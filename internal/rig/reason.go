package rig

import (
	"testing"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// Reason asserts the reason that a room gave. A call of it is the proof that
// a test of internal/arch wants for each code which no case of the rulebook's
// test data gives, so want stands there as a constant of pkg/reason, and got
// comes out of the room.
func Reason(t testing.TB, got, want reason.Code) {
	t.Helper()
	if got != want {
		t.Errorf("the reason is %q, want %q", got, want)
	}
}
