package cli

import (
	"strings"
	"testing"
)

// TestPolicyListColumns wants limit, author, promotion and need of a rule in
// its line, and where it holds below it.
func TestPolicyListColumns(t *testing.T) {
	out, err := run(t, "", "list", "--at", "2026-11-22")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`
WHAT ALLOWS A MESSAGE   LIMIT       WRITTEN BY  PROMO  NEEDS
standard_window         24 h        anybody     yes    -
   messenger, instagram; row R1
`, `
human_agent             7 d         agent       no     capability human_agent,
                                                       the person wrote before
   messenger, instagram; tag HUMAN_AGENT; from 2019-08-29; row R5
`, `
marketing_message       1 in 48 h   anybody     yes    capability
                                                       marketing_message, a
                                                       subscription
   messenger; via marketing_message; from 2025-07-01; row R12
`, `
sponsored               none        anybody     yes    the platform's ads system
`, `
card_number               blocks  Payment card numbers are not shared in
                                  messages.
   digits 13 to 19
`, `
att_high                  counted campaign; score 75 to 100; per minute 4500
`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("not said:%sin\n%s", want, out)
		}
	}
	for _, not := range []string{"clause:", "source:", "bot_answers", "ended"} {
		if strings.Contains(out, not) {
			t.Errorf("said without being asked: %s", not)
		}
	}
}

// TestPolicyListWide adds clause, reading, source and what is not in force,
// and still fits.
func TestPolicyListWide(t *testing.T) {
	out, err := run(t, "", "list", "--at", "2026-11-22", "--all", "--wide")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"clause: One message more after the 24 hours, with promotion too.", "source: M-POL-2019, M-CHG-OLD\n", "reading: Announced to end on 2020-01-15",
		"until 2020-03-04; row R2; ended", "webhook: messaging[].postback", "bot_answers", "closed to new from 2025-09-01",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("not said: %s in\n%s", want, out)
		}
	}
	fits(t, out)
	early, err := run(t, "", "list", "--at", "2019-01-01", "--all")
	if err != nil || !strings.Contains(early, "from 2026-09-28; row R1b; not yet in force") {
		t.Errorf("%v\n%s", err, early)
	}
}

// TestPolicyListJSON has what the table leaves out.
func TestPolicyListJSON(t *testing.T) {
	out, err := run(t, "", "list", "--at", "2025-08-31", "--json")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"opened_by":["message","postback","referral","optin","reaction","ad_message"]`, `"rule":"unreact","group":"not_opener"`,
		`"cooldown":[{"limit":"24h"},{"from":"2025-09-01","limit":"48h"}]`, `"limit":"24h"`, `{"name":"lengths.messenger","value":"2000 code points"}`,
		`"group":"contradiction"`, `"configure":`, `"ending":"hold"`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("not said: %s", want)
		}
	}
}
