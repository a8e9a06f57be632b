package flow

import (
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
)

// TestDates: what a date may be, and what is reckoned from it.
func TestDates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ date, value, want string }{
		"a moment":                       {"{field: event.data.at}", `"2026-12-01T10:00:00+01:00"`, "2026-12-01T09:00:00Z"},
		"a timestamp":                    {"{field: timestamp(event.data.at)}", `"2026-12-01T10:00:00Z"`, "2026-12-01T10:00:00Z"},
		"an hour before":                 {"{field: event.data.at, offset: -1h}", `"2026-12-01T10:00:00Z"`, "2026-12-01T09:00:00Z"},
		"a bare day":                     {"{field: event.data.at}", `"2026-12-01"`, "2026-11-30T23:00:00Z"},
		"the day before a bare day":      {"{field: event.data.at, offset: -1d, at: \"09:00\"}", `"2026-12-01"`, "2026-11-30T08:00:00Z"},
		"a week before over the change":  {"{field: event.data.at, offset: -1w}", `"2027-03-30"`, "2027-03-22T23:00:00Z"},
		"at, of a moment":                {"{field: event.data.at, at: \"09:00\"}", `"2026-12-01T23:30:00Z"`, "2026-12-02T08:00:00Z"},
		"at and days over the change":    {"{field: event.data.at, offset: -2d, at: \"09:00\"}", `"2027-03-29T10:00:00Z"`, "2027-03-27T08:00:00Z"},
		"at and hours":                   {"{field: event.data.at, offset: -12h, at: \"09:00\"}", `"2026-12-02T08:00:00Z"`, "2026-12-01T08:00:00Z"},
		"no date":                        {"{field: event.data.at}", `"soon"`, ""},
		"nothing":                        {"{field: event.data.at}", `null`, ""},
		"another type":                   {"{field: event.data.at}", `5`, ""},
		"at in the gap is after the gap": {"{field: event.data.at, at: \"02:30\"}", `"2027-03-28"`, "2027-03-28T01:00:00Z"},
	} {
		s := play(t, "trigger: {events: [a]}\nsteps: [{wait: {date: "+c.date+"}}]")
		s.zone = "Europe/Oslo"
		s.tell("a", of("7", `"at":`+c.value))
		_, r := s.only()
		if c.want == "" && (!r.Due.IsZero() || r.State != Waiting) || c.want != "" && !r.Due.Equal(moment(t, c.want)) {
			t.Errorf("%s: %s, due %s", name, r.State, r.Due.Format(time.RFC3339))
		}
	}
}

// TestDateMoves: the appointment moves, and what was planned by it too; a date
// that is past is not waited for.
func TestDateMoves(t *testing.T) {
	t.Parallel()
	const doc = `
trigger: {events: [booked, rebooked]}
reentry: {key: event.data.id}
steps: [{wait: {date: {field: event.data.at, offset: -1d}}}, {set: {labels: {reminded: true}}}]
`
	at := func(d time.Duration) string { return `"id":"1","at":"` + noon().Add(d).Format(time.RFC3339) + `"` }
	s := play(t, doc)
	s.tell("booked", of("7", at(72*time.Hour)))
	s.after(time.Hour)
	s.tell("rebooked", of("7", at(96*time.Hour)))
	s.until(noon().Add(72*time.Hour - 1))
	s.wantDid("start wait news moved")
	s.after(1)
	s.wantDid("start wait news moved set done")

	s = play(t, doc)
	s.tell("booked", of("7", at(72*time.Hour)))
	s.tell("rebooked", of("7", at(20*time.Hour)))
	s.wantDid("start wait news moved set done")

	s = play(t, doc)
	s.tell("booked", of("7", at(24*time.Hour)))
	s.wantDid("start wait set done")

	s = play(t, doc)
	s.tell("booked", of("7", `"id":"1"`))
	s.after(1000 * time.Hour)
	s.wantDid("start wait")
	s.tell("rebooked", of("7", at(2000*time.Hour)))
	s.after(2000 * time.Hour)
	s.wantDid("start wait news moved set done")
}

// TestDateOfContact: a date among the contact's attributes is reckoned anew
// when the run is woken since the contact changed.
func TestDateOfContact(t *testing.T) {
	t.Parallel()
	s := play(t, "trigger: {events: [a]}\nsteps: [{wait: {date: {field: contact.attributes.renewal, at: \"09:00\"}}}]")
	s.contacts["shop"] = contact.Record{Attributes: map[string]string{"renewal": "2026-12-01"}}
	s.tell("a", of("7", ""))
	id, r := s.only()
	if !r.Due.Equal(moment(t, "2026-12-01T09:00:00Z")) || !s.p.Follows() {
		t.Fatalf("due %s", r.Due)
	}
	s.contacts["shop"] = contact.Record{Attributes: map[string]string{"renewal": "2026-12-24"}, Timezone: "Asia/Tokyo"}
	s.wake(id)
	if _, r = s.only(); !r.Due.Equal(moment(t, "2026-12-24T00:00:00Z")) {
		t.Errorf("due %s", r.Due)
	}
}

// TestQuietHours: a message waits until the hours are over on the contact's
// clock, at both sides of each end; an answer does not.
func TestQuietHours(t *testing.T) {
	t.Parallel()
	const doc = "quiet_hours: {from: \"21:00\", to: \"08:00\"}\ntrigger: {events: [a]}\nsteps: [{send: {text: x}}]"
	for now, want := range map[string]string{ // Oslo is an hour ahead
		"2026-11-22T19:59:59.999999999Z": "",
		"2026-11-22T20:00:00Z":           "2026-11-23T07:00:00Z",
		"2026-11-23T06:59:59.999999999Z": "2026-11-23T07:00:00Z",
		"2026-11-23T07:00:00Z":           "",
	} {
		s := play(t, doc)
		s.zone, s.now = "Europe/Oslo", moment(t, now)
		s.tell("a", of("7", ""))
		_, r := s.only()
		if want == "" {
			s.wantDid("start send")
			continue
		}
		if !r.Due.Equal(moment(t, want)) {
			t.Errorf("%s: due %s", now, r.Due)
		}
		s.until(r.Due)
		s.wantDid("start quiet send")
		s.settle(job.Sent, "")
		s.wantDid("start quiet send:sent done")
	}
	answer := compiled(t, document(t, "type: auto_reply\nquiet_hours: {from: \"21:00\", to: \"08:00\"}\ntrigger: {inbound: [message]}\nsteps: [{send: {text: x}}]"), 1)
	s := staged(t, answer)
	s.now = moment(t, "2026-11-22T23:00:00Z")
	s.hear(wrote("hello", 1, s.now))
	s.wantDid("start send")
}
