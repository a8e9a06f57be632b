// Package sender holds what is configured of a sender: the Page, Instagram
// account or SMS number that messages go out from. It reads no credential and
// does no I/O.
package sender

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/rate"
	"github.com/carillon-dev/carillon/internal/tendlc"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// Spec is a Sender document.
type Spec struct {
	Kind         string      `yaml:"kind" json:"kind"`
	ID           string      `yaml:"id" json:"id"`
	Channel      string      `yaml:"channel" json:"channel"`
	Account      string      `yaml:"account" json:"account"`                           // Page id, Instagram account id, E.164 number or messaging service
	Credential   string      `yaml:"credential" json:"credential"`                     // env:NAME or file:PATH
	AppSecret    string      `yaml:"app_secret,omitempty" json:"app_secret,omitempty"` // env:NAME or file:PATH; empty: calls carry no proof
	Capabilities []string    `yaml:"capabilities,omitempty" json:"capabilities,omitempty"`
	Rate         Rate        `yaml:"rate,omitempty" json:"rate,omitzero"`
	Batch        bool        `yaml:"batch,omitempty" json:"batch,omitempty"`
	Weight       int         `yaml:"weight,omitempty" json:"weight,omitempty"` // of the workers, where they are short; 0: 1
	Timezone     string      `yaml:"timezone,omitempty" json:"timezone,omitempty"`
	QuietHours   *QuietHours `yaml:"quiet_hours,omitempty" json:"quiet_hours,omitempty"`
	AdWindow     int         `yaml:"ad_window_hours,omitempty" json:"ad_window_hours,omitempty"`
	RelaxFlows   bool        `yaml:"relax_flow_templates,omitempty" json:"relax_flow_templates,omitempty"`
	NumberType   string      `yaml:"number_type,omitempty" json:"number_type,omitempty"`
	Restricted   bool        `yaml:"restricted,omitempty" json:"restricted,omitempty"`                   // the platform restricts the account
	Withdrawn    []string    `yaml:"restricted_features,omitempty" json:"restricted_features,omitempty"` // tags, vias or template kinds that it withdrew
	StopWords    []string    `yaml:"stop_words,omitempty" json:"stop_words,omitempty"`                   // beside the rulebook's, as in another language; alone they opt out
	StartWords   []string    `yaml:"start_words,omitempty" json:"start_words,omitempty"`                 // alone they opt in again
	HelpWords    []string    `yaml:"help_words,omitempty" json:"help_words,omitempty"`                   // alone they ask for help
	Disclosure   bool        `yaml:"disclosure_required,omitempty" json:"disclosure_required,omitempty"` // law binds it to say that a bot writes
	Unknown      Unknown     `yaml:"unknown,omitempty" json:"unknown,omitzero"`
	Labels       Labels      `yaml:"labels,omitempty" json:"labels,omitzero"` // messenger: of the Page's custom labels

	AccountSID     string       `yaml:"account_sid,omitempty" json:"account_sid,omitempty"`         // sms: the Twilio account that the number or messaging service is of
	StatusCallback string       `yaml:"status_callback,omitempty" json:"status_callback,omitempty"` // sms: the public address of a hook of type twilio; empty: no receipts come
	TenDLC         *tendlc.Spec `yaml:"ten_dlc,omitempty" json:"ten_dlc,omitempty"`                 // sms: what carriers let the registered number send
}

// Unknown is what is made of messages of which the answer was lost.
type Unknown struct {
	// LikelyAfter is how long an echo is waited for before such a message is
	// shown as likely not sent, as a duration such as 10m; empty:
	// DefaultLikelyAfter.
	LikelyAfter string `yaml:"likely_after,omitempty" json:"likely_after,omitempty"`

	// Redrive is a standing order: those that are likely not sent go out again
	// by themselves, once each. Some may then arrive twice.
	Redrive bool `yaml:"redrive,omitempty" json:"redrive,omitempty"`
}

