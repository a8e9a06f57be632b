package policy

import (
	"slices"
	"strings"
	"unicode"
)

// Keyword is what a text from a contact asks for.
type Keyword uint8

// The meanings. OptOutMaybe is for a person to read: until then the contact
// is held with reason optout_review.
const (
	NoKeyword Keyword = iota
	OptOut
	OptIn
	Help
	OptOutMaybe
)

// Keyword reads an inbound text. The whole text must be one of the words,
// case and punctuation around it aside; an opt-out word inside another
// message of at most ReviewWords words may have meant stop.
func (rb *Rulebook) Keyword(text string) Keyword {
	k := rb.Keywords
	word := strings.Join(strings.Fields(strings.ToLower(strings.TrimFunc(text, notWord))), " ")
	switch {
	case slices.Contains(k.OptOut, word):
		return OptOut
	case slices.Contains(k.OptIn, word):
		return OptIn
	case slices.Contains(k.Help, word):
		return Help
	}
	words := strings.FieldsFunc(strings.ToLower(text), notWord)
	if len(words) > k.ReviewWords {
		return NoKeyword
	}
	for _, w := range words {
		if slices.Contains(k.OptOut, w) {
			return OptOutMaybe
		}
	}
	return NoKeyword
}

// notWord says whether r stands between words. A hyphen does not: opt-out.
func notWord(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' }
