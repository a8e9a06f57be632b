package definition

import (
	"strings"
	"testing"
)

// testMapping: rules are compiled when they are applied, and about senders
// that exist; what is wrong is named with its line.
func testMapping(t *testing.T, s *Store) {
	const crm = "kind: Hook\nid: crm\ntype: events\nmap:\n- sender: bakery\n  contact: event.data.psid\n  labels: {vip: event.data.vip}\n"
	const bakery = "kind: Sender\nid: bakery\nchannel: messenger\naccount: \"1\"\ncredential: env:A\n"
	for _, c := range []struct{ name, yaml, want string }{
		{"of nobody", crm, "f:4: hook crm: map: sender bakery is not defined; apply its Sender document first"},
		{"with its sender", crm + "---\n" + bakery, ""},
		{"its sender is there", strings.Replace(crm, "vip}", "vip == true}", 1), ""},
		{"no expression", strings.Replace(crm, "data.psid", "data.", 1), "f:6: hook crm: map[0].contact: Syntax error"},
		{"a label that is none", strings.Replace(crm, "event.data.vip", `"'yes'"`, 1), "f:7: hook crm: map[0].labels.vip: gives string"},
		{"an unknown field", crm + "  colour: red\n", `f:8: unknown field "colour": map has types, when, sender, contact`},
	} {
		docs, err := Decode("f", []byte(c.yaml))
		if err == nil {
			_, err = s.Apply(t.Context(), "f", docs, Check{})
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\nwant %s", c.name, err, c.want)
		}
	}
}