// DefaultLikelyAfter is how long an echo is waited for where the sender does
// not say. Echoes come within seconds; webhooks that failed are repeated
// within minutes, and later ones more rarely, for up to 36 hours.
const DefaultLikelyAfter = 10 * time.Minute

// The bounds of LikelyAfter. The least is far above the time that a claim
// stands: before that has passed nobody may call a message not sent.
const (
	MinLikelyAfter = time.Minute
	MaxLikelyAfter = 7 * 24 * time.Hour
)

// After returns LikelyAfter with its default filled in. The document must be
// valid.
func (u Unknown) After() time.Duration {
	if d, err := time.ParseDuration(u.LikelyAfter); err == nil {
		return d
	}
	return DefaultLikelyAfter
}

func (u Unknown) validate() error {
	if u.LikelyAfter == "" {
		return nil
	}
	if d, err := time.ParseDuration(u.LikelyAfter); err != nil || d < MinLikelyAfter || d > MaxLikelyAfter {
		return fmt.Errorf("unknown likely_after %q: want a duration from 1m to 168h, such as 10m", u.LikelyAfter)
	}
	return nil
}

// App names the app that the sender calls by, as far as its document tells it:
// senders with the same app_secret reference are of one app. It has a '~', which
// no sender's id has, and tells nothing of the reference. Empty: none is named.
func (s *Spec) App() string {
	if s.AppSecret == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(s.AppSecret))
	return "app~" + hex.EncodeToString(sum[:8])
}

// Labels is how the custom labels of a Page become labels of contacts.
type Labels struct {
	// Pull is how often they are read, as a duration such as 1h; empty: only
	// when somebody orders it.
	Pull string `yaml:"pull,omitempty" json:"pull,omitempty"`
}

// The bounds of Pull. One reading takes a call for each contact, which the
// platform counts together with messages.
const (
	MinPull = 10 * time.Minute
	MaxPull = 30 * 24 * time.Hour
)

// Every returns Pull, 0 where there is none. The document must be valid.
func (l Labels) Every() time.Duration {
	d, err := time.ParseDuration(l.Pull)
	if err != nil {
		return 0
	}
	return d
}

func (s *Spec) validLabels() error {
	if s.Labels.Pull == "" {
		return nil
	}
	if !s.HasLabels() {
		return errors.New("labels belong to channel messenger: only a Page has custom labels")
	}
	if d, err := time.ParseDuration(s.Labels.Pull); err != nil || d < MinPull || d > MaxPull {
		return fmt.Errorf("labels pull %q: want a duration from 10m to 720h, such as 1h", s.Labels.Pull)
	}
	return nil
}

// HasLabels tells whether the sender's account can have custom labels.
func (s *Spec) HasLabels() bool { return s.Channel == string(policy.Messenger) }

// Rate is the sender's cap on calls.
type Rate struct {
	PerSecond int `yaml:"per_second" json:"per_second"` // 0: DefaultRate
	Burst     int `yaml:"burst,omitempty" json:"burst,omitempty"`
}

// QuietHours are clock times, HH:MM.
type QuietHours struct {
	From string `yaml:"from" json:"from"`
	To   string `yaml:"to" json:"to"`
}

// DefaultRate is the cap of a sender that names none: what Meta's rate page
// of 2026-03-23 allows a Page for text, messages per second.
const DefaultRate = 300

// DefaultSMSRate is the cap of an SMS sender that names neither a rate nor a
// 10DLC class: segments a second of a long code at Twilio.
const DefaultSMSRate = 1

// MaxWeight is the largest weight: so many times what others get at least.
const MaxWeight = 100

// ValidID tells whether s can be the id of a document: 1 to 63 characters
// out of a-z, 0-9 and '-', neither beginning nor ending with '-'.
func ValidID(s string) bool {
	return len(s) <= 63 && job.ValidToken(s) && !strings.Contains(s, "~") && !strings.HasPrefix(s, "-") && !strings.HasSuffix(s, "-")
}

