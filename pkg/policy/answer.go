package policy

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendAnswer adds the JSON of a verdict on case id to dst, without a
// newline: id, verdict, rule (with send), reason (else), until (with hold,
// RFC 3339 in UTC), warnings where there are any, and refused_by, the rule
// that a refusal comes from.
func AppendAnswer(dst []byte, id string, v Verdict) []byte {
	allowed, refused := v.Rule, ""
	if v.Kind != Send {
		allowed, refused = "", v.Rule
	}
	dst = append(dst, `{"id":`...)
	dst = appendString(dst, id)
	dst = append(dst, `,"verdict":"`...)
	dst = append(dst, v.Kind.String()...)
	dst = append(dst, `","rule":`...)
	dst = appendString(dst, allowed)
	dst = append(dst, `,"reason":`...)
	dst = appendString(dst, string(v.Reason))
	dst = append(dst, `,"until":"`...)
	if v.Kind == Hold && !v.Until.IsZero() {
		dst = v.Until.UTC().AppendFormat(dst, time.RFC3339Nano)
	}
	dst = append(dst, '"')
	dst = appendWarnings(dst, v.Warnings)
	if refused != "" {
		dst = append(dst, `,"refused_by":`...)
		dst = appendString(dst, refused)
	}
	return append(dst, '}')
}

func appendWarnings(dst []byte, warnings []string) []byte {
	for i, w := range warnings {
		if i == 0 {
			dst = append(dst, `,"warnings":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = appendString(dst, w)
	}
	if len(warnings) > 0 {
		dst = append(dst, ']')
	}
	return dst
}

// AppendError adds the JSON of a line that could not be read as a case:
// its id as far as known, its number from 1, and what is wrong.
func AppendError(dst []byte, id string, line int, err error) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendString(dst, id)
	dst = append(dst, `,"line":`...)
	dst = strconv.AppendInt(dst, int64(line), 10)
	dst = append(dst, `,"error":`...)
	dst = appendString(dst, err.Error())
	return append(dst, '}')
}

// appendString adds s as a JSON string that is s wherever JSON allows it, so
// that an id is found in the answers as it stands in the cases.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s { // what is no UTF-8 is U+FFFD
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029': // the last two end a line to some readers
			dst = fmt.Appendf(dst, `\u%04x`, r)
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
