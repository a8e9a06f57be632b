package sandbox

import (
	"encoding/json"
	"strconv"
	"time"
)

// otherApp is the Page inbox, which takes threads from bots (handover page).
const otherApp = "263902037430900"

// ourApp is the app of a webhook that gives none.
const ourApp = "1517776481860111"

// fragment is the fields and values of an update beside its sender, recipient and time; of a
// change, all of it.
type fragment map[string]any

func writes(h *Happening, _ string, _ bool) fragment {
	m := fragment{"mid": h.ID, "text": h.Text}
	if h.Payload != "" {
		m["quick_reply"] = fragment{"payload": h.Payload}
	}
	return fragment{"message": m}
}

// writesFromAd tells the ad inside the message on Instagram, beside it on
// Messenger.
func writesFromAd(h *Happening, app string, instagram bool) fragment {
	out := writes(h, app, instagram)
	ad := fragment{"source": "ADS", "type": "OPEN_THREAD", "ad_id": "6045246247433", "ref": h.Payload}
	if instagram {
		out["message"].(fragment)["referral"] = ad
	} else {
		out["referral"] = ad
	}
	return out
}

func presses(h *Happening, _ string, _ bool) fragment {
	return fragment{"postback": fragment{"mid": h.ID, "title": h.Text, "payload": h.Payload}}
}

func follows(h *Happening, _ string, _ bool) fragment {
	return fragment{"referral": fragment{"ref": h.Payload, "source": "SHORTLINK", "type": "OPEN_THREAD"}}
}

func optsIn(h *Happening, _ string, _ bool) fragment {
	return fragment{"optin": fragment{"ref": h.Payload}}
}

func reacts(h *Happening, _ string, _ bool) fragment {
	if h.Kind == "unreaction" {
		return fragment{"reaction": fragment{"action": "unreact", "mid": h.ID}}
	}
	return fragment{"reaction": fragment{"reaction": "love", "emoji": "❤️", "action": "react", "mid": h.ID}}
}

func edits(h *Happening, _ string, _ bool) fragment {
	return fragment{"message_edit": fragment{"mid": h.ID, "text": h.Text, "num_edit": 1}}
}

func deletes(h *Happening, _ string, _ bool) fragment {
	return fragment{"message": fragment{"mid": h.ID, "is_deleted": true}}
}

func acceptsOne(h *Happening, _ string, _ bool) fragment {
	return fragment{"optin": fragment{"type": "one_time_notif_req", "payload": h.Payload, "one_time_notif_token": h.ID}}
}

func controls(h *Happening, _ string, _ bool) fragment {
	status := "RESUME_NOTIFICATIONS"
	if h.Kind == "stop_notifications" {
		status = "STOP_NOTIFICATIONS"
	}
	return fragment{"optin": fragment{"type": "notification_messages", "payload": h.Payload, "title": "News",
		"notification_messages_token": h.ID, "notification_messages_timezone": "UTC", "token_expiry_timestamp": int64(2145916800000),
		"user_token_status": "NOT_REFRESHED", "notification_messages_status": status}}
}

func handsOver(h *Happening, app string, _ bool) fragment {
	if h.Kind == "thread_taken" {
		return fragment{"take_thread_control": fragment{"previous_owner_app_id": app, "new_owner_app_id": otherApp, "metadata": h.Payload}}
	}
	return fragment{"pass_thread_control": fragment{"previous_owner_app_id": otherApp, "new_owner_app_id": app, "metadata": h.Payload}}
}

func enforces(h *Happening, _ string, _ bool) fragment {
	f := fragment{"action": h.Action}
	if h.Action != "unblock" { // an unblock gives no reason
		f["reason"] = h.Reason
	}
	return fragment{"policy_enforcement": f}
}

// comments tells a comment on a post of the Page, or on one of Instagram's.
func comments(h *Happening, _ string, instagram bool) fragment {
	if instagram {
		field := "comments"
		if h.Live {
			field = "live_comments"
		}
		return fragment{"field": field, "value": fragment{"from": fragment{"id": h.Person, "username": "u" + h.Person},
			"comment_id": h.ID, "text": h.Text, "media": fragment{"id": "17900000000000001", "media_product_type": "FEED"}}}
	}
	post := h.Account + "_1"
	return fragment{"field": "feed", "value": fragment{"item": "comment", "verb": "add", "comment_id": h.ID, "post_id": post, "parent_id": post,
		"from": fragment{"id": h.Person, "name": "Person"}, "message": h.Text, "created_time": h.At.Unix()}}
}

