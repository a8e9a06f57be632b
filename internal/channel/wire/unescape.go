package wire

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// unescape takes percent and JSON escapes out of s as far as it has any, so
// that a text or number cannot hide in them. What is no escape stays.
func unescape(s string) string {
	if !strings.ContainsAny(s, `%\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for len(s) > 0 {
		n := 1
		switch s[0] {
		case '%':
			b, n = appendPercent(b, s)
		case '\\':
			b, n = appendBackslash(b, s)
		default:
			b = append(b, s[0])
		}
		s = s[n:]
	}
	return string(b)
}

// appendPercent appends what the start of s, a percent sign, stands for, and
// returns how much of s that took.
func appendPercent(b []byte, s string) ([]byte, int) {
	if v, ok := hexAt(s, 1, 2); ok {
		return append(b, byte(v)), 3
	}
	return append(b, '%'), 1
}

// appendBackslash is appendPercent for a backslash.
func appendBackslash(b []byte, s string) ([]byte, int) {
	if len(s) < 2 {
		return append(b, '\\'), 1
	}
	switch s[1] {
	case '"', '\\', '/':
		return append(b, s[1]), 2
	case 'n', 'r', 't', 'b', 'f':
		return append(b, ' '), 2
	case 'u':
		high, ok := hexAt(s, 2, 4)
		if !ok {
			break
		}
		if low, ok := hexAt(s, 8, 4); ok && s[6] == '\\' && s[7] == 'u' && utf16.IsSurrogate(rune(high)) {
			return utf8.AppendRune(b, utf16.DecodeRune(rune(high), rune(low))), 12
		}
		return utf8.AppendRune(b, rune(high)), 6
	}
	return append(b, '\\'), 1
}

// hexAt reads the n hex digits at s[i:].
func hexAt(s string, i, n int) (uint64, bool) {
	if len(s) < i+n {
		return 0, false
	}
	v, err := strconv.ParseUint(s[i:i+n], 16, 32)
	return v, err == nil
}
