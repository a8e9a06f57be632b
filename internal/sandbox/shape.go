package sandbox

import (
	"encoding/json"
	"unicode/utf8"
)

// Limits of a message's parts, as the send, template and quick reply pages
// give them; a metadata limit of 1,000 is the send reference's.
const (
	maxMessengerText  = 2000 // code points
	maxInstagramText  = 1000 // bytes of UTF-8
	maxMetadata       = 1000
	maxButtonText     = 640
	maxButtons        = 3
	maxElements       = 10
	maxElementTitle   = 80
	maxQuickReplies   = 13
	maxRecipientBytes = 256 // the longest documented token is shorter
)

// shape judges what needs no book: which fields are there and how long.
func shape(r *request, instagram bool) *graphError {
	if e := r.Recipient.check(instagram); e != nil {
		return e
	}
	switch {
	case r.SenderAction != "" && r.Message != nil:
		return errParam(2018014, "Cannot send both message and state at the same time.")
	case r.SenderAction != "":
		return checkAction(r.SenderAction)
	case r.Message == nil:
		return errParam(2018034, "Message cannot be empty, must provide valid attachment or text.")
	}
	if e := checkType(r); e != nil {
		return e
	}
	return r.Message.check(instagram)
}

// key names the recipient in the books: an id as it is, anything else with
// its kind before it. It is empty unless exactly one field is set.
func (to recipient) key() string {
	var key string
	for _, f := range []struct {
		prefix string
		value  flexible
	}{
		{"", to.ID}, {"user_ref:", to.UserRef}, {"phone_number:", to.PhoneNumber}, {"post_id:", to.PostID},
		{"comment_id:", to.CommentID}, {"one_time_notif_token:", to.OneTimeToken},
		{"notification_messages_token:", to.NotificationToken},
	} {
		switch {
		case f.value == "":
		case key != "":
			return ""
		default:
			key = f.prefix + string(f.value)
		}
	}
	return key
}

func (to recipient) check(instagram bool) *graphError {
	switch key := to.key(); {
	case key == "":
		return errParam(0, "Param recipient must hold exactly one of id, user_ref, phone_number, post_id, comment_id, one_time_notif_token, notification_messages_token.")
	case len(key) > maxRecipientBytes:
		return errNoUser(instagram)
	}
	return nil
}

func checkAction(action string) *graphError {
	switch action {
	case "typing_on", "typing_off", "mark_seen", "react", "unreact":
		return nil
	}
	return errParam(0, "Param sender_action is invalid.")
}

// checkType wants a type for every message to an id, and a template exactly
// where the type is UTILITY.
func checkType(r *request) *graphError {
	switch r.MessagingType {
	case "RESPONSE", "UPDATE", "MESSAGE_TAG", "UTILITY":
	case "":
		if r.Recipient.ID != "" {
			return errParam(0, "The parameter messaging_type is required.")
		}
	default:
		return errParam(0, "Param messaging_type must be one of RESPONSE, UPDATE, MESSAGE_TAG, UTILITY.")
	}
	if template := r.Message.Template; (template != nil) != (r.MessagingType == "UTILITY") {
		return errParam(0, "Utility messages need a template, and templates messaging_type UTILITY.")
	}
	return nil
}

func (m *message) check(instagram bool) *graphError {
	switch {
	case m.Text == "" && m.Attachment == nil && m.Template == nil && m.StickerID == "":
		return errParam(2018034, "Message cannot be empty, must provide valid attachment or text.")
	case instagram && len(m.Text) > maxInstagramText:
		return errLength("message[text]", maxInstagramText)
	case !instagram && utf8.RuneCountInString(m.Text) > maxMessengerText:
		return errLength("message[text]", maxMessengerText)
	case utf8.RuneCountInString(m.Metadata) > maxMetadata:
		return errLength("message[metadata]", maxMetadata)
	case len(m.QuickReplies) > maxQuickReplies:
		return errLength("message[quick_replies]", maxQuickReplies)
	case m.Template != nil && (m.Template.Name == "" || m.Template.Language.Code == ""):
		return errParam(0, "A template needs a name and a language code.")
	case m.Attachment != nil:
		return m.Attachment.check()
	}
	return nil
}

// has says whether the message carries a template of the given type.
func (m *message) has(templateType string) bool {
	return m.Attachment != nil && m.Attachment.Type == "template" && m.Attachment.Payload.TemplateType == templateType
}

// media says whether the lower rate of audio and video applies.
func (m *message) media() bool {
	return m != nil && m.Attachment != nil && (m.Attachment.Type == "audio" || m.Attachment.Type == "video")
}

func (a *attachment) check() *graphError {
	switch a.Type {
	case "image", "audio", "video", "file", "MEDIA_SHARE", "ig_post":
		return nil
	case "template":
	default:
		return errParam(0, "Param message[attachment][type] is invalid.")
	}
	p := a.Payload
	switch {
	case p.TemplateType == "":
		return errParam(0, "Param template_type is required.")
	case p.TemplateType == "button" && (p.Text == "" || badButtons(p.Buttons, 1)):
		return errParam(0, "A button template needs a text and 1 to 3 buttons.")
	case p.TemplateType == "button" && utf8.RuneCountInString(p.Text) > maxButtonText:
		return errLength("text", maxButtonText)
	case p.TemplateType == "generic":
		return checkElements(p.Elements)
	}
	return nil
}

func checkElements(elements []element) *graphError {
	if len(elements) == 0 || len(elements) > maxElements {
		return errParam(0, "A generic template needs 1 to 10 elements.")
	}
	for _, e := range elements {
		switch {
		case e.Title == "" || utf8.RuneCountInString(e.Title) > maxElementTitle:
			return errLength("elements[title]", maxElementTitle)
		case utf8.RuneCountInString(e.Subtitle) > maxElementTitle:
			return errLength("elements[subtitle]", maxElementTitle)
		case badButtons(e.Buttons, 0):
			return errLength("elements[buttons]", maxButtons)
		}
	}
	return nil
}

func badButtons(buttons []json.RawMessage, least int) bool {
	return len(buttons) < least || len(buttons) > maxButtons
}
