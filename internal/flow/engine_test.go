package flow

import (
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// TestOtherwise: what is blocked or failed is sent another way, once each, and
// an unknown outcome starts nothing.
func TestOtherwise(t *testing.T) {
	t.Parallel()
	const doc = `
also: {shop-sms: event.data.phone}
trigger: {events: [order.shipped]}
steps:
  - id: told
    send: {text: On its way, otherwise: [{text: On its way by SMS, sender: shop-sms}]}
  - branch:
      - when: steps.told.state == "sent"
        do: [{set: {labels: {told: true}}}]
`
	for name, c := range map[string]struct {
		outcomes []job.State
		want     string
	}{
		"sent":             {[]job.State{job.Sent}, "start send:sent branch set done"},
		"blocked":          {[]job.State{job.Blocked, job.Sent}, "start send:blocked send:sent branch set done"},
		"failed twice":     {[]job.State{job.Failed, job.Failed}, "start send:failed send:failed branch done"},
		"unknown":          {[]job.State{job.Unknown}, "start send:unknown branch done"},
		"expired":          {[]job.State{job.Expired}, "start send:expired branch done"},
		"cancelled":        {[]job.State{job.Cancelled}, "start send:cancelled branch done"},
		"pending is none":  {[]job.State{job.Pending}, "start send"},
		"read before sent": {[]job.State{job.Read, job.Sent}, "start send:read branch done"},
	} {
		s := play(t, doc)
		s.tell("order.shipped", of("7", `"phone":"+4799"`))
		for _, o := range c.outcomes {
			s.settle(o, "")
		}
		if got := s.did(); got != c.want {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
		if len(c.outcomes) > 1 && c.outcomes[0] != job.Read && (len(s.asked) < 2 || s.asked[1].Identity != (Identity{"shop-sms", "+4799"}) || s.asked[1].ID != "1-0-1-1") {
			t.Errorf("%s: %+v", name, s.asked)
		}
	}
}

// TestNobodyToSend: a message without a sender, or without an address there,
// is blocked at once and the next is tried.
func TestNobodyToSend(t *testing.T) {
	t.Parallel()
	s := play(t, `
also: {shop-sms: event.data.phone}
trigger: {events: [order.shipped]}
steps: [{id: told, send: {text: a, sender: elsewhere, otherwise: [{text: b, sender: shop-sms}]}}]
`)
	s.tell("order.shipped", of("7", ""))
	s.wantDid("start send:blocked send:blocked done")
	_, r := s.only()
	if o := r.Outcomes["told"]; o.State != job.Blocked || o.Reason != reason.RecipientNotFound || o.Sender != "shop-sms" || len(s.asked) > 0 {
		t.Errorf("%+v, %+v", o, s.asked)
	}
}

// TestWaitFor: a wait ends at its moment and not a nanosecond before.
func TestWaitFor(t *testing.T) {
	t.Parallel()
	s := play(t, "trigger: {events: [a]}\nsteps: [{wait: {for: 2d}}, {end: true}]")
	s.tell("a", of("7", ""))
	id, r := s.only()
	due := noon().Add(48 * time.Hour)
	if !r.Due.Equal(due) {
		t.Fatalf("due %s", r.Due)
	}
	s.now = due.Add(-1)
	s.wake(id)
	s.wantDid("start wait")
	s.now = due
	s.wake(id)
	s.wake(id)
	s.wantDid("start wait end done")
}

// TestWaitForEvent: an event that is meant takes the one way, its absence the
// other, and what comes at the moment of the timeout before the run is woken
// still counts.
func TestWaitForEvent(t *testing.T) {
	t.Parallel()
	const doc = `
trigger: {events: [cart.updated]}
steps:
  - wait:
      events: ["order.*"]
      where: event.data.cart == run.event.data.cart
      timeout: 1h
      then: [{set: {labels: {bought: true}}}]
      else: [{send: {text: Something forgotten}}]
`
	const start = "start wait "
	for name, c := range map[string]struct {
		after time.Duration
		cart  string
		want  string
	}{
		"in time":     {time.Hour - 1, "1", start + "event set done"},
		"another one": {time.Minute, "2", start + "timeout send"},
		"too late":    {time.Hour, "1", start + "timeout send"},
	} {
		s := play(t, doc)
		s.tell("cart.updated", of("7", `"cart":"1"`))
		s.after(c.after)
		s.tell("order.paid", of("7", `"cart":"`+c.cart+`"`))
		s.after(2 * time.Hour)
		if got := s.did(); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
