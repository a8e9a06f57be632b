package wire

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/channel"
)

func TestScrub(t *testing.T) {
	t.Parallel()
	ms := []channel.Message{{Recipient: "igsid-ann", Text: "Hello Ann, your table is ready"}, {Text: "yes"}, {Text: "Ring us"}}
	for _, c := range []struct{ name, words, want string }{
		{"plain", "(#10) This message is sent outside of allowed window.", "(#10) This message is sent outside of allowed window."},
		{"six digits", "id 123456.", "id 123456."},
		{"seven digits", "id 1234567.", "id [number]."},
		{"two numbers", "1234567 or 7654321x", "[number] or [number]x"},
		{"phone number", "to +47 912 34 567 failed", "to +[number] failed"},
		{"with brackets", "(415) 555-2671", "([number]"},
		{"other digits", "id ١٢٣٤٥٦٧٨", "id [number]"},
		{"separated by words", "123 and 456 and 789", "123 and 456 and 789"},
		{"recipient without digits", "No user igsid-ann", "No user [number]"},
		{"whole text", "bad: Hello Ann, your table is ready", quoteMark},
		{"part of the text", `text "Ann, your table is ready" is bad`, quoteMark},
		{"short text", "bad: Ring us!", quoteMark},
		{"text too short to tell", "yes, it is", "yes, it is"},
		{"text of a form", `Body=Hello+Ann%2C+your+table`, quoteMark},
		{"escaped text", `Hello%20Ann%2C%20your%20table`, quoteMark},
		{"text escaped twice", `Hello%2520Ann%252C%2520your%2520table`, quoteMark},
		{"JSON in words", `"\u0048ello Ann, your \u0074able is ready"`, quoteMark},
		{"escaped number", `%31%32%33%34%35%36%37`, numberMark},
		{"control characters", "a\r\nb\x00c", "a  b c"},
		{"no UTF-8", "a\xffb", "a\ufffdb"},
	} {
		if got := Scrub(c.words, ms); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestScrubIsBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		words string
		want  int
	}{
		{strings.Repeat("x", MaxDetail-1), MaxDetail - 1}, {strings.Repeat("x", MaxDetail), MaxDetail},
		{strings.Repeat("x", MaxDetail+1), MaxDetail}, {strings.Repeat("x", 1<<20), MaxDetail},
		{"x" + strings.Repeat("é", MaxDetail), MaxDetail - 1},
	} {
		if got := Scrub(c.words, nil); len(got) != c.want || !utf8.ValidString(got) {
			t.Errorf("%d bytes of %.3q: %d, want %d", len(c.words), c.words, len(got), c.want)
		}
	}
}

func TestScrubKeepsNothingOfAMessage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[A-Za-z ]{30,200}`).Draw(t, "text")
		recipient := rapid.StringMatching(`\+?[0-9]{7,17}`).Draw(t, "recipient")
		from := rapid.IntRange(0, len(text)-2*quoted).Draw(t, "from")
		part := text[from : from+2*quoted]
		words := rapid.StringMatching(`[(#0-9):. ]{0,20}`).Draw(t, "words")
		got := Scrub(words+part+" "+recipient, []channel.Message{{Recipient: recipient, Text: text}})
		if strings.Contains(got, recipient) || strings.Contains(got, strings.TrimPrefix(recipient, "+")) {
			t.Fatalf("%q names the recipient", got)
		}
		if strings.TrimSpace(part) == part && strings.Contains(got, part) {
			t.Fatalf("%q quotes the text", got)
		}
		if !utf8.ValidString(got) || len(got) > MaxDetail {
			t.Fatalf("%q is unfit to keep", got)
		}
	})
}
