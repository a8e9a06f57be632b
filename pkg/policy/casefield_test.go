package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// TestCountry wants an excluded country to be excluded however it is written,
// and what is none to be refused rather than let through.
func TestCountry(t *testing.T) {
	rb := book()
	const line = `{"id":"c","at":"2026-11-22T10:00:00Z","sender":{"channel":"messenger","capabilities":["marketing_message"]},` +
		`"contact":{"country":%s},"message":{"text":"Hello","via":"marketing_message","promotional":true}}`
	for in, want := range map[string]reason.Code{
		`"DE"`: reason.RegionExcluded, `"de"`: reason.RegionExcluded, `"dE"`: reason.RegionExcluded, `"uk"`: reason.RegionExcluded,
		`"GB"`: reason.RegionExcluded, `"EL"`: reason.RegionExcluded, `"no"`: "", `"US"`: "", `""`: "", "null": "",
	} {
		c, err := new(CaseReader).Read(fmt.Appendf(nil, line, in))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := c.Judge(rb).Reason; got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
		if got := c.Facts.Country; got != strings.ToUpper(got) {
			t.Errorf("%s is read as %q", in, got)
		}
	}
	for _, in := range []string{`"Germany"`, `"D"`, `"DEU"`, `"D1"`, `" DE"`, `"é"`, `"49"`, `5`, `["DE"]`} {
		if _, err := new(CaseReader).Read(fmt.Appendf(nil, line, in)); err == nil || !strings.Contains(err.Error(), "contact.country: ") {
			t.Errorf("%s: %v", in, err)
		}
	}
}
