package policy

import (
	"fmt"
	"strings"
)

// wordings tells what a text says by phrases. A # in a phrase stands for a
// number. A phrase does not count where it is part of a harmless one, which
// may begin before it: a great deal of work is no deal.
type wordings struct {
	phrases  phrases
	harmless phrases
	reach    int // words of the longest harmless phrase
}

func newWordings(a *Advice) wordings {
	w := wordings{phrases: newPhrases(a.Phrases), harmless: newPhrases(a.Harmless)}
	for _, h := range a.Harmless {
		w.reach = max(w.reach, len(strings.Fields(h)))
	}
	return w
}

func (w *wordings) asked() bool { return w.phrases.by != nil }

// find is the first of the phrases in text, as whole words and in lower case;
// "" for none.
func (w *wordings) find(text string) string {
	if start, end := w.place(text); end > 0 {
		return strings.ToLower(text[start:end])
	}
	return ""
}

// place is where the first of the phrases stands in text; 0, 0 for none.
func (w *wordings) place(text string) (start, end int) {
	next := w.phrases.next
	for i := range len(text) {
		if next[text[i]] == 0 || !w.phrases.may(text, i) || wordByte(text[i]) && inWord(text, i) {
			continue
		}
		if n := w.match(text, i); n > 0 && !w.excused(text, i, i+n) {
			return i, i + n
		}
	}
	return 0, 0
}

func (w *wordings) in(text string) bool {
	_, end := w.place(text)
	return end > 0
}

// match is the length of the longest phrase that begins at i, 0 for none.
func (w *wordings) match(text string, i int) int {
	longest := 0
	third := byte(0) // most phrases of a list end here
	if i+2 < len(text) {
		third = fold(text[i+2])
	}
	for _, s := range w.phrases.by[fold(text[i])] {
		if len(s) > 2 && s[2] != third && s[2] != '#' {
			continue
		}
		if n := numberedPrefix(text[i:], s); n > longest && !continues(text, i+n) {
			longest = n
		}
	}
	return longest
}

// numberedPrefix is how much of text the phrase takes up that it begins
// with, 0 if it does not. The phrase is in lower case.
func numberedPrefix(text, phrase string) int {
	n := 0
	for i := range len(phrase) {
		if phrase[i] != '#' {
			if n == len(text) || fold(text[n]) != phrase[i] {
				return 0
			}
			n++
			continue
		}
		digits := n
		for n < len(text) && (isDigit(text[n]) || n > digits && separates(text, n)) {
			n++
		}
		if n == digits {
			return 0
		}
	}
	return n
}

// separates says whether the byte at i stands between digits of one number.
func separates(text string, i int) bool {
	return (text[i] == '.' || text[i] == ',') && i+1 < len(text) && isDigit(text[i+1])
}

// excused says whether a harmless phrase covers the text from start to end.
func (w *wordings) excused(text string, start, end int) bool {
	for i, words := start, 0; words < w.reach; words++ {
		if i+w.harmless.match(text, i) >= end {
			return true
		}
		before := skipSpaces(text, i-1)
		if before < 0 || before == i-1 || !wordByte(text[before]) {
			return false
		}
		i = wordStart(text, before+1)
	}
	return false
}

// numbersLate refuses a # among the first two characters of a phrase, by
// which phrases are found.
func numbersLate(field string, list []string) error {
	for _, s := range list {
		if i := strings.IndexByte(s, '#'); i >= 0 && i < 2 {
			return fmt.Errorf("%s: %q: two characters or more go before #, which stands for a number", field, s)
		}
	}
	return nil
}

// advised is the set of advice names that apply to a message sent by p.
func (j *judge) advised(p *permission) int {
	set := 0
	for _, a := range p.advice {
		if set&(1<<a.bit) == 0 && a.covers(j) && j.advises(a) {
			set |= 1 << a.bit
		}
	}
	return set
}

// advises says whether the message is what a is about, and has its wording
// and its links.
func (j *judge) advises(a *advice) bool {
	switch {
	case !j.concerns(a):
		return false
	case a.wordings.asked() && (j.words&a.phrases == 0 || !a.wordings.in(j.m.Text) && !a.wordings.in(j.m.Words)):
		return false
	case !a.links.asked():
		return true
	default:
		return j.words&a.prefixes != 0 && (a.links.hasPrefix(j.m.Text) || a.links.hasPrefix(j.m.Words)) || a.links.hasHost(j.m.Text) || a.links.hasHost(j.m.Words)
	}
}

// concerns says whether a is about messages of this author and tag.
func (j *judge) concerns(a *advice) bool {
	return (len(a.Tags) == 0 || contains(a.Tags, j.m.Tag)) && (len(a.Authors) == 0 || contains(a.Authors, j.origin()))
}
