package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// envelope is notices of one object as one request: an entry for each account
// and kind of list, in the order in which they begin.
func envelope(to *subscriber, some []*notice) *sealed {
	type key struct{ account, place string }
	var order []key
	entries := map[key][]*notice{}
	for _, n := range some {
		k := key{n.letter.account, n.letter.place}
		if entries[k] == nil {
			order = append(order, k)
		}
		entries[k] = append(entries[k], n)
	}
	b := append([]byte(`{"object":"`), some[0].letter.object...)
	b = append(b, `","entry":[`...)
	for i, k := range order {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendEntry(b, k.account, k.place, entries[k])
	}
	b = escapeUnicode(append(b, `]}`...))
	p := &sealed{url: to.URL, contentType: "application/json", header: http.Header{}, body: b}
	if to.AppSecret != "" {
		p.header.Set("X-Hub-Signature-256", "sha256="+signature(to.AppSecret, b))
	}
	return p
}

func appendEntry(b []byte, account, place string, some []*notice) []byte {
	newest := int64(0)
	for _, n := range some {
		newest = max(newest, n.letter.at)
	}
	if place == "changes" { // they tell seconds where messaging tells milliseconds
		newest /= int64(time.Second)
	} else {
		newest /= int64(time.Millisecond)
	}
	b = appendString(append(b, `{"id":`...), account)
	b = appendNumber(b, "time", newest)
	b = append(append(append(b, `,"`...), place...), `":[`...)
	for i, n := range some {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, n.letter.item...)
	}
	return append(b, `]}`...)
}

// signature is the hex HMAC-SHA256 of a body.
func signature(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// escapeUnicode writes JSON text in ASCII: the platform signs an escaped
// version with hex digits in lower case (webhooks page), and sends what it
// signs.
func escapeUnicode(b []byte) []byte {
	i := 0
	for i < len(b) && b[i] < utf8.RuneSelf {
		i++
	}
	if i == len(b) {
		return b
	}
	out := append(make([]byte, 0, len(b)+64), b[:i]...)
	for i < len(b) {
		if b[i] < utf8.RuneSelf {
			out = append(out, b[i])
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		i += n
		if r1, r2 := utf16.EncodeRune(r); r1 != utf8.RuneError {
			out = appendEscape(appendEscape(out, r1), r2)
		} else {
			out = appendEscape(out, r)
		}
	}
	return out
}

func appendEscape(b []byte, r rune) []byte {
	hex4 := strconv.FormatUint(uint64(r)+0x10000, 16) // five digits, the first a one
	return append(append(b, `\u`...), hex4[1:]...)
}
