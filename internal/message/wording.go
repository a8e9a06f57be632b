package message

import (
	"errors"
	"fmt"
	"strings"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// Wording is what a broadcast says, ready to be filled in for one contact
// after the other. Nothing of it changes once it was made.
type Wording struct {
	text    *Template
	body    *content.Body        // nil: a plain text
	words   string               // of the body, where it has no fields
	fields  map[string]*Template // of the body, by path; those that are filled in
	says    policy.Message       // without text and words
	written string               // the text as its author wrote it
	event   map[string]any       // what a flow was begun by; nil: it is no flow's
	contact *contact.Record      // whom it is about; nil: whoever gets it
}

// NewWording reads a message of an author. t is the template that it names, nil where it
// names none. Its error names the field, as in "text: …".
func NewWording(a Author, m Message, t *content.Template) (*Wording, error) {
	w := &Wording{written: m.Text, says: m.policy(a)}
	body := &content.Body{Parts: m.Parts}
	if t != nil {
		w.written, body = t.Text, t.Content()
		w.says.HasTemplate, w.says.Template = true, t.Policy()
		if t.Tag != "" {
			if m.Tag != "" && m.Tag != t.Tag {
				return nil, fmt.Errorf("tag: template %s is mapped with %s; leave it out", t.ID, t.Tag)
			}
			w.says.Tag = t.Tag
		}
	}
	if len(w.written) > maxText {
		return nil, fmt.Errorf("text has %d bytes, at most %d", len(w.written), maxText)
	}
	var err error
	if w.text, err = ParseTemplate(w.written); err != nil {
		return nil, fmt.Errorf("text: %w", err)
	}
	if body.Plain() {
		return w, nil
	}
	w.body, w.says.HasTemplate = body, true // the rules know no content but texts and templates
	for path, value := range body.Fields() {
		if !strings.Contains(value, "{{") {
			continue
		}
		if w.fields == nil {
			w.fields = map[string]*Template{}
		}
		if w.fields[path], err = ParseTemplate(value); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if w.fields == nil {
		w.words = body.Words()
	}
	return w, nil
}

// About returns the wording over an event as well, which is decoded JSON and
// must not change any more.
func (w *Wording) About(event map[string]any) *Wording {
	out := *w
	out.event = event
	return &out
}

// Of returns the wording about one contact, whoever gets it.
func (w *Wording) Of(r contact.Record) *Wording {
	out := *w
	out.contact = &r
	return &out
}

// Rendered is a message as one contact gets it.
type Rendered struct {
	Text  string
	Body  *content.Body // nil: a plain text; shared, never written to
	Words string        // what else the contact reads
}

// Render fills the message in for one contact. An error means that it can't
// be filled in completely, or becomes longer than it may be; it never names
// what the contact's fields hold.
func (w *Wording) Render(r contact.Record) (Rendered, error) {
	if w.contact != nil {
		r = *w.contact
	}
	text, err := w.text.Render(r, w.event)
	if err != nil || w.body == nil {
		return Rendered{Text: text}, err
	}
	return w.fill(text, r)
}

// fill is Render for a message with more than its text. It stands apart since
// what it keeps of the record would cost every plain text an allocation.
func (w *Wording) fill(text string, r contact.Record) (out Rendered, err error) {
	out = Rendered{Text: text, Body: w.body, Words: w.words}
	if w.fields != nil {
		out.Body, err = w.body.Map(func(path, value string) (string, error) {
			if t := w.fields[path]; t != nil {
				return t.Render(r, w.event)
			}
			return value, nil
		})
		if err != nil {
			return Rendered{}, err
		}
		out.Words = out.Body.Words()
	}
	if w.fields != nil || w.text.t != nil {
		err = out.Body.Fits(text)
	}
	return out, err
}

// Policy returns what the author declares, without text and words.
func (w *Wording) Policy() policy.Message { return w.says }

// Written returns text and words as their author wrote them.
func (w *Wording) Written() (text, words string) {
	if w.body == nil {
		return w.written, ""
	}
	return w.written, w.body.Words()
}

// Media tells whether every call counts against the platform's lower rate,
// that of audio and video.
func (w *Wording) Media() bool { return w.body != nil && w.body.Attachment.Media() }

// Check says what of the message the platforms of a channel would refuse,
// whoever gets it, or nil.
func (w *Wording) Check(channel policy.Channel) error {
	if w.body == nil {
		return nil
	}
	return w.body.Check(w.written, channel)
}

// The ways beside the window and the tags by which a message may go.
const (
	PrivateReply        = "private_reply"         // to a comment, once
	OneTimeNotification = "one_time_notification" // by a token, once
)

// Validate returns one error that begins with the field, or nil.
func (m Message) Validate() error {
	plain := (&content.Body{Parts: m.Parts}).Plain()
	switch {
	case m.Template != "" && (m.Text != "" || !plain):
		return errors.New("template: it stands instead of a text and everything with it; leave those out")
	case m.Template == "" && m.Text == "" && plain:
		return errors.New("text is empty")
	case m.Via != "" && m.Via != PrivateReply && m.Via != OneTimeNotification:
		return fmt.Errorf("via %q: want private_reply or one_time_notification; no other way is open to a message", m.Via)
	case m.Via != "" && m.Tag != "":
		return errors.New("tag: none goes with via, which is a permission of its own")
	case m.Template != "":
		return nil
	}
	w, err := NewWording(Author{}, m, nil)
	if err != nil {
		return err
	}
	return w.Check("")
}

func (m Message) policy(a Author) policy.Message {
	return policy.Message{
		Origin: a.Origin, FlowType: a.FlowType, SenderChoice: a.SenderChoice, Promotional: m.Promotional, Tag: m.Tag, Via: m.Via, UseCase: m.UseCase, Healthcare: m.Healthcare, Discloses: m.Discloses,
	}
}
