package hook

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/carillon-dev/carillon/internal/sender"
)

// Rule says what some of a CRM's events mean: which contact they are about,
// and what changes of it. All fields but Types, Sender and the keys of maps
// are expressions over event; one that reads what the event lacks says
// nothing.
type Rule struct {
	Types      []string          `yaml:"types,omitempty" json:"types,omitempty"` // exact, or a beginning and *; none: all
	When       string            `yaml:"when,omitempty" json:"when,omitempty"`   // true or false; absent: true
	Sender     string            `yaml:"sender" json:"sender"`                   // id of the sender that knows the contact
	Contact    string            `yaml:"contact" json:"contact"`                 // the platform's id of the contact
	Time       string            `yaml:"time,omitempty" json:"time,omitempty"`   // since when it is so; absent: event.time
	Name       string            `yaml:"name,omitempty" json:"name,omitempty"`
	Timezone   string            `yaml:"timezone,omitempty" json:"timezone,omitempty"`
	Labels     map[string]string `yaml:"labels,omitempty" json:"labels,omitempty"`           // true puts it on, false takes it off
	Attributes map[string]string `yaml:"attributes,omitempty" json:"attributes,omitempty"`   // null unsets it
	SMSConsent string            `yaml:"sms_consent,omitempty" json:"sms_consent,omitempty"` // true: given
	OptOut     string            `yaml:"opt_out,omitempty" json:"opt_out,omitempty"`         // true, "all" or "marketing"
	OptIn      string            `yaml:"opt_in,omitempty" json:"opt_in,omitempty"`           // true, "all" or "marketing"
	Erase      string            `yaml:"erase,omitempty" json:"erase,omitempty"`             // true: the person is to be forgotten
}

// The bounds of a document, so that mapping an event stays cheap.
const (
	maxRules   = 50
	maxSources = 50
	maxWords   = 256 // bytes of a source or a type
)

// CRM tells whether the type is a CRM's: its events have a mapping.
func (t Type) CRM() bool { return t == HubSpot || t == Salesforce || t == Events }

// validateCRM looks at what only CRM systems have. What the expressions say is
// looked at where they are compiled.
func (s *Spec) validateCRM() error {
	switch {
	case s.Type == Salesforce && !isOrganization(s.Organization):
		return fmt.Errorf("organization %q: want the organization's id, 00D and 12 or 15 more characters, as Company Information shows it", s.Organization)
	case s.Type == Salesforce && strings.Contains(s.URL, "?"):
		return errors.New("url: without a query, since the secret may be in the one that a call comes with")
	case s.Type != Salesforce && s.Organization != "":
		return errors.New("organization belongs to type salesforce")
	case s.Type != Events && len(s.Sources) > 0:
		return errors.New("sources belong to type events")
	case !s.Type.CRM() && len(s.Map) > 0:
		return errors.New("map belongs to types hubspot, salesforce and events")
	case len(s.Map) > maxRules || len(s.Sources) > maxSources:
		return fmt.Errorf("map: want at most %d rules and %d sources", maxRules, maxSources)
	}
	for i, src := range s.Sources {
		if src == "" || len(src) > maxWords {
			return fmt.Errorf("sources[%d]: want 1 to %d bytes", i, maxWords)
		}
	}
	for i, r := range s.Map {
		switch {
		case !sender.ValidID(r.Sender):
			return fmt.Errorf("map[%d].sender: %q: want the id of a Sender", i, r.Sender)
		case r.Contact == "":
			return fmt.Errorf("map[%d].contact: want an expression that gives the platform's id of the contact, such as event.data.psid", i)
		case slices.ContainsFunc(r.Types, func(t string) bool { return t == "" || len(t) > maxWords }):
			return fmt.Errorf("map[%d].types: want 1 to %d bytes each", i, maxWords)
		}
	}
	return nil
}

// isOrganization tells whether a text can be the id of an organization, which
// Salesforce writes with 15 characters or with 18.
func isOrganization(s string) bool {
	return (len(s) == 15 || len(s) == 18) && strings.HasPrefix(s, "00D") && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// Senders returns the ids of the senders that the rules name, sorted.
func (s *Spec) Senders() []string {
	var ids []string
	for _, r := range s.Map {
		ids = append(ids, r.Sender)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
