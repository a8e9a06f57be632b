package meta

import (
	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/content"
)

// appendBody appends the member of a message that carries its content: a
// template, an attachment, or a text; quick replies after it.
func appendBody(b []byte, text string, body *content.Body) []byte {
	switch {
	case body.Utility != nil:
		return appendUtility(append(b, `"template":`...), body.Utility)
	case body.Feedback != nil:
		b = appendFeedback(append(b, `"attachment":{"type":"template","payload":`...), body.Feedback)
		return append(b, '}')
	case body.Attachment != nil:
		b = appendAttachment(append(b, `"attachment":`...), body.Attachment)
	case len(body.Elements) > 0:
		b = appendElements(append(b, `"attachment":{"type":"template","payload":`...), body.Elements)
		b = append(b, '}')
	case len(body.Buttons) > 0:
		b = append(b, `"attachment":{"type":"template","payload":{"template_type":"button","text":`...)
		b = appendButtons(append(appendQuoted(b, text), `,"buttons":`...), body.Buttons)
		b = append(b, `}}`...)
	default:
		b = appendQuoted(append(b, `"text":`...), text)
	}
	if len(body.QuickReplies) > 0 {
		b = appendQuickReplies(append(b, `,"quick_replies":`...), body.QuickReplies)
	}
	return b
}

// appendAttachment names a medium by its id, or by where to fetch it.
func appendAttachment(b []byte, a *content.Attachment) []byte {
	b = appendQuoted(append(b, `{"type":`...), a.Type)
	if a.ID != "" {
		b = appendQuoted(append(b, `,"payload":{"attachment_id":`...), a.ID)
		return append(b, `}}`...)
	}
	b = appendQuoted(append(b, `,"payload":{"url":`...), a.URL)
	if a.Reusable {
		b = append(b, `,"is_reusable":true`...)
	}
	return append(b, `}}`...)
}

func appendElements(b []byte, es []content.Element) []byte {
	b = append(b, `{"template_type":"generic","elements":[`...)
	for i, e := range es {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(append(b, `{"title":`...), e.Title)
		b = appendMember(b, "subtitle", e.Subtitle)
		b = appendMember(b, "image_url", e.ImageURL)
		if e.URL != "" {
			b = appendQuoted(append(b, `,"default_action":{"type":"web_url","url":`...), e.URL)
			b = append(b, '}')
		}
		if len(e.Buttons) > 0 {
			b = appendButtons(append(b, `,"buttons":`...), e.Buttons)
		}
		b = append(b, '}')
	}
	return append(b, `]}`...)
}

func appendButtons(b []byte, bs []content.Button) []byte {
	b = append(b, '[')
	for i, button := range bs {
		if i > 0 {
			b = append(b, ',')
		}
		switch {
		case button.URL != "":
			b = appendQuoted(append(b, `{"type":"web_url","url":`...), button.URL)
		case button.Phone != "":
			b = appendQuoted(append(b, `{"type":"phone_number","payload":`...), button.Phone)
		default:
			b = appendQuoted(append(b, `{"type":"postback","payload":`...), button.Payload)
		}
		b = append(appendMember(b, "title", button.Title), '}')
	}
	return append(b, ']')
}

// appendQuickReplies gives the title back where there is no payload: the
// platform wants one.
func appendQuickReplies(b []byte, qs []content.QuickReply) []byte {
	b = append(b, '[')
	for i, q := range qs {
		if i > 0 {
			b = append(b, ',')
		}
		payload := q.Payload
		if payload == "" {
			payload = q.Title
		}
		b = appendQuoted(append(b, `{"content_type":"text","title":`...), q.Title)
		b = appendQuoted(append(b, `,"payload":`...), payload)
		b = append(appendMember(b, "image_url", q.ImageURL), '}')
	}
	return append(b, ']')
}

func appendUtility(b []byte, u *content.Utility) []byte {
	b = appendQuoted(append(b, `{"name":`...), u.Name)
	b = appendQuoted(append(b, `,"language":{"code":`...), u.Language)
	b = append(b, '}')
	sep := `,"components":[`
	for _, c := range []struct {
		name string
		ps   []content.Parameter
	}{{"header", u.Header}, {"body", u.Body}} {
		if len(c.ps) > 0 {
			b = append(append(append(b, sep...), `{"type":"`...), c.name...)
			b, sep = appendParameters(append(b, `","parameters":[`...), c.ps), ","
		}
	}
	if len(u.Payloads) > 0 {
		b = append(append(b, sep...), `{"type":"buttons","parameters":[`...)
		for i, p := range u.Payloads {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendQuoted(append(b, `{"type":"POSTBACK","payload":`...), p), '}')
		}
		b, sep = append(b, `]}`...), ","
	}
	if sep == "," {
		b = append(b, ']')
	}
	return append(b, '}')
}

func appendParameters(b []byte, ps []content.Parameter) []byte {
	for i, p := range ps {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendMember(append(b, `{"type":"text"`...), "parameter_name", p.Name)
		b = append(appendQuoted(append(b, `,"text":`...), p.Text), '}')
	}
	return append(b, `]}`...)
}

func appendFeedback(b []byte, f *content.Feedback) []byte {
	b = appendQuoted(append(b, `{"template_type":"customer_feedback","title":`...), f.Title)
	b = appendMember(b, "subtitle", f.Subtitle)
	b = appendMember(b, "button_title", f.ButtonTitle)
	b = append(b, `,"feedback_screens":[{"questions":[`...)
	for i, q := range f.Questions {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(append(b, `{"id":`...), q.ID)
		b = appendMember(b, "type", q.Type)
		b = appendMember(b, "title", q.Title)
		b = appendMember(b, "score_label", q.ScoreLabel)
		b = appendMember(b, "score_option", q.ScoreOption)
		if q.FollowUp != "" {
			b = appendQuoted(append(b, `,"follow_up":{"type":"free_form","placeholder":`...), q.FollowUp)
			b = append(b, '}')
		}
		b = append(b, '}')
	}
	b = appendQuoted(append(b, `]}],"business_privacy":{"url":`...), f.PrivacyURL)
	b = append(b, '}')
	if f.ExpiresInDays > 0 {
		b = append(b, `,"expires_in_days":`...)
		b = append(b, byte('0'+f.ExpiresInDays)) // 1 to 7
	}
	return append(b, '}')
}

// appendMember appends a further member of an object, unless it is empty.
func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendQuoted(append(append(append(b, `,"`...), name...), `":`...), value)
}

// recipientName is the member of a recipient by which the platform is told
// who it is.
func recipientName(k channel.RecipientKind) string {
	switch k {
	case channel.ToComment:
		return "comment_id"
	case channel.ToPost:
		return "post_id"
	case channel.ToToken:
		return "one_time_notif_token"
	case channel.ToContact:
	}
	return "id"
}
