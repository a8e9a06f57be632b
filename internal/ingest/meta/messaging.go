package meta

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/carillon-dev/carillon/internal/event"
)

// party is one side of a conversation. Whoever used the checkbox plugin has no
// id until they write.
type party struct {
	ID text `json:"id"`
}

// item is one element of messaging or standby: who and when, and one of the
// kinds. The platform adds kinds at any time.
type item struct {
	Sender    object `json:"sender"`
	Recipient object `json:"recipient"`
	Timestamp moment `json:"timestamp"`

	Message  object `json:"message"`
	Edit     object `json:"message_edit"`
	Postback object `json:"postback"`
	Referral object `json:"referral"`
	OptIn    object `json:"optin"`
	Reaction object `json:"reaction"`
	Delivery object `json:"delivery"`
	Read     object `json:"read"`
	Pass     object `json:"pass_thread_control"`
	Take     object `json:"take_thread_control"`
	Policy   object `json:"policy_enforcement"`
	standing        // an item without a kind
}

// said is an item while it is read.
type said struct {
	item
	about event.Event     // what all its kinds have in common
	ours  bool            // the account itself did it
	raw   json.RawMessage // as it came
}

// messaging reads one item. raw is what is kept of it where it says nothing
// that is known here.
func (d *decoder) messaging(data, raw json.RawMessage) {
	var o object
	_ = o.UnmarshalJSON(data)
	s := said{raw: raw}
	if !o.into(&s.item) {
		d.other(raw)
		return
	}
	var m message
	isMessage := s.Message.into(&m)
	d.parties(&s, isMessage && bool(m.IsEcho))
	known := 0
	for _, kind := range []bool{
		isMessage && d.message(&s, m), d.edit(&s), d.postback(&s), d.referral(&s), d.optIn(&s), d.reaction(&s),
		d.delivery(&s), d.read(&s), d.thread(&s), d.policy(&s), d.integrity(&s),
	} {
		if kind {
			known++
		}
	}
	if known == 0 {
		d.otherOf(s.about, raw, s.Timestamp.Time)
	}
}

// parties finds out which side is the account and which the person.
func (d *decoder) parties(s *said, echo bool) {
	var from, to party
	s.Sender.into(&from)
	s.Recipient.into(&to)
	own, person := to, from
	if echo {
		own, person = from, to
	}
	account := d.account
	if own := id(own.ID); own != "" && account != own && account != id(person.ID) {
		account = own // the item knows better: of the platform's own samples some have another entry, or the entry 0
	}
	if !echo && from.ID != "" && id(from.ID) == account {
		s.ours, person = true, to
	}
	s.about = event.Event{Account: account, Person: id(person.ID)}
}

// tell takes in an event of the item.
func (d *decoder) tell(s *said, e event.Event) bool {
	e.Account, e.Person = s.about.Account, s.about.Person
	d.add(e, s.Timestamp.Time)
	return true
}

// message is what was written, by either side.
type message struct {
	MID        text   `json:"mid"`
	Text       text   `json:"text"`
	IsEcho     flag   `json:"is_echo"`
	IsDeleted  flag   `json:"is_deleted"`
	AppID      text   `json:"app_id"`
	Metadata   text   `json:"metadata"`
	QuickReply object `json:"quick_reply"`
	Referral   object `json:"referral"`
}

func (d *decoder) message(s *said, m message) bool {
	e := event.Event{MessageID: id(m.MID)}
	switch outgoing := bool(m.IsEcho) || s.ours; {
	case bool(m.IsDeleted) && outgoing:
		return false // the account took back what it wrote itself
	case bool(m.IsDeleted):
		e.Type = event.Deleted
	case outgoing:
		e.Type, e.Job = event.Echo, cut(m.Metadata, maxPayload)
		e.Ours = d.hook.AppID != "" && string(m.AppID) == d.hook.AppID
	default:
		var quick struct {
			Payload text `json:"payload"`
		}
		m.QuickReply.into(&quick)
		e.Type, e.Text, e.Payload = event.Message, cut(m.Text, maxText), cut(quick.Payload, maxPayload)
		e.Ad = fromAd(m.Referral) || fromAd(s.Referral)
	}
	return d.tell(s, e)
}

// referral is where somebody came from.
type referral struct {
	Ref    text `json:"ref"`
	Source text `json:"source"`
	AdID   text `json:"ad_id"`
}

func fromAd(o object) bool {
	var r referral
	return o.into(&r) && (strings.EqualFold(string(r.Source), "ADS") || r.AdID != "")
}

func (d *decoder) edit(s *said) bool {
	var m message
	if !s.Edit.into(&m) || s.ours {
		return false
	}
	return d.tell(s, event.Event{Type: event.Edited, MessageID: id(m.MID), Text: cut(m.Text, maxText)})
}

