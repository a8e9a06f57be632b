package policy

import "strings"

// request tells a text that asks for something: a request phrase, and its
// object within so many words after it in the same sentence.
type request struct {
	phrases  phrases // what asks: send us
	objects  phrases // for what: card number
	unless   phrases // what makes it a warning, before the phrase: never
	between  phrases // words that may stand between the two: never ask you to send us
	until    phrases // what ends the search for an object: send it, we have your card number
	harmless phrases // what only looks like an object: loyalty card number
	within   int     // words looked at, on either side of the phrase
}

// newRequest is nil for a check that looks for none.
func newRequest(c *Check) *request {
	if len(c.Objects) == 0 {
		return nil
	}
	return &request{
		phrases: newPhrases(c.Phrases), objects: newPhrases(c.Objects), unless: newPhrases(c.Unless), between: newPhrases(c.Between),
		until: newPhrases(c.Until), harmless: newPhrases(c.Harmless), within: c.Within,
	}
}

// in says whether text asks. Most texts name no object, which is found out
// in one pass.
func (r *request) in(text string) bool {
	if r.objects.find(text, 0) < 0 {
		return false
	}
	for at := r.phrases.find(text, 0); at >= 0; at = r.phrases.find(text, at+1) {
		if r.reaches(text, at) && !r.denied(text, at) {
			return true
		}
	}
	return false
}

// reaches says whether the phrase at i has an object. An object may begin
// inside the phrase, after its first word: send card number. Lines don't end
// a sentence here, since what is asked for is often a list.
func (r *request) reaches(text string, i int) bool {
	phrase := i + r.phrases.match(text, i)
	i = wordEnd(text, i)
	for range r.within {
		if i = nextWord(text, i); i < 0 {
			return false
		}
		if n := r.harmless.match(text, i); n > 0 {
			i += n
			continue
		}
		if r.objects.match(text, i) > 0 {
			return true
		}
		if i >= phrase && r.until.match(text, i) > 0 {
			return false
		}
		i = wordEnd(text, i)
	}
	return false
}

// denied says whether a negation stands before the phrase at i: in the same
// clause, with nothing but words between that carry it on. In "if you have
// not paid yet, reply with" it denies the paying and not the request.
func (r *request) denied(text string, i int) bool {
	for range r.within {
		end := lastWordEnd(text, i)
		if end < 0 {
			return false
		}
		if r.unless.endsAt(text, end) {
			return true
		}
		i = wordStart(text, end)
		if r.between.match(text, i) != end-i {
			return false
		}
	}
	return false
}

// endsAt says whether a phrase ends before end, where a word ends.
func (p *phrases) endsAt(text string, end int) bool {
	if p.by == nil {
		return false
	}
	for i, words := end, 0; i > 0 && words < longestDenial; words++ {
		i = wordStart(text, i)
		if p.match(text, i) == end-i {
			return true
		}
		for i > 0 && text[i-1] == ' ' {
			i--
		}
	}
	return false
}

// longestDenial is how many words an entry of Check.Unless may have, such as
// under no circumstances.
const longestDenial = 3

// wordEnd is where the word ends that i stands in: don't is one word.
func wordEnd(text string, i int) int {
	for i < len(text) && (wordByte(text[i]) || text[i] == '\'') {
		i++
	}
	return i
}

// wordStart is where the word begins that ends before i.
func wordStart(text string, i int) int {
	for i > 0 && (wordByte(text[i-1]) || text[i-1] == '\'' && i > 1 && wordByte(text[i-2])) {
		i--
	}
	return i
}

// nextWord is where the next word of the sentence begins, or -1. A full stop
// ends it only where something other than a letter or digit follows.
func nextWord(text string, i int) int {
	for ; i < len(text) && !wordByte(text[i]); i++ {
		if strings.IndexByte("!?;", text[i]) >= 0 || text[i] == '.' && (i+1 == len(text) || !wordByte(text[i+1])) {
			return -1
		}
	}
	if i == len(text) {
		return -1
	}
	return i
}

// lastWordEnd is where the word of the same clause ends that stands before
// i, or -1: anything but spaces, quotation marks and asterisks ends a clause.
func lastWordEnd(text string, i int) int {
	for i > 0 && strings.IndexByte(` "'*_`, text[i-1]) >= 0 {
		i--
	}
	if i == 0 || !wordByte(text[i-1]) {
		return -1
	}
	return i
}
