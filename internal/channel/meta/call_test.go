package meta

import "testing"

func TestReusable(t *testing.T) {
	t.Parallel()
	large, fits := make([]byte, maxKept+1), make([]byte, maxKept)
	for _, test := range []struct {
		c      *call
		closed bool
		want   bool
	}{
		{&call{form: fits, scratch: fits, answer: fits}, true, true}, {&call{form: fits}, false, false},
		{&call{form: large}, true, false}, {&call{scratch: large}, true, false}, {&call{answer: large}, true, false},
	} {
		if test.closed {
			test.c.Close()
		}
		got := test.c.reusable()
		if test.c.begin(); test.c.reusable() {
			t.Error("a call that has begun anew may be reused")
		}
		if got != test.want {
			t.Errorf("form %d, scratch %d, answer %d, closed %v: %v", cap(test.c.form), cap(test.c.scratch), cap(test.c.answer), test.closed, got)
		}
	}
}
