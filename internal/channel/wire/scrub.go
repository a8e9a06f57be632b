package wire

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/carillon-dev/carillon/internal/channel"
)

const (
	// MaxDetail is how many bytes of the platform's words a result keeps.
	MaxDetail = 300
	// MaxID is how many bytes of its message id.
	MaxID = 512

	numberDigits = 7  // digits from which a run is taken for an address; the shortest phone numbers have 7
	quoted       = 12 // bytes that a detail may share with a text by accident
	maxRaw       = 2 * MaxDetail

	numberMark = "[number]"
	quoteMark  = "[withheld: it quotes the message]"
)

// Scrub makes the platform's words fit to keep: valid UTF-8 on one line, at
// most MaxDetail bytes, without numbers that may be an address and without
// anything of the messages ms.
func Scrub(words string, ms []channel.Message) string {
	// Twice, as a batch's form is escaped twice.
	words = OneLine(unescape(unescape(Cut(words, maxRaw))))
	for i := range ms {
		if quotes(blanks(words), blanks(OneLine(ms[i].Text))) || quotesBody(words, &ms[i]) {
			return quoteMark
		}
		if r := ms[i].Recipient; r != "" {
			words = strings.ReplaceAll(words, r, numberMark)
		}
	}
	return Cut(hideNumbers(words), MaxDetail)
}

// blanks writes the blanks of a form as such: some send them as a plus.
func blanks(s string) string { return strings.ReplaceAll(s, "+", " ") }

// quotes reports whether words repeat part of text. Every repeated piece of
// 2*quoted-1 bytes covers one of the windows looked at.
func quotes(words, text string) bool {
	text = strings.TrimSpace(text)
	if len(text) < quoted {
		return len(text) > 3 && strings.Contains(words, text)
	}
	for i := 0; i+quoted <= len(words); i += quoted {
		if strings.Contains(text, words[i:i+quoted]) {
			return true
		}
	}
	return strings.Contains(words, text)
}

// quotesBody reports whether words repeat part of what stands beside a text.
func quotesBody(words string, m *channel.Message) bool {
	if m.Body.Plain() {
		return false
	}
	for _, s := range m.Body.Fields() {
		if quotes(words, OneLine(s)) {
			return true
		}
	}
	return false
}

// hideNumbers replaces runs of numberDigits or more digits. Single separators
// that people write in phone numbers do not end a run.
func hideNumbers(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		n, digits := digitRun(s)
		switch {
		case digits >= numberDigits:
			b.WriteString(numberMark)
		case digits > 0:
			b.WriteString(s[:n])
		default:
			_, n = utf8.DecodeRuneInString(s)
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// digitRun measures the number that s starts with: its bytes and its digits.
func digitRun(s string) (size, digits int) {
	separators := 0
	for i, r := range s {
		switch {
		case unicode.IsDigit(r):
			digits, separators = digits+1, 0
			size = i + utf8.RuneLen(r)
		case digits > 0 && separators < 2 && strings.ContainsRune(" -.()/", r):
			separators++ // two: "(47) 91 …"
		default:
			return size, digits
		}
	}
	return size, digits
}

// OneLine makes s valid UTF-8 without control characters.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// Cut shortens s to at most limit bytes without splitting a character.
func Cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
