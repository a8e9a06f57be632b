package engine

import (
	"errors"
	"testing"
)

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   string
		want version
		ok   bool
	}{
		{"2.15.2", version{2, 15, 2}, true}, {"v2.12.0-RC.1", version{2, 12, 0}, true}, {"7.0", version{7, 0, 0}, true},
		{"2.15.2+build", version{2, 15, 2}, true}, {"", version{}, false}, {"2.x.1", version{}, false}, {"1.2.3.4", version{}, false}, {"-1.2.3", version{}, false},
	} {
		got, err := parseVersion(tc.in)
		if got != tc.want || (err == nil) != tc.ok {
			t.Errorf("parseVersion(%q) = %v, %v", tc.in, got, err)
		}
	}
}

func TestVersionBefore(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		v, w string
		want bool
	}{
		{"2.11.99", "2.12.0", true}, {"2.12.0", "2.12.0", false}, {"2.12.1", "2.12.0", false},
		{"2.15.1", "2.15.2", true}, {"1.99.99", "2.0.0", true}, {"3.0.0", "2.99.99", false},
	} {
		v, err1 := parseVersion(tc.v)
		w, err2 := parseVersion(tc.w)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if got := v.before(w); got != tc.want {
			t.Errorf("%v before %v = %v", v, w, got)
		}
	}
}
