package policy

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// scanner reads JSON of a known shape from one line. It exists beside
// encoding/json because millions of cases go through it and because its
// errors name the field. It accepts nothing that encoding/json refuses; a
// fuzz test holds it to that.
type scanner struct {
	b    []byte
	i    int
	seen []string // fields of the objects that are open, outermost first
}

var errSyntax = errors.New("not valid JSON")

func (s *scanner) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\t' || s.b[s.i] == '\n' || s.b[s.i] == '\r') {
		s.i++
	}
}

// eat passes over c, if it comes next.
func (s *scanner) eat(c byte) bool {
	s.space()
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

// word passes over a literal, if it comes next.
func (s *scanner) word(w string) bool {
	s.space()
	if len(s.b)-s.i >= len(w) && string(s.b[s.i:s.i+len(w)]) == w {
		s.i += len(w)
		return true
	}
	return false
}

func (s *scanner) null() bool { return s.word("null") }

func (s *scanner) end() error {
	s.space()
	if s.i < len(s.b) {
		return fmt.Errorf("%w: text after the case, at byte %d", errSyntax, s.i)
	}
	return nil
}

func (s *scanner) syntax(at string) error {
	if at == "" {
		at = "case"
	}
	if s.i >= len(s.b) {
		return fmt.Errorf("%s: %w: the line ends too early", at, errSyntax)
	}
	return fmt.Errorf("%s: %w, at byte %d", at, errSyntax, s.i)
}

// want says that a value of another type stands where one of type is wanted,
// or that none can be made out.
func (s *scanner) want(at, typ string) error {
	at = strings.TrimPrefix(at, ".")
	if at == "" {
		at = "case"
	}
	start := s.i
	if err := s.skip(0); err != nil {
		s.i = start
		return s.syntax(at)
	}
	return fmt.Errorf("%s: want %s", at, typ)
}

// object is members of a known set: one that stands twice is an error, since
// whichever counted, somebody reading the line would take the other.
func (s *scanner) object(at string, field func(key string) error) error {
	mark := len(s.seen)
	err := s.members(at, func(key string) error {
		if err := s.once(mark, at, key); err != nil {
			return err
		}
		return field(key)
	})
	s.seen = s.seen[:mark]
	return err
}

// once keeps key, which must not be among those from mark on.
func (s *scanner) once(mark int, at, key string) error {
	if slices.Contains(s.seen[mark:], key) {
		return fmt.Errorf("%s: given twice", strings.TrimPrefix(at+"."+key, "."))
	}
	s.seen = append(s.seen, key)
	return nil
}

// members calls field for each key; field reads the value. A null is an
// empty object, except for the case itself.
func (s *scanner) members(at string, field func(key string) error) error {
	if at != "" && s.null() {
		return nil
	}
	if !s.eat('{') {
		return s.want(at, "an object")
	}
	if s.eat('}') {
		return nil
	}
	for {
		s.space()
		if s.i >= len(s.b) || s.b[s.i] != '"' {
			return s.syntax(at)
		}
		key, err := s.string(at)
		if err != nil {
			return err
		}
		if !s.eat(':') {
			return s.syntax(at)
		}
		if err := field(key); err != nil {
			return err
		}
		if s.eat('}') {
			return nil
		}
		if !s.eat(',') {
			return s.syntax(at)
		}
	}
}

// string reads a string. What is no UTF-8 is an error: replaced by U+FFFD, an
// id would not be the one that was asked about.
func (s *scanner) string(at string) (string, error) {
	if !s.eat('"') {
		return "", s.want(at, "a string")
	}
	start, plain := s.i, true
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			raw := s.b[start:s.i]
			s.i++
			return unquote(at, raw, s.b[start-1:s.i], plain)
		case c == '\\':
			plain = false
			s.i++
		case c < ' ':
			return "", s.syntax(at)
		case c >= utf8.RuneSelf:
			plain = false
		}
	}
	return "", s.syntax(at)
}

func unquote(at string, raw, quoted []byte, plain bool) (string, error) {
	if plain {
		return string(raw), nil
	}
	if !utf8.Valid(raw) {
		return "", fmt.Errorf("%s: not valid UTF-8", cmp.Or(at, "case"))
	}
	var out string
	if err := json.Unmarshal(quoted, &out); err != nil {
		return "", fmt.Errorf("%s: %w: a string with a bad escape", cmp.Or(at, "case"), errSyntax)
	}
	return out, nil
}

// text reads a string into to; null leaves it.
func (s *scanner) text(at string, to *string) error {
	if s.null() {
		return nil
	}
	v, err := s.string(at)
	if err == nil {
		*to = v
	}
	return err
}

