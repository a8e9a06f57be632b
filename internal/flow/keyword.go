package flow

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/carillon-dev/carillon/pkg/policy"
)

// How a keyword is found in a text. Both are compared as the rulebook compares
// its own words: without case, accents and punctuation.
const (
	Exact  = "exact"  // the text is the keyword and nothing else
	Prefix = "prefix" // the text begins with it, also within a word: info begins information
	Word   = "word"   // it stands in the text as a whole word, or as several in a row
)

// The bounds of keywords: every inbound text is compared with each.
const (
	maxKeywords   = 200
	maxKeywordLen = 60 // bytes
)

// validate returns an error that goes on from the path of the keywords.
func (k *Keywords) validate() error {
	if !slices.Contains([]string{"", Exact, Word, Prefix}, k.Match) {
		return fmt.Errorf("match %q: want exact, word or prefix", k.Match)
	}
	for l := range ordered(k.Languages) {
		if !regexp.MustCompile(`^[a-z]{2,3}(-[A-Z]{2})?$`).MatchString(l) {
			return fmt.Errorf("languages.%s: want a language such as nb or pt-BR", l)
		}
	}
	n, seen := 0, map[string]bool{}
	for _, word := range k.all() {
		said := strings.Join(policy.Words(word), " ")
		switch {
		case said == "" || len(word) > maxKeywordLen:
			return fmt.Errorf("words: %q: want a word or a few of up to %d bytes, with a letter, a digit or a symbol", word, maxKeywordLen)
		case seen[said]:
			return fmt.Errorf("words: %q stands twice, as they are compared; where several languages have it, list it under words", word)
		}
		seen[said] = true
		n++
	}
	if n == 0 || n > maxKeywords {
		return errors.New("words: want 1 to 200 in all languages")
	}
	return nil
}

// all yields the keywords with the language of each, "" for those of none.
func (k *Keywords) all() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, w := range k.Words {
			if !yield("", w) {
				return
			}
		}
		for _, l := range slices.Sorted(maps.Keys(k.Languages)) {
			for _, w := range k.Languages[l] {
				if !yield(l, w) {
					return
				}
			}
		}
	}
}

// Find returns the keyword that a text has, as its author wrote it, and its
// language: the longest of several, and of those the first by the alphabet.
func (k *Keywords) Find(text string) (word, language string, ok bool) {
	best, said := "", policy.Words(text)
	for l, w := range k.all() {
		key := policy.Words(w)
		if !k.found(said, key) {
			continue
		}
		if joined := strings.Join(key, " "); !ok || longer(joined, best) < 0 {
			word, language, ok, best = w, l, true, joined
		}
	}
	return word, language, ok
}

// longer puts the longer first, and of two as long the first by the alphabet.
func longer(a, b string) int {
	return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
}

// found tells whether a text has a keyword. Symbols around a keyword without
// one are passed over.
func (k *Keywords) found(said, key []string) bool {
	if !slices.ContainsFunc(key, symbol) {
		said = slices.DeleteFunc(slices.Clone(said), symbol)
	}
	switch k.Match {
	case Prefix:
		return strings.HasPrefix(strings.Join(said, " "), strings.Join(key, " "))
	case Word:
		for i := range said {
			if len(said)-i >= len(key) && slices.Equal(said[i:i+len(key)], key) {
				return true
			}
		}
		return false
	}
	return slices.Equal(said, key)
}

func symbol(word string) bool {
	return !strings.ContainsFunc(word, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) })
}

// Answering returns those of some flows that have a keyword of the text, in
// the order in which they may answer it: exact keywords before prefixes before
// words, the longer before the shorter, then by the flow's id. One flow alone
// answers: the first whose trigger takes the event. A text that the rulebook
// takes for stop, start or help is nobody's, which the caller asks first.
func Answering(text string, flows []*Spec) []*Spec {
	type answer struct {
		flow *Spec
		kind int
		word string
	}
	var found []answer
	for _, s := range flows {
		k := s.Trigger.Keywords
		if k == nil {
			continue
		}
		if word, _, ok := k.Find(text); ok {
			kind := slices.Index([]string{"", Exact, Prefix, Word}, k.Match)
			found = append(found, answer{s, max(kind, 1), strings.Join(policy.Words(word), " ")})
		}
	}
	slices.SortFunc(found, func(a, b answer) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(len(b.word), len(a.word)), cmp.Compare(a.flow.ID, b.flow.ID))
	})
	out := make([]*Spec, len(found))
	for i, a := range found {
		out[i] = a.flow
	}
	return out
}

// Conflict returns a keyword that two flows both have and that a contact of
// one sender may write to both, "" where there is none. Which of them answers
// would be an accident of their ids. Other keywords that stand in one text are
// none: Answering has an order for them.
func Conflict(a, b *Spec) string {
	if a.Trigger.Keywords == nil || b.Trigger.Keywords == nil || a.Sender != b.Sender && a.Sender != Auto && b.Sender != Auto {
		return ""
	}
	others := map[string]bool{}
	for _, w := range b.Trigger.Keywords.all() {
		others[strings.Join(policy.Words(w), " ")] = true
	}
	for _, w := range a.Trigger.Keywords.all() {
		if others[strings.Join(policy.Words(w), " ")] {
			return w
		}
	}
	return ""
}
