package content

import (
	"errors"
	"fmt"
	"slices"

	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// The types of a template, as the rulebook knows them.
const (
	Standard         = "standard"          // goes as the text that it is
	MTM              = "mtm"               // mapped with a message tag
	UtilityType      = "utility"           // approved by the platform
	CustomerFeedback = "customer_feedback" // a form
)

// Template is a Template document: content that several broadcasts send.
type Template struct {
	Kind     string   `yaml:"kind" json:"kind"`
	ID       string   `yaml:"id" json:"id"`
	Sender   string   `yaml:"sender,omitempty" json:"sender,omitempty"`     // whose it is; empty: every sender's
	Type     string   `yaml:"type" json:"type"`                             // standard, mtm, utility, customer_feedback
	Channels []string `yaml:"channels,omitempty" json:"channels,omitempty"` // that it is for; empty: all
	Tag      string   `yaml:"tag,omitempty" json:"tag,omitempty"`           // of type mtm
	Text     string   `yaml:"text,omitempty" json:"text,omitempty"`
	Parts    `yaml:",inline"`
	Utility  *Utility  `yaml:"utility,omitempty" json:"utility,omitempty"`
	Feedback *Feedback `yaml:"feedback,omitempty" json:"feedback,omitempty"`
}

// Validate returns one error that says what to change, or nil. Whether its
// fields can be filled in is not looked at here.
func (t *Template) Validate() error {
	if !sender.ValidID(t.ID) {
		return fmt.Errorf("id %q: want 1 to 63 characters out of a-z, 0-9 and '-'", t.ID)
	}
	if t.Sender != "" && !sender.ValidID(t.Sender) {
		return fmt.Errorf("template %s: sender %q: want the id of a Sender, or none", t.ID, t.Sender)
	}
	for _, c := range t.Channels {
		if c != string(policy.Messenger) && c != string(policy.Instagram) && c != string(policy.SMS) {
			return fmt.Errorf("template %s: channels: %q: want messenger, instagram or sms", t.ID, c)
		}
	}
	if err := t.ofType(); err != nil {
		return fmt.Errorf("template %s: %w", t.ID, err)
	}
	if b := t.Content(); !b.Plain() {
		if err := b.Check(t.Text, ""); err != nil {
			return fmt.Errorf("template %s: %w", t.ID, err)
		}
	}
	return nil
}

// ofType checks that the template has what its type is made of, and nothing
// of another's.
func (t *Template) ofType() error {
	own := t.Text != "" || !t.plain()
	switch {
	case !slices.Contains([]string{Standard, MTM, UtilityType, CustomerFeedback}, t.Type):
		return fmt.Errorf("type %q: want standard, mtm, utility or customer_feedback", t.Type)
	case (t.Type == UtilityType) != (t.Utility != nil):
		return errors.New("utility: it belongs to type utility, and that needs it")
	case (t.Type == CustomerFeedback) != (t.Feedback != nil):
		return errors.New("feedback: it belongs to type customer_feedback, and that needs it")
	case (t.Type == MTM) != (t.Tag != ""):
		return errors.New("tag: it belongs to type mtm, and that needs one")
	case own && (t.Utility != nil || t.Feedback != nil):
		return errors.New("text: a template of this type has no content of its own")
	case !own && t.Utility == nil && t.Feedback == nil:
		return errors.New("text is empty, and there is nothing in its place")
	}
	return nil
}

// Content is the template's body.
func (t *Template) Content() *Body {
	return &Body{Parts: t.Parts, Utility: t.Utility, Feedback: t.Feedback}
}

// Policy is what the rules ask about the template.
func (t *Template) Policy() policy.Template {
	return policy.Template{Name: t.ID, Kind: t.Type, Channels: t.Channels, Unapproved: t.Utility != nil && !t.Utility.Approved()}
}
