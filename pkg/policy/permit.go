package policy

import (
	"time"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// permit finds what allows the message, or why nothing does. The permission
// is nil unless the verdict is Send.
func (j *judge) permit() (Verdict, *permission) {
	if j.m.Via != "" {
		return j.named(j.byVia[j.m.Via], reason.ViaUnknown, reason.ViaRetired)
	}
	if p := j.first(j.consent); p != nil {
		return j.allow(p, Evidence{Note: "consent is recorded"}), p
	}
	e, p := j.window()
	list, named := j.asked()
	if j.offChannel() && (p != nil || !named) {
		return j.refuse(j.kindRule().id(), reason.NotOnChannel, false, Evidence{Note: "the channel has no such template kind"}), nil
	}
	if p != nil {
		return j.allow(p, e), p
	}
	if named {
		return j.named(list, reason.TagUnknown, reason.TagRetired)
	}
	return j.outside(e)
}

// kindRule is the permission that templates of the message's kind ask for,
// nil where they ask for none of their own.
func (j *judge) kindRule() *permission {
	for _, list := range [...][]*permission{j.byKind[j.templateKind()], j.byFeed[j.templateKind()]} {
		if len(list) > 0 {
			return list[0]
		}
	}
	return nil
}

// closedWindow is the window that the evidence of a closed one is from.
func (j *judge) closedWindow() *permission {
	for _, p := range j.windows {
		if p.covers(j) && !j.measureWindow(p).Since.IsZero() {
			return p
		}
	}
	return j.first(j.windows)
}

// allow is the verdict of permission p.
func (j *judge) allow(p *permission, e Evidence) Verdict {
	e.At = j.at
	return Verdict{Kind: Send, Rule: p.ID, Evidence: e}
}

// first is the first permission of list in force on the channel.
func (j *judge) first(list []*permission) *permission {
	for _, p := range list {
		if p.covers(j) {
			return p
		}
	}
	return nil
}

// offChannel says whether the template is of a kind that the channel lacks.
func (j *judge) offChannel() bool { return j.kind == nil || j.kind.channels&j.channel == 0 }

// window is the open window that the message falls into, or nil and the
// evidence of the first one that is closed.
func (j *judge) window() (Evidence, *permission) {
	var closed Evidence
	for _, p := range j.windows {
		if !p.covers(j) {
			continue
		}
		e := j.measureWindow(p)
		if !e.Since.IsZero() && e.Age < e.Limit {
			return e, p
		}
		if closed.Since.IsZero() {
			closed = e
		}
	}
	return closed, nil
}

// measureWindow is the age of what opened window p against its limit. The
// evidence has no Since where nothing opened it.
func (j *judge) measureWindow(p *permission) Evidence {
	limit := time.Duration(p.Limit)
	if p.Max > 0 && j.s.AdWindow > 0 {
		limit = min(j.s.AdWindow, time.Duration(p.Max))
	}
	if p.Since == sinceAd {
		return j.measureIf("ad message", j.adMessage(), limit, "no message after an ad is known")
	}
	if !opens(p.OpenedBy, j.f.OpenedBy) {
		return Evidence{At: j.at, Limit: limit, Note: "the last action does not open a window"}
	}
	return j.measureIf("last inbound", j.opened(), limit, "the contact never wrote")
}

// opened is the inbound that a standard window counts from. A known message
// after an ad stands in for a missing inbound only on days without a window
// of its own.
func (j *judge) opened() time.Time {
	if !j.f.LastInbound.IsZero() {
		return j.f.LastInbound
	}
	for _, p := range j.windows {
		if p.Since == sinceAd && p.covers(j) {
			return time.Time{}
		}
	}
	return j.f.AdMessageAt
}

// adMessage is when the contact first wrote after an ad, zero if never.
func (j *judge) adMessage() time.Time {
	if j.f.AdMessageAt.IsZero() && j.f.OpenedBy == "ad_message" {
		return j.f.LastInbound
	}
	return j.f.AdMessageAt
}

// opens says whether action is in list; no action means message, and an
// empty list every action.
func opens(list []string, action string) bool {
	if action == "" {
		action = "message"
	}
	return len(list) == 0 || contains(list, action)
}

// asked is the permissions that the message names outside the window, and
// whether it names any: a utility template as that whatever its tag, else
// its tag, else a feedback template.
func (j *judge) asked() ([]*permission, bool) {
	if !j.m.HasTemplate && j.m.Tag == "" {
		return nil, false
	}
	if list := j.byKind[j.templateKind()]; len(list) > 0 {
		return list, true
	}
	if j.m.Tag != "" {
		return j.byTag[j.m.Tag], true
	}
	list := j.byFeed[j.templateKind()]
	return list, len(list) > 0
}

// outside judges a message that names nothing and has no window open.
func (j *judge) outside(closed Evidence) (Verdict, *permission) {
	wrote := j.wrote()
	if wrote.IsZero() {
		note := "the contact never wrote"
		if !j.f.LastInbound.IsZero() {
			note = "the contact's last action opens no window, and no other is known"
		}
		return j.refuse(j.closedWindow().id(), reason.NeverWrote, false, Evidence{Note: note}), nil
	}
	if p := j.first(j.plusOne); p != nil && !j.f.PlusOneUsed {
		return j.allow(p, j.measure("last inbound", wrote, 0)), p
	}
	return j.refuse(j.closedWindow().id(), reason.WindowClosed, false, closed), nil
}

// named judges a message by the one permission that it names, of which list
// has every version.
func (j *judge) named(list []*permission, unknown, retired reason.Code) (Verdict, *permission) {
	p, code := j.version(list, unknown, retired)
	if p == nil {
		return j.refuse("", code, false, Evidence{Note: "the rulebook has no such name"}), nil
	}
	if code == unknown {
		return j.refuse(p.ID, code, false, Evidence{Note: p.begins}), nil
	}
	if code == retired {
		return j.refuse(p.ID, code, false, Evidence{Note: p.ended}), nil
	}
	for _, code := range p.conditions {
		if j.fails(p, code) {
			return j.failure(p, code), nil
		}
	}
	return j.allow(p, j.basis(p)), p
}

// version picks the permission of list that is in force, on this channel if
// there is one. Else the code says whether the name is not known yet or not
// any more; p is then the version that says so, nil for an empty list.
func (j *judge) version(list []*permission, unknown, retired reason.Code) (p *permission, code reason.Code) {
	if p = j.first(list); p != nil {
		return p, ""
	}
	var next, last *permission
	for _, v := range list {
		switch {
		case v.inForce(j.sec):
			return v, ""
		case v.notYet(j.sec) && (next == nil || v.from < next.from):
			next = v
		case !v.notYet(j.sec) && (last == nil || v.to > last.to):
			last = v
		}
	}
	if last != nil {
		return last, retired
	}
	return next, unknown
}

// basis is the evidence of a permission that applies.
func (j *judge) basis(p *permission) Evidence {
	limit := time.Duration(p.Limit)
	switch p.Since {
	case sinceInbound:
		return j.measure("last inbound", j.wrote(), limit)
	case sinceComment:
		return j.measure("comment", j.f.Comment.At, limit)
	case sinceToken:
		return j.measure("one-time token", j.f.OneTimeToken.Created, limit)
	default:
		return j.measureIf("last message to the token", j.f.Notification.LastSent, p.cooldown(j.sec), "the token is for the platform to judge")
	}
}
