package policy

import (
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
	b []byte
	i int
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

// object calls field for each key; field reads the value. A null is an
// empty object, except for the case itself.
func (s *scanner) object(at string, field func(key string) error) error {
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

// string reads a string; what is no UTF-8 becomes U+FFFD.
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
	var out string
	if err := json.Unmarshal(quoted, &out); err != nil {
		return "", fmt.Errorf("%s: %w: a string with a bad escape", at, errSyntax)
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
	if err := t.UnmarshalText([]byte(strings.ToUpper(v))); err != nil {
		return fmt.Errorf("%s: %q is not a time: write it as 2026-11-22T10:00:00Z", at, v)
	}
	*to = t
	return nil
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
		return s.object("case", func(string) error { return s.skip(depth + 1) })
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
