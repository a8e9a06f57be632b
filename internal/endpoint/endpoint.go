// Package endpoint holds what is configured of a webhook that goes out: where
// outcomes are pushed to, by which secrets the receiver knows that it is us,
// and which outcomes it wants. It reads no secret and does no I/O.
package endpoint

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Spec is an Endpoint document.
type Spec struct {
	Kind         string   `yaml:"kind" json:"kind"`
	ID           string   `yaml:"id" json:"id"`
	URL          string   `yaml:"url" json:"url"`
	Secrets      []string `yaml:"secrets" json:"secrets"`                                 // env:NAME or file:PATH of whsec_…; every push is signed by each, so that they can be rotated
	Events       Filter   `yaml:"events,omitempty" json:"events,omitzero"`                // which outcomes; none named: all
	Attributes   []string `yaml:"attributes,omitempty" json:"attributes,omitempty"`       // of the contact, to go along: such as the id that a CRM knows it by
	Batch        int      `yaml:"batch,omitempty" json:"batch,omitempty"`                 // outcomes in one push at the most, 1 to MaxBatch; 0: DefaultBatch
	AllowPrivate bool     `yaml:"allow_private,omitempty" json:"allow_private,omitempty"` // addresses that only a network of one's own has, and http
}

// Filter picks outcomes. What is empty picks all.
type Filter struct {
	States  []job.State   `yaml:"states,omitempty" json:"states,omitempty"`
	Reasons []reason.Code `yaml:"reasons,omitempty" json:"reasons,omitempty"`
	Senders []string      `yaml:"senders,omitempty" json:"senders,omitempty"`
}

// How many outcomes one push carries. An outcome takes half a kilobyte, so
// that the largest push stays below what receivers take.
const (
	DefaultBatch = 100
	MaxBatch     = 1000
)

// The bounds of a document's lists.
const (
	maxSecrets    = 5 // more than a rotation needs
	maxAttributes = 20
)

// Match tells whether the filter picks an outcome.
func (f Filter) Match(sender string, s job.State, r reason.Code) bool {
	return (len(f.Senders) == 0 || slices.Contains(f.Senders, sender)) &&
		(len(f.States) == 0 || slices.Contains(f.States, s)) &&
		(len(f.Reasons) == 0 || slices.Contains(f.Reasons, r))
}

// Size returns how many outcomes one push carries at the most.
func (s *Spec) Size() int {
	if s.Batch == 0 {
		return DefaultBatch
	}
	return s.Batch
}

// Validate returns one error that says what to change, or nil.
func (s *Spec) Validate() error {
	switch {
	case !sender.ValidID(s.ID):
		return fmt.Errorf("id %q: want 1 to 63 characters out of a-z, 0-9 and '-'", s.ID)
	case len(s.Secrets) == 0 || len(s.Secrets) > maxSecrets:
		return fmt.Errorf("endpoint %s: secrets: want 1 to %d; without one the receiver could not tell that a push is ours", s.ID, maxSecrets)
	case s.Batch < 0 || s.Batch > MaxBatch:
		return fmt.Errorf("endpoint %s: batch %d: want 1 to %d", s.ID, s.Batch, MaxBatch)
	case len(s.Attributes) > maxAttributes:
		return fmt.Errorf("endpoint %s: attributes: want at most %d", s.ID, maxAttributes)
	case slices.Contains(s.Attributes, ""):
		return fmt.Errorf("endpoint %s: attributes: want names, one is empty", s.ID)
	}
	for _, ref := range s.Secrets {
		if !sender.ValidReference(ref) {
			return fmt.Errorf("endpoint %s: secrets: want env:NAME or file:PATH, never the secret itself", s.ID)
		}
	}
	if err := s.validURL(); err != nil {
		return fmt.Errorf("endpoint %s: %w", s.ID, err)
	}
	if err := s.Events.validate(); err != nil {
		return fmt.Errorf("endpoint %s: %w", s.ID, err)
	}
	return nil
}

// maxURL is more than a receiver's address takes, and fits a line.
const maxURL = 2000

// validURL never repeats the address: it may hold a token.
func (s *Spec) validURL() error {
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Hostname() == "" || len(s.URL) > maxURL:
		return fmt.Errorf("url: want a whole address such as https://crm.example/outcomes")
	case u.User != nil:
		return fmt.Errorf("url: want none with a password in it; pushes are signed")
	case u.Fragment != "":
		return fmt.Errorf("url: want none with a fragment; it would not be sent")
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("url: want https")
	case u.Scheme == "http" && !s.AllowPrivate:
		return fmt.Errorf("url: want https, since outcomes name people; http takes allow_private")
	}
	return nil
}

func (f Filter) validate() error {
	for _, st := range f.States {
		if !st.Ended() {
			return fmt.Errorf("events.states: %q is no outcome: want %s", st, outcomes())
		}
	}
	for _, r := range f.Reasons {
		if _, ok := reason.Lookup(r); !ok {
			return fmt.Errorf("events.reasons: no reason %q; docs/reasons.md lists them", r)
		}
	}
	for _, id := range f.Senders {
		if !sender.ValidID(id) {
			return fmt.Errorf("events.senders: %q: want the id of a sender", id)
		}
	}
	return nil
}

func outcomes() string {
	var out []string
	for _, s := range job.States() {
		if s.Ended() {
			out = append(out, string(s))
		}
	}
	return strings.Join(out, ", ")
}

// Host returns whom pushes go to, without what else an address may hold.
func (s *Spec) Host() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return ""
	}
	return u.Host
}
