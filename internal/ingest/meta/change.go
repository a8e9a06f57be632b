package meta

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/event"
)

// change is one element of changes, or an entry that is one.
type change struct {
	Field text            `json:"field"`
	Value json.RawMessage `json:"value"`
}

// value is what changed, of the fields that have a meaning here.
type value struct {
	Item      text   `json:"item"`
	Verb      text   `json:"verb"`
	ID        text   `json:"id"`
	CommentID text   `json:"comment_id"`
	PostID    text   `json:"post_id"`
	From      object `json:"from"`
	Message   text   `json:"message"`
	Text      text   `json:"text"`
	Created   moment `json:"created_time"`
	Timestamp moment `json:"timestamp"`
}

func (v *value) told() time.Time {
	if !v.Created.IsZero() {
		return v.Created.Time
	}
	return v.Timestamp.Time
}

// author is who commented. Of the account's own comments Instagram also says
// which person that is.
type author struct {
	ID   text `json:"id"`
	Self text `json:"self_ig_scoped_id"`
}

// change reads one change. Some come as a messaging item in a change's clothes,
// such as those of the platform's test button.
func (d *decoder) change(raw json.RawMessage) {
	var o, of object
	_ = o.UnmarshalJSON(raw)
	var c change
	if !o.into(&c) {
		d.other(raw)
		return
	}
	_ = of.UnmarshalJSON(trim(c.Value))
	var v value
	if !of.into(&v) {
		d.other(raw)
		return
	}
	switch strings.ToLower(string(c.Field)) {
	case "feed":
		d.feed(v, raw)
	case "comments":
		d.comment(v, false, raw)
	case "live_comments":
		d.comment(v, true, raw)
	default:
		d.messaging(json.RawMessage(of), raw)
	}
}

// feed reads what happened on a Page's wall. Only what somebody else adds
// allows an answer in private.
func (d *decoder) feed(v value, raw json.RawMessage) {
	e := event.Event{Type: event.Comment, Text: cut(v.Message, maxText)}
	switch {
	case v.Verb != "add":
	case v.Item == "comment":
		e.Permission = id(v.CommentID)
	case slices.Contains([]text{"post", "status", "photo", "video", "share", "album"}, v.Item):
		e.Permission, e.Post = id(v.PostID), true
	}
	d.allow(e, v, raw)
}

// comment reads a comment on Instagram.
func (d *decoder) comment(v value, live bool, raw json.RawMessage) {
	e := event.Event{Type: event.Comment, Permission: id(v.CommentID), Text: cut(v.Text, maxText), Live: live}
	if e.Permission == "" {
		e.Permission = id(v.ID)
	}
	if e.Text == "" {
		e.Text = cut(v.Message, maxText)
	}
	if v.Verb != "" && v.Verb != "add" {
		e.Permission = ""
	}
	d.allow(e, v, raw)
}

// allow takes in a comment that allows a private reply: one with an id, by
// somebody else than the account.
func (d *decoder) allow(e event.Event, v value, raw json.RawMessage) {
	var by author
	v.From.into(&by)
	e.Person = id(by.ID)
	if e.Permission == "" || e.Person == "" || e.Person == d.account || by.Self != "" {
		d.otherOf(event.Event{Person: e.Person}, raw, v.told())
		return
	}
	d.add(e, v.told())
}
