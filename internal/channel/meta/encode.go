package meta

import (
	"unicode/utf8"

	"github.com/carillon-dev/carillon/internal/channel"
)

const (
	tagged   = "MESSAGE_TAG"
	hexUpper = "0123456789ABCDEF"
	hexLower = "0123456789abcdef"
)

// appendMessage appends the JSON body of one send.
func appendMessage(b []byte, m *channel.Message) []byte {
	b = append(b, `{"recipient":`...)
	b = appendRecipient(b, m)
	if m.Type != "" {
		b = append(b, `,"messaging_type":`...)
		b = appendQuoted(b, m.Type)
	}
	if m.Type == tagged {
		b = append(b, `,"tag":`...)
		b = appendQuoted(b, m.Tag)
	}
	b = append(b, `,"message":`...)
	b = appendContent(b, m)
	return append(b, '}')
}

func appendRecipient(b []byte, m *channel.Message) []byte {
	b = append(append(append(b, `{"`...), recipientName(m.To)...), `":`...)
	b = appendQuoted(b, m.Recipient)
	return append(b, '}')
}

// appendContent carries the job's id as metadata: the platform gives it back
// in the echo, by which an unknown outcome is settled.
func appendContent(b []byte, m *channel.Message) []byte {
	if m.Body.Plain() {
		b = append(b, `{"text":`...)
		b = appendQuoted(b, m.Text)
	} else {
		b = appendBody(append(b, '{'), m.Text, m.Body)
	}
	if m.Job != "" {
		b = append(b, `,"metadata":`...)
		b = appendQuoted(b, m.Job)
	}
	return append(b, '}')
}

// appendBatch appends the form of a batch: JSON whose items' bodies are forms
// whose fields are JSON. scratch is room for the inner layers; it is returned,
// perhaps grown, for the next use.
func appendBatch(b, scratch []byte, e *endpoint, ms []channel.Message) (form, spare []byte) {
	b = append(b, e.form...)
	b = appendEscaped(b, []byte{'['})
	for i := range ms {
		scratch = scratch[:0]
		if i > 0 {
			scratch = append(scratch, ',')
		}
		scratch = append(scratch, `{"method":"POST","relative_url":`...)
		scratch = appendQuoted(scratch, e.relative)
		scratch = append(scratch, `,"body":"`...)
		b = appendEscaped(b, scratch)
		b, scratch = appendItem(b, scratch, &ms[i])
		b = appendEscaped(b, []byte(`"}`))
	}
	return appendEscaped(b, []byte{']'}), scratch
}

// appendItem appends one item's form, escaped once more for the outer form.
// An escaped form needs no JSON escapes, so it goes between quotes as it is.
func appendItem(b, scratch []byte, m *channel.Message) (out, spare []byte) {
	b = append(b, "recipient%3D"...)
	scratch = appendRecipient(scratch[:0], m)
	b = appendTwice(b, scratch)
	if m.Type != "" {
		b = append(b, "%26messaging_type%3D"...)
		b = appendTwice(b, []byte(m.Type))
	}
	if m.Type == tagged {
		b = append(b, "%26tag%3D"...)
		b = appendTwice(b, []byte(m.Tag))
	}
	b = append(b, "%26message%3D"...)
	scratch = appendContent(scratch[:0], m)
	return appendTwice(b, scratch), scratch
}

// unreserved are the bytes that a form carries as they are (RFC 3986, 2.3).
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '_' || c == '.' || c == '~'
}

// appendEscaped percent-encodes src.
func appendEscaped(b, src []byte) []byte {
	for _, c := range src {
		if unreserved(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', hexUpper[c>>4], hexUpper[c&15])
		}
	}
	return b
}

// appendTwice percent-encodes src and then the result.
func appendTwice(b, src []byte) []byte {
	for _, c := range src {
		if unreserved(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', '2', '5', hexUpper[c>>4], hexUpper[c&15])
		}
	}
	return b
}

// appendQuoted appends s as a JSON string. Bytes that are no UTF-8 become
// U+FFFD, as in encoding/json.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[start:i]...), "\ufffd"...)
				start = i + size
			}
			i += size
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			b = appendControl(append(b, s[start:i]...), c)
			start = i + 1
		}
		i++
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

func appendControl(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexLower[c>>4], hexLower[c&15])
}
