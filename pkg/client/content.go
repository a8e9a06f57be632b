package client

// Message is the content and what its author declares of it. It carries a
// text, an attachment or elements, or names a template.
type Message struct {
	Text         string       `json:"text"`
	Attachment   *Attachment  `json:"attachment,omitempty"`
	Buttons      []Button     `json:"buttons,omitempty"`
	Elements     []Element    `json:"elements,omitempty"`
	QuickReplies []QuickReply `json:"quick_replies,omitempty"`
	Template     string       `json:"template,omitempty"` // id of a Template
	Via          string       `json:"via,omitempty"`      // private_reply, one_time_notification; empty: by window or tag
	Promotional  bool         `json:"promotional,omitempty"`
	Tag          string       `json:"tag,omitempty"`
	UseCase      string       `json:"use_case,omitempty"`
	Healthcare   bool         `json:"healthcare,omitempty"`
	Discloses    bool         `json:"discloses,omitempty"`
}

// Attachment is a medium that the platform fetches, or has already.
type Attachment struct {
	Type     string `json:"type"` // image, audio, video, file
	URL      string `json:"url,omitempty"`
	ID       string `json:"id,omitempty"`
	Reusable bool   `json:"reusable,omitempty"`
}

// Button does one thing: it opens URL, gives back Payload, or calls Phone.
type Button struct {
	Title   string `json:"title"`
	URL     string `json:"url,omitempty"`
	Payload string `json:"payload,omitempty"`
	Phone   string `json:"phone,omitempty"`
}

// Element is one card.
type Element struct {
	Title    string   `json:"title"`
	Subtitle string   `json:"subtitle,omitempty"`
	ImageURL string   `json:"image_url,omitempty"`
	URL      string   `json:"url,omitempty"`
	Buttons  []Button `json:"buttons,omitempty"`
}

// QuickReply is an answer that one tap gives.
type QuickReply struct {
	Title    string `json:"title"`
	Payload  string `json:"payload,omitempty"` // empty: the title
	ImageURL string `json:"image_url,omitempty"`
}
