package meta

import (
	"net/http"
	"time"
)

const (
	// maxUsage bounds how much of a usage header is read. One lists up to 32
	// objects of about 150 bytes.
	maxUsage = 16 << 10
	// maxRegain bounds how long a usage header may ask us to wait: Messenger's
	// budgets roll over 24 hours.
	maxRegain = 24 * time.Hour
)

// usage is what the usage headers of an answer say.
type usage struct {
	app     int           // the highest percentage of the app's quotas, 0 to 100
	percent int           // the highest of all others: of the page and its business
	regain  time.Duration // the longest time to regain access; 0: none named
}

// readUsage reads X-App-Usage, X-Page-Usage and X-Business-Use-Case-Usage.
func readUsage(h http.Header) usage {
	var u usage
	for _, value := range h["X-App-Usage"] {
		u.read(value)
	}
	u.app, u.percent = u.percent, 0
	for _, name := range [...]string{"X-Page-Usage", "X-Business-Use-Case-Usage"} {
		for _, value := range h[name] {
			u.read(value)
		}
	}
	return u
}

// read takes the named numbers out of a header, however deep they are nested:
// the three headers differ in nesting only, and every answer carries them.
func (u *usage) read(s string) {
	s = s[:min(len(s), maxUsage)]
	for i := 0; i < len(s); {
		if s[i] != '"' {
			i++
			continue
		}
		end := closingQuote(s, i+1)
		key := s[i+1 : end]
		i = min(end+1, len(s))
		if n, ok := numberAfterColon(s[i:]); ok {
			u.take(key, n)
		}
	}
}

func (u *usage) take(key string, n int) {
	switch key {
	case "call_count", "total_time", "total_cputime":
		u.percent = max(u.percent, min(n, 100))
	case "estimated_time_to_regain_access": // minutes
		n = min(n, int(maxRegain/time.Minute))
		u.regain = max(u.regain, time.Duration(n)*time.Minute)
	}
}

// closingQuote is the index of the quote that ends the string starting at i,
// or len(s).
func closingQuote(s string, i int) int {
	for ; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(s)
}

// numberAfterColon reads `: 12` and `: 12.5`, the latter as 13: a limit is
// reported early rather than late.
func numberAfterColon(s string) (n int, ok bool) {
	s = skipSpace(s)
	if s == "" || s[0] != ':' {
		return 0, false
	}
	s = skipSpace(s[1:])
	i := 0
	for ; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
		n = min(n*10+int(s[i]-'0'), 1<<20)
	}
	if i > 0 && i < len(s) && s[i] == '.' {
		n++
	}
	return n, i > 0
}

func skipSpace(s string) string {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	return s
}
