package format

import (
	"strings"
	"testing"
	"time"
)

func TestForms(t *testing.T) {
	t.Parallel()
	now := New("carillon v2", time.Unix(1, 5))
	for _, c := range []struct {
		name, text, unread, refused string
	}{
		{"of before there were marks", "", "", ""},
		{"ours", now.String(), "", ""},
		{"the next", Mark{Format: Current + 1, By: "carillon v9"}.String(), "", "it has form 2, written by carillon v9, and this program reads forms up to 1"},
		{"with what a later one says too", `{"format":1,"by":"x","more":true}`, "", ""},
		{"garbled", `{"form`, "can't be read", ""},
		{"none", `{}`, "says 0", ""},
	} {
		m, err := Parse(c.text)
		if got := text(err); !strings.Contains(got, c.unread) || (got == "") != (c.unread == "") {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil {
			continue
		}
		if got := text(m.Check()); !strings.Contains(got, c.refused) || (got == "") != (c.refused == "") {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	if m, err := Parse(now.String()); err != nil || m != now {
		t.Errorf("%v is read as %v, %v", now, m, err)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
