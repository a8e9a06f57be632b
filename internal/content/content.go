// Package content holds what a message may show beside plain text, the
// templates that messages are made of, and the platforms' limits on both. It
// is pure data: it renders no field, knows no wire form and does no I/O.
//
// Invariant: what Check lets pass is within every limit that the platforms
// publish for the channel; a field that is filled in for each contact is
// checked again once it is.
package content

// Parts is what a text may come with, or stand in for. A message is one of a
// text, an attachment and elements; buttons go with a text, quick replies
// with any. The zero value is a plain text.
type Parts struct {
	Attachment   *Attachment  `yaml:"attachment,omitempty" json:"attachment,omitempty"`
	Buttons      []Button     `yaml:"buttons,omitempty" json:"buttons,omitempty"`   // below the text; 1 to 3
	Elements     []Element    `yaml:"elements,omitempty" json:"elements,omitempty"` // cards side by side; 1 to 10
	QuickReplies []QuickReply `yaml:"quick_replies,omitempty" json:"quick_replies,omitempty"`
}

// Attachment is a medium that the platform fetches, or has already.
type Attachment struct {
	Type     string `yaml:"type" json:"type"`                             // image, audio, video, file
	URL      string `yaml:"url,omitempty" json:"url,omitempty"`           // where the platform fetches it; this or ID
	ID       string `yaml:"id,omitempty" json:"id,omitempty"`             // of one that was uploaded before
	Reusable bool   `yaml:"reusable,omitempty" json:"reusable,omitempty"` // the platform keeps what it fetched
}

// Media tells whether the platform counts the attachment against its lower
// rate, that of audio and video (its rate page, 2026-03-23).
func (a *Attachment) Media() bool { return a != nil && (a.Type == "audio" || a.Type == "video") }

// Button does one thing: it opens URL, gives back Payload, or calls Phone.
type Button struct {
	Title   string `yaml:"title" json:"title"`
	URL     string `yaml:"url,omitempty" json:"url,omitempty"`
	Payload string `yaml:"payload,omitempty" json:"payload,omitempty"`
	Phone   string `yaml:"phone,omitempty" json:"phone,omitempty"` // with its country's code: +4799999999
}

// Element is one card.
type Element struct {
	Title    string   `yaml:"title" json:"title"`
	Subtitle string   `yaml:"subtitle,omitempty" json:"subtitle,omitempty"`
	ImageURL string   `yaml:"image_url,omitempty" json:"image_url,omitempty"`
	URL      string   `yaml:"url,omitempty" json:"url,omitempty"` // what a tap on the card opens
	Buttons  []Button `yaml:"buttons,omitempty" json:"buttons,omitempty"`
}

// QuickReply is an answer that one tap gives.
type QuickReply struct {
	Title    string `yaml:"title" json:"title"`
	Payload  string `yaml:"payload,omitempty" json:"payload,omitempty"` // empty: the title
	ImageURL string `yaml:"image_url,omitempty" json:"image_url,omitempty"`
}

// Body is all of a message but its text.
type Body struct {
	Parts
	Utility  *Utility  // instead of all else
	Feedback *Feedback // the same
}

// plain tells whether there is nothing beside the text.
func (p *Parts) plain() bool {
	return p.Attachment == nil && len(p.Buttons) == 0 && len(p.Elements) == 0 && len(p.QuickReplies) == 0
}

// Plain tells whether the body says nothing beside the text.
func (b *Body) Plain() bool {
	return b == nil || b.plain() && b.Utility == nil && b.Feedback == nil
}

// Utility names a template that the platform approved, with what it is filled
// in with.
type Utility struct {
	Name     string      `yaml:"name" json:"name"`         // as the platform knows it
	Language string      `yaml:"language" json:"language"` // such as en or pt_BR
	Status   string      `yaml:"status,omitempty" json:"status,omitempty"`
	Header   []Parameter `yaml:"header,omitempty" json:"header,omitempty"`
	Body     []Parameter `yaml:"body,omitempty" json:"body,omitempty"`
	Payloads []string    `yaml:"payloads,omitempty" json:"payloads,omitempty"` // of its postback buttons, in order
}

// Parameter fills one place of a template in: the one of that name, or, where
// the template numbers them, the next.
type Parameter struct {
	Name string `yaml:"name,omitempty" json:"name,omitempty"`
	Text string `yaml:"text" json:"text"`
}

// Approved tells whether the platform lets the template be sent, as far as
// the document says: an absent status says that it does.
func (u *Utility) Approved() bool { return u.Status == "" || u.Status == "approved" }

// Feedback is a form that asks how it was.
type Feedback struct {
	Title         string     `yaml:"title" json:"title"`
	Subtitle      string     `yaml:"subtitle,omitempty" json:"subtitle,omitempty"`
	ButtonTitle   string     `yaml:"button_title,omitempty" json:"button_title,omitempty"`
	Questions     []Question `yaml:"questions" json:"questions"`
	PrivacyURL    string     `yaml:"privacy_url" json:"privacy_url"`                             // of the business
	ExpiresInDays int        `yaml:"expires_in_days,omitempty" json:"expires_in_days,omitempty"` // 1 to 7; 0: the platform's choice
}

// Question is one question of a form.
type Question struct {
	ID          string `yaml:"id" json:"id"`
	Type        string `yaml:"type" json:"type"` // csat, nps, ces
	Title       string `yaml:"title,omitempty" json:"title,omitempty"`
	ScoreLabel  string `yaml:"score_label,omitempty" json:"score_label,omitempty"`   // such as neg_pos
	ScoreOption string `yaml:"score_option,omitempty" json:"score_option,omitempty"` // such as five_stars
	FollowUp    string `yaml:"follow_up,omitempty" json:"follow_up,omitempty"`       // placeholder of a free answer; empty: none is asked for
}
