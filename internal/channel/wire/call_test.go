package wire

import "testing"

func TestReusable(t *testing.T) {
	t.Parallel()
	large, fits := make([]byte, maxKept+1), make([]byte, maxKept)
	for _, test := range []struct {
		c      *Call
		closed bool
		want   bool
	}{
		{&Call{Form: fits, Scratch: fits, answer: fits}, true, true}, {&Call{Form: fits}, false, false},
		{&Call{Form: large}, true, false}, {&Call{Scratch: large}, true, false}, {&Call{answer: large}, true, false},
	} {
		if test.closed {
			test.c.Close()
		}
		got := test.c.reusable()
		if test.c.begin(); test.c.reusable() {
			t.Error("a call that has begun anew may be reused")
		}
		if got != test.want {
			t.Errorf("form %d, scratch %d, answer %d, closed %v: %v", cap(test.c.Form), cap(test.c.Scratch), cap(test.c.answer), test.closed, got)
		}
	}
}
