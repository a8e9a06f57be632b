package flow

import (
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
)

// contactIs plays that contact 7 is another now.
func (s *stage) contactIs(r contact.Record) {
	s.t.Helper()
	s.seq++
	r.Address = "7"
	s.contacts["shop"] = r
	s.changed(s.seq)
}

func (s *stage) changed(seq uint64) {
	s.t.Helper()
	who := Identity{"shop", "7"}
	slot, ok, err := s.p.Slot(nil, who, s.world())
	if err != nil || !ok {
		s.t.Fatalf("slot: %t, %v", ok, err)
	}
	id := ID{Flow: "f", Contact: keyOf(who), Slot: slot}
	s.take(id, func(r *Run) (Result, error) {
		return s.p.Changed(id, r, s.memory(id.Contact), []Identity{who}, seq, s.world())
	})
}

func labelled(at time.Time, labels ...string) contact.Record {
	return contact.Record{Labels: labels, Marks: map[string]time.Time{"l:vip": at}}
}

// TestLabelTrigger: each time that a label is put on begins a run, and what
// was so before the flow was there begins none.
func TestLabelTrigger(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		doc     string
		changes []contact.Record
		starts  int
	}{
		"put on":              {"{added: vip}", []contact.Record{labelled(noon(), "vip")}, 1},
		"and something else":  {"{added: vip}", []contact.Record{labelled(noon(), "vip"), {Labels: []string{"vip"}, Name: "x"}}, 1},
		"off and on":          {"{added: vip}", []contact.Record{labelled(noon(), "vip"), labelled(noon()), labelled(noon(), "vip")}, 2},
		"before the flow":     {"{added: vip}", []contact.Record{labelled(noon().Add(-2*time.Hour), "vip")}, 0},
		"since the flow":      {"{added: vip}", []contact.Record{labelled(noon().Add(-time.Hour), "vip")}, 1},
		"nobody knows when":   {"{added: vip}", []contact.Record{{Labels: []string{"vip"}}}, 0},
		"seen without before": {"{added: vip}", []contact.Record{{}, {Labels: []string{"vip"}}}, 1},
		"taken off":           {"{removed: vip}", []contact.Record{labelled(noon().Add(-2*time.Hour), "vip"), labelled(noon())}, 1},
		"never had it":        {"{removed: vip}", []contact.Record{{Name: "x"}}, 0},
	} {
		s := play(t, "trigger: {label: "+c.doc+"}\nsteps: [{set: {labels: {x: true}}}]")
		s.since = noon().Add(-time.Hour)
		for _, r := range c.changes {
			s.contactIs(r)
			s.changed(s.seq) // a repeat
		}
		if s.starts != c.starts {
			t.Errorf("%s: %d starts, %q", name, s.starts, s.whys)
		}
	}
}

// TestSegmentTrigger: a contact that begins to match begins a run, once while
// one goes on, and by the flow's reentry.
func TestSegmentTrigger(t *testing.T) {
	t.Parallel()
	const doc = "trigger: {segment: {labels: [vip], where: 'attributes.city == \"Oslo\"'}, where: contact.name != ''}\nsteps: [{wait: {for: 1h}}]\n"
	in := labelled(noon(), "vip")
	in.Attributes = map[string]string{"city": "Oslo"}
	nameless := in
	in.Name = "Ada"
	for reentry, want := range map[string]int{"": 2, "reentry: {never: true}": 1, "reentry: {after: 2h}": 1, "reentry: {after: 61m}": 2} {
		s := play(t, doc+reentry)
		s.contactIs(nameless)
		s.contactIs(in)
		s.contactIs(contact.Record{})
		s.contactIs(in)
		if s.starts != 1 {
			t.Errorf("%s: %d starts", reentry, s.starts)
		}
		s.contactIs(contact.Record{})
		s.after(61 * time.Minute)
		s.contactIs(in)
		if s.starts != want {
			t.Errorf("%s: %d starts, want %d; %q", reentry, s.starts, want, s.whys)
		}
	}
}