func (s *scanner) oneOf(at string, to *string, words ...string) error {
	if err := s.text(at, to); err != nil {
		return err
	}
	if !slices.Contains(words, *to) {
		return fmt.Errorf("%s: %q: want one of %s", at, *to, strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), ", "))
	}
	return nil
}

func (s *scanner) channel(at string, to *Channel) error {
	var name string
	if err := s.text(at, &name); err != nil || name == "" {
		return err
	}
	if channelSet(Channel(name)) == 0 {
		return fmt.Errorf("%s: %q: want messenger, instagram or sms", at, name)
	}
	*to = Channel(name)
	return nil
}

func (s *scanner) bool(at string, to *bool) error {
	switch {
	case s.null():
	case s.word("true"):
		*to = true
	case s.word("false"):
		*to = false
	default:
		return s.want(at, "true or false")
	}
	return nil
}

func (s *scanner) list(at string, to *[]string) error {
	if s.null() {
		return nil
	}
	if !s.eat('[') {
		return s.want(at, "a list of strings")
	}
	*to = nil
	if s.eat(']') {
		return nil
	}
	for {
		v, err := s.string(at)
		if err != nil {
			return err
		}
		*to = append(*to, v)
		if s.eat(']') {
			return nil
		}
		if !s.eat(',') {
			return s.syntax(at)
		}
	}
}

// time reads RFC 3339 with any offset; "" and null leave to as it is.
func (s *scanner) time(at string, to *time.Time) error {
	var v string
	if err := s.text(at, &v); err != nil || v == "" {
		return err
	}
	var t time.Time
	if !timeShaped(v) || t.UnmarshalText([]byte(strings.ToUpper(v))) != nil {
		return fmt.Errorf("%s: %q is not a time: write it as 2026-11-22T10:00:00Z", at, v)
	}
	*to = t
	return nil
}

// timeShaped says whether v has the form of RFC 3339, section 5.6. The time
// package takes more: an hour of one digit, a comma before the fraction, and
// an offset of 24 h or of 60 min.
func timeShaped(v string) bool {
	const form = "0000-00-00T00:00:00"
	if len(v) <= len(form) || !shaped(v[:len(form)], form) {
		return false
	}
	v = v[len(form):]
	if v[0] == '.' {
		rest := strings.TrimLeft(v[1:], "0123456789")
		if len(rest) == len(v)-1 {
			return false
		}
		v = rest
	}
	switch {
	case v == "Z" || v == "z":
		return true
	case v == "" || v[0] != '+' && v[0] != '-':
		return false
	default:
		return shaped(v[1:], "00:00") && v[1:3] < "24" && v[4:6] < "60"
	}
}

// shaped says whether v is form with a digit for each 0, case ignored.
func shaped(v, form string) bool {
	if len(v) != len(form) {
		return false
	}
	for i := range len(form) {
		if form[i] == '0' && !isDigit(v[i]) || form[i] != '0' && v[i] != form[i] && v[i]&^0x20 != form[i] {
			return false
		}
	}
	return true
}

// number is the text of a number; "" for null.
func (s *scanner) number(at string) (string, error) {
	if s.null() {
		return "", nil
	}
	s.space()
	start := s.i
	for s.i < len(s.b) && strings.IndexByte("+-.0123456789eE", s.b[s.i]) >= 0 {
		s.i++
	}
	raw := s.b[start:s.i]
	if len(raw) == 0 {
		return "", s.want(at, "a number")
	}
	if !json.Valid(raw) {
		return "", s.syntax(at)
	}
	return string(raw), nil
}

// maxDepth is as deep as a note in a case may nest.
const maxDepth = 64

// skip passes over one value of any type.
func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: nested deeper than %d", errSyntax, maxDepth)
	}
	s.space()
	if s.i >= len(s.b) {
		return s.syntax("")
	}
	switch s.b[s.i] {
	case '{':
		return s.members("case", func(string) error { return s.skip(depth + 1) })
	case '[':
		s.i++
		return s.skipRest(depth)
	case '"':
		_, err := s.string("case")
		return err
	}
	if s.word("true") || s.word("false") || s.null() {
		return nil
	}
	if strings.IndexByte("-0123456789", s.b[s.i]) < 0 {
		return s.syntax("")
	}
	_, err := s.number("case")
	return err
}

// skipRest passes over a list after its bracket.
func (s *scanner) skipRest(depth int) error {
	if s.eat(']') {
		return nil
	}
	for {
		if err := s.skip(depth + 1); err != nil {
			return err
		}
		if s.eat(']') {
			return nil
		}
		if !s.eat(',') {
			return s.syntax("")
		}
	}
}
