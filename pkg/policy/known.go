package policy

import (
	"fmt"
	"strings"
)

// Vet refuses a sender that names as withdrawn what no rule of rb has: the
// restriction would be passed over, and the message sent. A rulebook that
// Parse did not make knows no name.
func (rb *Rulebook) Vet(s *Sender) error {
	for _, name := range s.RestrictedFeatures {
		if !rb.hasFeature(name) {
			return fmt.Errorf("sender.restricted_features: %q: no tag, via or template kind of the rulebook%s", name, rb.like(name))
		}
	}
	return nil
}

// Unasked is the first capability of the sender that no rule of rb
// asks for, such as a misspelt one; "" where there is none. It permits
// nothing, so that it does no harm but to puzzle. A rulebook that Parse did
// not make asks for none.
func (rb *Rulebook) Unasked(s *Sender) string {
	for _, name := range s.Capabilities {
		if !contains(rb.made().capabilities, name) {
			return name
		}
	}
	return ""
}

func (rb *Rulebook) hasFeature(name string) bool {
	ix := rb.made()
	_, kind := ix.kinds[name]
	return kind || len(ix.byTag[name]) > 0 || name != "" && len(ix.byVia[name]) > 0
}

// like suggests a name that differs in case only.
func (rb *Rulebook) like(name string) string {
	for _, as := range []string{strings.ToUpper(name), strings.ToLower(name)} {
		if rb.hasFeature(as) {
			return ": did you mean " + as + "?"
		}
	}
	return ""
}