// letterOf is a happening as one app is told of it.
func letterOf(a *account, h *Happening, app string, standby bool) letter {
	l := letter{object: a.object(), account: a.id, place: "messaging", at: h.At.UnixNano()}
	if app == "" {
		app = ourApp
	}
	body := deeds()[h.Kind].item(h, app, a.instagram())
	switch {
	case h.Kind == "comment":
		l.place = "changes"
	case standby:
		l.place = fieldStandby
		if p, ok := body["postback"].(fragment); ok {
			delete(p, "payload") // whoever stands by is not told it
		}
	}
	if l.place != "changes" {
		body["recipient"], body["timestamp"] = fragment{"id": a.id}, h.At.UnixMilli()
		if h.Person != "" {
			body["sender"] = fragment{"id": h.Person}
		}
	}
	item, err := json.Marshal(body)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	l.item = item
	return l
}

func (a *account) object() string {
	if a.instagram() {
		return "instagram"
	}
	return "page"
}

// tell queues a happening for everybody who wants to know, and says for how
// many.
func (s *Sandbox) tell(a *account, h *Happening, seq uint64, standby bool) int {
	field := deeds()[h.Kind].field
	if field == "" {
		return 0
	}
	if standby {
		field = fieldStandby
	}
	if a.sms() {
		if h.Kind != "message" {
			return 0
		}
		return s.tellText(a, h, seq)
	}
	to := s.outbox.subscribers(a.id, field)
	for _, sub := range to {
		s.outbox.post(sub, letterOf(a, h, sub.AppID, standby), 0, mark{told: seq})
	}
	return len(to)
}

// receiptsOf queues what the platform tells of an accepted message: its echo
// at once, that it was delivered, and that it was read by some.
func (s *Sandbox) receiptsOf(a *account, c *call, person string, seq uint64) {
	m := c.request.Message
	mid := messageID(s.opts.Seed, seq)
	at := time.Unix(0, c.at)
	letter := func(at time.Time, item []byte) letter {
		return letter{object: a.object(), account: a.id, place: "messaging", at: at.UnixNano(), item: item}
	}
	for _, sub := range s.outbox.subscribers(a.id, fieldEchoes) {
		s.outbox.post(sub, letter(at, echo(a, person, mid, m, first(sub.AppID, ourApp), at)), 0, mark{message: seq, as: toldEcho})
	}
	if !a.instagram() { // Instagram tells only that it was read
		for _, sub := range s.outbox.subscribers(a.id, fieldDelivered) {
			when := at.Add(deliveredAfter)
			s.outbox.post(sub, letter(when, delivered(a, person, mid, at, when)), deliveredAfter, mark{message: seq, as: toldDelivered})
		}
	}
	for _, sub := range s.outbox.subscribers(a.id, fieldReads) {
		if float64(mix(mix(s.opts.Seed+4)+seq)>>11)/(1<<53) >= sub.reads() {
			continue
		}
		when := at.Add(readAfter)
		s.outbox.post(sub, letter(when, readReceipt(a, person, mid, when)), readAfter, mark{message: seq, as: toldRead})
	}
}

// How long after its acceptance a message is delivered, and read where it is.
const (
	deliveredAfter = 100 * time.Millisecond
	readAfter      = 400 * time.Millisecond
)

func appendParty(b []byte, from, to string, at time.Time) []byte {
	b = appendString(append(b, `{"sender":{"id":`...), from)
	b = appendString(append(b, `},"recipient":{"id":`...), to)
	return appendNumber(append(b, '}'), "timestamp", at.UnixMilli())
}

// echo is the message as its sender is told of it. Instagram's echoes carry
// neither app nor metadata.
func echo(a *account, person, mid string, m *message, app string, at time.Time) []byte {
	b := appendParty(nil, a.id, person, at)
	b = append(b, `,"message":{"is_echo":true`...)
	b = appendField(b, "mid", mid)
	b = appendField(b, "text", m.Text)
	if !a.instagram() {
		if n, err := strconv.ParseInt(app, 10, 64); err == nil { // an app's id is a number here
			b = appendNumber(b, "app_id", n)
		} else {
			b = appendField(b, "app_id", app)
		}
		b = appendField(b, "metadata", m.Metadata)
	}
	return append(b, `}}`...)
}

func delivered(a *account, person, mid string, sent, at time.Time) []byte {
	b := appendParty(nil, person, a.id, at)
	b = appendString(append(b, `,"delivery":{"mids":[`...), mid)
	b = appendNumber(append(b, ']'), "watermark", sent.UnixMilli())
	return append(b, `}}`...)
}

func readReceipt(a *account, person, mid string, at time.Time) []byte {
	b := append(appendParty(nil, person, a.id, at), `,"read":{`...)
	if a.instagram() {
		b = appendString(append(b, `"mid":`...), mid)
	} else {
		b = strconv.AppendInt(append(b, `"watermark":`...), at.UnixMilli(), 10)
	}
	return append(b, `}}`...)
}
