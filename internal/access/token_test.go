package access

import (
	"strings"
	"testing"
	"time"
)

// FuzzText: a token has exactly one spelling, and only that one is read.
func FuzzText(f *testing.F) {
	good := newText().reveal()
	for _, s := range []string{good, "", "carillon_", "carillon__", strings.ToUpper(good), good + "0", good[:len(good)-1], " " + good, good[len(textPrefix):], good + "\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseText(s)
		if ok && (got.reveal() != s || !ValidID(got.id)) {
			t.Errorf("%q is read as %q", s, got.reveal())
		}
	})
}

func TestText(t *testing.T) {
	a, b := newText(), newText()
	got, ok := parseText(a.reveal())
	if !ok || got != a || a.id == b.id || a.secret == b.secret {
		t.Fatalf("%v %v", ok, got.id)
	}
	k := Token{ID: a.id, Hash: a.hash()}
	if !a.opens(k) || b.opens(k) || a.opens(Token{}) || a.opens(Token{Hash: a.hash()[:63]}) {
		t.Error("a secret opens what is not its own, or not what is")
	}
	flipped := a
	flipped.secret[31] ^= 1
	if flipped.opens(k) {
		t.Error("one bit makes no difference")
	}
	if ValidID(RootID) {
		t.Error("a stored token could be taken for root")
	}
}

func TestGrantCheck(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	many := make([]string, maxSenders+1)
	for i := range many {
		many[i] = strings.Repeat("a", i)
	}
	for name, c := range map[string]struct {
		g    Grant
		want string
	}{
		"least":             {Grant{Name: "x", Role: Viewer}, ""},
		"most":              {Grant{Name: strings.Repeat("x", 100), Role: Admin, Senders: many[:1000], Expires: now.Add(1)}, ""},
		"no name":           {Grant{Role: Viewer}, "name: say in 1 to 100 bytes, in one line, what or whom the token is for"},
		"a blank name":      {Grant{Name: " ", Role: Viewer}, "name: say in 1 to 100 bytes, in one line, what or whom the token is for"},
		"a long name":       {Grant{Name: strings.Repeat("x", 101), Role: Viewer}, "name: say in 1 to 100 bytes, in one line, what or whom the token is for"},
		"a name of 2 lines": {Grant{Name: "a\nb", Role: Viewer}, "name: say in 1 to 100 bytes, in one line, what or whom the token is for"},
		"a name not UTF-8":  {Grant{Name: "a\xff", Role: Viewer}, "name: say in 1 to 100 bytes, in one line, what or whom the token is for"},
		"no role":           {Grant{Name: "x"}, `role "": want viewer, operator or admin`},
		"for nobody":        {Grant{Name: "x", Role: Viewer, Senders: []string{}}, "senders: name at least one, or leave it out for all"},
		"for too many":      {Grant{Name: "x", Role: Viewer, Senders: many}, "senders: want at most 1000; leave it out for all"},
		"for one twice":     {Grant{Name: "x", Role: Viewer, Senders: []string{"a", "b", "a"}}, "senders: a stands twice"},
		"expired":           {Grant{Name: "x", Role: Viewer, Expires: now}, "expires: 2026-11-22T10:00:00Z has passed"},
	} {
		err := c.g.check(now)
		if got := errText(err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
