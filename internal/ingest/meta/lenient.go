package meta

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// text is a JSON string, or a number as it is written: ids come as either,
// and have more digits than a float64 holds. What is neither is "".
type text string

// UnmarshalJSON never fails: a strange field must not hide what stands around
// it.
func (t *text) UnmarshalJSON(b []byte) error {
	*t = ""
	switch {
	case len(b) > 0 && b[0] == '"':
		var s string
		if json.Unmarshal(b, &s) == nil {
			*t = text(s)
		}
	case len(b) > 0 && (b[0] == '-' || b[0] >= '0' && b[0] <= '9'):
		*t = text(b)
	}
	return nil
}

// flag is true, also where it is written as a string or a number.
type flag bool

// UnmarshalJSON never fails, see text.
func (f *flag) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseBool(strings.Trim(string(b), `"`))
	*f = flag(err == nil && v)
	return nil
}

// moment is a time as the platform has it: a number or a string of digits, in
// seconds or in milliseconds, or a time in words. What can't be read is the
// zero time.
type moment struct{ time.Time }

// graphTime is how the Graph API writes a time in words.
const graphTime = "2006-01-02T15:04:05-0700"

// UnmarshalJSON never fails, see text.
func (m *moment) UnmarshalJSON(b []byte) error {
	var t text
	_ = t.UnmarshalJSON(b)
	m.Time = readTime(strings.TrimSpace(string(t)))
	return nil
}

func readTime(s string) time.Time {
	n, err := strconv.ParseInt(s, 10, 64)
	if f, ferr := strconv.ParseFloat(s, 64); err != nil && ferr == nil && f > 0 && f < 1e18 {
		n, err = int64(f), nil
	}
	if err == nil {
		return unix(n)
	}
	for _, layout := range []string{time.RFC3339, graphTime} {
		if t, err := time.Parse(layout, s); err == nil && t.UTC().Year() > 0 && t.UTC().Year() < 10000 {
			return t.UTC()
		}
	}
	return time.Time{}
}

// unix reads a count since 1970 by how large it is. Between the limits lie
// 1973 to 5138, whichever the unit: no platform's event is outside of that.
func unix(n int64) time.Time {
	switch {
	case n <= 0:
		return time.Time{}
	case n < 1e11:
		return time.Unix(n, 0).UTC()
	case n < 1e14:
		return time.UnixMilli(n).UTC()
	case n < 1e17:
		return time.UnixMicro(n).UTC()
	default:
		return time.Unix(0, n).UTC()
	}
}

// list is a JSON array; one value that stands where an array belongs is an
// array of one.
type list []json.RawMessage

// UnmarshalJSON never fails, see text.
func (l *list) UnmarshalJSON(b []byte) error {
	*l = nil
	if len(b) == 0 || bytes.Equal(b, []byte("null")) {
		return nil
	}
	var many []json.RawMessage
	if b[0] == '[' && json.Unmarshal(b, &many) == nil {
		*l = many
		return nil
	}
	*l = list{bytes.Clone(b)}
	return nil
}

// object is a part of an item that counts as there only if it is a JSON
// object.
type object json.RawMessage

// UnmarshalJSON never fails, see text.
func (o *object) UnmarshalJSON(b []byte) error {
	*o = nil
	if len(b) > 0 && b[0] == '{' {
		*o = object(bytes.Clone(b))
	}
	return nil
}

// into decodes the object and tells whether it is there. Its parts are read
// by types that never fail.
func (o object) into(v any) bool {
	return o != nil && json.Unmarshal(o, v) == nil
}

// cut shortens a text to at most n bytes, at the end of a character.
func cut(s text, n int) string {
	if len(s) <= n {
		return string(s)
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return string(s[:n])
}