// Validate returns one error that says what to change, or nil.
func (s *Spec) Validate() error {
	switch {
	case !ValidID(s.ID):
		return fmt.Errorf("id %q: want 1 to 63 characters out of a-z, 0-9 and '-'", s.ID)
	case s.Channel != string(policy.Messenger) && s.Channel != string(policy.Instagram) && s.Channel != string(policy.SMS):
		return fmt.Errorf("sender %s: channel %q: want messenger, instagram or sms", s.ID, s.Channel)
	}
	check := s.validMeta
	if s.SMS() {
		check = s.validSMS
	}
	if err := check(); err != nil {
		return fmt.Errorf("sender %s: %w", s.ID, err)
	}
	for _, c := range []struct{ field, ref string }{{"credential", s.Credential}, {"app_secret", s.AppSecret}} {
		if c.field == "app_secret" && c.ref == "" {
			continue
		}
		if !ValidReference(c.ref) {
			return fmt.Errorf("sender %s: %s: want env:NAME or file:PATH, never the secret itself", s.ID, c.field)
		}
	}
	for _, c := range s.Capabilities {
		if !validCapability(c) {
			return fmt.Errorf("sender %s: capability %q: want a name such as utility; the rulebook says which there are", s.ID, c)
		}
	}
	if err := s.Limit().Validate(); err != nil {
		return fmt.Errorf("sender %s: %w", s.ID, err)
	}
	if s.Weight < 0 || s.Weight > MaxWeight {
		return fmt.Errorf("sender %s: weight %d: want 1 to %d", s.ID, s.Weight, MaxWeight)
	}
	if s.AdWindow < 0 || s.AdWindow > 168 {
		return fmt.Errorf("sender %s: ad_window_hours %d: want 0 to 168", s.ID, s.AdWindow)
	}
	if s.Timezone != "" {
		if _, err := time.LoadLocation(s.Timezone); err != nil || s.Timezone == "Local" {
			return fmt.Errorf("sender %s: timezone %q is not an IANA time zone such as Europe/Oslo", s.ID, s.Timezone)
		}
	}
	if _, err := s.quiet(); err != nil {
		return fmt.Errorf("sender %s: %w", s.ID, err)
	}
	if err := s.validWords(); err != nil {
		return fmt.Errorf("sender %s: %w", s.ID, err)
	}
	if err := s.Unknown.validate(); err != nil {
		return fmt.Errorf("sender %s: %w", s.ID, err)
	}
	if err := s.validLabels(); err != nil {
		return fmt.Errorf("sender %s: %w", s.ID, err)
	}
	return nil
}

// SMS tells whether text messages go out from the sender.
func (s *Spec) SMS() bool { return s.Channel == string(policy.SMS) }

// validMeta checks what belongs to a Page or an Instagram account.
func (s *Spec) validMeta() error {
	switch {
	case !validAccount(s.Account):
		return fmt.Errorf("account %q: want the Page id or the Instagram account id", s.Account)
	case s.AccountSID != "" || s.StatusCallback != "" || s.TenDLC != nil:
		return errors.New("account_sid, status_callback and ten_dlc belong to channel sms")
	}
	return nil
}

// The bounds of a sender's own words: every inbound text is compared with
// each of them.
const (
	maxWords   = 100
	maxWordLen = 60 // bytes
)

func (s *Spec) validWords() error {
	for _, l := range []struct {
		field string
		words []string
	}{{"stop_words", s.StopWords}, {"start_words", s.StartWords}, {"help_words", s.HelpWords}} {
		if len(l.words) > maxWords {
			return fmt.Errorf("%s: %d words: want %d at the most", l.field, len(l.words), maxWords)
		}
		for _, w := range l.words {
			if len(w) > maxWordLen || !strings.ContainsFunc(w, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
				return fmt.Errorf("%s: %q: want a word or two of up to %d bytes, with a letter or a digit", l.field, w, maxWordLen)
			}
		}
	}
	return nil
}

