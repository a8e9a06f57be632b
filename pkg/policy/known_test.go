package policy

import (
	"strings"
	"testing"
)

// TestVet refuses withdrawn features that no rule has, which would restrict
// nothing.
func TestVet(t *testing.T) {
	rb := book()
	for name, want := range map[string]string{
		"HUMAN_AGENT": "", "SHIPPING_UPDATE": "", "private_reply": "", "utility": "", "standard": "",
		"human_agent":   `sender.restricted_features: "human_agent": no tag, via or template kind of the rulebook: did you mean HUMAN_AGENT?`,
		"PRIVATE_REPLY": "did you mean private_reply?", "HUMAN_AGNT": "no tag, via or template kind of the rulebook", "": "no tag", "standard_window": "no tag",
	} {
		c := Case{Sender: Sender{RestrictedFeatures: []string{"CUSTOMER_FEEDBACK", name}}}
		err := rb.Vet(&c.Sender)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
	if err := rb.Vet(&Sender{}); err != nil {
		t.Error(err)
	}
}

func TestUnasked(t *testing.T) {
	rb := book()
	for _, tt := range []struct {
		has  []string
		want string
	}{
		{nil, ""}, {capabilities(), ""}, {[]string{"utility", "utilty", "x"}, "utilty"}, {[]string{"Utility"}, "Utility"},
	} {
		if got := rb.Unasked(&Sender{Capabilities: tt.has}); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.has, got, tt.want)
		}
	}
}

// TestBlindRulebooks asks what Parse did not make for its names.
func TestBlindRulebooks(t *testing.T) {
	for _, rb := range []*Rulebook{nil, {}, {Permissions: []Permission{{Capability: "utility"}}}} {
		c := Case{Sender: Sender{Capabilities: []string{"utility"}}}
		if got := rb.Unasked(&c.Sender); got != "utility" {
			t.Errorf("asked for %q", got)
		}
		if got := rb.Capabilities(); got != nil {
			t.Errorf("capabilities %v", got)
		}
		if err := rb.Vet(&c.Sender); err != nil {
			t.Errorf("nothing withdrawn: %v", err)
		}
		c.Sender.RestrictedFeatures = []string{"HUMAN_AGENT"}
		if err := rb.Vet(&c.Sender); err == nil {
			t.Error("knows what is withdrawn")
		}
	}
}
