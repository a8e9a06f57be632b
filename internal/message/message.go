// Package message is what goes out to a contact: what its author wrote and
// declared, and how it is filled in for one contact after the other. It does no
// I/O.
package message

import "github.com/carillon-dev/carillon/internal/content"

// Message is the content and what its author declares of it. Its texts, links
// and payloads are Go templates over the contact's fields.
type Message struct {
	Text          string `yaml:"text,omitempty" json:"text"`
	content.Parts `yaml:",inline"`
	Template      string `yaml:"template,omitempty" json:"template,omitempty"` // id of a Template; instead of all content
	Via           string `yaml:"via,omitempty" json:"via,omitempty"`           // private_reply, one_time_notification; empty: by window or tag

	Promotional bool   `yaml:"promotional,omitempty" json:"promotional,omitempty"`
	Tag         string `yaml:"tag,omitempty" json:"tag,omitempty"`
	UseCase     string `yaml:"use_case,omitempty" json:"use_case,omitempty"`     // of subscription messaging: news, productivity, personal_tracker
	Healthcare  bool   `yaml:"healthcare,omitempty" json:"healthcare,omitempty"` // talk between patient and provider, or a provider's patient data
	Discloses   bool   `yaml:"discloses,omitempty" json:"discloses,omitempty"`   // the text says that a bot writes
}

// Author says who sends a message, as the rules ask.
type Author struct {
	Origin       string // broadcast, flow
	FlowType     string // with flow: auto_reply, automation, notification
	SenderChoice string // with flow: "", record_owner, auto
}

// Broadcast is the author of broadcasts.
func Broadcast() Author { return Author{Origin: "broadcast"} }

// maxText bounds a template; the channels' own limits are checked on what it
// renders to.
const maxText = 16 << 10
