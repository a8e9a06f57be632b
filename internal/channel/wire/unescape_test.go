package wire

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/channel"
)

func TestUnescape(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                "",
		"plain":           "plain",
		"100% + 5%":       "100% + 5%",
		"%4":              "%4",
		"%zz%C3%A9%25":    "%zzé%",
		`\`:               `\`,
		`a\x\u12`:         `a\x\u12`,
		`\"\\\/`:          `"\/`,
		`\u0041\u00e9`:    "Aé",
		`\ud83d\ude00!`:   "😀!",
		`\ud83d`:          "\ufffd",
		`\ud83d\u0041`:    "\ufffd",
		`\ud83dx12345678`: "\ufffdx12345678",
		`line\nline`:      "line line",
	} {
		if got := unescape(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestEscapesHideNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := strings.ToValidUTF8(rapid.StringMatching(`[\PC]{3,40}`).Draw(t, "text"), "")
		b, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, escaped := range []string{url.PathEscape(text), strings.ReplaceAll(url.QueryEscape(text), "+", "%20"), strings.Trim(string(b), "\x00")} {
			got := strings.TrimSuffix(strings.TrimPrefix(unescape(escaped), `"`), `"`)
			if strings.ContainsAny(text, `%\"`) { // may read as an escape once more
				continue
			}
			if got != text {
				t.Fatalf("%q: %q, want %q", escaped, got, text)
			}
		}
	})
}

func FuzzScrub(f *testing.F) {
	hello := []channel.Message{{Job: "j1", Recipient: "998877665544", Type: "RESPONSE", Text: "Hello Ann, your table is ready"}}
	f.Add("(#100) No user 998877665544 \\u0048\\u0065llo%20Ann")
	f.Add("Hello Ann, your table is ready")
	f.Add("%%%\\\\u")
	f.Fuzz(func(t *testing.T, words string) {
		got := Scrub(words, hello)
		if !utf8.ValidString(got) || len(got) > MaxDetail {
			t.Errorf("%q: %q is unfit to keep", words, got)
		}
		for _, secret := range []string{hello[0].Recipient, hello[0].Text} {
			if strings.Contains(got, secret) {
				t.Errorf("%q: %q holds %q", words, got, secret)
			}
		}
		for rest := got; rest != ""; {
			n, digits := digitRun(rest)
			if digits >= numberDigits {
				t.Errorf("%q: %q holds a number", words, got)
			}
			rest = rest[max(n, 1):]
		}
	})
}
