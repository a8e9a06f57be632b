package policy

import (
	"unicode"
	"unicode/utf8"
)

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

func isAlpha(b byte) bool { b |= 0x20; return 'a' <= b && b <= 'z' }

// letterBefore says whether the code point that ends before i is a letter.
func letterBefore(s string, i int) bool {
	if i == 0 {
		return false
	}
	if s[i-1] < utf8.RuneSelf {
		return isAlpha(s[i-1])
	}
	r, _ := utf8.DecodeLastRuneInString(s[:i])
	return unicode.IsLetter(r)
}

// letterAt says whether the code point that begins at i is a letter.
func letterAt(s string, i int) bool {
	if i >= len(s) {
		return false
	}
	if s[i] < utf8.RuneSelf {
		return isAlpha(s[i])
	}
	r, _ := utf8.DecodeRuneInString(s[i:])
	return unicode.IsLetter(r)
}

// hasCard says whether text has a payment card number: digits.Min to
// digits.Max digits in whole groups, joined by single spaces or hyphens, no
// end glued to a letter, that pass Luhn. What belongs to a valid IBAN is left
// out; ibans may be nil.
func hasCard(text string, digits Range, ibans *ibanLengths) bool {
	floor := 0 // digits before it are spoken for
	for i := 0; i < len(text); {
		if !isDigit(text[i]) {
			i++
			continue
		}
		if end := ibanAround(text, i, ibans); end > 0 {
			i, floor = end, end
			continue
		}
		for i < len(text) && isDigit(text[i]) {
			i++
		}
		if !letterAt(text, i) && cardEndsAt(text, floor, i, digits) {
			return true
		}
	}
	return false
}

// cardEndsAt walks back from the end of a group over whole groups and takes
// the Luhn sum on the way, so that every run of groups is tried once.
func cardEndsAt(s string, floor, end int, digits Range) bool {
	n, sum := 0, 0
	for i := end - 1; i >= floor; i-- {
		if !isDigit(s[i]) {
			if i == floor || (s[i] != ' ' && s[i] != '-') || !isDigit(s[i-1]) {
				return false
			}
			continue
		}
		d := int(s[i] - '0')
		if n%2 == 1 {
			d *= 2
			if d > 9 {
				d -= 9
			}
		}
		sum, n = sum+d, n+1
		if n > digits.Max {
			return false
		}
		start := i == floor || !isDigit(s[i-1])
		if start && n >= digits.Min && sum%10 == 0 && !letterBefore(s, i) {
			return true
		}
	}
	return false
}

// ibanLengths is the length of an IBAN by the two letters of its country.
type ibanLengths [26 * 26]uint8

// newIBANLengths lays m out; nil for an empty m.
func newIBANLengths(m map[string]int) *ibanLengths {
	if len(m) == 0 {
		return nil
	}
	var t ibanLengths
	for c, n := range m {
		t[int(c[0]-'A')*26+int(c[1]-'A')] = uint8(n)
	}
	return &t
}

// ibanMax is the longest IBAN that ISO 13616 allows.
const ibanMax = 34

// hasIBAN says whether text has a valid IBAN, spaces and case ignored.
func hasIBAN(text string, ibans *ibanLengths) bool {
	for i := 0; i < len(text); i++ {
		if isDigit(text[i]) && ibanAround(text, i, ibans) > 0 {
			return true
		}
	}
	return false
}

// ibanAround is the end of the valid IBAN whose check digits begin at i, or
// 0. Starting from digits looks at few places: most texts have more letters.
func ibanAround(s string, i int, ibans *ibanLengths) int {
	second := skipSpaces(s, i-1)
	if second < 1 || !isAlpha(s[second]) {
		return 0
	}
	first := skipSpaces(s, second-1)
	if first < 0 || !isAlpha(s[first]) {
		return 0
	}
	return ibanAt(s, first, ibans)
}

// skipSpaces is the last place up to i that is no space, or -1.
func skipSpaces(s string, i int) int {
	for i >= 0 && s[i] == ' ' {
		i--
	}
	return i
}

// ibanAt is the end of the valid IBAN that begins at i, or 0. It must not be
// part of a longer word.
func ibanAt(s string, i int, ibans *ibanLengths) int {
	if ibans == nil || !isAlpha(s[i]) || letterBefore(s, i) || i > 0 && isDigit(s[i-1]) {
		return 0
	}
	var chars [ibanMax]byte
	n, want := 0, ibanMax
	for ; i < len(s) && n < want; i++ {
		c := s[i]
		if c == ' ' {
			continue
		}
		if isAlpha(c) {
			c &^= 0x20
		}
		letter := isAlpha(c)
		if !letter && !isDigit(c) || n < 2 && !letter || (n == 2 || n == 3) && letter {
			return 0
		}
		chars[n] = c
		n++
		if n == 2 {
			want = int(ibans[int(chars[0]-'A')*26+int(chars[1]-'A')])
		}
	}
	glued := i < len(s) && isDigit(s[i]) || letterAt(s, i)
	if n < 5 || n < want || glued || !mod97(chars[:n]) {
		return 0
	}
	return i
}

// mod97 is the check of ISO 7064 as ISO 13616 uses it: the first four
// characters moved to the end, letters read as 10 to 35, remainder 1.
func mod97(iban []byte) bool {
	rest := 0
	for k := range iban {
		c := iban[(k+4)%len(iban)]
		if isDigit(c) {
			rest = (rest*10 + int(c-'0')) % 97
		} else {
			rest = (rest*100 + int(c-'A') + 10) % 97
		}
	}
	return rest == 1
}
