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
	"fmt"
	"io"
	"time"

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
	Version       int               `yaml:"version"`
	Sources       map[string]string `yaml:"sources"`
	Checks        []Check           `yaml:"checks"`
	TemplateKinds []TemplateKind    `yaml:"template_kinds"`
	Conditions    []reason.Code     `yaml:"conditions"`
	Permissions   []Permission      `yaml:"permissions"`
	Hours         []Hours           `yaml:"hours"`
	Advice        []Advice          `yaml:"advice"`
	Keywords      Keywords          `yaml:"keywords"`
	Notes         []Note            `yaml:"notes"`

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

// Check forbids a message whatever would allow it. Its id is the reason that
// it gives and names what it looks at; the other fields are that check's
// parameters.
type Check struct {
	Clause     `yaml:",inline"`
	Hold       bool               `yaml:"hold"`
	Capability string             `yaml:"capability"`
	Except     []string           `yaml:"except"`     // number types that are not asked
	Kinds      []string           `yaml:"kinds"`      // template kinds
	FlowTypes  []string           `yaml:"flow_types"` // of origin flow
	Limit      Duration           `yaml:"limit"`
	Digits     Range              `yaml:"digits"`
	IBAN       map[string]int     `yaml:"iban"` // country to length
	Lengths    map[Channel]Length `yaml:"lengths"`
	Phrases    []string           `yaml:"phrases"`
	Objects    []string           `yaml:"objects"`
	Unless     []string           `yaml:"unless"`
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
	Marketing   bool           `yaml:"marketing"`    // an opt-out of marketing covers it
	NotSendable bool           `yaml:"not_sendable"` // only the platform itself sends these
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
	From  Date     `yaml:"from"`
	Limit Duration `yaml:"limit"`
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
	Clause  `yaml:",inline"`
	Under   []string `yaml:"under"`   // ids of permissions; empty: any
	Tags    []string `yaml:"tags"`    // empty: any
	Authors []string `yaml:"authors"` // empty: any
	Phrases []string `yaml:"phrases"` // the text must have one; empty: not asked
	Links   Links    `yaml:"links"`
}

// Links says what reads as a link.
type Links struct {
	Prefixes []string `yaml:"prefixes"`
	Domains  []string `yaml:"domains"` // last labels of a bare host name
}

// Keywords is what a word from a contact asks for.
type Keywords struct {
	OptOut      []string `yaml:"opt_out"`
	OptIn       []string `yaml:"opt_in"`
	Help        []string `yaml:"help"`
	ReviewWords int      `yaml:"review_words"` // messages of at most so many words are searched for an opt-out word
	Says        string   `yaml:"says"`
	Source      []string `yaml:"source"`
}

// Note is a row of the policy that no case can be judged by.
type Note struct {
	Clause `yaml:",inline"`
}

// Date is a day that begins at 00:00 UTC. The zero value is no day.
type Date struct{ time.Time }

// UnmarshalYAML reads 2006-01-02.
func (d *Date) UnmarshalYAML(n *yaml.Node) error {
	t, err := ParseDate(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	*d = t
	return nil
}

// ParseDate reads 2006-01-02 of the years 1 to 9999.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.IsZero() {
		return Date{}, fmt.Errorf("%q is not a date: write it as 2026-04-27", s)
	}
	return Date{t}, nil
}

// String is 2006-01-02, or "" for no day.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return d.Format(time.DateOnly)
}

// MarshalJSON writes what ParseDate reads, and "" for no day.
func (d Date) MarshalJSON() ([]byte, error) { return []byte(`"` + d.String() + `"`), nil }

// Duration is a time.Duration that also reads days, as in 365d of 24 h each.
type Duration time.Duration

// UnmarshalYAML reads 36h, 90m or 7d. It must be above 0 and at most 100 years.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	var days int
	var rest string
	v, err := time.ParseDuration(n.Value)
	if k, _ := fmt.Sscanf(n.Value, "%d%s", &days, &rest); err != nil && k == 2 && rest == "d" && days <= 36500 {
		v, err = time.Duration(days)*24*time.Hour, nil
	}
	if err != nil || v <= 0 || v > 36500*24*time.Hour {
		return fmt.Errorf("line %d: %q is not a length of time: write it as 24h or 365d", n.Line, n.Value)
	}
	*d = Duration(v)
	return nil
}

// String is FormatDuration.
func (d Duration) String() string { return FormatDuration(time.Duration(d)) }

// MarshalText writes what UnmarshalYAML reads, in hours where they are whole.
func (d Duration) MarshalText() ([]byte, error) {
	if h := time.Duration(d) / time.Hour; time.Duration(d) == h*time.Hour {
		return fmt.Appendf(nil, "%dh", h), nil
	}
	return []byte(time.Duration(d).String()), nil
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
// that is not listed and a rule that could never be judged are errors.
func Parse(data []byte) (*Rulebook, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var rb Rulebook
	if err := dec.Decode(&rb); err != nil {
		return nil, fmt.Errorf("rulebook: %w", err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("rulebook: more than one document: keep one")
	}
	if err := rb.validate(); err != nil {
		return nil, fmt.Errorf("rulebook: %w", err)
	}
	rb.index = rb.compile()
	return &rb, nil
}
