// Package policy says whether a message may be sent: the messaging rules as
// dated data, and one pure function over them.
//
// It never looks at a clock, a network or a disk, and keeps nothing between
// calls. Its invariant: the same rulebook, moment, message, facts and sender
// give the same verdict, whatever zone the moment is expressed in, and every
// verdict that is not "send" carries exactly one reason.
package policy

import (
	"bytes"
	_ "embed"
	"errors"
	"io"
	"reflect"

	"go.yaml.in/yaml/v3"

	"github.com/carillon-dev/carillon/pkg/reason"
)

//go:embed rulebook.yaml
var embedded []byte

// Rulebook is the messaging rules of every day. Its lists are in the order
// in which they are tried. Get one from Parse or Default: one built by hand
// holds every message, because Evaluate can't read it. It is safe for
// concurrent use as long as nobody changes it.
type Rulebook struct {
	Version        int               `yaml:"version"`
	Sources        map[string]Source `yaml:"sources"`
	Checks         []Check           `yaml:"checks"`
	TemplateKinds  []TemplateKind    `yaml:"template_kinds"`
	Openers        []Action          `yaml:"openers"`       // actions that a window may name in opened_by
	NotOpenedBy    []Action          `yaml:"not_opened_by"` // actions that open no window, and why
	Conditions     []reason.Code     `yaml:"conditions"`
	Permissions    []Permission      `yaml:"permissions"`
	Hours          []Hours           `yaml:"hours"`
	Advice         []Advice          `yaml:"advice"`
	Keywords       Keywords          `yaml:"keywords"`
	TenDLC         []TenDLCClass     `yaml:"ten_dlc_classes"`
	Notes          []Note            `yaml:"notes"`
	Contradictions []Contradiction   `yaml:"contradictions"`

	index *index
}

// Clause is what every rule has: its name, its days and where it comes from.
type Clause struct {
	ID           string    `yaml:"id"`
	Row          string    `yaml:"row"` // row of the policy table, where it has one
	Channels     []Channel `yaml:"channels"`
	Announced    Date      `yaml:"announced"`
	From         Date      `yaml:"from"` // first day; zero: always
	To           Date      `yaml:"to"`   // first day without it; zero: open
	EndAnnounced Date      `yaml:"end_announced"`
	EndPlanned   Date      `yaml:"end_planned"` // end first announced, where it moved
	Says         string    `yaml:"says"`
	Source       []string  `yaml:"source"`
	Decided      string    `yaml:"decided"`
}

// Source is a text that rules come from.
type Source struct {
	Title   string `yaml:"title"`
	URL     string `yaml:"url"`     // "" where no address is known
	Section string `yaml:"section"` // within it
	AsOf    string `yaml:"as_of"`   // the edition read: a day, or days
}

// Action is something that a person or the platform does, and the webhook
// that shows it.
type Action struct {
	Clause  `yaml:",inline"`
	Webhook string `yaml:"webhook"`
}

// Check forbids a message whatever would allow it. Its id is the reason that
// it gives and names what it looks at; whether it blocks or holds is that
// reason's. The other fields are that check's parameters.
type Check struct {
	Clause     `yaml:",inline"`
	Capability string             `yaml:"capability"`
	Except     []string           `yaml:"except"`     // number types that are not asked
	Kinds      []string           `yaml:"kinds"`      // template kinds
	FlowTypes  []string           `yaml:"flow_types"` // of origin flow
	Limit      Duration           `yaml:"limit"`
	Digits     Range              `yaml:"digits"`
	IBAN       map[string]int     `yaml:"iban"` // country to length
	Lengths    map[Channel]Length `yaml:"lengths"`
	Phrases    []string           `yaml:"phrases"`  // what asks
	Objects    []string           `yaml:"objects"`  // for what
	Unless     []string           `yaml:"unless"`   // negations before a phrase, of at most three words each
	Between    []string           `yaml:"between"`  // single words that may stand between a negation and its phrase
	Until      []string           `yaml:"until"`    // words after a phrase beyond which its object does not stand
	Harmless   []string           `yaml:"harmless"` // what only looks like an object
	Within     int                `yaml:"within"`   // words looked at, on either side of a phrase
}

// Range is a span of counts, both ends included.
type Range struct {
	Min int `yaml:"min"`
	Max int `yaml:"max"`
}

// Length is the most that a text may have, in code_points or bytes.
type Length struct {
	Max  int    `yaml:"max"`
	Unit string `yaml:"unit"`
}

// TemplateKind is one kind of template and the channels that know it.
type TemplateKind struct {
	Kind     string    `yaml:"kind"`
	Channels []Channel `yaml:"channels"`
	NeedsTag bool      `yaml:"needs_tag"`
}

// Permission allows a message. By says how a message asks for it: window,
// plus_one, tag, template, via or consent.
type Permission struct {
	Clause      `yaml:",inline"`
	By          string         `yaml:"by"`
	Tags        []string       `yaml:"tags"`
	Uses        map[string]Use `yaml:"uses"` // by tag, for people to read
	Via         string         `yaml:"via"`
	Kind        string         `yaml:"kind"` // template kind that asks for it
	Promotional bool           `yaml:"promotional"`
	Authors     []string       `yaml:"authors"`  // origins allowed; empty: all
	Template    string         `yaml:"template"` // template kind required
	Capability  string         `yaml:"capability"`
	UseCases    []string       `yaml:"use_cases"`
	Since       string         `yaml:"since"`     // fact that Limit is measured from
	Limit       Duration       `yaml:"limit"`     // 0: no limit
	Max         Duration       `yaml:"max"`       // the sender's own setting replaces Limit up to this
	OpenedBy    []string       `yaml:"opened_by"` // actions that open the window; empty: all
	Cooldown    []DatedLimit   `yaml:"cooldown"`
	Excluded    []string       `yaml:"excluded_countries"`
	ClosedToNew Date           `yaml:"closed_to_new"` // first day on which nobody new is admitted; for people to read
	Marketing   bool           `yaml:"marketing"`     // an opt-out of marketing covers it
	NotSendable bool           `yaml:"not_sendable"`  // only the platform itself sends these
}

