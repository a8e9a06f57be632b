package rehearsal

import (
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/flow"
)

func TestEnter(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	for _, c := range []struct{ name, file, want string }{
		{"two senders", "id,sender,name\n7,a,Ada\n8,b,Bo\n", ""},
		{"no column sender", "id,name\n7,Ada\n", "want a column sender"},
		{"no header", "", "line 1: the file is empty"},
		{"a bad row", "id,sender,timezone\n7,a,Nowhere\n", "line 2: timezone"},
		{"later than the first event", "id,sender,last_inbound\n7,a,2026-11-23T09:00:00Z\n", "line 2: last_inbound"},
	} {
		p := newPeople()
		err := p.enter([]byte(c.file), []string{"a", "b"}, at)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	p := newPeople()
	if err := p.enter([]byte("id,name\n7,Ada\n"), []string{"a"}, at); err != nil || p.record(flow.Identity{Sender: "a", Person: "7"}).Name != "Ada" {
		t.Errorf("of the only sender: %v, %+v", err, p.records)
	}
	if r := p.record(flow.Identity{Sender: "b", Person: "9"}); r.Address != "9" || !r.LastInbound.IsZero() {
		t.Errorf("of a stranger the address alone is known: %+v", r)
	}
	who := flow.Identity{Sender: "a", Person: "9"}
	if !p.learn(who, contact.Update{Address: "9", LastInbound: at}) || p.learn(who, contact.Update{Address: "9", LastInbound: at}) {
		t.Error("the first time is news, the second is not")
	}
}

// What is done comes by its moment, then by its rank, then as it was noted.
func TestAgenda(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	var a agenda
	var got []string
	add := func(name string, after time.Duration, r rank) {
		a.note(at.Add(after), r, func() error { got = append(got, name); return nil })
	}
	add("late", 1, clocks)
	add("answer", 0, answers)
	add("clock", 0, clocks)
	add("answer again", 0, answers)
	add("early", -1, answers)
	for {
		if _, _, some := a.next(); !some {
			break
		}
		if err := a.take().do(); err != nil {
			t.Fatal(err)
		}
	}
	if want := "early, answer, answer again, clock, late"; strings.Join(got, ", ") != want {
		t.Errorf("%q, want %q", got, want)
	}
}