func (d *decoder) postback(s *said) bool {
	var p struct {
		MID      text   `json:"mid"`
		Title    text   `json:"title"`
		Payload  text   `json:"payload"`
		Referral object `json:"referral"`
	}
	if !s.Postback.into(&p) || s.ours {
		return false
	}
	return d.tell(s, event.Event{
		Type: event.Postback, MessageID: id(p.MID), Text: cut(p.Title, maxText), Payload: cut(p.Payload, maxPayload),
		Ad: fromAd(p.Referral) || fromAd(s.Referral),
	})
}

// referral is an event of its own only where it does not say how somebody came
// to write.
func (d *decoder) referral(s *said) bool {
	var r referral
	if s.Message != nil || s.Postback != nil || !s.Referral.into(&r) || s.ours {
		return false
	}
	return d.tell(s, event.Event{Type: event.Referral, Payload: cut(r.Ref, maxPayload), Ad: fromAd(s.Referral)})
}

// optIn is one of three things under one name. Of these only a plugin begins a
// conversation, so that an unknown type must not pass for it.
func (d *decoder) optIn(s *said) bool {
	var o struct {
		Type    text `json:"type"`
		Ref     text `json:"ref"`
		Payload text `json:"payload"`
		Title   text `json:"title"`
		OneTime text `json:"one_time_notif_token"`
		Token   text `json:"notification_messages_token"`
		Status  text `json:"notification_messages_status"`
	}
	if !s.OptIn.into(&o) || s.ours {
		return false
	}
	e := event.Event{Payload: cut(o.Payload, maxPayload), Text: cut(o.Title, maxText)}
	switch strings.ToLower(string(o.Type)) {
	case "":
		e.Type, e.Payload = event.OptIn, cut(o.Ref, maxPayload)
	case "one_time_notif_req":
		e.Type, e.Permission = event.Token, id(o.OneTime)
	case "notification_messages":
		e.Permission = id(o.Token)
		switch strings.ToUpper(string(o.Status)) {
		case "STOP_NOTIFICATIONS", "STOP NOTIFICATIONS":
			e.Type = event.Stopped
		case "", "RESUME_NOTIFICATIONS", "RESUME NOTIFICATIONS":
			e.Type = event.Resumed
		default:
			return false
		}
	default:
		return false
	}
	return d.tell(s, e)
}

func (d *decoder) reaction(s *said) bool {
	var r struct {
		MID    text `json:"mid"`
		Action text `json:"action"`
		Emoji  text `json:"emoji"`
	}
	if !s.Reaction.into(&r) || s.ours {
		return false
	}
	e := event.Event{MessageID: id(r.MID), Payload: cut(r.Emoji, maxPayload)}
	switch r.Action {
	case "react":
		e.Type = event.Reaction
	case "unreact":
		e.Type = event.Unreaction
	default:
		return false
	}
	return d.tell(s, e)
}

// receipt is about messages that went out: Messenger names several and a
// time up to which all are meant, Instagram one.
type receipt struct {
	MIDs      list   `json:"mids"`
	MID       text   `json:"mid"`
	Watermark moment `json:"watermark"`
}

func (d *decoder) delivery(s *said) bool { return d.receipt(s, event.Delivered, s.Delivery) }

func (d *decoder) read(s *said) bool { return d.receipt(s, event.Read, s.Read) }

func (d *decoder) receipt(s *said, typ event.Type, o object) bool {
	var r receipt
	if !o.into(&r) || s.ours {
		return false
	}
	var mids []string
	for _, raw := range r.MIDs {
		var t text
		if _ = t.UnmarshalJSON(raw); id(t) != "" {
			mids = append(mids, id(t))
		}
	}
	if mid := id(r.MID); mid != "" && !slices.Contains(mids, mid) {
		mids = append(mids, mid)
	}
	if len(mids) == 0 {
		return d.tell(s, event.Event{Type: typ, Watermark: r.Watermark.Time})
	}
	for some := range slices.Chunk(mids, maxMIDs) {
		d.tell(s, event.Event{Type: typ, MessageIDs: some, Watermark: r.Watermark.Time})
	}
	return true
}

// thread reads who has control of the conversation. What goes to our app comes
// back to us, and what goes to another one's is theirs; where the hook does not
// say which app is ours, the call says it: each goes to the app that gets, or
// loses, control.
func (d *decoder) thread(s *said) bool {
	var t struct {
		New text `json:"new_owner_app_id"`
	}
	typ := event.ThreadBack
	switch {
	case s.Take.into(&t):
		typ = event.ThreadTaken
	case !s.Pass.into(&t):
		return false
	}
	if own := d.hook.AppID; own != "" && t.New != "" {
		if typ = event.ThreadTaken; string(t.New) == own {
			typ = event.ThreadBack
		}
	}
	return d.tell(s, event.Event{Type: typ, Payload: id(t.New)})
}

func (d *decoder) policy(s *said) bool {
	var p struct {
		Action text `json:"action"`
		Reason text `json:"reason"`
	}
	if !s.Policy.into(&p) {
		return false
	}
	return d.tell(s, event.Event{Type: event.Enforced, Action: strings.ToLower(cut(p.Action, maxID)), Why: cut(p.Reason, maxPayload)})
}
