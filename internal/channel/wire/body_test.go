package wire

import (
	"testing"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/content"
)

func TestAnswersThatQuoteABody(t *testing.T) {
	t.Parallel()
	ms := []channel.Message{{Recipient: "TOKEN-OF-ADA", To: channel.ToToken, Body: &content.Body{Parts: content.Parts{
		Elements: []content.Element{{Title: "Order of Ada Lovelace", URL: "https://example.com/secret/path"}}}}}}
	for words, want := range map[string]string{
		"(#100) bad title: Order of Ada Lovelace":              quoteMark,
		"(#100) https://example.com/secret/path is not whitel": quoteMark,
		"(#100) invalid token TOKEN-OF-ADA":                    "(#100) invalid token " + numberMark,
		"(#100) no":                                            "(#100) no",
	} {
		if got := Scrub(words, ms); got != want {
			t.Errorf("%q is %q, want %q", words, got, want)
		}
	}
}
