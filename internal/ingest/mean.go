package ingest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/carillon-dev/carillon/internal/consent"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// meaning is what events came to.
type meaning struct {
	seq      uint64    // of the facts: from there on they are in force
	written  int       // contacts whose facts changed
	at       time.Time // when that was durable; monotonic
	optedOut []optedOut
}

// optedOut is who opted out by the n-th event.
type optedOut struct {
	n int
	consent.Contact
}

// of returns what some of the events came to, from one to before another. What
// all came to is in force no earlier than what some did.
func (m meaning) of(from, end int) meaning {
	all := m.optedOut
	m.optedOut = nil
	for _, o := range all {
		if o.n >= from && o.n < end {
			m.optedOut = append(m.optedOut, o)
		}
	}
	return m
}

// mean makes facts and controls of events. It can be repeated without harm,
// and in any order.
func (d *Desk) mean(ctx context.Context, events []event.Event) (meaning, error) {
	var m meaning
	updates := map[string][]contact.Update{}
	for i := range events {
		e := &events[i]
		if e.Sender == "" {
			continue
		}
		if e.Channel != "" && e.Type == event.Enforced {
			seq, err := d.enforce(ctx, e)
			if err != nil {
				return m, err
			}
			m.seq = max(m.seq, seq)
			continue
		}
		read, err := d.reader(ctx, e)
		if err != nil {
			return m, err
		}
		u, says := Meaning(e, read)
		if !says {
			continue
		}
		updates[e.Sender] = append(updates[e.Sender], u)
		if u.OptOut != nil || !u.Erased.IsZero() {
			m.optedOut = append(m.optedOut, optedOut{i, consent.Contact{Sender: e.Sender, Address: e.Person}})
		}
	}
	for sender, us := range updates {
		done, err := d.Facts.Merge(ctx, sender, us)
		if err != nil {
			return m, fmt.Errorf("facts: %w", err)
		}
		m.seq, m.written = max(m.seq, done.Seq), m.written+done.Written
	}
	m.at = time.Now()
	return m, nil
}

// reader returns what reads the words of an event's person: the rulebook, with
// the sender's own words.
func (d *Desk) reader(ctx context.Context, e *event.Event) (func(string) policy.Keyword, error) {
	specs, err := d.Senders.OfAccount(ctx, e.Channel, e.Account)
	if err != nil {
		return nil, fmt.Errorf("sender of an account: %w", err)
	}
	var own policy.OwnWords
	if i := slices.IndexFunc(specs, func(s *sender.Spec) bool { return s.ID == e.Sender }); i >= 0 {
		own = specs[i].Words()
	}
	return func(text string) policy.Keyword { return d.Rulebook.KeywordOf(policy.Channel(e.Channel), own, text) }, nil
}

// Meaning returns what an event says of the person that it is about, and false
// where it says nothing. Of a CRM's event that is what its mapping found; of a
// platform's the keyword function reads what words mean.
// It looks at nothing but the event, so that the order of events can't matter.
func Meaning(e *event.Event, keyword func(string) policy.Keyword) (contact.Update, bool) {
	u := contact.Update{Address: e.Person}
	switch {
	case e.Person == "", e.Channel == "" && e.Change == nil:
		return u, false
	case e.Channel == "":
		c := *e.Change
		c.At = e.Time
		return c.Update(e.Person), true
	}
	says := true
	switch e.Type {
	case event.Stopped:
		u.OptOut = &contact.OptOut{Scope: contact.Marketing, At: e.Time, Source: "the platform's own control"}
	case event.Resumed:
		u.Return = &contact.Return{Scope: contact.Marketing, At: e.Time}
	case event.Comment:
		u.Comment = permission(e)
		says = u.Comment != nil
	case event.Token:
		u.Token = permission(e)
		says = u.Token != nil
	case event.ThreadTaken:
		u.Thread.Taken = e.Time
	case event.ThreadBack:
		u.Thread.Back = e.Time
	default:
		says = inbound(&u, e)
	}
	return u, words(&u, e, keyword) || says
}

func permission(e *event.Event) *contact.Permission {
	if e.Permission == "" {
		return nil
	}
	return &contact.Permission{ID: e.Permission, At: e.Time, Post: e.Post, Live: e.Live}
}

// inbound takes in that the person approached the account. What is told while
// another app has the thread opens nothing, since nothing could be sent: it
// says who has the thread.
func inbound(u *contact.Update, e *event.Event) bool {
	switch {
	case !e.Opens():
		return false
	case e.Standby:
		u.Thread.Taken = e.Time
		return true
	}
	u.LastInbound, u.OpenedBy = e.Time, string(e.Type)
	if e.Ad && (e.Type == event.Message || e.Type == event.Postback) {
		u.AdMessageAt, u.OpenedBy = e.Time, openedByAd
	}
	return true
}

// openedByAd is what the rulebook calls the first message after an ad.
const openedByAd = "ad_message"

// words takes in what a person's own words ask for. Of a button that is what
// stands on it, which is what the person saw and chose; what its author wrote
// behind it is read only where nothing stands on it, and only for a stop.
func words(u *contact.Update, e *event.Event, keyword func(string) policy.Keyword) bool {
	var said policy.Keyword
	switch e.Type {
	case event.Message, event.Edited, event.Postback:
		said = keyword(e.Text)
	default:
		return false
	}
	if e.Text == "" && e.Payload != "" && keyword(e.Payload) == policy.OptOut {
		said = policy.OptOut
	}
	switch said {
	case policy.OptOut:
		u.OptOut = &contact.OptOut{Scope: contact.All, At: e.Time, Source: "their own words by " + e.Channel}
	case policy.OptOutMaybe:
		u.Review = contact.Review{At: e.Time, ID: e.MessageID}
	case policy.OptIn:
		u.Return = &contact.Return{Scope: contact.All, At: e.Time}
	case policy.NoKeyword, policy.Help: // for whoever answers
		return false
	}
	return true
}

// settle waits until what events came to is in force, or until the gate can
// open only past it; then until no message is on its way to those who opted
// out. It returns how many still are when the time is over.
func (d *Desk) settle(ctx context.Context, m meaning, until time.Time) (inFlight int, err error) {
	if m.seq == 0 {
		return 0, nil
	}
	closed, err := d.Facts.Prevails(ctx, m.seq, m.at)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrTooLate, err)
	}
	if closed {
		d.stats.Blind.Add(1)
	}
	if len(m.optedOut) == 0 {
		return 0, nil
	}
	who := make([]consent.Contact, len(m.optedOut))
	for i, o := range m.optedOut {
		who[i] = o.Contact
	}
	open, err := d.Consent.Line(ctx, who, until)
	if err != nil {
		return 0, fmt.Errorf("opt-outs are in force, but not known whether something is on its way: %w", err)
	}
	if len(open) > 0 {
		d.stats.Outlasted.Add(int64(len(open)))
		d.Log.WarnContext(ctx, "an opt-out was answered while messages were on their way", "messages", len(open))
	}
	return len(open), nil
}