// Use says what a tag is for. No program can judge it: the author declares
// by the tag that the message is that.
type Use struct {
	For       string `yaml:"for" json:"for"`
	NotFor    string `yaml:"not_for" json:"not_for,omitempty"`
	Successor string `yaml:"successor" json:"successor,omitempty"` // once it has ended
}

// DatedLimit is a limit from a day on. The last one begun is in force.
type DatedLimit struct {
	From  Date     `yaml:"from" json:"from,omitzero"`
	Limit Duration `yaml:"limit" json:"limit"`
}

// Hours makes an allowed message wait.
type Hours struct {
	Clause          `yaml:",inline"`
	PromotionalOnly bool  `yaml:"promotional_only"`
	AnswersExcepted bool  `yaml:"answers_excepted"` // origin agent, flow auto_reply
	SendersOwn      bool  `yaml:"senders_own"`      // the sender's hours, not Quiet
	Quiet           Clock `yaml:"quiet"`
}

// Clock is a span of a day's clock, "15:04" each.
type Clock struct {
	From string `yaml:"from"`
	To   string `yaml:"to"`
}

// Advice is a warning that refuses nothing.
type Advice struct {
	Clause   `yaml:",inline"`
	Under    []string `yaml:"under"`     // ids of permissions; empty with UnderBy empty: any
	UnderBy  []string `yaml:"under_by"`  // ways to ask, as in Permission.By: also those of permissions added later
	NotUnder []string `yaml:"not_under"` // ids of permissions that neither covers
	Tags     []string `yaml:"tags"`      // empty: any
	Authors  []string `yaml:"authors"`   // empty: any
	Phrases  []string `yaml:"phrases"`   // the text must have one, # being any number; empty: not asked
	Harmless []string `yaml:"harmless"`  // within which a phrase does not count
	Links    Links    `yaml:"links"`

	// Acknowledge makes the launch of a broadcast wait for its author to say
	// that the warning was read. It refuses nothing either.
	Acknowledge bool `yaml:"acknowledge"`
}

// Links says what reads as a link.
type Links struct {
	Prefixes []string `yaml:"prefixes"`
	Domains  []string `yaml:"domains"` // last labels of a bare host name
}

// Keywords is what a word from a contact asks for. Parse writes the lists in
// lower case.
type Keywords struct {
	OptOut         []string `yaml:"opt_out"`
	OptIn          []string `yaml:"opt_in"`
	SMSOnly        []string `yaml:"sms_only"` // words of OptIn that on other channels answer a question
	Help           []string `yaml:"help"`
	ReviewWords    []string `yaml:"review_words"`     // read by a person in a text of any length
	ReviewPhrases  []string `yaml:"review_phrases"`   // the same, of several words
	Innocent       []string `yaml:"innocent_phrases"` // phrases in which a review word means something else
	InnocentUnless []string `yaml:"innocent_unless"`  // words in whose company such a phrase is none
	ReviewShort    int      `yaml:"review_short"`     // a text of at most so many words is read for any word of OptOut
	Says           string   `yaml:"says"`
	Source         []string `yaml:"source"`
	Decided        string   `yaml:"decided"`
}

// TenDLCClass is what one class of ten-digit US numbers may send. Nothing
// judges by it: it is what to configure as a sender's rate and budget.
type TenDLCClass struct {
	Clause    `yaml:",inline"`
	Counted   string  `yaml:"counted"`    // per what: campaign, brand or number
	Score     Range   `yaml:"score"`      // of the brand; zero: none asked
	PerSecond float64 `yaml:"per_second"` // segments; 0: not stated
	PerMinute int     `yaml:"per_minute"`
	PerDay    int     `yaml:"per_day"`
}

// Note is a row of the policy that no case can be judged by.
type Note struct {
	Clause `yaml:",inline"`
}

// Contradiction is a question that the sources answer differently or not at
// all, and the reading taken. Its id is i1 and so on.
type Contradiction struct {
	Clause    `yaml:",inline"`
	About     string `yaml:"about"`
	Configure string `yaml:"configure"` // where another reading is set
}

// Default is the rulebook that Carillon carries, parsed afresh. It panics
// only if the embedded file is broken.
func Default() *Rulebook {
	rb, err := Parse(embedded)
	if err != nil {
		panic(err)
	}
	return rb
}

// Embedded is the text of the rulebook that Carillon carries, to start an
// own one from.
func Embedded() []byte { return bytes.Clone(embedded) }

// Parse reads one YAML document. A field that it does not know, a source key
// that is not listed and a rule that could never be judged are errors: each
// is a *Refusal, one line that names the line at fault. A list has at most
// 2,000 names or 300 entries.
func Parse(data []byte) (*Rulebook, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		return nil, undecodable(err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, &Refusal{Line: more.Line, Err: errors.New("more than one document: keep one")}
	}
	if r := tooLarge(&doc); r != nil {
		return nil, r
	}
	if r := (shape{}).unknown(&doc, reflect.TypeFor[Rulebook]()); r != nil {
		return nil, r
	}
	var rb Rulebook
	if err := doc.Decode(&rb); err != nil {
		return nil, undecodable(err)
	}
	if err := rb.validate(); err != nil {
		return nil, located(&doc, err)
	}
	rb.Keywords.lower()
	rb.index = rb.compile()
	return &rb, nil
}