// TestDateTrigger: a run begins when a date of the contact comes, which may
// move or go until then; one that is past begins none, and each date one.
func TestDateTrigger(t *testing.T) {
	t.Parallel()
	const doc = "trigger: {date: {field: contact.attributes.renewal, offset: -7d, at: \"09:00\"}}\nsteps: [{set: {labels: {x: true}}}]\n"
	renewal := func(day string) contact.Record {
		return contact.Record{Attributes: map[string]string{"renewal": day}}
	}
	s := play(t, doc)
	s.contactIs(renewal("2026-11-29")) // a week before is past, at 09:00
	if len(s.runs) != 0 {
		t.Fatal("a past date began a run")
	}
	s.contactIs(renewal("2026-11-30"))
	_, r := s.only()
	if r.State != Gathering || !r.Due.Equal(moment(t, "2026-11-23T09:00:00Z")) {
		t.Fatalf("%s, due %s", r.State, r.Due)
	}
	s.contactIs(renewal("2026-12-07"))
	s.until(moment(t, "2026-11-30T09:00:00Z").Add(-1))
	s.wantDid("gather moved")
	s.after(1)
	s.wantDid("gather moved start set done")
	for range 2 {
		s.contactIs(renewal("2026-12-07"))
	}
	if s.starts != 1 {
		t.Errorf("%d starts by one date", s.starts)
	}
	s.contactIs(renewal("2027-12-07"))
	s.contactIs(contact.Record{})
	s.after(1000 * day)
	if s.wantDid("gather exited"); s.starts != 2 {
		t.Errorf("%d starts", s.starts)
	}
}

// TestMoved: a run goes over where the document names each step at which it
// waits, and waits there by what the new version says.
func TestMoved(t *testing.T) {
	t.Parallel()
	const old = "trigger: {events: [a]}\ncriteria: [{do: [{id: ask, send: {text: a}}, {id: later, wait: {for: 2d}}, {id: old, set: {labels: {old: true}}}], then: next}, {do: [{id: heard, wait: {events: [b], timeout: 3d}}]}]\n"
	for name, c := range map[string]struct {
		sent  bool // the first line is past its message
		steps string
		want  string // what it did, to its end; "": it stays
	}{
		"another wait": {true, "[{id: l2, wait: {for: 1d}}, {set: {labels: {x: true}}}, {id: h2, wait: {events: [b], timeout: 9d}}]\nmove: {later: l2, heard: h2}", "version set wait timeout timeout done"},
		"past already": {true, "[{id: l2, wait: {for: 1h}}, {id: h2, wait: {events: [b], timeout: 1h}}]\nmove: {later: l2, heard: h2}", "version wait timeout timeout done"},
		"another step": {true, "[{id: l2, set: {labels: {x: true}}}, {id: h2, end: true}]\nmove: {later: l2, heard: h2}", "version set end done"},
		"a message":    {false, "[{id: a2, send: {text: b}}, {id: h2, wait: {events: [b], timeout: 1h}}]\nmove: {ask: a2, heard: h2}", "version timeout"},
		"in a loop":    {true, "[{repeat: {at_most: 2, do: [{id: l2, set: {labels: {x: true}}}]}}]\nmove: {later: l2, heard: l2}", "version set repeat set repeat set repeat set repeat done"},
		"one of two":   {true, "[{id: l2, end: true}]\nmove: {later: l2}", ""},
		"none":         {true, "[{id: later, stop: g}, {id: heard, end: true}]", ""},
	} {
		s := play(t, old)
		s.tell("a", of("7", ""))
		if c.sent {
			s.settle("sent", "")
		}
		s.after(25 * time.Hour)
		id, r := s.only()
		from, before := s.p, len(r.Path)
		s.p = compiled(t, document(t, "trigger: {events: [a]}\nsteps: "+c.steps), 2)
		res, ok := s.p.Moved(id, *r, from, s.world())
		if ok != (c.want != "") || ok != res.Changed {
			t.Errorf("%s: %t, %+v", name, ok, res)
		}
		if !ok {
			continue
		}
		s.keep(id, res, nil)
		s.after(100 * day)
		_, r = s.only()
		got := ""
		for _, v := range r.Path[before:] {
			got += " " + v.Did
		}
		if got != " "+c.want || r.Version != 2 {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
		if c.sent {
			continue
		}
		s.settle("sent", "")
		if _, r = s.only(); r.Outcomes["a2"].State != "sent" {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestMovedStays: what is over, or of a later version, is not moved.
func TestMovedStays(t *testing.T) {
	t.Parallel()
	const doc = "trigger: {events: [a]}\nsteps: [{id: w, wait: {for: 1h}}]\nmove: {w: w}"
	s := play(t, doc)
	s.tell("a", of("7", ""))
	id, r := s.only()
	for version := range 2 {
		p := compiled(t, s.p.Spec, version)
		if _, ok := p.Moved(id, *r, s.p, s.world()); ok {
			t.Errorf("it moved to version %d", version)
		}
	}
	s.after(time.Hour)
	_, r = s.only()
	if _, ok := compiled(t, s.p.Spec, 2).Moved(id, *r, s.p, s.world()); ok {
		t.Error("a run moved that is over")
	}
}
