// Package job names one message to one contact, the moves it may make, and
// the envelope in which jobs travel to a worker. It does no I/O.
//
// A job's id is derived from its source and its contact, never random, so
// that planning twice yields the same jobs and a claim can tell them apart:
//
//	202611.0.bakery.5kPq0cVYtB3n1xW7uR2mJg.spring-menu~1
//	month  │ sender contact's key          source
//	       part of the ledger
package job

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Key is a contact as one sender knows them: the first 16 bytes of an HMAC of
// sender and address under the installation's key. It fits a NATS subject
// token and can't be turned back into an address.
type Key [16]byte

// String returns the key's 22 characters.
func (k Key) String() string { return base64.RawURLEncoding.EncodeToString(k[:]) }

// MarshalText makes a Key its 22 characters in JSON.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (k *Key) UnmarshalText(b []byte) error {
	v, err := ParseKey(string(b))
	if err != nil {
		return err
	}
	*k = v
	return nil
}

// ParseKey reads a key's 22 characters.
func ParseKey(s string) (Key, error) {
	var k Key
	// The length is asked of s too: the decoder passes over line breaks.
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(k) || len(s) != base64.RawURLEncoding.EncodedLen(len(k)) {
		return k, fmt.Errorf("contact key %q: want 22 characters of base64url", s)
	}
	copy(k[:], b)
	return k, nil
}

// Source is one sending: one occurrence of a broadcast, or one step of a flow
// run. Its month and part say which ledger stream holds its jobs.
type Source struct {
	Month  string // yyyymm of the moment the source was launched, UTC
	Part   int    // 0 to 999
	Sender string // sender id
	Name   string // unique per sending, such as spring-menu~1
}

// ID names one job.
type ID struct {
	Source
	Contact Key
}

// String returns the id's textual form, five parts joined by dots.
func (id ID) String() string {
	return id.Month + "." + strconv.Itoa(id.Part) + "." + id.Sender + "." + id.Contact.String() + "." + id.Name
}

// Flow returns the id of the flow that a source is a step of, "" for that of a
// broadcast: their names are FLOW~RUN~STEP and BROADCAST~OCCURRENCE.
func (s Source) Flow() string {
	if strings.Count(s.Name, "~") != 2 {
		return ""
	}
	flow, _, _ := strings.Cut(s.Name, "~")
	return flow
}

// IsFlow tells whether a source is a flow's: a step of it, or the whole.
func (s Source) IsFlow() bool { return s.Flow() != "" || !strings.Contains(s.Name, "~") }

// Whole returns what a source is paused, closed and counted with: the whole
// flow for a step of it, and itself otherwise.
func (s Source) Whole() Source {
	if flow := s.Flow(); flow != "" {
		s.Name = flow
	}
	return s
}

// Job returns the id of the source's job for one contact.
func (s Source) Job(k Key) ID { return ID{Source: s, Contact: k} }

var errID = errors.New("want MONTH.PART.SENDER.CONTACT.SOURCE, as audit, dead and why print it")

// ParseID reads what String wrote.
func ParseID(s string) (ID, error) {
	p := strings.Split(s, ".")
	if len(p) != 5 {
		return ID{}, fmt.Errorf("job id %q: %w", s, errID)
	}
	part, err := strconv.Atoi(p[1])
	src := Source{Month: p[0], Part: part, Sender: p[2], Name: p[4]}
	if err != nil || strconv.Itoa(part) != p[1] || !src.valid() {
		return ID{}, fmt.Errorf("job id %q: %w", s, errID)
	}
	k, err := ParseKey(p[3])
	if err != nil {
		return ID{}, fmt.Errorf("job id %q: %w", s, err)
	}
	return src.Job(k), nil
}

// maxPart keeps a stream's name short; a part holds a few million jobs.
const maxPart = 999

func (s Source) valid() bool {
	return isMonth(s.Month) && s.Part >= 0 && s.Part <= maxPart && ValidToken(s.Sender) && ValidToken(s.Name)
}

func isMonth(s string) bool {
	if len(s) != 6 {
		return false
	}
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s[4:] >= "01" && s[4:] <= "12"
}

// ValidToken tells whether s can be one token of a subject: 1 to 100
// characters out of a-z, 0-9, '-' and '~'.
func ValidToken(s string) bool {
	if s == "" || len(s) > 100 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '~' {
			return false
		}
	}
	return true
}
