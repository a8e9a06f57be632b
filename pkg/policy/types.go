package policy

import (
	"time"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// Channel is a messaging channel a sender goes out on.
type Channel string

// The channels of the rulebook.
const (
	Messenger Channel = "messenger"
	Instagram Channel = "instagram"
	SMS       Channel = "sms"
)

// Sender is what the rules ask about the account a message goes out from.
type Sender struct {
	Channel            Channel
	Capabilities       []string       // as in a Sender document: utility, human_agent, news, …
	Restricted         bool           // the platform restricts the account
	RestrictedFeatures []string       // tags, vias or template kinds that the platform withdrew from the account
	Paused             bool           // an operator or a rate error paused it: hold
	CredentialInvalid  bool           // its token was refused or can't be read
	Unresolved         bool           // record owner or auto named no sender
	DisclosureRequired bool           // law where it writes requires that a bot says it is one
	AdWindow           time.Duration  // window after an ad; 0 or less means 24 h, never above 168 h
	RelaxFlowTemplates bool           // flows may send free text inside the window
	NumberType         string         // SMS: "", long_code, toll_free, short_code, outside_us
	Zone               *time.Location // nil means UTC
	QuietHours         QuietHours     // the sender's own; zero means none
}

// QuietHours are the hours of a clock in which nothing is sent: from From
// (included) to To (excluded), both as time since midnight, below 24 h.
// From after To runs over midnight; equal ends enclose nothing. The zero
// value means none.
type QuietHours struct {
	From, To time.Duration
	Set      bool
}

// Facts is what is known of a contact that a rule may look at. Every zero
// value means "not known to have happened".
type Facts struct {
	LastInbound    time.Time // of the newest action that opens a window
	OpenedBy       string    // message (also ""), postback, referral, optin, reaction, ad_message, comment
	AdMessageAt    time.Time // first message after an ad
	OptedOutAll    bool
	OptedOutMarket bool
	Blocked        bool // by the contact, until the next inbound
	OptOutReview   bool // a message that may have meant stop waits for a person
	SMSConsent     bool
	Zone           *time.Location // nil means unknown
	Country        string         // ISO 3166 alpha-2, capitals; "" means unknown
	Comment        Comment
	OneTimeToken   OneTimeToken
	Notification   Notification
	PlusOneUsed    bool
	DisclosedAt    time.Time // last time a bot said that it is one
	HandedOverAt   time.Time // last time a person handed the thread to a bot
}

// Comment is the post comment that a private reply would answer.
type Comment struct {
	At       time.Time // zero: there is none
	Replied  bool
	LiveOver bool // made during a live broadcast that has ended
}

// OneTimeToken is the contact's permission for one follow-up.
type OneTimeToken struct {
	Created time.Time // zero: there is none
	Used    bool
}

// Notification is what is known of the contact's subscription to recurring
// or marketing messages. The zero value means that nothing is known of it:
// the platform's own answer is then the only check of the token.
type Notification struct {
	Expires  time.Time // zero: no end known
	Stopped  bool      // the person stopped the topic
	LastSent time.Time // zero: never
}

// Message is what its author declares of a message, and its rendered text.
type Message struct {
	Origin       string // broadcast (also ""), flow, agent
	FlowType     string // with flow: auto_reply, automation (also ""), notification
	Promotional  bool
	Tag          string
	Via          string  // empty, private_reply, one_time_notification, …
	UseCase      string  // with subscription messaging: news, productivity, personal_tracker; "" as approved for the account
	SenderChoice string  // "", record_owner, auto: how the sender was chosen
	FieldChannel Channel // channel of the address field, or of the keyword answered; "": the sender's
	Healthcare   bool    // declared: talk between patient and provider, or a provider's patient data
	Discloses    bool    // the text says that a bot writes
	Text         string  // as rendered
	Words        string  // what else the contact reads, such as titles and labels; may forbid what a text may, but has no length
	HasTemplate  bool
	Template     Template
}

// Template is what the rules ask about a message's template.
type Template struct {
	Name       string
	Kind       string   // standard (also ""), mtm, utility, customer_feedback
	Channels   []string // empty: all
	Unapproved bool     // the platform has not approved it (kinds that need approval)
}

// Kind says what a verdict decides.
type Kind uint8

// The three verdicts. The zero value is no verdict at all, so that a
// forgotten one never reads as "send".
const (
	Undecided Kind = iota
	Send
	Hold
	Block
)

// String is the verdict as it stands in an answer.
func (k Kind) String() string {
	switch k {
	case Send:
		return "send"
	case Hold:
		return "hold"
	case Block:
		return "block"
	default:
		return "undecided"
	}
}

// Verdict is the answer of Evaluate.
type Verdict struct {
	Kind     Kind
	Rule     string      // id of the rule that allows, or that the refusal comes from
	Reason   reason.Code // set unless Kind is Send
	Until    time.Time   // UTC; set on Hold where the end is known
	Warnings []string    // shared with the rulebook: read only
	Evidence Evidence
}

// Evidence is what the verdict was decided on, for `carillon why`.
type Evidence struct {
	At    time.Time     // the moment judged, UTC
	Fact  string        // what Since is: "last inbound", "ad message", "comment", …; "": nothing was measured
	Since time.Time     // the fact it was measured from, UTC: last inbound, ad message, token
	Age   time.Duration // At minus Since, not below 0
	Limit time.Duration // the limit Age was compared with; 0: none
	Note  string        // a constant phrase where numbers don't tell it
}
