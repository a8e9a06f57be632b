package flow

import (
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// wrote is a message of contact 7.
func wrote(text string, seq uint64, at time.Time) *Told {
	return &Told{Event: event.Event{Source: "meta", ID: text, Type: event.Message, Channel: "messenger", Sender: "shop", Person: "7", Text: text, Time: at}, Seq: seq}
}

// TestEnds: exits and goal, by an event and by what holds when the run is
// looked at.
func TestEnds(t *testing.T) {
	t.Parallel()
	const doc = `
trigger: {events: [cart]}
exit: [{events: [message]}, {where: '"vip" in contact.labels'}]
goal: {events: [paid], where: event.data.n > 1}
steps: [{send: {text: a}}, {wait: {for: 1h}}]
`
	for name, c := range map[string]struct {
		do    func(*stage)
		state State
		why   string
	}{
		"an event":              {func(s *stage) { s.hear(wrote("x", 9, s.now)) }, Exited, "exit[0] by message"},
		"the goal":              {func(s *stage) { s.tell("paid", of("7", `"n":2`)) }, Goal, "goal by paid"},
		"not the goal":          {func(s *stage) { s.tell("paid", of("7", `"n":1`)) }, Waiting, ""},
		"can't be compared":     {func(s *stage) { s.tell("paid", of("7", `"n":"x"`)) }, Waiting, ""},
		"somebody else":         {func(s *stage) { s.tell("paid", of("8", `"n":2`)) }, Waiting, ""},
		"what holds at a wake":  {func(s *stage) { s.vip(); id, _ := s.only(); s.wake(id) }, Exited, "exit[1]"},
		"what holds at outcome": {func(s *stage) { s.vip(); s.settle(job.Sent, "") }, Exited, "exit[1]"},
		"goal before exit":      {func(s *stage) { s.vip(); s.tell("paid", of("7", `"n":2`)) }, Goal, "goal by paid"},
		"from outside":          {func(s *stage) { s.stop() }, Stopped, "the flow was deleted"},
	} {
		s := play(t, doc)
		s.tell("cart", of("7", ""))
		c.do(s)
		id, r := s.only()
		if r.State != c.state || r.Why != c.why {
			t.Errorf("%s: %s %s", name, r.State, r.Why)
		}
		if r.State.Over() && name != "what holds at outcome" && s.asked[len(s.asked)-1].Kind != Cancel {
			t.Errorf("%s: what was planned is still wanted: %+v", name, s.asked)
		}
		if r.State.Over() { // nothing more happens
			before := len(s.asked)
			s.wake(id)
			s.hear(wrote("y", 99, s.now))
			s.stop()
			if _, after := s.only(); len(s.asked) != before || after.State != c.state || len(after.Path) != len(r.Path) {
				t.Errorf("%s: went on after its end", name)
			}
		}
	}
}

func (s *stage) vip() { s.contacts["shop"] = contact.Record{Labels: []string{"vip"}} }

func (s *stage) stop() {
	id, r := s.only()
	s.keep(id, s.p.Ended(id, *r, Stopped, "the flow was deleted", s.now), nil)
}

// TestExitHoldsAtOnce: a run whose exit holds when it begins does nothing.
func TestExitHoldsAtOnce(t *testing.T) {
	t.Parallel()
	s := play(t, "trigger: {events: [a]}\nexit: [{where: event.data.done}]\nsteps: [{send: {text: a}}]")
	s.tell("a", of("7", `"done":true`))
	if s.wantDid("start exited"); len(s.asked) > 0 {
		t.Errorf("%+v", s.asked)
	}
}

// TestReceipts: what is told of a message after the run went on is shown, in
// whichever order it comes, and moves nothing.
func TestReceipts(t *testing.T) {
	t.Parallel()
	s := play(t, "trigger: {events: [a]}\nsteps: [{id: one, send: {text: a}}, {wait: {for: 1h}}]")
	s.tell("a", of("7", ""))
	for _, o := range []job.State{job.Sent, job.Read, job.Delivered, job.Read, job.Sent} {
		s.settle(o, "")
	}
	s.wantDid("start send:read wait")
	s.after(time.Minute)
	s.settle(job.Failed, reason.CarrierFiltered)
	_, r := s.only()
	if o := r.Outcomes["one"]; o.State != job.Failed || o.Reason != reason.CarrierFiltered || o.Sender != "shop" {
		t.Errorf("%+v", o)
	}
	before := s.runs
	s.outcome("1-7-1-0", job.Sent, "") // never asked for
	s.outcome("no place", job.Sent, "")
	if len(before) != len(s.runs) || s.did() != "start send:failed wait" {
		t.Error(s.did())
	}
}

// TestHears: which events a flow wants to be told.
func TestHears(t *testing.T) {
	t.Parallel()
	crm := compiled(t, document(t, "trigger: {events: [order.*, lead]}\nexit: [{events: [message]}]\nsteps: [{wait: {events: [paid.*], timeout: 1h}}]"), 1)
	answer := compiled(t, document(t, "type: auto_reply\ntrigger: {inbound: [postback]}\nsteps: [{end: true}]"), 1)
	comment := compiled(t, document(t, "type: auto_reply\ntrigger: {comment: true}\nsteps: [{end: true}]"), 1)
	keyword := compiled(t, document(t, "type: auto_reply\ntrigger: {keywords: {words: [a]}}\nsteps: [{end: true}]"), 1)
	for _, c := range []struct {
		p       *Program
		typ     event.Type
		channel string
		begins  bool
		moves   bool
	}{
		{crm, "order.shipped", "", true, false},
		{crm, "order", "", false, false},
		{crm, "lead", "", true, false},
		{crm, "lead.new", "", false, false},
		{crm, "paid.all", "", false, true},
		{crm, "paid.all", "sms", false, false},
		{crm, event.Message, "sms", false, true},
		{answer, event.Postback, "sms", true, false},
		{answer, event.Message, "sms", false, false},
		{comment, event.Comment, "instagram", true, false},
		{keyword, event.Message, "sms", true, false},
		{keyword, event.Message, "", false, false},
	} {
		if begins, moves := c.p.Hears(c.typ, c.channel); begins != c.begins || moves != c.moves {
			t.Errorf("%s %q: %t %t", c.typ, c.channel, begins, moves)
		}
	}
}
