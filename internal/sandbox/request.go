package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strings"
)

// request is what a send asks for, from any of the body's forms.
type request struct {
	Recipient     recipient `json:"recipient"`
	MessagingType string    `json:"messaging_type"`
	Tag           string    `json:"tag"`
	Message       *message  `json:"message"`
	SenderAction  string    `json:"sender_action"`
	Token         string    `json:"access_token"`
	Proof         string    `json:"appsecret_proof"`
}

// recipient addresses one person; exactly one field must be set.
type recipient struct {
	ID                flexible `json:"id"`
	UserRef           flexible `json:"user_ref"`
	PhoneNumber       flexible `json:"phone_number"`
	PostID            flexible `json:"post_id"`
	CommentID         flexible `json:"comment_id"`
	OneTimeToken      flexible `json:"one_time_notif_token"`
	NotificationToken flexible `json:"notification_messages_token"`
}

type message struct {
	Text         string            `json:"text"`
	Attachment   *attachment       `json:"attachment"`
	Template     *utility          `json:"template"`
	StickerID    flexible          `json:"sticker_id"`
	QuickReplies []json.RawMessage `json:"quick_replies"`
	Metadata     string            `json:"metadata"`
}

type attachment struct {
	Type    string `json:"type"`
	Payload struct {
		TemplateType string            `json:"template_type"`
		Text         string            `json:"text"`
		Buttons      []json.RawMessage `json:"buttons"`
		Elements     []element         `json:"elements"`
	} `json:"payload"`
}

type element struct {
	Title    string            `json:"title"`
	Subtitle string            `json:"subtitle"`
	Buttons  []json.RawMessage `json:"buttons"`
}

// utility names an approved template.
type utility struct {
	Name     string `json:"name"`
	Language struct {
		Code string `json:"code"`
	} `json:"language"`
}

// flexible is an id that may come as JSON text or as a number.
type flexible string

// UnmarshalJSON takes a string, a number or null.
func (f *flexible) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] != '"' {
		var n *json.Number
		if err := json.Unmarshal(b, &n); err != nil {
			return err
		}
		if n != nil {
			*f = flexible(*n)
		}
		return nil
	}
	return json.Unmarshal(b, (*string)(f))
}

// decodeRequest reads a send's body. What it returns beside a problem holds
// the fields that could be read.
func decodeRequest(contentType string, body []byte) (request, *graphError) {
	var req request
	if isJSON(contentType, body) {
		if err := json.Unmarshal(body, &req); err != nil {
			return req, errParam(0, "The request body is not valid JSON.")
		}
		return req, nil
	}
	form, err := parseForm(contentType, body)
	if err != nil {
		return req, errParam(0, "The request body is not a valid form.")
	}
	return fromForm(form)
}

func fromForm(form url.Values) (request, *graphError) {
	req := request{
		MessagingType: form.Get("messaging_type"), Tag: form.Get("tag"), SenderAction: form.Get("sender_action"),
		Token: form.Get("access_token"), Proof: form.Get("appsecret_proof"),
	}
	if v := form.Get("recipient"); v != "" && json.Unmarshal([]byte(v), &req.Recipient) != nil {
		return req, errParam(0, "Param recipient must be a JSON object.")
	}
	if v := form.Get("message"); v != "" && json.Unmarshal([]byte(v), &req.Message) != nil {
		return req, errParam(0, "Param message must be a JSON object.")
	}
	return req, nil
}

// credentials completes the token and its proof from a query and an
// Authorization header; what the body said goes first.
func (r *request) credentials(rawQuery, authorization string) {
	if rawQuery != "" {
		query, _ := url.ParseQuery(rawQuery) // what can't be read is not there
		r.Token = first(r.Token, query.Get("access_token"))
		r.Proof = first(r.Proof, query.Get("appsecret_proof"))
	}
	if kind, token, ok := strings.Cut(authorization, " "); ok && strings.EqualFold(kind, "Bearer") {
		r.Token = first(r.Token, strings.TrimSpace(token))
	}
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// isJSON says how a body is to be read; one without a content type by its
// first byte, since no form begins with a brace.
func isJSON(contentType string, body []byte) bool {
	if strings.HasPrefix(contentType, "application/json") {
		return true
	}
	return contentType == "" && bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{"))
}

func parseForm(contentType string, body []byte) (url.Values, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/form-data" {
		return url.ParseQuery(string(body))
	}
	form := url.Values{}
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return form, nil
		}
		if err != nil {
			return nil, err
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, err
		}
		form.Add(part.FormName(), string(value))
	}
}
