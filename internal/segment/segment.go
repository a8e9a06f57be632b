// Package segment counts the parts that a text message travels in, which is
// what carriers bill and cap. It sends nothing and knows no carrier.
//
// A text whose characters are all of the GSM 7-bit alphabet (3GPP TS 23.038,
// 6.2.1) goes in that; one other character turns the whole text to UCS-2. A
// text that fits in 140 bytes is one part. A longer one gives six bytes of each
// part to the header that puts the parts together again (3GPP TS 23.040,
// 9.2.3.24.1).
//
// Invariant: no character lies in two parts. An extended character takes two
// places of the 7-bit alphabet, one beyond the basic plane takes two of UCS-2;
// where one place is left, both go to the next part.
package segment

import "strings"

// Encoding is how a text goes over the air.
type Encoding uint8

// The encodings. The zero value is the one of an empty text.
const (
	GSM7 Encoding = iota
	UCS2
)

// String names the encoding as carriers do.
func (e Encoding) String() string {
	if e == UCS2 {
		return "UCS-2"
	}
	return "GSM-7"
}

// The places in a part: alone, and as one of several.
const (
	gsmAlone, gsmJoined = 160, 153
	ucsAlone, ucsJoined = 70, 67
)

// The alphabet of 7 bits, and the characters that it reaches by an escape.
const (
	basic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡" +
		"ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	extended = "\f^{}\\[~]|€"
)

// Count is what a text takes.
type Count struct {
	Encoding Encoding
	Places   int // of the encoding: an extended character counts twice
	Segments int // 1 at the least, also for an empty text
}

// Of counts a text. Bytes that are no UTF-8 count as the replacement character
// that would be sent for them.
func Of(text string) Count {
	c := Count{Encoding: encodingOf(text), Segments: 1}
	alone, joined := gsmAlone, gsmJoined
	if c.Encoding == UCS2 {
		alone, joined = ucsAlone, ucsJoined
	}
	parts, filled := 1, 0 // as one of several
	for _, r := range text {
		n := c.Encoding.places(r)
		c.Places += n
		if filled += n; filled > joined {
			parts, filled = parts+1, n
		}
	}
	if c.Places > alone {
		c.Segments = parts
	}
	return c
}

func encodingOf(text string) Encoding {
	for _, r := range text {
		if !strings.ContainsRune(basic, r) && !strings.ContainsRune(extended, r) {
			return UCS2
		}
	}
	return GSM7
}

// places is how many places a character takes: 1 or 2.
func (e Encoding) places(r rune) int {
	switch {
	case e == UCS2 && r > 0xffff, e == GSM7 && strings.ContainsRune(extended, r):
		return 2
	}
	return 1
}
