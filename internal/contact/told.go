package contact

import (
	"slices"
	"strings"
	"time"
)

// Review is that words of the contact may have meant stop. A person has to
// look at them; until then everything is held.
type Review struct {
	At   time.Time `json:"t,omitzero"`  // of the newest such message; zero: there was none
	ID   string    `json:"i,omitempty"` // the platform's id of that message
	Done time.Time `json:"d,omitzero"`  // when a person last decided; all before is settled
}

// Open tells whether a message waits for a person.
func (v Review) Open() bool { return v.At.After(v.Done) }

// Permission is something that the contact did and that allows one message: a
// comment, or the acceptance of one notification.
type Permission struct {
	ID   string    `json:"i"` // comment id, or the token
	At   time.Time `json:"t"` // when the comment was made or the token given
	Post bool      `json:"p,omitempty"`
	Live bool      `json:"l,omitempty"` // a comment on a live broadcast that has ended
	Used bool      `json:"u,omitempty"`
}

// maxPermissions bounds how many comments, and how many tokens, are kept of a
// contact: the newest ones are what a message would use.
const maxPermissions = 8

// Thread is who has control of the conversation with the contact.
type Thread struct {
	Taken time.Time `json:"t,omitzero"` // another app took it, the newest time
	Back  time.Time `json:"b,omitzero"` // it came back to us, the newest time
}

// ThreadIdle is after how long without a word the control of a thread lapses
// (the platform's conversation routing, 2025-09-24).
const ThreadIdle = 24 * time.Hour

// elsewhere tells whether another app has the thread at a moment, by what was
// told of the thread alone.
func (t Thread) elsewhere(at time.Time) bool {
	return t.Taken.After(t.Back) && at.Sub(t.Taken) < ThreadIdle
}

// Elsewhere tells whether another app has the conversation with the contact at
// a moment. What the contact does while one has it is told as such and counts
// as taken; so one that approached us later than that is back with us.
func (r Record) Elsewhere(at time.Time) bool {
	return r.Thread.elsewhere(at) && !r.LastInbound.After(r.Thread.Taken)
}

// Comment returns the newest comment that was not answered in private yet;
// where all were, the newest.
func (r Record) Comment() (Permission, bool) { return usable(r.Comments) }

// Token returns the token for one notification that lasts longest, among those
// that were not used; where all were, the newest.
func (r Record) Token() (Permission, bool) { return usable(r.Tokens) }

func usable(ps []Permission) (Permission, bool) {
	for _, p := range ps { // the newest first
		if !p.Used {
			return p, true
		}
	}
	if len(ps) == 0 {
		return Permission{}, false
	}
	return ps[0], true
}

// mergeTold takes in what platforms tell beyond inbounds and opt-outs. Every
// part only rises, so that order does not matter.
func mergeTold(r *Record, u Update) (changed bool) {
	raise := func(to *time.Time, t time.Time) bool {
		if !t.After(*to) {
			return false
		}
		*to, changed = t.UTC(), true
		return true
	}
	if raise(&r.Review.At, u.Review.At) || !u.Review.At.IsZero() && u.Review.At.Equal(r.Review.At) && u.Review.ID > r.Review.ID {
		r.Review.ID, changed = u.Review.ID, true
	}
	raise(&r.Review.Done, u.Review.Done)
	raise(&r.Thread.Taken, u.Thread.Taken)
	raise(&r.Thread.Back, u.Thread.Back)
	for _, list := range []struct {
		have *[]Permission
		p    *Permission
	}{{&r.Comments, u.Comment}, {&r.Tokens, u.Token}} {
		if list.p != nil {
			ps, added := withPermission(*list.have, *list.p)
			*list.have, changed = ps, changed || added
		}
		if u.Used != "" {
			ps, marked := spent(*list.have, u.Used)
			*list.have, changed = ps, changed || marked
		}
	}
	return changed
}

// withPermission adds p, or what is new about it, to a list that is sorted
// from the newest on.
func withPermission(have []Permission, p Permission) ([]Permission, bool) {
	p.At = p.At.UTC()
	out := slices.Clone(have)
	if i := slices.IndexFunc(have, func(h Permission) bool { return h.ID == p.ID }); i >= 0 {
		h := have[i]
		if h.At.Before(p.At) { // told again: when it began is what counts
			p.At = h.At
		}
		p.Post, p.Live, p.Used = p.Post || h.Post, p.Live || h.Live, p.Used || h.Used
		if p == h {
			return have, false
		}
		out[i] = p
	} else {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Permission) int {
		if c := b.At.Compare(a.At); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	out = out[:min(len(out), maxPermissions)]
	return out, !slices.Equal(out, have)
}

func spent(have []Permission, id string) ([]Permission, bool) {
	i := slices.IndexFunc(have, func(h Permission) bool { return h.ID == id && !h.Used })
	if i < 0 {
		return have, false
	}
	out := slices.Clone(have)
	out[i].Used = true
	return out, true
}
