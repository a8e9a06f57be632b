package policy

import (
	"fmt"
	"iter"
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

// validate refuses lists that would leave a wish to stop unread.
func (k *Keywords) validate() error {
	for _, list := range []struct {
		name  string
		words []string
	}{{"opt_out", k.OptOut}, {"review_words", k.ReviewWords}, {"review_phrases", k.ReviewPhrases}} {
		if len(list.words) == 0 {
			return fmt.Errorf("keywords: %s is missing: a wish to stop would not be found", list.name)
		}
	}
	if k.ReviewShort < 0 {
		return fmt.Errorf("keywords: review_short: %d: want 0 or more words", k.ReviewShort)
	}
	seen := map[string]bool{}
	for _, s := range slices.Concat(k.OptOut, k.OptIn, k.Help) {
		if seen[plain(s)] {
			return fmt.Errorf("keywords: %q is listed twice, or in two lists", s)
		}
		seen[plain(s)] = true
	}
	for _, s := range k.SMSOnly {
		if !slices.ContainsFunc(k.OptIn, func(in string) bool { return plain(in) == plain(s) }) {
			return fmt.Errorf("keywords: sms_only: %q is not in opt_in", s)
		}
	}
	for _, s := range slices.Concat(k.OptOut, k.OptIn, k.Help, k.ReviewWords, k.ReviewPhrases, k.Innocent, k.InnocentUnless) {
		if strings.TrimSpace(plain(s)) == "" {
			return fmt.Errorf("keywords: %q has neither letter, digit nor symbol", s)
		}
	}
	return nil
}

// lower writes the lists as they are matched, in place.
func (k *Keywords) lower() {
	for _, list := range [][]string{k.OptOut, k.OptIn, k.SMSOnly, k.Help, k.ReviewWords, k.ReviewPhrases, k.Innocent, k.InnocentUnless} {
		copy(list, lower(list))
	}
}

// Keyword reads an inbound text of any length. One that is nothing but a word
// of the lists counts at once; case, accents, and what is neither letter nor
// digit are passed over, so that " S-T-O-P!! " is stop. A symbol is passed
// over too, unless a list has it. What a reasonable
// person may take for a wish to stop anywhere in it is OptOutMaybe. A rulebook
// that Parse did not make can't read, and sends everything to a person.
func (rb *Rulebook) Keyword(text string) Keyword {
	if rb == nil || rb.index == nil {
		return OptOutMaybe
	}
	return rb.index.keywords.read(marked(text))
}

// OwnWords are a sender's own words beside the rulebook's, as in a language
// that the rulebook does not have. They are matched as its words are: alone.
type OwnWords struct{ OptOut, OptIn, Help []string }

// KeywordOf reads an inbound text as Keyword does, as one of a channel, and
// with the sender's own words. A wish to stop goes before everything else,
// whoever has the word; one of the sender's words to stop in a short text is
// for a person. No word of the sender's takes one of the rulebook's meaning.
func (rb *Rulebook) KeywordOf(c Channel, own OwnWords, text string) Keyword {
	found := rb.Keyword(text)
	if rb == nil || rb.index == nil {
		return found
	}
	k := &rb.index.keywords
	if found == OptIn && c != SMS && slices.Contains(k.smsOnly, wordsOnly(plain(text))) {
		found = NoKeyword
	}
	if len(own.OptOut)+len(own.OptIn)+len(own.Help) == 0 || found == OptOut {
		return found
	}
	said := plain(text)
	alone := func(list []string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return wordsOnly(plain(s)) != "" && wordsOnly(plain(s)) == wordsOnly(said) })
	}
	switch {
	case alone(own.OptOut):
		return OptOut
	case found != NoKeyword:
		return found
	case alone(own.OptIn):
		return OptIn
	case alone(own.Help):
		return Help
	case len(strings.Fields(said)) <= k.short && hasAny(said, allPlain(own.OptOut)):
		return OptOutMaybe
	}
	return NoKeyword
}

// keywords is Keywords made ready: every word and phrase as plain leaves it.
type keywords struct {
	exact    map[string]Keyword
	review   []string // words and phrases that are read by a person wherever they stand
	innocent []string // phrases in which they mean something else
	unless   []string // words in whose company such a phrase is none
	optOut   []string // read by a person too, in a text of at most short words
	short    int
	smsOnly  []string // words alone
}

func newKeywords(k *Keywords) keywords {
	out := keywords{exact: map[string]Keyword{}, short: k.ReviewShort}
	for word, list := range [...][]string{OptOut: k.OptOut, OptIn: k.OptIn, Help: k.Help} {
		for _, s := range list {
			out.exact[strings.TrimSpace(plain(s))] = Keyword(word)
		}
	}
	for _, s := range k.SMSOnly {
		out.smsOnly = append(out.smsOnly, wordsOnly(plain(s)))
	}
	out.review = append(allPlain(k.ReviewWords), allPlain(k.ReviewPhrases)...)
	out.innocent, out.unless, out.optOut = allPlain(k.Innocent), allPlain(k.InnocentUnless), allPlain(k.OptOut)
	return out
}

