package policy

import (
	"strings"
	"unicode/utf8"
)

// phrases are words and groups of words to find in a text, by first byte.
// Case is ignored in ASCII; other letters are found as they are written.
type phrases struct {
	by   *[256][]string // lower case
	next *[256]uint32   // by first byte of either case: the low five bits that its second bytes have
}

func newPhrases(list []string) phrases {
	if len(list) == 0 {
		return phrases{}
	}
	p := phrases{by: new([256][]string), next: new([256]uint32)}
	for _, s := range lower(list) {
		p.by[s[0]] = append(p.by[s[0]], s)
		seconds := ^uint32(0)
		if len(s) > 1 {
			seconds = 1 << (s[1] & 31)
		}
		p.next[s[0]] |= seconds
		if isAlpha(s[0]) {
			p.next[s[0]&^0x20] |= seconds
		}
	}
	return p
}

// may says whether a phrase could begin at i: most words end here, on the
// first two bytes, whose low five bits are the same in either case.
func (p *phrases) may(text string, i int) bool {
	m := p.next[text[i]]
	return m != 0 && (i+1 == len(text) || m>>(text[i+1]&31)&1 != 0)
}

func fold(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b | 0x20
	}
	return b
}

// wordByte says whether b belongs to a word; bytes beyond ASCII do.
func wordByte(b byte) bool { return isAlpha(b) || isDigit(b) || b >= utf8.RuneSelf }

// find is where the first phrase begins in text from offset from on, or -1.
// A phrase is found as whole words only.
func (p *phrases) find(text string, from int) int {
	if p.by == nil {
		return -1
	}
	next := p.next
	for i := from; i < len(text); i++ {
		if next[text[i]] == 0 || !p.may(text, i) || wordByte(text[i]) && inWord(text, i) {
			continue
		}
		if p.match(text, i) > 0 {
			return i
		}
	}
	return -1
}

// match is the length of the longest phrase that begins at i, where a word
// begins; 0 for none.
func (p *phrases) match(text string, i int) int {
	if p.by == nil {
		return 0
	}
	n := 0
	for _, s := range p.by[fold(text[i])] {
		if len(s) > n && hasPrefixFold(text[i:], s) && !continues(text, i+len(s)) {
			n = len(s)
		}
	}
	return n
}

// inWord says whether a word goes on up to i.
func inWord(text string, i int) bool { return i > 0 && isDigit(text[i-1]) || letterBefore(text, i) }

// continues says whether the word that ends before i goes on at i.
func continues(text string, i int) bool {
	return i < len(text) && wordByte(text[i-1]) && (isDigit(text[i]) || letterAt(text, i))
}

// hasPrefixFold is strings.HasPrefix with ASCII case ignored; prefix is lower.
func hasPrefixFold(s, prefix string) bool {
	if len(s) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if fold(s[i]) != prefix[i] {
			return false
		}
	}
	return true
}

// links tells a link in a text.
type links struct {
	prefixes phrases
	domains  phrases
}

func newLinks(l Links) links {
	return links{prefixes: newPhrases(l.Prefixes), domains: newPhrases(l.Domains)}
}

func (l *links) asked() bool { return l.prefixes.by != nil || l.domains.by != nil }

// hasPrefix looks for a prefix that something follows, since "www." alone
// leads nowhere.
func (l *links) hasPrefix(text string) bool {
	if l.prefixes.by == nil {
		return false
	}
	for i := range len(text) {
		if !l.prefixes.may(text, i) || i > 0 && wordByte(text[i-1]) {
			continue
		}
		for _, s := range l.prefixes.by[fold(text[i])] {
			rest := i + len(s)
			if hasPrefixFold(text[i:], s) && rest < len(text) && text[rest] > ' ' {
				return true
			}
		}
	}
	return false
}

// hasHost goes from dot to dot.
func (l *links) hasHost(text string) bool {
	for i := 0; ; i++ {
		n := strings.IndexByte(text[i:], '.')
		if n < 0 {
			return false
		}
		if i += n; i > 0 && wordByte(text[i-1]) && l.endsAt(text, i+1) && !l.mailbox(text, i) {
			return true
		}
	}
}

// endsAt says whether a last label of a host name stands at i.
func (l *links) endsAt(text string, i int) bool {
	if i >= len(text) || l.domains.by == nil {
		return false
	}
	for _, d := range l.domains.by[fold(text[i])] {
		if hasPrefixFold(text[i:], d) && !continues(text, i+len(d)) {
			return true
		}
	}
	return false
}

// mailbox says whether the host name around the dot at i follows an @, which
// makes it an address and not a link.
func (l *links) mailbox(text string, i int) bool {
	for i--; i >= 0; i-- {
		if text[i] == '@' {
			return true
		}
		if !wordByte(text[i]) && text[i] != '.' && text[i] != '-' {
			return false
		}
	}
	return false
}