// Words returns the sender's own words as the rules read them.
func (s *Spec) Words() policy.OwnWords {
	return policy.OwnWords{OptOut: s.StopWords, OptIn: s.StartWords, Help: s.HelpWords}
}

// validAccount tells whether s can stand in the path of a call as it is. "me"
// would be whichever account the credential belongs to.
func validAccount(s string) bool {
	return s != "" && len(s) <= 128 && s != "me" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// ValidReference tells whether ref names a secret, as env:NAME or file:PATH.
func ValidReference(ref string) bool {
	kind, name, ok := strings.Cut(ref, ":")
	return ok && (kind == "env" || kind == "file") && name != ""
}

// validCapability tells whether c can be the name of a capability. Which ones
// exist, the rulebook says.
func validCapability(c string) bool {
	return c != "" && len(c) <= 63 && !strings.ContainsFunc(c, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' })
}

// Limit returns the sender's rate with its defaults filled in. Of an SMS sender
// it counts segments.
func (s *Spec) Limit() rate.Limit {
	l := rate.Limit{PerSecond: s.Rate.PerSecond, Burst: s.Rate.Burst, PerMinute: s.TenDLC.Minute()}
	switch {
	case l.PerSecond != 0:
	case l.PerMinute != 0: // its minute, spread evenly
		l.PerSecond = (l.PerMinute + 59) / 60
	case s.SMS():
		l.PerSecond = DefaultSMSRate
	default:
		l.PerSecond = DefaultRate
	}
	if l.Burst == 0 {
		l.Burst = 1
	}
	return l
}

// Share returns the sender's weight with its default filled in, 1 to MaxWeight.
func (s *Spec) Share() int { return max(1, s.Weight) }

// EnvelopeSize returns how many jobs of the sender travel together: what its
// rate lets through in half a second, 1 to job.MaxJobs. It is also what every
// Graph batch of the sender is charged as.
func (s *Spec) EnvelopeSize() int { return max(1, min(job.MaxJobs, s.Limit().PerSecond/2)) }

func (s *Spec) quiet() (policy.QuietHours, error) {
	if s.QuietHours == nil {
		return policy.QuietHours{}, nil
	}
	from, err := clock(s.QuietHours.From)
	if err != nil {
		return policy.QuietHours{}, fmt.Errorf("quiet_hours from: %w", err)
	}
	to, err := clock(s.QuietHours.To)
	if err != nil {
		return policy.QuietHours{}, fmt.Errorf("quiet_hours to: %w", err)
	}
	if from == to {
		return policy.QuietHours{}, fmt.Errorf("quiet_hours: from and to are both %s", s.QuietHours.From)
	}
	return policy.QuietHours{From: from, To: to, Set: true}, nil
}

func clock(s string) (time.Duration, error) {
	t, err := time.Parse("15:04", s)
	if err != nil {
		return 0, fmt.Errorf("%q: want a clock time such as 21:00", s)
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}

// Policy returns what the rules ask about the sender. The zone function loads
// a time zone by its IANA name. The document must be valid.
func (s *Spec) Policy(zone func(string) *time.Location) policy.Sender {
	quiet, _ := s.quiet()
	p := policy.Sender{
		Channel:            policy.Channel(s.Channel),
		Capabilities:       s.Capabilities,
		AdWindow:           time.Duration(s.AdWindow) * time.Hour,
		RelaxFlowTemplates: s.RelaxFlows,
		NumberType:         s.NumberType,
		Restricted:         s.Restricted,
		RestrictedFeatures: s.Withdrawn,
		DisclosureRequired: s.Disclosure,
		QuietHours:         quiet,
	}
	if s.Timezone != "" {
		p.Zone = zone(s.Timezone)
	}
	return p
}