func allPlain(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = plain(s)
	}
	return out
}

// read takes what plain made, with its marks.
func (k *keywords) read(marked string) Keyword {
	exact, listed := k.exact[strings.TrimSpace(strings.ReplaceAll(marked, mark, " "))]
	if !listed { // symbols may stand around a word, and may be the word
		exact = k.exact[wordsOnly(marked)]
	}
	if exact == OptOut {
		return OptOut
	}
	text := k.withoutInnocent(marked)
	if hasAny(text, k.review) || len(strings.Fields(text)) <= k.short && hasAny(text, k.optOut) {
		return OptOutMaybe
	}
	return exact
}

// withoutInnocent takes the marks out of a text, and with them the phrases in
// which a word means something else. Where the text speaks of messages the
// word may mean them after all: on the bus stop texting me.
func (k *keywords) withoutInnocent(marked string) string {
	taken := marked
	for _, s := range k.innocent {
		taken = strings.ReplaceAll(taken, s, gap)
	}
	if taken = strings.ReplaceAll(taken, mark, " "); !hasAny(taken, k.unless) {
		return taken
	}
	return strings.ReplaceAll(marked, mark, " ")
}

func hasAny(text string, list []string) bool {
	for _, s := range list {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// mark stands in a text where punctuation ends a clause, and gap where a
// phrase was taken out, so that its neighbours don't meet. No word is either.
const (
	bar  = "|"
	mark = " " + bar + " "
	gap  = " . "
)

// plain is marked without its marks, as words of the lists are.
func plain(text string) string { return strings.ReplaceAll(marked(text), mark, " ") }

// Words returns a text as keywords are compared: its words in lower case
// without accents and apostrophes, each symbol such as an emoji a word of its
// own. Letters that stand alone three or more in a row are one word.
func Words(text string) []string { return strings.Fields(plain(text)) }

// marked is text as words in lower case without accents and apostrophes, each
// symbol such as an emoji a word of its own, with one space before and after
// every word and a mark for punctuation. Letters that stand alone three or
// more in a row are one word: s.t.o.p.
func marked(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r):
			b.WriteString(unaccented(r))
		case unicode.Is(unicode.Mn, r), unicode.Is(unicode.Cf, r), strings.ContainsRune("'’‘`´", r): // an accent of its own, a joiner, don't
		case unicode.Is(unicode.So, r):
			b.WriteString(" " + string(r) + " ")
		case strings.ContainsRune(".,;:!?…\n()\"“”", r):
			b.WriteString(mark)
		default:
			b.WriteByte(' ')
		}
	}
	words := slices.CompactFunc(spelled(strings.FieldsSeq(b.String())), func(a, b string) bool { return a == bar && b == bar })
	return " " + strings.Join(words, " ") + " "
}

// spelled joins letters that stand alone, whatever marks are between them. It
// reads the words once, since an inbound text may be nothing but marks.
func spelled(words iter.Seq[string]) []string {
	var out, run []string // run: such letters, and the marks after each
	for w := range words {
		switch {
		case len(w) == 1 && isAlpha(w[0]), w == bar && len(run) > 0:
			run = append(run, w)
		default:
			out = append(append(out, joined(run)...), w)
			run = run[:0]
		}
	}
	return append(out, joined(run)...)
}

// joined is run as one word, and a mark where it ends in marks; run itself
// where it has fewer than three letters.
func joined(run []string) []string {
	var letters strings.Builder
	for _, w := range run {
		if w != bar {
			letters.WriteString(w)
		}
	}
	switch {
	case letters.Len() < 3:
		return run
	case run[len(run)-1] == bar:
		return []string{letters.String(), bar}
	default:
		return []string{letters.String()}
	}
}

// wordsOnly leaves the symbols of a plain text out.
func wordsOnly(text string) string {
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return strings.Join(words, " ")
}

// unaccented is a letter without its accent, for the letters of western
// Europe; others as they are. The wide letters of Asian keyboards count as
// the plain ones.
func unaccented(r rune) string {
	switch {
	case r < 'à':
		return string(r)
	case 'ａ' <= r && r <= 'ｚ':
		return string(r - 'ａ' + 'a')
	}
	for _, family := range [...]string{"aàáâãäå", "cç", "eèéêë", "iìíîï", "nñ", "oòóôõöø", "uùúûü", "yýÿ", "sš", "zž"} {
		if strings.ContainsRune(family, r) {
			return family[:1]
		}
	}
	return string(r)
}
