// Package hook holds what is configured of a webhook that comes in: who calls
// it, and by which secrets it is known that it is them. It reads no secret and
// does no I/O.
package hook

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/carillon-dev/carillon/internal/sender"
)

// Type is whose webhooks a hook takes; it is also a part of the path, as in
// /hooks/meta/shop.
type Type string

// The types.
const (
	Meta       Type = "meta"
	Twilio     Type = "twilio"
	HubSpot    Type = "hubspot"
	Salesforce Type = "salesforce"
	Events     Type = "events" // what comes by /v1/events and by NATS: it has no path of its own
)

// Types returns every type there is.
func Types() []Type { return []Type{Meta, Twilio, HubSpot, Salesforce, Events} }

// Spec is a Hook document.
type Spec struct {
	Kind        string   `yaml:"kind" json:"kind"`
	ID          string   `yaml:"id" json:"id"`
	Type        Type     `yaml:"type" json:"type"`
	Secrets     []string `yaml:"secrets,omitempty" json:"secrets,omitempty"`           // env:NAME or file:PATH; any of them may have signed, so that they can be rotated
	VerifyToken string   `yaml:"verify_token,omitempty" json:"verify_token,omitempty"` // env:NAME or file:PATH; meta asks for it once, when the hook is subscribed
	AppID       string   `yaml:"app_id,omitempty" json:"app_id,omitempty"`             // meta: our own app, to tell our echoes from others'
	URL         string   `yaml:"url,omitempty" json:"url,omitempty"`                   // as the caller knows it, where a proxy changes it: some sign it

	Organization string   `yaml:"organization,omitempty" json:"organization,omitempty"` // salesforce: the organization's id, 15 or 18 characters
	Sources      []string `yaml:"sources,omitempty" json:"sources,omitempty"`           // events: whose events are mapped; none: everybody's
	Map          []Rule   `yaml:"map,omitempty" json:"map,omitempty"`                   // what a CRM's events say, of whom
}

// maxSecrets is more than a rotation needs, and bounds what a call costs.
const maxSecrets = 5

// Path returns where the hook is called.
func (s *Spec) Path() string { return "/hooks/" + string(s.Type) + "/" + s.ID }

// Validate returns one error that says what to change, or nil.
func (s *Spec) Validate() error {
	switch {
	case !sender.ValidID(s.ID):
		return fmt.Errorf("id %q: want 1 to 63 characters out of a-z, 0-9 and '-'", s.ID)
	case !slices.Contains(Types(), s.Type):
		return fmt.Errorf("hook %s: type %q: want one of %s", s.ID, s.Type, names())
	case s.Type == Events && (len(s.Secrets) > 0 || s.URL != ""):
		return fmt.Errorf("hook %s: secrets and url don't belong to type events: who posts to /v1/events has a token", s.ID)
	case s.Type != Events && len(s.Secrets) == 0 || len(s.Secrets) > maxSecrets:
		return fmt.Errorf("hook %s: secrets: want 1 to %d; without one anybody could call it", s.ID, maxSecrets)
	case s.Type == Meta && s.VerifyToken == "":
		return fmt.Errorf("hook %s: verify_token: want env:NAME or file:PATH of the token that was given to the platform", s.ID)
	case s.Type != Meta && (s.VerifyToken != "" || s.AppID != ""):
		return fmt.Errorf("hook %s: verify_token and app_id belong to type meta", s.ID)
	}
	for _, ref := range s.References() {
		if !sender.ValidReference(ref) {
			return fmt.Errorf("hook %s: secrets and verify_token: want env:NAME or file:PATH, never the secret itself", s.ID)
		}
	}
	if err := s.validateCRM(); err != nil {
		return fmt.Errorf("hook %s: %w", s.ID, err)
	}
	if u, err := url.Parse(s.URL); err != nil || s.URL != "" && (u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Fragment != "") {
		return fmt.Errorf("hook %s: url %q: want the whole address as the caller knows it, such as https://example.com%s", s.ID, s.URL, s.Path())
	}
	return nil
}

// References returns every reference to a secret in the document.
func (s *Spec) References() []string {
	refs := slices.Clone(s.Secrets)
	if s.VerifyToken != "" {
		refs = append(refs, s.VerifyToken)
	}
	return refs
}

func names() string {
	var out []string
	for _, t := range Types() {
		out = append(out, string(t))
	}
	return strings.Join(out, ", ")
}
